#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace weir {

// How many characters must be inserted, deleted, replaced or swapped with their neighbour to make
// `b` of `a` (optimal string alignment). Case counts. Costs |a| * |b|.
size_t EditDistance(std::string_view a, std::string_view b);

// The candidate nearest to `word` but for case, for "did you mean"; empty if none is near: more
// than a third of the word would have to change. The first of several equally near.
std::string Nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace weir

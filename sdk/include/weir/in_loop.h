#pragma once

#include <type_traits>

namespace weir::internal {

// How a loop over a batch holds a function: a copy where that is a few bytes, which stays in
// registers because no store of the loop can change it.
template <class F>
using InLoop = std::conditional_t<std::is_trivially_copyable_v<F> && sizeof(F) <= 64, F, const F&>;

}  // namespace weir::internal

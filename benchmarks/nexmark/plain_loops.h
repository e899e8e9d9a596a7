#pragma once

#include <cstdint>
#include <string>

#include "benchmarks/lib/comparison.h"
#include "benchmarks/nexmark/generator.h"

namespace nexmark {

// The query of that name over the first `events` events, as one would write it by hand: one thread,
// one loop, the events in their order, made one after another in the same place, flat tables; no
// engine. The name must be known.
weir::bench::Outcome RunPlainLoop(const std::string& query, const Generator& make,
                                  std::uint64_t events);

}  // namespace nexmark

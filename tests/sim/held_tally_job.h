#pragma once

#include <cstdint>
#include <utility>

#include "tests/sim/savepoint_fixture.h"
#include "weir/sdk.h"

namespace weir::sim {

// Holds some records in a list that belongs to no key, and lets them go near the end.
struct Hold : ProcessFunction<Number, Number> {
  OperatorList<Number> held{this, "held"};
  const std::int64_t until;

  explicit Hold(std::int64_t until_in) : until(until_in) {}

  void Process(const Number& number, Context& context) override {
    if (number.value < until && number.value % 5 == 0) {
      held->push_back(number);
      return;
    }
    context.Emit(number);
    if (number.value < until) return;
    for (Number& one : held) context.Emit(std::move(one));
    held->clear();
  }
};

// Tally with a list state in between: source, operator list, keyed state and timers.
inline void DescribeHeldTally(Job& job) {
  const auto count = job.Arg<std::int64_t>("count", "how many numbers", 4000);
  job.From<Number>("numbers",
                   Generator{.make =
                                 [](std::uint64_t i) {
                                   const auto n = static_cast<std::int64_t>(i);
                                   return Number{n % kKeys, n, EventTime::FromTicks(n)};
                                 },
                             .count = static_cast<std::uint64_t>(count),
                             .rate = 1000},
                   {.timestamp = &Number::at})
      .Process<Hold>("hold", count - 200)
      .KeyBy(&Number::key)
      .Process<Tally>("tally")
      .To("out", Print{.prefix = "held"});
}

}  // namespace weir::sim

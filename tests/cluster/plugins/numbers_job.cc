// Sums numbers per key and second of event time, with or without end. Besides, if wanted, a
// pipeline whose subtasks never meet.
#include <weir/sdk.h>

#include <cstdint>
#include <string>

namespace {

struct Number {
  std::int64_t key = 0;
  std::int64_t value = 0;
  weir::EventTime at;
};

}  // namespace

WEIR_JOB(job) {
  const auto count = job.Arg<std::int64_t>("count", "how many numbers; 0: no end", 0);
  const auto rate = job.Arg<double>("rate", "numbers a second; 0: as many as possible", 5'000);
  job.From<Number>("numbers",
                   weir::Generator{.make =
                                       [](std::uint64_t i) {
                                         const auto n = static_cast<std::int64_t>(i);
                                         return Number{n % 10, n, weir::EventTime::FromMillis(n)};
                                       },
                                   .count = static_cast<std::uint64_t>(count),
                                   .rate = rate},
                   {.timestamp = &Number::at})
      .KeyBy(&Number::key)
      .Window(weir::Tumbling{std::chrono::seconds(1)})
      .Aggregate("sum", weir::Sum{&Number::value})
      .To("out", weir::Print{.prefix = "sum"});
  const auto apart =
      job.Arg<std::int64_t>("apart", "how many more in a pipeline that meets nothing; 0: none", 0);
  if (apart == 0) return;
  job.From<std::int64_t>(
         "more",
         weir::Generator{.make = [](std::uint64_t i) { return static_cast<std::int64_t>(i); },
                         .count = static_cast<std::uint64_t>(apart),
                         .rate = 1'000})
      .To("apart", weir::Print{.prefix = "apart"});
}

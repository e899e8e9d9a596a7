// Writes numbers, and their sums per key and second of event time, to files.
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
  const auto out = job.Arg<std::string>("out", "folder below which the results are written");
  const auto count = job.Arg<std::int64_t>("count", "how many numbers");
  const auto rate = job.Arg<double>("rate", "numbers a second; 0: as many as possible", 5'000);
  const auto numbers = job.From<Number>(
      "numbers",
      weir::Generator{.make =
                          [](std::uint64_t i) {
                            const auto n = static_cast<std::int64_t>(i);
                            return Number{n % 10, n, weir::EventTime::FromMillis(n)};
                          },
                      .count = static_cast<std::uint64_t>(count),
                      .rate = rate},
      {.timestamp = &Number::at});
  numbers.Rebalance()
      .Map([](const Number& number) { return number; })
      .To("all", weir::Files{.path = out + "/all", .bucket = "minute-%M"});
  numbers.KeyBy(&Number::key)
      .Window(weir::Tumbling{std::chrono::seconds(1)})
      .Aggregate("sum", weir::Sum{&Number::value})
      .To("sums", weir::Files{.path = out + "/sums"});
}

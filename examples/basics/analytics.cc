// High values in windows of ten seconds: how many, their sum, average, least and greatest. Late
// ones correct the result for five seconds, and are kept after that.
#include "events.h"

struct Metrics {
  weir::EventTime from, until;
  std::int64_t count = 0;
  double sum = 0;
  double average = 0;
  double least = 0;
  double greatest = 0;
};

constexpr weir::SideOutput<Reading> kTooLate{"too-late"};

WEIR_JOB(job) {
  const auto input = job.Arg<std::string>("input", "readings as JSON lines");
  const auto output = job.Arg<std::string>("output", "folder or file for the metrics");
  const auto late = job.Arg<std::string>("late", "folder or file for what is too late");
  const auto above = job.Arg<double>("above", "values up to it do not count", 50.0);

  using std::chrono::seconds;
  auto metrics =
      job.From<Reading>("readings", weir::Files{.path = input},
                        {.timestamp = &Reading::at, .max_delay = seconds(2), .every_record = true})
          .Filter("high", [above](const Reading& reading) { return reading.value > above; })
          .WindowAll(weir::Tumbling{seconds(10)})
          .AllowLateness(seconds(5))
          .SideOutputLate(kTooLate)
          .Aggregate(
              "metrics",
              weir::Combine{weir::Count{}, weir::Sum{&Reading::value}, weir::Avg{&Reading::value},
                            weir::Min{&Reading::value}, weir::Max{&Reading::value}},
              [](const weir::TimeWindow& window, const auto& results) {
                const auto& [count, sum, average, least, greatest] = results;
                return Metrics{window.start, window.end, count, sum, average, least, greatest};
              });
  metrics.To("metrics-out", weir::Files{.path = output});
  metrics.Side(kTooLate).To("too-late", weir::Files{.path = late});
}

// The average of each sensor over the last ten seconds, every five seconds.
#include "events.h"

struct Average {
  std::string sensor;
  weir::EventTime from, until;
  double value = 0;
};

WEIR_JOB(job) {
  const auto input = job.Arg<std::string>("input", "readings as JSON lines");
  const auto output = job.Arg<std::string>("output", "folder or file for the averages");

  using std::chrono::seconds;
  job.From<Reading>("readings", weir::Files{.path = input},
                    {.timestamp = &Reading::at, .max_delay = seconds(30)})
      .KeyBy(&Reading::sensor)
      .Window(weir::Sliding{seconds(10), seconds(5)})
      .Aggregate("average", weir::Avg{&Reading::value},
                 [](const std::string& sensor, const weir::TimeWindow& window, double average) {
                   return Average{sensor, window.start, window.end, average};
                 })
      .To("averages", weir::Files{.path = output});
}

// Readings above a threshold, and sensors with three readings in a row of which each is above the
// one before: the first by single readings, the second as a pattern.
#include "events.h"

struct Alert {
  std::string sensor;
  std::string what;
  double value = 0;
  weir::EventTime at;
};

WEIR_JOB(job) {
  const auto input = job.Arg<std::string>("input", "readings as JSON lines");
  const auto output = job.Arg<std::string>("output", "folder or file for the alerts");
  const auto threshold = job.Arg<double>("threshold", "above it a value is too high", 85.0);

  const auto readings =
      job.From<Reading>("readings", weir::Files{.path = input},
                        {.timestamp = &Reading::at, .max_delay = std::chrono::seconds(30)});

  const auto high =
      readings.Filter([threshold](const Reading& reading) { return reading.value > threshold; })
          .Map("high", [](const Reading& reading) {
            return Alert{reading.sensor, "too high", reading.value, reading.at};
          });

  // Each reading of "rise" is above those before it.
  const auto rises = weir::Pattern<Reading>::Begin("rise")
                         .Where([](const Reading& reading, const weir::Match<Reading>& match) {
                           const Reading* last = match.Last("rise");
                           return last == nullptr || reading.value > last->value;
                         })
                         .Times(3)
                         .Consecutive()
                         .Within(std::chrono::seconds(30))
                         .After(weir::AfterMatch::SkipPastLastEvent());
  const auto rising =
      readings.KeyBy(&Reading::sensor)
          .Match(rises)
          .Select("rising", [](const std::string& sensor, const weir::Match<Reading>& match) {
            const Reading& last = *match.Last("rise");
            return Alert{sensor, "rises", last.value, last.at};
          });

  high.Union(rising).To("alerts", weir::Files{.path = output});
}

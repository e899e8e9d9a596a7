// Cards whose payments within one minute add up to more than a limit.
#include <weir/sdk.h>

#include <cstdint>
#include <string>

using namespace std::chrono_literals;

struct Payment {
  std::string card;
  std::int64_t cents = 0;
  weir::EventTime at;
};

struct Alert {
  std::string card;
  weir::EventTime from, until;
  std::int64_t cents = 0;
};

WEIR_JOB(job) {
  const auto input =
      job.Arg<std::string>("input", "payments as JSON lines: a file, a folder or a glob");
  const auto output = job.Arg<std::string>("output", "folder or file for the alerts");
  const auto limit =
      job.Arg<std::int64_t>("limit-cents", "the most that a card may pay within a minute", 100000);

  job.From<Payment>("payments", weir::Files{.path = input},
                    {.timestamp = &Payment::at, .max_delay = 10s})
      .KeyBy(&Payment::card)
      .Window(weir::Sliding{1min, 10s})
      .Aggregate("spent", weir::Sum{&Payment::cents},
                 [](const std::string& card, const weir::TimeWindow& window, std::int64_t cents) {
                   return Alert{card, window.start, window.end, cents};
                 })
      .Filter([limit](const Alert& alert) { return alert.cents > limit; })
      .To("alerts", weir::Files{.path = output});
}

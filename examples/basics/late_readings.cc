// Windows of ten seconds over readings that come late: a watermark two seconds behind the newest
// one, results that are corrected for five seconds, and what is later than that by itself.
#include "events.h"

constexpr weir::SideOutput<Reading> kTooLate{"too-late"};

WEIR_JOB(job) {
  const auto input = job.Arg<std::string>("input", "readings as JSON lines");
  const auto output = job.Arg<std::string>("output", "folder or file for the sums");
  const auto late = job.Arg<std::string>("late", "folder or file for what is too late");

  using std::chrono::seconds;
  auto sums = job.From<Reading>("readings", weir::Files{.path = input},
                                {.timestamp = &Reading::at,
                                 .max_delay = seconds(2),
                                 // What is late then depends on the input alone.
                                 .every_record = true})
                  .KeyBy(&Reading::sensor)
                  .Window(weir::Tumbling{seconds(10)})
                  .AllowLateness(seconds(5))
                  .SideOutputLate(kTooLate)
                  .Aggregate("sums", weir::Sum{&Reading::value});
  sums.To("sums-out", weir::Files{.path = output});
  sums.Side(kTooLate).To("too-late", weir::Files{.path = late});
}

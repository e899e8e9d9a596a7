// A job that waits: one record an hour through a keyed window.
#include <cstdint>

#include <weir/sdk.h>

using namespace std::chrono_literals;

struct Tick {
  std::int64_t key = 0;
  weir::EventTime at;
};

WEIR_JOB(job) {
  job.From<Tick>("ticks",
                 weir::Generator{.make = [](std::uint64_t i) { return Tick{static_cast<std::int64_t>(i), {}}; },
                                 .rate = 1.0 / 3600},
                 {.timestamp = &Tick::at, .idle_after = 10s})
      .KeyBy(&Tick::key)
      .Window(weir::Tumbling{1min})
      .Aggregate("count", weir::Count{})
      .To("out", weir::Blackhole{});
}

// Delays per airport and hour of the schedule, from flights in the order in which they really left.
#include <weir/sdk.h>

#include <algorithm>
#include <cstdint>
#include <string>

using namespace std::chrono_literals;

struct Flight {
  weir::EventTime scheduled;
  std::int64_t delay_minutes = 0;
  std::string origin, destination;
};

struct HourOfOrigin {
  std::string origin;
  weir::EventTime hour;
  std::int64_t flights = 0;
  double mean_delay_minutes = 0;
  std::int64_t max_delay_minutes = 0;
};

// Number of flights, sum and largest of their delays.
struct Delays {
  struct Accumulator {
    std::int64_t flights = 0, sum = 0, max = 0;
  };
  void Add(Accumulator& acc, const Flight& flight) const {
    Merge(acc, {1, flight.delay_minutes, flight.delay_minutes});
  }
  void Merge(Accumulator& into, const Accumulator& later) const {
    into.max = into.flights == 0 ? later.max : std::max(into.max, later.max);
    into.flights += later.flights;
    into.sum += later.sum;
  }
  Accumulator Result(const Accumulator& acc) const { return acc; }
};

constexpr weir::SideOutput<Flight> kLate{"late"};

WEIR_JOB(job) {
  const auto input =
      job.Arg<std::string>("input", "flights as JSON lines: a file, a folder or a glob");
  const auto output = job.Arg<std::string>("output", "folder or file for the results");
  const auto late = job.Arg<std::string>("late", "folder or file for flights that came too late");
  const auto every_record = job.Arg<bool>(
      "every-record", "one reader and a watermark after each record: what is late is determined",
      false);

  auto flights = job.From<Flight>(
      "flights", weir::Files{.path = input},
      {.timestamp = &Flight::scheduled, .max_delay = 30min, .every_record = every_record});
  if (every_record) flights = flights.Parallelism(1);
  auto hours =
      flights.KeyBy(&Flight::origin)
          .Window(weir::Tumbling{1h})
          .AllowLateness(1h)
          .SideOutputLate(kLate)
          .Aggregate("delays", Delays{},
                     [](const std::string& origin, const weir::TimeWindow& hour,
                        const Delays::Accumulator& d) {
                       return HourOfOrigin{
                           origin, hour.start, d.flights,
                           static_cast<double>(d.sum) / static_cast<double>(d.flights), d.max};
                     });
  hours.To("results", weir::Files{.path = output});
  hours.Side(kLate).To("late-flights", weir::Files{.path = late});
}

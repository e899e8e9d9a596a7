#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "weir/connectors.h"
#include "weir/job.h"
#include "weir/testing.h"

namespace weir::testing {

// What a function with all kinds of timers is told to do for a key.
struct TimerStep {
  std::string key;
  std::uint8_t what = 0;
  Ticks time = 0;
  // What its timers do, below.
  std::uint8_t then = 0;
};

// Does as it is told, and says what it sees.
struct StepTimers : KeyedProcess<std::string, TimerStep, std::string> {
  ValueState<TimerStep> last{this, "last"};
  ValueState<std::int64_t> left{this, "left"};
  EventTimer first{this, "first"};
  EventTimer second{this, "second"};
  EventTimers many{this, "many"};
  ProcessingTimer clock{this, "clock"};
  ProcessingTimers clocks{this, "clocks"};

  static constexpr std::uint8_t kKinds = 11;

  void Process(const TimerStep& step, Context& ctx) override {
    last.Set(step);
    left.Set(2);
    const EventTime time = EventTime::FromTicks(step.time);
    switch (step.what % kKinds) {
      case 0:
      case 1:
        return first.Set(time);
      case 2:
        return first.Clear();
      case 3:
        return second.Set(time);
      case 4:
      case 5:
        return many.Set(time);
      case 6:
        ctx.Emit(ctx.key() + (many.Delete(time) ? " deleted" : " none"));
        return;
      case 7:
        return many.Clear();
      case 8:
        return clock.Set(time);
      case 9:
        return clocks.Set(time);
      default:
        ctx.Emit(ctx.key() + Seen());
    }
  }
  std::string Seen() {
    std::string seen;
    for (const EventTimer* timer : {&first, &second}) {
      seen += timer->IsSet() ? " " + std::to_string(timer->Time()->ticks()) : " -";
      seen += timer->AnySet() ? "+" : "";
    }
    return seen + (clock.IsSet() ? " c" : "");
  }
  template <class Timer>
  void Fired(const std::string& name, Timer& timer, EventTime time, Context& ctx) {
    ctx.Emit(ctx.key() + " " + name + "@" + std::to_string(time.ticks()) + Seen());
    if (left.Get() <= 0) return;
    left.Set(left.Get() - 1);
    const TimerStep step = last.Get();
    switch (step.then % 6) {
      case 0:
        return timer.Set(time);
      case 1:
        return timer.Set(time + Duration(step.then));
      case 2:
        return first.Clear();
      case 3:
        timer.Set(time);
        return timer.Set(time + Duration(1));
      case 4:
        return second.Set(time - Duration(3));
      default:
        return;
    }
  }
  void OnTimer(const EventTimer& timer, Context& ctx) override {
    if (timer == first) return Fired("first", first, ctx.timestamp(), ctx);
    Fired("second", second, ctx.timestamp(), ctx);
  }
  void OnTimer(const EventTimers&, EventTime time, Context& ctx) override {
    Fired("many", many, time, ctx);
  }
  void OnTimer(const ProcessingTimer&, Context& ctx) override {
    Fired("clock", clock, ctx.now(), ctx);
  }
  void OnTimer(const ProcessingTimers&, EventTime time, Context& ctx) override {
    Fired("clocks", clocks, time, ctx);
  }
};

// The definition of a job with this function as its second node.
inline JobDefinition StepTimersJob() {
  JobDefinition job;
  const DefineInput input;
  weir::internal::GraphBuilder graph(input, job);
  Job(graph)
      .From<TimerStep>("in", Files{.path = "x"})
      .KeyBy(&TimerStep::key)
      .Process<StepTimers>("t")
      .To("out", Print{});
  return job;
}

// Drives functions side by side, which must do the same, through random steps.
class TimerSteps {
 public:
  explicit TimerSteps(std::uint64_t seed) : random_(seed) {}

  std::uint64_t Random(std::uint64_t below) {
    std::uint64_t z = (random_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
  }
  std::vector<Timed<TimerStep>> Batch(std::size_t records, std::uint64_t keys, Ticks spread) {
    std::vector<Timed<TimerStep>> batch;
    for (std::size_t i = 0; i < records; ++i) {
      TimerStep step;
      step.key = KeyOf(Random(keys));
      step.what = static_cast<std::uint8_t>(Random(StepTimers::kKinds));
      step.then = static_cast<std::uint8_t>(Random(30));
      const Ticks from = step.what == 8 || step.what == 9 ? now_ : watermark_;
      // Many at one time, some before what was reached.
      step.time = Random(3) == 0
                      ? from + spread / 2
                      : from - 20 + static_cast<Ticks>(Random(static_cast<std::uint64_t>(spread)));
      batch.push_back({step, watermark_ + 1});
    }
    return batch;
  }
  Ticks NextWatermark(Ticks spread) {
    return watermark_ += static_cast<Ticks>(Random(static_cast<std::uint64_t>(spread)));
  }
  Ticks NextTime(Ticks spread) {
    return now_ += static_cast<Ticks>(Random(static_cast<std::uint64_t>(spread)));
  }

 private:
  // Some begin others, and some have zeros.
  static std::string KeyOf(std::uint64_t n) {
    std::string key = std::to_string(n / 4);
    if (n % 4 > 0) key += std::string(n % 4 - 1, '\0') + (n % 4 == 3 ? "\xff" : "");
    return key;
  }

  std::uint64_t random_;
  Ticks watermark_ = 1000;
  Ticks now_ = 1000;
};

}  // namespace weir::testing

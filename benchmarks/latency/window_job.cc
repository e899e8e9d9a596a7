#include "benchmarks/latency/window_job.h"

#include <algorithm>
#include <array>
#include <vector>

namespace weir::bench {
namespace {

struct Reading {
  int64_t key = 0;
  int64_t value = 0;
  EventTime at;
  std::array<int64_t, 9> payload{};
};
static_assert(sizeof(Reading) == 96);

using Result = WindowResult<int64_t, int64_t>;

// Of record `i` of a window: spread over all keys in turns.
int64_t KeyOf(int64_t i) { return i % Schedule::kKeys; }

// Sends what is due and waits for the next burst: late or not, it never skips one.
class ScheduledSource {
 public:
  using Record = Reading;
  ScheduledSource(const Schedule& schedule, const Clock& clock)
      : schedule_(schedule), clock_(clock) {}
  auto MakeFactory() const {
    return [schedule = schedule_, &clock = clock_]() -> std::unique_ptr<SourceReader> {
      return std::make_unique<Reader>(schedule, clock);
    };
  }

 private:
  class Reader final : public SourceReader {
   public:
    Reader(const Schedule& schedule, const Clock& clock) : schedule_(schedule), clock_(clock) {}
    absl::Status Open(SourceContext& context) override {
      context_ = &context;
      return absl::OkStatus();
    }
    uint32_t splits() const override { return context_->subtask() == 0 ? 1 : 0; }
    absl::StatusOr<PollResult> Poll(BatchBase& base, size_t max_records) override {
      PollResult result;
      if (context_->subtask() != 0) {
        result.state = PollState::kEnd;
        return result;
      }
      if (WaitForBurst(result)) return result;
      const int64_t n =
          std::min<int64_t>(schedule_.records - in_burst_, static_cast<int64_t>(max_records));
      auto& records = static_cast<Batch<Reading>&>(base).records;
      records.reserve(static_cast<size_t>(n));
      Reading reading;
      reading.at = EventTime::FromTicks(schedule_.DueOfBurst(burst_) / 1000);
      const int64_t first = burst_ % Schedule::kBurstsPerWindow * schedule_.records + in_burst_;
      for (int64_t i = first; i < first + n; ++i) {
        reading.key = KeyOf(i);
        reading.value = i;
        records.emplace_unchecked(reading);
      }
      in_burst_ += n;
      if (in_burst_ < schedule_.records) return result;
      in_burst_ = 0;
      ++burst_;
      if (burst_ < schedule_.windows * Schedule::kBurstsPerWindow) {
        WaitForBurst(result);
      } else {
        result.state = PollState::kEnd;
        result.split_ended = true;
      }
      return result;
    }
    std::string SnapshotPosition() const override { return ""; }
    absl::Status RestorePosition(std::string_view) override { return absl::OkStatus(); }

   private:
    // Whether the burst is still to come, and then until when to wait.
    bool WaitForBurst(PollResult& result) const {
      if (!schedule_.paced || in_burst_ > 0) return false;
      const int64_t left = schedule_.DueOfBurst(burst_) - clock_.MonotonicNanos();
      if (left <= 0) return false;
      result.state = PollState::kWait;
      result.wake_at = context_->ProcessingTime() + (left + 999) / 1000;
      return true;
    }

    const Schedule schedule_;
    const Clock& clock_;
    SourceContext* context_ = nullptr;
    int64_t burst_ = 0;
    int64_t in_burst_ = 0;
  };

  const Schedule schedule_;
  const Clock& clock_;
};

class CheckingSink {
 public:
  CheckingSink(const Schedule& schedule, const Clock& clock, WindowsSeen& seen)
      : schedule_(schedule), clock_(clock), seen_(seen) {}
  auto MakeFactory() const {
    return [schedule = schedule_, &clock = clock_, &seen = seen_]() -> std::unique_ptr<SinkWriter> {
      return std::make_unique<Writer>(schedule, clock, seen);
    };
  }

 private:
  class Writer final : public SinkWriter {
   public:
    Writer(const Schedule& schedule, const Clock& clock, WindowsSeen& seen)
        : schedule_(schedule), clock_(clock), out_(seen), keys_seen_(Schedule::kKeys, -1) {
      latency_.Reserve(static_cast<size_t>(schedule.windows));
    }
    absl::Status Open(OperatorContext&) override { return absl::OkStatus(); }
    absl::Status Write(BatchBase& base) override {
      auto& batch = static_cast<Batch<Result>&>(base);
      const int64_t now = clock_.MonotonicNanos();
      if (seen_.first_nanos == 0) seen_.first_nanos = now;
      seen_.last_nanos = now;
      for (const Result& result : batch.records) Check(result, now);
      batch.Clear();
      return absl::OkStatus();
    }
    bool Blocked() const override { return false; }
    absl::Status Flush() override { return absl::OkStatus(); }
    absl::StatusOr<bool> Finish() override {
      seen_.latency = latency_.Summarize();
      out_ = seen_;
      return true;
    }

   private:
    // Windows come one after the other, each with all its keys in any order.
    void Check(const Result& result, int64_t now) {
      const int64_t start = schedule_.begin + window_ * Schedule::kWindowNanos;
      const bool known = result.key >= 0 && result.key < Schedule::kKeys;
      if (!known || result.start.ticks() * 1000 != start || result.value != SumOf(result.key) ||
          keys_seen_[static_cast<size_t>(result.key)] == window_) {
        ++seen_.wrong;
        return;
      }
      keys_seen_[static_cast<size_t>(result.key)] = window_;
      if (++in_window_ < Schedule::kKeys) return;
      if (schedule_.IsMeasured(window_)) latency_.Add(now - schedule_.EndOfWindow(window_));
      ++seen_.complete;
      in_window_ = 0;
      ++window_;
    }
    // Of key, key + kKeys, key + 2 kKeys, ... below window_records.
    int64_t SumOf(int64_t key) const {
      const int64_t n = schedule_.window_records() / Schedule::kKeys;
      return n * key + Schedule::kKeys * (n * (n - 1) / 2);
    }

    const Schedule schedule_;
    const Clock& clock_;
    WindowsSeen& out_;
    WindowsSeen seen_;
    LatencyRecorder latency_;
    // The window in which each key was last seen.
    std::vector<int64_t> keys_seen_;
    int64_t window_ = 0;
    int64_t in_window_ = 0;
  };

  const Schedule schedule_;
  const Clock& clock_;
  WindowsSeen& seen_;
};

}  // namespace

JobDefinition DescribeWindowJob(const Schedule& schedule, const Clock& clock, WindowsSeen& seen) {
  return Describe([&](Job& job) {
    // Two subtasks, of which the second has nothing to read: at equal parallelism of one, source
    // and window would be one task.
    job.From<Reading>("readings", ScheduledSource(schedule, clock), {.timestamp = &Reading::at})
        .Parallelism(2)
        .KeyBy(&Reading::key)
        .Window(Tumbling{Duration(Schedule::kWindowNanos / 1000)})
        .Aggregate("sum", Sum{&Reading::value})
        .To("check", CheckingSink(schedule, clock, seen));
  });
}

}  // namespace weir::bench

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "runtime/time/time_event.h"
#include "runtime/time/watermark_combiner.h"
#include "runtime/time/watermark_moves.h"
#include "weir/source.h"

namespace weir {

// Makes the watermark of one split from its records (semantics rule 23).
class SplitGenerator {
 public:
  virtual ~SplitGenerator() = default;
  // Records of `batch` from `next` on, which is moved behind the first that makes a watermark, or
  // to the end. `greatest` is the greatest timestamp of the whole batch.
  virtual std::optional<Ticks> OnRecords(const BatchBase& batch, size_t& next, Ticks greatest) = 0;
  // The watermark as of now, if it is made periodically.
  virtual std::optional<Ticks> Periodic() = 0;
};

// max_ts - B - 1; B = 0 is the monotonous one. At the ends of the range it stays there.
class BoundedOutOfOrderness final : public SplitGenerator {
 public:
  // `max_delay` >= 0.
  explicit BoundedOutOfOrderness(Ticks max_delay) : max_delay_(max_delay) {}
  std::optional<Ticks> OnRecords(const BatchBase& batch, size_t& next, Ticks greatest) override;
  std::optional<Ticks> Periodic() override { return watermark_; }

 private:
  const Ticks max_delay_;
  Ticks watermark_ = kMinTicks;
};

// One that the job brings.
class JobGenerator final : public SplitGenerator {
 public:
  explicit JobGenerator(std::unique_ptr<RecordWatermarks> generator)
      : generator_(std::move(generator)) {}
  std::optional<Ticks> OnRecords(const BatchBase& batch, size_t& next, Ticks greatest) override;
  std::optional<Ticks> Periodic() override { return generator_->OnPeriodic(); }

 private:
  const std::unique_ptr<RecordWatermarks> generator_;
};

// What the settings of a source or of an operator that assigns timestamps say. They outlive it.
std::unique_ptr<SplitGenerator> MakeSplitGenerator(const WatermarkSettings& settings);

// A generator that also judges whether its split is idle (semantics rule 28). Time comes from
// outside, in ticks of a clock that never goes back; while the split is paused no time passes.
class IdlenessWatermarkGenerator {
 public:
  // `idle_after` 0: never idle.
  IdlenessWatermarkGenerator(std::unique_ptr<SplitGenerator> generator, Ticks idle_after)
      : generator_(std::move(generator)), idle_after_(idle_after) {}

  std::optional<Ticks> OnRecords(const BatchBase& batch, size_t& next, Ticks greatest);
  // What a periodic emission at `now` finds: a watermark, kIdle once when the split becomes idle,
  // or nothing.
  std::optional<TimeEvent> OnPeriodic(Ticks now);
  // The watermark as of now; does not touch the judgement of idleness.
  std::optional<Ticks> Current() { return idle_ ? std::nullopt : generator_->Periodic(); }
  bool idle() const { return idle_; }

  // Pauses nest.
  void Pause(Ticks now);
  void Resume(Ticks now);

 private:
  Ticks UnpausedTime(Ticks now) const;

  std::unique_ptr<SplitGenerator> generator_;
  const Ticks idle_after_;
  bool active_since_last_ = false;
  std::optional<Ticks> inactive_since_;
  bool idle_ = false;
  int pauses_ = 0;
  Ticks paused_at_ = 0;
  Ticks paused_total_ = 0;
};

// What goes downstream of the least watermark over the splits: only growing ones, kIdle once when
// all splits are idle, kActive before the first watermark after that (semantics rule 26).
class SplitWatermarks {
 public:
  CombinedWatermark& combined() { return combined_; }
  const CombinedWatermark& combined() const { return combined_; }
  // The last watermark that was put out, and whether the last word was that all are idle.
  Ticks emitted() const { return emitted_; }
  bool idle() const { return emitted_idle_; }
  // Takes into account what was set in combined().
  void Emit(TimeEvents& out);
  void EmitIdle(TimeEvents& out);
  // Nothing has been said yet of a watermark.
  bool before_first() const { return emitted_ == kMinTicks; }

 private:
  CombinedWatermark combined_;
  Ticks emitted_ = kMinTicks;
  bool emitted_idle_ = false;
};

// The watermarks of one source subtask: a generator per split, the least over the splits (semantics
// rule 26), and what of it goes downstream: only growing watermarks, kActive before the first after
// an idle time. Owned by the task's thread.
class SourceWatermarks {
 public:
  using MakeGenerator = std::function<std::unique_ptr<SplitGenerator>()>;

  SourceWatermarks(MakeGenerator make_generator, Ticks idle_after)
      : make_generator_(std::move(make_generator)), idle_after_(idle_after) {}
  // Of a source, or of a stream that gets its timestamps on its way.
  enum class Of : uint8_t { kSource, kStream };
  // `settings` outlives it.
  explicit SourceWatermarks(const WatermarkSettings& settings, Of of = Of::kSource)
      : SourceWatermarks([&settings] { return MakeSplitGenerator(settings); },
                         settings.idle_after) {
    of_ = of;
  }

  bool Has(uint32_t split) const { return splits_.contains(split); }
  // A new split holds the watermark from MIN; one that is removed shows at the next update.
  void AddSplit(uint32_t split, Ticks now);
  void RemoveSplit(uint32_t split);

  // Records of the split from `next` on, which is moved behind the last that goes downstream before
  // what `out` gets.
  void OnRecords(uint32_t split, const BatchBase& batch, size_t& next, Ticks greatest,
                 TimeEvents& out);
  // The periodic emission: watermarks and idleness.
  void OnPeriodic(Ticks now, TimeEvents& out);
  // An emission out of turn, of watermarks only: after every record, or when the input has run dry.
  void EmitNow(TimeEvents& out);

  // The source is held back, or no more: time does not count towards idleness meanwhile.
  // Idempotent.
  void SetBackpressured(bool backpressured, Ticks now);
  // What it has said of all splits together, and what is known of each.
  Ticks watermark() const { return downstream_.emitted(); }
  bool idle() const { return downstream_.idle(); }
  // Who moved the watermark that was put out last.
  WatermarkMover mover() const;
  struct SplitState {
    uint32_t split = 0;
    Ticks watermark = kMinTicks;
    bool idle = false;
    bool paused = false;
  };
  std::vector<SplitState> Splits() const;
  Ticks WatermarkOf(uint32_t split) const { return downstream_.combined().watermark_of(split); }

  // Likewise for one split that alignment holds back.
  void SetPaused(uint32_t split, bool paused, Ticks now);

 private:
  struct Split {
    explicit Split(IdlenessWatermarkGenerator g) : generator(std::move(g)) {}
    IdlenessWatermarkGenerator generator;
    bool paused = false;
  };

  const MakeGenerator make_generator_;
  const Ticks idle_after_;
  Of of_ = Of::kSource;
  std::map<uint32_t, Split> splits_;
  SplitWatermarks downstream_;
  bool backpressured_ = false;
  // Until the first watermark the source is idle as a whole once `idle_after_` has passed since its
  // first periodic emission, whatever its splits do: so that one silent split does not hold
  // everything back from the start, as in Flink, where the output that belongs to no split has an
  // idleness of its own.
  std::optional<Ticks> first_periodic_;
};

}  // namespace weir

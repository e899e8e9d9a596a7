#include "runtime/time/source_watermarks.h"

#include <algorithm>
#include <utility>

namespace weir {

std::optional<Ticks> BoundedOutOfOrderness::OnRecords(const BatchBase& batch, size_t& next,
                                                      Ticks greatest) {
  next = batch.size();
  Ticks watermark = 0;
  if (__builtin_sub_overflow(greatest, max_delay_, &watermark) ||
      __builtin_sub_overflow(watermark, Ticks{1}, &watermark)) {
    watermark = kMinTicks;
  }
  watermark_ = std::max(watermark_, watermark);
  return std::nullopt;
}

std::optional<Ticks> JobGenerator::OnRecords(const BatchBase& batch, size_t& next, Ticks) {
  std::optional<Ticks> watermark;
  generator_->OnRecords(batch, next, watermark);
  return watermark;
}

std::unique_ptr<SplitGenerator> MakeSplitGenerator(const WatermarkSettings& settings) {
  if (settings.make_generator) return std::make_unique<JobGenerator>(settings.make_generator());
  return std::make_unique<BoundedOutOfOrderness>(settings.max_delay);
}

std::optional<Ticks> IdlenessWatermarkGenerator::OnRecords(const BatchBase& batch, size_t& next,
                                                           Ticks greatest) {
  active_since_last_ = true;
  idle_ = false;
  return generator_->OnRecords(batch, next, greatest);
}

Ticks IdlenessWatermarkGenerator::UnpausedTime(Ticks now) const {
  return (pauses_ > 0 ? paused_at_ : now) - paused_total_;
}

std::optional<TimeEvent> IdlenessWatermarkGenerator::OnPeriodic(Ticks now) {
  if (idle_after_ > 0) {
    bool idle = false;
    if (active_since_last_) {
      active_since_last_ = false;
      inactive_since_.reset();
    } else if (!inactive_since_.has_value()) {
      inactive_since_ = UnpausedTime(now);
    } else {
      idle = UnpausedTime(now) - *inactive_since_ > idle_after_;
    }
    if (idle) {
      if (std::exchange(idle_, true)) return std::nullopt;
      return TimeEvent{TimeEventKind::kIdle};
    }
  }
  const std::optional<Ticks> watermark = generator_->Periodic();
  if (!watermark.has_value()) return std::nullopt;
  return TimeEvent{TimeEventKind::kWatermark, *watermark};
}

void IdlenessWatermarkGenerator::Pause(Ticks now) {
  if (pauses_++ == 0) paused_at_ = now;
}

void IdlenessWatermarkGenerator::Resume(Ticks now) {
  if (--pauses_ == 0) paused_total_ += now - paused_at_;
}

void SplitWatermarks::Emit(TimeEvents& out) {
  if (combined_.Update() && combined_.watermark() > emitted_) {
    emitted_ = combined_.watermark();
    if (std::exchange(emitted_idle_, false)) out.push_back({TimeEventKind::kActive});
    out.push_back({TimeEventKind::kWatermark, emitted_});
  } else if (combined_.idle()) {
    EmitIdle(out);
  }
}

void SplitWatermarks::EmitIdle(TimeEvents& out) {
  if (!std::exchange(emitted_idle_, true)) out.push_back({TimeEventKind::kIdle});
}

void SourceWatermarks::AddSplit(uint32_t split, Ticks now) {
  auto [it, added] =
      splits_.emplace(split, Split(IdlenessWatermarkGenerator(make_generator_(), idle_after_)));
  if (!added) return;
  if (backpressured_) it->second.generator.Pause(now);
  downstream_.combined().Add(split);
}

void SourceWatermarks::RemoveSplit(uint32_t split) {
  splits_.erase(split);
  downstream_.combined().Remove(split);
}

void SourceWatermarks::OnRecords(uint32_t id, const BatchBase& batch, size_t& next, Ticks greatest,
                                 TimeEvents& out) {
  IdlenessWatermarkGenerator& generator = splits_.at(id).generator;
  const size_t before = out.size();
  do {
    const std::optional<Ticks> watermark = generator.OnRecords(batch, next, greatest);
    if (watermark.has_value() && downstream_.combined().SetWatermark(id, *watermark)) {
      downstream_.Emit(out);
    }
  } while (out.size() == before && next < batch.size());
}

void SourceWatermarks::OnPeriodic(Ticks now, TimeEvents& out) {
  for (auto& [id, split] : splits_) {
    const std::optional<TimeEvent> event = split.generator.OnPeriodic(now);
    if (!event.has_value()) continue;
    if (event->kind == TimeEventKind::kIdle) {
      downstream_.combined().SetIdle(id, true);
    } else {
      downstream_.combined().SetWatermark(id, event->time);
    }
  }
  downstream_.Emit(out);
  if (idle_after_ <= 0 || of_ == Of::kStream || !downstream_.before_first()) return;
  if (!first_periodic_.has_value()) {
    first_periodic_ = now;
  } else if (now - *first_periodic_ > idle_after_) {
    downstream_.EmitIdle(out);
  }
}

void SourceWatermarks::EmitNow(TimeEvents& out) {
  for (auto& [id, split] : splits_) {
    const std::optional<Ticks> watermark = split.generator.Current();
    if (watermark.has_value()) downstream_.combined().SetWatermark(id, *watermark);
  }
  downstream_.Emit(out);
}

WatermarkMover SourceWatermarks::mover() const {
  const CombinedWatermark& combined = downstream_.combined();
  const uint32_t split = combined.moved_by();
  WatermarkMover mover{.index = split, .watermark = combined.watermark_of(split)};
  if (!combined.has(split)) {
    mover.what = WatermarkMover::What::kEnded;
  } else if (combined.idle_of(split)) {
    mover.what = WatermarkMover::What::kIdle;
  }
  return mover;
}

std::vector<SourceWatermarks::SplitState> SourceWatermarks::Splits() const {
  const CombinedWatermark& combined = downstream_.combined();
  std::vector<SplitState> states;
  for (const auto& [id, split] : splits_) {
    states.push_back({id, combined.watermark_of(id), combined.idle_of(id), split.paused});
  }
  return states;
}

void SourceWatermarks::SetBackpressured(bool backpressured, Ticks now) {
  if (std::exchange(backpressured_, backpressured) == backpressured) return;
  for (auto& [id, split] : splits_) {
    backpressured ? split.generator.Pause(now) : split.generator.Resume(now);
  }
}

void SourceWatermarks::SetPaused(uint32_t id, bool paused, Ticks now) {
  Split& split = splits_.at(id);
  if (std::exchange(split.paused, paused) == paused) return;
  paused ? split.generator.Pause(now) : split.generator.Resume(now);
}

}  // namespace weir

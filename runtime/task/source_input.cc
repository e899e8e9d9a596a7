#include "runtime/task/source_input.h"

#include <algorithm>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/control.pb.h"

namespace weir {
namespace {

// The name of the list state that holds where a source is.
constexpr char kPosition[] = "position";
constexpr int64_t kNanosPerTick = 1000;
// How long a wait for the wall clock lasts at most before the clock is read again: it may be set.
constexpr int64_t kMaxWaitNanos = 10'000'000'000;
// While nothing is read, idleness is judged this many times within its timeout: a waiting source
// costs next to nothing.
constexpr int64_t kIdlenessProbes = 20;
constexpr int64_t kMaxProbeIntervalNanos = 1'000'000'000;
// How often a generator of the job's own is asked meanwhile.
constexpr int64_t kIdlePeriodNanos = 100'000'000;

// Records that are read at once: what they take is still in a core's cache when they reach the end
// of the chain.
constexpr size_t kBatchBytes = 128 << 10;
constexpr size_t kLeastRecords = 64;

size_t RecordsToRead(size_t most, const RecordType& type) {
  return std::min(most, std::max(kLeastRecords, kBatchBytes / type.record_size_bytes()));
}

}  // namespace

SourceInput::SourceInput(ChainNode& node, std::unique_ptr<SourceReader> reader, TaskClock& clock,
                         Options options)
    : node_(node),
      reader_(std::move(reader)),
      clock_(clock),
      options_{RecordsToRead(options.batch_records, *node.definition().outputs[0].type),
               options.watermark_interval_nanos, std::move(options.alignment)},
      settings_(node.definition().watermarks),
      batch_(settings_, *node.definition().outputs[0].type),
      watermarks_(settings_) {}

absl::Status SourceInput::Open() {
  const CrashContext former = node_.Enter();
  opened_ = true;
  absl::Status status = reader_->Open(*this);
  if (status.ok()) AddNewSplits(clock_.MonotonicNanos());
  ThisThreadCrashContext() = former;
  return status;
}

void SourceInput::AddNewSplits(int64_t now) {
  for (const uint32_t splits = reader_->splits(); known_splits_ < splits; ++known_splits_) {
    watermarks_.AddSplit(known_splits_, now / kNanosPerTick);
  }
}

void SourceInput::QueueEvents(Chain& chain, int64_t now) {
  for (const TimeEvent& event : events_) {
    chain.QueueTimeEvent(event, watermarks_.mover(), now);
    idle_ = event.kind == TimeEventKind::kIdle;
  }
  events_.clear();
}

bool SourceInput::EmitPeriodically(Chain& chain, int64_t now) {
  if (settings_.none || now < next_emission_) return false;
  int64_t interval = options_.watermark_interval_nanos;
  if ((waiting_ || held_back_) && !read_since_emission_) {
    const int64_t idle_after =
        std::min(settings_.idle_after, kIdlenessProbes * kMaxProbeIntervalNanos / kNanosPerTick) *
        kNanosPerTick;
    int64_t waiting_interval = idle_after / kIdlenessProbes;
    if (settings_.periodic_generator && (idle_after == 0 || waiting_interval > kIdlePeriodNanos)) {
      waiting_interval = kIdlePeriodNanos;
    }
    interval = std::max(interval, waiting_interval);
  }
  next_emission_ = now + interval;
  read_since_emission_ = false;
  watermarks_.OnPeriodic(now / kNanosPerTick, events_);
  const bool said_something = !events_.empty();
  QueueEvents(chain, now);
  return said_something;
}

void SourceInput::OnBlocked(int64_t now) {
  watermarks_.SetBackpressured(true, now / kNanosPerTick);
}

absl::StatusOr<StepResult> SourceInput::Step(Chain& chain, int64_t now) {
  deadline_ = kNoDeadline;
  watermarks_.SetBackpressured(false, now / kNanosPerTick);
  if (EmitPeriodically(chain, now)) return StepResult::kMoreWork;
  clock_.BeginCall();
  if (!batch_.done()) {
    const CrashContext former = node_.Enter();
    absl::StatusOr<StepResult> result = Emit(chain, now);
    ThisThreadCrashContext() = former;
    return result;
  }
  if (options_.alignment != nullptr) Align(now);
  if (held_back_) {
    SetDeadline(now);
    return StepResult::kNoInput;
  }
  if (woken_.exchange(false, std::memory_order_acquire)) waiting_ = false;
  if (waiting_ && (wake_at_ == kMaxTicks || clock_.Now() < wake_at_)) {
    SetDeadline(now);
    return StepResult::kNoInput;
  }

  const CrashContext former = node_.Enter();
  WEIR_RETURN_IF_ERROR(Poll(now));
  absl::StatusOr<StepResult> result = Emit(chain, now);
  ThisThreadCrashContext() = former;
  return result;
}

absl::Status SourceInput::Poll(int64_t now) {
  BatchBase& batch = batch_.batch();
  batch.Clear();
  WEIR_ASSIGN_OR_RETURN(polled_, reader_->Poll(batch, RecordsToPoll()));
  if (polled_.state != PollState::kEnd) AddNewSplits(now);
  if (batch.empty()) return absl::OkStatus();
  read_since_emission_ = true;
  next_emission_ = std::min(next_emission_, now + options_.watermark_interval_nanos);
  batch_.Assign();
  polled_records_ = batch.size();
  if (options_.alignment != nullptr) before_batch_ = watermarks_.WatermarkOf(polled_.split);
  if (!settings_.none && !watermarks_.Has(polled_.split)) {
    watermarks_.AddSplit(polled_.split, now / kNanosPerTick);
  }
  return absl::OkStatus();
}

absl::StatusOr<StepResult> SourceInput::Emit(Chain& chain, int64_t now) {
  if (!batch_.done()) {
    WEIR_RETURN_IF_ERROR(batch_.Push(polled_.split, watermarks_, node_.output(0), events_));
    QueueEvents(chain, now);
    if (!batch_.done()) return StepResult::kMoreWork;
  }
  if (polled_.split_ended) watermarks_.RemoveSplit(polled_.split);
  if (polled_.state == PollState::kEnd) {
    if (options_.alignment != nullptr) options_.alignment->SetInactive();
    return StepResult::kEnd;
  }
  waiting_ = polled_.state == PollState::kWait;
  wake_at_ = polled_.wake_at;
  // The watermark follows at once when the input runs dry: nobody waits for the next period.
  if (!settings_.none && (waiting_ || options_.alignment != nullptr)) {
    watermarks_.EmitNow(events_);
    if (options_.alignment != nullptr) MeasurePace();
  }
  QueueEvents(chain, now);
  return StepResult::kMoreWork;
}

void SourceInput::Align(int64_t now) {
  Ticks limit = options_.alignment->limit();
  if (watermarks_.idle() || watermarks_.watermark() == kMinTicks) {
    options_.alignment->SetInactive();
  } else {
    options_.alignment->SetActive(watermarks_.watermark());
  }
  const std::vector<SourceWatermarks::SplitState> splits = watermarks_.Splits();
  several_splits_ = several_splits_ || splits.size() > 1;
  if (several_splits_ && !watermarks_.idle()) {
    limit = options_.alignment->LimitOfSplit(watermarks_.watermark());
  }
  bool all_ahead = watermarks_.watermark() > limit;
  headroom_ = kMaxTicks;
  for (const auto& split : splits) {
    const bool ahead = split.watermark > limit;
    if (!ahead && limit != kMaxTicks) {
      Ticks room = 0;
      if (split.watermark != kMinTicks && __builtin_sub_overflow(limit, split.watermark, &room)) {
        room = kMaxTicks;
      }
      headroom_ = std::min(headroom_, room);
    }
    all_ahead = all_ahead && (ahead || split.idle);
    if (!pauses_whole_ && several_splits_) Pause(split, ahead, now);
  }
  // Where they cannot be held back one by one, only the least of the splits counts.
  if (pauses_whole_ || !several_splits_) {
    for (const auto& split : splits) {
      watermarks_.SetPaused(split.split, all_ahead, now / kNanosPerTick);
    }
  }
  held_back_ = all_ahead;
}

void SourceInput::MeasurePace() {
  const size_t records = std::exchange(polled_records_, 0);
  const Ticks now_at = watermarks_.WatermarkOf(polled_.split);
  Ticks gone_on = 0;
  if (records == 0 || before_batch_ == kMinTicks ||
      __builtin_sub_overflow(now_at, before_batch_, &gone_on)) {
    return;
  }
  ticks_per_record_ = static_cast<double>(gone_on) / static_cast<double>(records);
}

size_t SourceInput::RecordsToPoll() const {
  if (settings_.every_record) return 1;
  if (headroom_ == kMaxTicks) return options_.batch_records;
  if (!ticks_per_record_.has_value()) return 1;
  const double all = static_cast<double>(options_.batch_records);
  if (*ticks_per_record_ * all <= static_cast<double>(headroom_)) return options_.batch_records;
  return static_cast<size_t>(
      std::clamp(static_cast<double>(headroom_) / *ticks_per_record_, 1.0, all));
}

void SourceInput::Pause(const SourceWatermarks::SplitState& split, bool paused, int64_t now) {
  if (paused_in_reader_.contains(split.split) == paused) return;
  if (!reader_->SetPaused(split.split, paused)) {
    pauses_whole_ = true;
    return;
  }
  if (paused) {
    paused_in_reader_.insert(split.split);
  } else {
    paused_in_reader_.erase(split.split);
  }
  watermarks_.SetPaused(split.split, paused, now / kNanosPerTick);
  // The reader may have waited for other splits only.
  if (!paused) waiting_ = false;
}

void SourceInput::SetDeadline(int64_t now) {
  if (wake_at_ != kMaxTicks && !held_back_) {
    const Ticks ticks =
        std::clamp<Ticks>(wake_at_ - clock_.Now(), 0, kMaxWaitNanos / kNanosPerTick);
    deadline_ = now + ticks * kNanosPerTick;
  }
  // What the records so far say has been said when the input ran dry; only idleness is still to be
  // found out.
  if (settings_.none) return;
  if (!settings_.periodic_generator && (settings_.idle_after <= 0 || idle_)) return;
  deadline_ = std::min(deadline_, next_emission_);
}

void SourceInput::Snapshot(OperatorState& state) {
  const CrashContext former = node_.Enter();
  state.lists.push_back(
      {kPosition, "string", Redistribution::kSplit, {reader_->SnapshotPosition()}});
  ThisThreadCrashContext() = former;
}

absl::Status SourceInput::Restore(const OperatorState& state) {
  const CrashContext former = node_.Enter();
  absl::Status status;
  for (const OperatorState::List& list : state.lists) {
    if (list.name != kPosition) continue;
    if (state.positions_of_all) {
      status = reader_->RestorePositions({list.items.begin(), list.items.end()}, node_.subtask(),
                                         node_.parallelism());
    } else if (list.items.size() == 1) {
      status = reader_->RestorePosition(list.items[0]);
    } else {
      status = absl::DataLossError(
          StrCat("source '", node_.uid(), "' is given ", list.items.size(), " positions"));
    }
  }
  if (absl::IsUnimplemented(status)) {
    status = absl::FailedPreconditionError(
        StrCat("source '", node_.uid(),
               "' cannot be restored with another parallelism: ", ToStd(status.message())));
  }
  ThisThreadCrashContext() = former;
  return status;
}

void SourceInput::FillWatermarks(proto::TaskWatermarks& watermarks) const {
  watermarks.set_idle(watermarks_.idle());
  for (const SourceWatermarks::SplitState& state : watermarks_.Splits()) {
    proto::TaskWatermarks::Split& split = *watermarks.add_splits();
    split.set_split(state.split);
    split.set_watermark(state.watermark);
    split.set_idle(state.idle);
    split.set_held_back(state.paused);
    if (reader_ != nullptr) split.set_name(reader_->SplitName(state.split));
  }
}

void SourceInput::Close() {
  if (options_.alignment != nullptr) options_.alignment->SetInactive();
  if (reader_ == nullptr) return;
  const std::unique_ptr<SourceReader> reader = std::move(reader_);
  const CrashContext former = node_.Enter();
  if (std::exchange(opened_, false)) reader->Close();
  ThisThreadCrashContext() = former;
}

}  // namespace weir

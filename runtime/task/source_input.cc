#include "runtime/task/source_input.h"

#include <algorithm>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"

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

Ticks GreatestOf(const BatchBase& batch) {
  Ticks greatest = kMinTicks;
  for (const Ticks timestamp : batch.timestamps) greatest = std::max(greatest, timestamp);
  return greatest;
}

}  // namespace

SourceInput::SourceInput(ChainNode& node, std::unique_ptr<SourceReader> reader, TaskClock& clock,
                         Options options)
    : node_(node),
      reader_(std::move(reader)),
      clock_(clock),
      options_(options),
      settings_(node.definition().watermarks),
      batch_(node.definition().outputs[0].type->NewBatch()),
      watermarks_(
          [delay = settings_.max_delay] { return std::make_unique<BoundedOutOfOrderness>(delay); },
          settings_.idle_after) {}

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

void SourceInput::QueueEvents(Chain& chain) {
  for (const TimeEvent& event : events_) {
    chain.QueueTimeEvent(event);
    idle_ = event.kind == TimeEventKind::kIdle;
  }
  events_.clear();
}

bool SourceInput::EmitPeriodically(Chain& chain, int64_t now) {
  if (settings_.none || now < next_emission_) return false;
  int64_t interval = options_.watermark_interval_nanos;
  if (waiting_ && !read_since_emission_) {
    const int64_t idle_after =
        std::min(settings_.idle_after, kIdlenessProbes * kMaxProbeIntervalNanos / kNanosPerTick) *
        kNanosPerTick;
    interval = std::max(interval, idle_after / kIdlenessProbes);
  }
  next_emission_ = now + interval;
  read_since_emission_ = false;
  watermarks_.OnPeriodic(now / kNanosPerTick, events_);
  const bool said_something = !events_.empty();
  QueueEvents(chain);
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
  if (woken_.exchange(false, std::memory_order_acquire)) waiting_ = false;
  if (waiting_ && (wake_at_ == kMaxTicks || clock_.Now() < wake_at_)) {
    SetDeadline(now);
    return StepResult::kNoInput;
  }

  const CrashContext former = node_.Enter();
  batch_->Clear();
  WEIR_ASSIGN_OR_RETURN(
      const PollResult polled,
      reader_->Poll(*batch_, settings_.every_record ? 1 : options_.batch_records));
  if (polled.state != PollState::kEnd) AddNewSplits(now);
  absl::Status status = batch_->empty() ? absl::OkStatus() : Emit(polled.split, now);
  ThisThreadCrashContext() = former;
  if (!status.ok()) return status;

  if (polled.split_ended) watermarks_.RemoveSplit(polled.split);
  if (polled.state == PollState::kEnd) return StepResult::kEnd;
  waiting_ = polled.state == PollState::kWait;
  wake_at_ = polled.wake_at;
  // The watermark follows at once when the input runs dry: nobody waits for the next period.
  if (!settings_.none && (waiting_ || settings_.every_record)) watermarks_.EmitNow(events_);
  QueueEvents(chain);
  return StepResult::kMoreWork;
}

absl::Status SourceInput::Emit(uint32_t split, int64_t now) {
  read_since_emission_ = true;
  next_emission_ = std::min(next_emission_, now + options_.watermark_interval_nanos);
  Ticks greatest = kMinTicks;
  if (settings_.timestamps != nullptr) {
    greatest = settings_.timestamps->Assign(*batch_);
  } else if (!settings_.none) {
    greatest = GreatestOf(*batch_);
  }
  if (!settings_.none && !batch_->timestamps.empty()) {
    if (!watermarks_.Has(split)) watermarks_.AddSplit(split, now / kNanosPerTick);
    watermarks_.OnRecords(split, greatest, events_);
  }
  return node_.output(0).Push(*batch_);
}

void SourceInput::SetDeadline(int64_t now) {
  if (wake_at_ != kMaxTicks) {
    const Ticks ticks =
        std::clamp<Ticks>(wake_at_ - clock_.Now(), 0, kMaxWaitNanos / kNanosPerTick);
    deadline_ = now + ticks * kNanosPerTick;
  }
  // What the records so far say has been said when the input ran dry; only idleness is still to be
  // found out.
  if (settings_.none || settings_.idle_after <= 0 || idle_) return;
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

void SourceInput::Close() {
  if (reader_ == nullptr) return;
  const std::unique_ptr<SourceReader> reader = std::move(reader_);
  const CrashContext former = node_.Enter();
  if (std::exchange(opened_, false)) reader->Close();
  ThisThreadCrashContext() = former;
}

}  // namespace weir

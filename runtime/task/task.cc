#include "runtime/task/task.h"

#include <cxxabi.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "common/base/check.h"
#include "common/base/crash_context.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/base/thrown_stack.h"
#include "proto/control.pb.h"
#include "sdk/host/user_exception.h"

namespace weir {
namespace {

// What a task may do before the next one of its executor has its turn.
constexpr int kStepsPerRun = 16;
constexpr int64_t kNanosPerRun = 1'000'000;
// The wall clock may be set: it is looked at again at least this often while a wakeup is waited
// for.
constexpr int64_t kMaxWaitNanos = 10'000'000'000;
// What is read at a time of restored state that a snapshot waits for.
constexpr size_t kLeastLoadedBytes = 256 << 10;

proto::TaskState ToProto(Task::State state) {
  switch (state) {
    case Task::State::kCreated:
      return proto::TASK_DEPLOYING;
    case Task::State::kInitializing:
      return proto::TASK_INITIALIZING;
    case Task::State::kRunning:
      return proto::TASK_RUNNING;
    case Task::State::kFinished:
      return proto::TASK_FINISHED;
    case Task::State::kCanceled:
      return proto::TASK_CANCELED;
    case Task::State::kFailed:
      return proto::TASK_FAILED;
  }
  return proto::TASK_STATE_UNSPECIFIED;
}

void AddTo(std::atomic<int64_t>& total, int64_t nanos) {
  total.store(total.load(std::memory_order_relaxed) + std::max<int64_t>(nanos, 0),
              std::memory_order_relaxed);
}

}  // namespace

Task::Task(Options options, Env& env, Executor& executor, std::function<void()> on_change)
    : options_(options),
      executor_(executor),
      on_change_(std::move(on_change)),
      clock_(env.clock()),
      increments_(options_.incremental ? std::make_shared<CheckpointChain>() : nullptr) {
  chain_.clock = &clock_;
}

void Task::Start() {
  start_requested_.store(true, std::memory_order_release);
  Wake();
}

void Task::Cancel() {
  cancel_requested_.store(true, std::memory_order_release);
  Wake();
}

void Task::Fail(absl::Status status) {
  {
    MutexLock lock(mutex_);
    if (fail_status_.ok()) fail_status_ = std::move(status);
  }
  fail_requested_.store(true, std::memory_order_release);
  Wake();
}

void Task::TriggerCheckpoint(const Barrier& barrier) {
  {
    MutexLock lock(mutex_);
    if (barrier.id <= last_trigger_) return;
    last_trigger_ = barrier.id;
    triggers_.push_back(barrier);
    checkpoint_requested_.store(true, std::memory_order_release);
  }
  Wake();
}

void Task::AbortCheckpoint(uint64_t id) {
  {
    MutexLock lock(mutex_);
    aborts_.push_back(id);
    triggers_.erase(std::remove_if(triggers_.begin(), triggers_.end(),
                                   [id](const Barrier& trigger) { return trigger.id == id; }),
                    triggers_.end());
    checkpoint_requested_.store(true, std::memory_order_release);
  }
  Wake();
}

void Task::CompleteCheckpoint(uint64_t id) {
  if (increments_ != nullptr) increments_->Complete(id);
  uint64_t known = complete_.load(std::memory_order_relaxed);
  do {
    if (id <= known) return;
  } while (!complete_.compare_exchange_weak(known, id, std::memory_order_acq_rel));
  Wake();
}

std::optional<Barrier> Task::NextBarrier() {
  if (draining_.has_value()) return std::exchange(draining_, std::nullopt);
  std::optional<Barrier> barrier = input_->TakeBarrier();
  if (!barrier.has_value() || barrier->kind != BarrierKind::kDrain) return barrier;
  draining_ = barrier;
  chain_.QueueDrain();
  return std::nullopt;
}

StepResult Task::StepStopped() {
  if (complete_.load(std::memory_order_acquire) == stopped_by_) {
    // What the savepoint holds is committed by then (semantics rule 47).
    if (!chain_.AllCommitted()) return StepResult::kNoInput;
    End(State::kFinished, absl::OkStatus());
    return StepResult::kEnd;
  }
  TakeRequests();
  return stopped_by_ == 0 ? StepResult::kMoreWork : StepResult::kNoInput;
}

void Task::TakeRequests() {
  if (!checkpoint_requested_.load(std::memory_order_acquire)) return;
  std::optional<Barrier> trigger;
  std::vector<uint64_t> aborts;
  {
    MutexLock lock(mutex_);
    // One a step: each has a snapshot of its own.
    if (!triggers_.empty()) {
      trigger = triggers_.front();
      triggers_.pop_front();
    }
    aborts.swap(aborts_);
    checkpoint_requested_.store(!triggers_.empty(), std::memory_order_relaxed);
  }
  for (const uint64_t id : aborts) {
    input_->AbortBarrier(id);
    last_aborted_ = std::max(last_aborted_, id);
    if (id >= stopped_by_) stopped_by_ = 0;
    if (reached_.has_value() && overtakes_ && reached_->id == id) DropReached();
    if (held_.has_value() && held_->unsettled() && held_->checkpoint.barrier.id == id) {
      held_->dropped = true;
    }
  }
  if (trigger.has_value()) input_->InjectBarrier(*trigger);
}

void Task::LookForOvertaking() {
  clock_.BeginCall();
  input_->LookForBarriers(clock_.Now());
  // What the barrier that has stopped the task overtakes is gathered; no other comes meanwhile.
  if (stopped_by_ != 0) return;
  if (reached_.has_value() || draining_.has_value()) return;
  reached_ = input_->TakeOvertaking();
  overtakes_ = reached_.has_value();
  // What the chain is at comes to its end though nobody takes what it puts out.
  if (overtakes_) chain_.SetMayExceed(true);
}

void Task::DropReached() {
  reached_.reset();
  if (std::exchange(overtakes_, false)) chain_.SetMayExceed(false);
}

absl::Status Task::TakeSnapshot(const Barrier& barrier, bool overtakes) {
  const int64_t start = clock_.MonotonicNanos();
  clock_.BeginCall();
  TaskCheckpoint checkpoint;
  checkpoint.vertex = options_.vertex;
  checkpoint.subtask = options_.subtask;
  checkpoint.barrier = barrier;
  // Sinks hand over what they hold; all that is before the barrier leaves before it.
  WEIR_RETURN_IF_ERROR(chain_.Flush());
  // Savepoints have the one form that every backend reads.
  if (!IsSavepoint(barrier.kind)) checkpoint.increment = BeginIncrement(barrier.id);
  WEIR_ASSIGN_OR_RETURN(
      checkpoint.state,
      chain_.Snapshot(SnapshotUse::kLive, !NamesFolder(barrier.kind),
                      checkpoint.increment.has_value() ? &*checkpoint.increment : nullptr));
  input_->Snapshot(checkpoint.state.front());
  if (overtakes) input_->BeginOvertaking(barrier);
  const Alignment alignment = input_->alignment();
  if (alignment.since_nanos.has_value()) {
    checkpoint.alignment_nanos = std::max<int64_t>(start - *alignment.since_nanos, 0);
  }
  checkpoint.alignment_bytes = alignment.bytes;
  // The two clocks may differ a little.
  checkpoint.start_delay_nanos =
      std::max<int64_t>((clock_.Now() - barrier.time) * 1000 - checkpoint.alignment_nanos, 0);
  Barrier forwarded = barrier;
  forwarded.unaligned = options_.barriers.Overtakes(barrier, clock_.Now());
  WEIR_RETURN_IF_ERROR(chain_.SendBarrier(forwarded));
  if (forwarded.unaligned) chain_.OvertakeWithBarrier(checkpoint.state);
  checkpoint.unaligned = overtakes;
  checkpoint.sync_nanos = clock_.MonotonicNanos() - start;
  held_ = {std::move(checkpoint), barrier.id};
  held_->gathering = overtakes;
  held_->in_outputs =
      options_.barriers.unaligned && !forwarded.unaligned && MayOvertake(barrier.kind);
  return TellWhenPrepared();
}

std::optional<StateIncrement> Task::BeginIncrement(uint64_t id) {
  if (increments_ == nullptr) return std::nullopt;
  std::vector<const KeyedStateTable*> tables = chain_.TablesWithChanges();
  if (tables.empty()) return std::nullopt;
  StateIncrement increment = increments_->Begin(id, std::move(tables));
  increment.written = [chain = increments_, id](std::optional<SharedStateFile> file) {
    chain->Written(id, std::move(file));
  };
  return increment;
}

absl::Status Task::TakeFinalSnapshot() {
  final_taken_ = true;
  TaskCheckpoint checkpoint;
  checkpoint.vertex = options_.vertex;
  checkpoint.subtask = options_.subtask;
  checkpoint.barrier.id = input_->last_barrier();
  checkpoint.final = true;
  if (options_.on_checkpoint != nullptr) {
    WEIR_ASSIGN_OR_RETURN(checkpoint.state, chain_.Snapshot(SnapshotUse::kFinal, false, nullptr));
    input_->Snapshot(checkpoint.state.front());
  }
  // What came after the last barrier is in every later checkpoint, and in none before.
  const uint64_t last = std::max(input_->last_barrier(), options_.restored_checkpoint);
  held_ = {std::move(checkpoint), last + 1};
  return absl::OkStatus();
}

absl::Status Task::TellWhenPrepared() {
  const bool told = options_.on_checkpoint != nullptr;
  WEIR_ASSIGN_OR_RETURN(
      const bool ready,
      chain_.PrepareCommit(held_->commit_id, told ? &held_->checkpoint.state : nullptr));
  if (!ready || (!held_->dropped && !Gathered())) return absl::OkStatus();
  if (told && !held_->dropped) options_.on_checkpoint(std::move(held_->checkpoint));
  held_.reset();
  return absl::OkStatus();
}

bool Task::Gathered() {
  TaskCheckpoint& checkpoint = held_->checkpoint;
  if (held_->in_outputs && chain_.BarrierWaits()) {
    clock_.BeginCall();
    if (!options_.barriers.Overtakes(checkpoint.barrier, clock_.Now())) return false;
    chain_.OvertakeWithBarrier(checkpoint.state);
  }
  held_->in_outputs = false;
  if (held_->gathering && !input_->OvertakingComplete()) {
    const uint64_t bytes = input_->overtaken_bytes();
    const uint64_t limit = options_.barriers.max_in_flight_bytes;
    if (bytes <= limit) return false;
    input_->AbortBarrier(checkpoint.barrier.id);
    checkpoint.failed =
        absl::ResourceExhaustedError(StrCat("the barrier has overtaken ", bytes,
                                            " bytes of records, and has not come on all "
                                            "inputs; at most ",
                                            limit, " are kept"));
    checkpoint.state.clear();
  } else if (held_->gathering) {
    auto overtaken = input_->TakeOvertaken();
    if (!overtaken.has_value()) {
      // A later one has come.
      held_->dropped = true;
      return true;
    }
    std::vector<OperatorState::InFlight>& in_flight = checkpoint.state.front().in_flight;
    in_flight.insert(in_flight.end(), std::make_move_iterator(overtaken->begin()),
                     std::make_move_iterator(overtaken->end()));
  }
  held_->gathering = false;
  for (const OperatorState& state : checkpoint.state) {
    for (const auto& in_flight : state.in_flight) {
      checkpoint.unaligned = true;
      checkpoint.in_flight_bytes += in_flight.elements.size();
    }
  }
  return true;
}

Ticks Task::OvertakingAt() const {
  Ticks at = input_ended_ ? kMaxTicks : input_->overtaking_due_at();
  if (held_.has_value() && held_->in_outputs) {
    at = std::min(at, options_.barriers.OvertakesAt(held_->checkpoint.barrier));
  }
  return at;
}

absl::Status Task::PollSinks() {
  chain_.CommitUpTo(complete_.load(std::memory_order_acquire));
  WEIR_RETURN_IF_ERROR(chain_.PollCommits());
  return held_.has_value() ? TellWhenPrepared() : absl::OkStatus();
}

absl::StatusOr<StepResult> Task::StepAtEnd() {
  if (!held_.has_value() && !final_taken_) {
    WEIR_RETURN_IF_ERROR(TakeFinalSnapshot());
    WEIR_RETURN_IF_ERROR(TellWhenPrepared());
  }
  if (held_.has_value()) return StepResult::kNoInput;
  // Nothing but the end of its input has a job without checkpoints commit.
  if (!options_.commits_with_checkpoints) chain_.CommitUpTo(~uint64_t{0});
  WEIR_RETURN_IF_ERROR(chain_.PollCommits());
  return chain_.AllCommitted() ? StepResult::kEnd : StepResult::kNoInput;
}

void Task::Wake() {
  Schedule current = schedule_.load(std::memory_order_acquire);
  while (true) {
    switch (current) {
      case Schedule::kPosted:
      case Schedule::kWoken:
        return;
      case Schedule::kRunning:
        if (schedule_.compare_exchange_weak(current, Schedule::kWoken, std::memory_order_acq_rel))
          return;
        break;
      case Schedule::kIdle:
        if (schedule_.compare_exchange_weak(current, Schedule::kPosted,
                                            std::memory_order_acq_rel)) {
          Post();
          return;
        }
        break;
    }
  }
}

void Task::Post() {
  executor_.Post([this] { Run(); });
}

void Task::Run() {
  // What woke the task happened before this.
  WEIR_CHECK(schedule_.exchange(Schedule::kRunning, std::memory_order_acq_rel) ==
             Schedule::kPosted);
  const int64_t start = clock_.MonotonicNanos();
  StepResult result = StepResult::kEnd;
  AnswerInspections();
  if (!IsTerminal(state_.load(std::memory_order_relaxed))) {
    AccountWait(start);
    result = RunSteps(start);
    const int64_t end = clock_.MonotonicNanos();
    AddTo(busy_nanos_, end - start);
    if (result != StepResult::kMoreWork) {
      waiting_for_.store(result, std::memory_order_relaxed);
      waiting_since_.store(end, std::memory_order_relaxed);
    }
    if (result == StepResult::kNoInput || result == StepResult::kNoCredit) ArmTimer(end);
  }
  if (result == StepResult::kMoreWork) {
    schedule_.store(Schedule::kPosted, std::memory_order_release);
    Post();
    return;
  }
  Schedule expected = Schedule::kRunning;
  if (!schedule_.compare_exchange_strong(expected, Schedule::kIdle, std::memory_order_acq_rel)) {
    schedule_.store(Schedule::kPosted, std::memory_order_release);
    Post();
  }
}

StepResult Task::RunSteps(int64_t start) {
  woken_ = true;
  poll_sinks_ = true;
  StepResult result = StepResult::kMoreWork;
  int64_t now = start;
  absl::Status status = Guarded([&]() -> absl::Status {
    for (int i = 0;
         i < kStepsPerRun && result == StepResult::kMoreWork && now - start < kNanosPerRun; ++i) {
      WEIR_ASSIGN_OR_RETURN(result, Step(now));
      now = clock_.MonotonicNanos();
    }
    if (result != StepResult::kEnd) WEIR_RETURN_IF_ERROR(FlushAfter(result, now));
    if (result != StepResult::kEnd && !chain_.loaded() && options_.restore_chunk_bytes > 0) {
      chain_.LoadSome(options_.restore_chunk_bytes);
      result = StepResult::kMoreWork;
    }
    const ChainNode* misused = nullptr;
    absl::Status metrics = chain_.MetricsError(misused);
    if (!metrics.ok()) chain_.failed_in = misused;
    return metrics;
  });
  if (!status.ok()) {
    End(State::kFailed, std::move(status));
    return StepResult::kEnd;
  }
  if (result != StepResult::kEnd) return result;
  if (!IsTerminal(state_.load(std::memory_order_relaxed))) End(State::kFinished, absl::OkStatus());
  return StepResult::kEnd;
}

absl::StatusOr<StepResult> Task::Step(int64_t now) {
  if (cancel_requested_.load(std::memory_order_acquire)) {
    End(State::kCanceled, absl::OkStatus());
    return StepResult::kEnd;
  }
  if (fail_requested_.load(std::memory_order_acquire)) {
    MutexLock lock(mutex_);
    return fail_status_;
  }
  if (state_.load(std::memory_order_relaxed) != State::kRunning) {
    if (!start_requested_.load(std::memory_order_acquire)) return StepResult::kNoInput;
    WEIR_RETURN_IF_ERROR(OpenAll());
  }
  if (options_.barriers.unaligned && !input_ended_ && !options_.commit_only &&
      !chain_.restoring()) {
    LookForOvertaking();
  }
  if (std::exchange(poll_sinks_, false) || (held_.has_value() && held_->unsettled())) {
    WEIR_RETURN_IF_ERROR(PollSinks());
  }
  if (options_.commit_only) {
    return chain_.AllCommitted() ? StepResult::kEnd : StepResult::kNoInput;
  }
  WEIR_ASSIGN_OR_RETURN(const bool done, chain_.Advance());
  if (!done) return HeldBack(now);
  if (chain_.restoring()) {
    if (!chain_.Blocked()) {
      WEIR_RETURN_IF_ERROR(chain_.ProcessRestored());
      return StepResult::kMoreWork;
    }
    // An operator may be full until it has put out its answers.
    if (QueueWakeups()) return StepResult::kMoreWork;
    return HeldBack(now);
  }
  if (input_ended_) return StepAtEnd();
  if (stopped_by_ != 0) return StepStopped();
  TakeRequests();
  if (!reached_.has_value()) reached_ = NextBarrier();
  if (reached_.has_value() && !chain_.loaded()) {
    // A snapshot has all, and its checkpoint takes the place of the files that are still read.
    chain_.LoadSome(std::max(options_.restore_chunk_bytes, kLeastLoadedBytes));
    return StepResult::kMoreWork;
  }
  if (reached_.has_value()) {
    if (held_.has_value() && held_->unsettled()) {
      // Nobody waits for the one before it any more.
      held_->dropped = true;
      WEIR_RETURN_IF_ERROR(TellWhenPrepared());
    }
    if (held_.has_value()) {
      if (QueueWakeups()) return StepResult::kMoreWork;
      return HeldBack(now);
    }
    const Barrier barrier = *reached_;
    const bool overtakes = overtakes_;
    DropReached();
    WEIR_RETURN_IF_ERROR(TakeSnapshot(barrier, overtakes));
    // It may have been aborted between the barrier and now.
    if (StopsTask(barrier.kind) && barrier.id > last_aborted_) stopped_by_ = barrier.id;
    return StepResult::kMoreWork;
  }
  if (draining_.has_value()) return StepResult::kMoreWork;
  if (QueueWakeups()) return StepResult::kMoreWork;
  if (chain_.Blocked()) return HeldBack(now);
  WEIR_ASSIGN_OR_RETURN(const StepResult result, input_->Step(chain_, now));
  if (result != StepResult::kEnd) return result;
  input_ended_ = true;
  chain_.QueueEnd();
  return StepResult::kMoreWork;
}

bool Task::QueueWakeups() {
  if (std::exchange(woken_, false) || chain_.wake_at() != kMaxTicks) chain_.QueueWakeups();
  return chain_.has_queued();
}

StepResult Task::HeldBack(int64_t now) {
  input_->OnBlocked(now);
  chain_.OnBlocked(now);
  return StepResult::kNoCredit;
}

absl::Status Task::FlushAfter(StepResult result, int64_t now) {
  // A task that has been woken before it was opened holds nothing.
  if (state_.load(std::memory_order_relaxed) != State::kRunning) return absl::OkStatus();
  if (result == StepResult::kMoreWork && now - last_flush_ < options_.flush_interval_nanos) {
    chain_.FlushSent();
    return absl::OkStatus();
  }
  last_flush_ = now;
  return chain_.Flush();
}

absl::Status Task::OpenAll() {
  SetState(State::kInitializing);
  WEIR_RETURN_IF_ERROR(chain_.Open(options_.restore.get()));
  if (options_.restore != nullptr && !options_.restore->empty()) {
    WEIR_RETURN_IF_ERROR(chain_.Restore(*options_.restore));
    for (const OperatorState& state : *options_.restore) {
      if (state.node == chain_.head().index()) WEIR_RETURN_IF_ERROR(input_->Restore(state));
    }
  }
  if (!options_.commit_only) WEIR_RETURN_IF_ERROR(input_->Open());
  SetState(State::kRunning);
  return absl::OkStatus();
}

absl::Status Task::Guarded(absl::FunctionRef<absl::Status()> call) {
  failed_uid_.clear();
  thrown_stack_.clear();
  ThisThreadFailedInput() = {};
  chain_.failed_in = nullptr;
  absl::Status status;
  try {
    status = call();
    if (!status.ok() && chain_.failed_in != nullptr) failed_uid_ = chain_.failed_in->uid();
  } catch (const abi::__forced_unwind&) {
    throw;  // The thread is being ended by the system: that must not be swallowed.
  } catch (const LateRestoreError& error) {
    const char* uid = ThisThreadCrashContext().operator_uid;
    failed_uid_ = uid != nullptr ? uid : "";
    failed_restoring_ = true;
    status = error.status();
  } catch (...) {
    // Who ran last has not been undone on the way here.
    const char* uid = ThisThreadCrashContext().operator_uid;
    failed_uid_ = uid != nullptr ? uid : "";
    status = absl::InternalError(
        StrCat("operator '", failed_uid_, "' threw ", DescribeCurrentException()));
    const FailedInput& input = ThisThreadFailedInput();
    status = absl::InternalError(StrCat(
        ToStd(status.message()), input.key.empty() ? "" : StrCat(", for the key ", input.key),
        input.record.empty() ? "" : StrCat(", on the record ", input.record)));
    thrown_stack_ = TakeThrownStack();
  }
  ThisThreadCrashContext() = {};
  if (!status.ok() && failed_uid_.empty()) failed_uid_ = chain_.head().uid();
  return status;
}

void Task::End(State state, absl::Status status) {
  if (!status.ok()) {
    clock_.BeginCall();
    MutexLock lock(mutex_);
    failure_ = {
        std::move(status), failed_uid_, clock_.Now(), std::move(thrown_stack_),
        failed_restoring_ || state_.load(std::memory_order_relaxed) == State::kInitializing};
  }
  CloseAll();
  if (timer_.has_value()) executor_.Cancel(*timer_);
  timer_.reset();
  SetState(state);
}

void Task::CloseAll() {
  // What Close throws comes after the end and changes nothing of it; the next node is closed all
  // the same.
  absl::Status status;
  do {
    status = Guarded([this] {
      if (input_ != nullptr) input_->Close();
      chain_.Close();
      return absl::OkStatus();
    });
    if (!status.ok()) {
      chain_.head().Log("warning", StrCat("closing the task: ", ToStd(status.message())));
    }
  } while (!status.ok());
}

void Task::CloseNow() {
  if (IsTerminal(state_.load(std::memory_order_acquire))) return;
  CloseAll();
  state_.store(State::kCanceled, std::memory_order_release);
}

void Task::SetState(State state) {
  state_.store(state, std::memory_order_release);
  on_change_();
}

void Task::AccountWait(int64_t now) {
  const int64_t since = waiting_since_.exchange(0, std::memory_order_relaxed);
  if (since == 0) return;
  const bool idle = waiting_for_.load(std::memory_order_relaxed) == StepResult::kNoInput;
  AddTo(idle ? idle_nanos_ : backpressured_nanos_, now - since);
}

void Task::ArmTimer(int64_t now) {
  if (options_.commit_only) return;
  // Of a task that is stopped nothing else is due before it goes on. Under backpressure the source
  // makes no watermarks, and an operator that is stopped goes on before its wakeups.
  int64_t deadline = kNoDeadline;
  if (waiting_for_.load(std::memory_order_relaxed) == StepResult::kNoInput && !input_ended_ &&
      stopped_by_ == 0) {
    deadline = input_->deadline();
    const Ticks wake_at = chain_.wake_at();
    if (wake_at != kMaxTicks) {
      clock_.BeginCall();
      // The first tick after wake_at (semantics rule 20).
      const Ticks ticks = std::clamp<Ticks>(wake_at - clock_.Now(), 0, kMaxWaitNanos / 1000) + 1;
      deadline = std::min(deadline, now + ticks * 1000);
    }
  }
  // Whoever waits for answers is told when they are overdue, though it takes no records.
  if (const Ticks wake_at = chain_.answers_wake_at();
      waiting_for_.load(std::memory_order_relaxed) == StepResult::kNoCredit &&
      wake_at != kMaxTicks && stopped_by_ == 0) {
    clock_.BeginCall();
    const Ticks ticks = std::clamp<Ticks>(wake_at - clock_.Now(), 0, kMaxWaitNanos / 1000) + 1;
    deadline = std::min(deadline, now + ticks * 1000);
  }
  if (const Ticks at = OvertakingAt(); at != kMaxTicks) {
    clock_.BeginCall();
    const Ticks ticks = std::clamp<Ticks>(at - clock_.Now(), 0, kMaxWaitNanos / 1000);
    deadline = std::min(deadline, now + ticks * 1000);
  }
  // One that fires earlier than needed costs a look; setting another each time would cost more.
  if (timer_.has_value() && timer_deadline_ <= deadline) return;
  if (timer_.has_value()) executor_.Cancel(*timer_);
  timer_.reset();
  timer_deadline_ = deadline;
  if (deadline == kNoDeadline) return;
  timer_ = executor_.PostAfter(absl::Nanoseconds(std::max<int64_t>(deadline - now, 0)), [this] {
    timer_.reset();
    Wake();
  });
}

void Task::FillReport(proto::TaskReport& report) const {
  report.set_vertex(options_.vertex);
  report.set_subtask(options_.subtask);
  report.set_worker(options_.worker);
  const State state = state_.load(std::memory_order_acquire);
  report.set_state(ToProto(state));
  int64_t idle = idle_nanos_.load(std::memory_order_relaxed);
  int64_t backpressured = backpressured_nanos_.load(std::memory_order_relaxed);
  const int64_t since = waiting_since_.load(std::memory_order_relaxed);
  if (since != 0 && !IsTerminal(state)) {
    const bool waits_for_input =
        waiting_for_.load(std::memory_order_relaxed) == StepResult::kNoInput;
    (waits_for_input ? idle : backpressured) +=
        std::max<int64_t>(clock_.MonotonicNanos() - since, 0);
  }
  report.set_busy_micros(static_cast<uint64_t>(busy_nanos_.load(std::memory_order_relaxed) / 1000));
  report.set_idle_micros(static_cast<uint64_t>(idle / 1000));
  report.set_backpressured_micros(static_cast<uint64_t>(backpressured / 1000));
  for (const auto& node : chain_.nodes) {
    proto::OperatorMetrics& metrics = *report.add_operators();
    metrics.set_node(node->index());
    node->node_metrics.Fill(metrics);
  }
  MutexLock lock(mutex_);
  if (!failure_.has_value()) return;
  proto::Failure& failure = *report.mutable_failure();
  failure.set_code(static_cast<int32_t>(failure_->status.code()));
  failure.set_message(std::string(failure_->status.message()));
  failure.set_operator_uid(failure_->operator_uid);
  failure.set_subtask(options_.subtask);
  failure.set_time_unix_micros(failure_->time_micros);
  failure.set_restoring(failure_->restoring);
  for (const std::string& frame : failure_->stack) failure.add_stack(frame);
}

}  // namespace weir

#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "common/base/mutex.h"
#include "common/env/env.h"
#include "runtime/task/chain.h"
#include "runtime/task/checkpoint_chain.h"
#include "runtime/task/task_input.h"
#include "runtime/task_inspection.h"

namespace weir {

namespace proto {
class TaskInspection;
class TaskLateRecords;
class TaskReport;
class TaskWindows;
}  // namespace proto

// One subtask: a chain of operators and what it reads, as an actor. It is run on one executor, its
// whole life long, whenever something has woken it: a few steps at a time, never blocking, then the
// next task of that executor has its turn.
//
// Lifecycle: made with chain and input, Start, then until FINISHED, FAILED or CANCELED. Start,
// Cancel, TriggerCheckpoint, AbortCheckpoint, CompleteCheckpoint, Wake, Fail and FillReport may be
// called from any thread, all else is the executor's. It must not be destroyed before its executor
// is shut down; what is open then is closed by CloseNow.
class Task final : public TaskSignals {
 public:
  struct Options {
    uint32_t vertex = 0;
    uint32_t subtask = 0;
    uint32_t worker = 0;
    int64_t flush_interval_nanos = 5'000'000;
    // Called on the task's thread with what the task has at each barrier, and once more when it has
    // finished. Null: no checkpoints.
    std::function<void(TaskCheckpoint)> on_checkpoint = nullptr;
    // What the task starts from; null: from the beginning.
    std::shared_ptr<const TaskState> restore = nullptr;
    // What `restore` belongs to; 0: none.
    uint64_t restored_checkpoint = 0;
    // Otherwise sinks commit at the end of the input.
    bool commits_with_checkpoints = false;
    // See RuntimeOptions.
    size_t restore_chunk_bytes = 256 << 10;
    // Reads nothing: FINISHED when its sinks have committed what is restored.
    bool commit_only = false;
    BarrierOptions barriers;
    // Checkpoints have of keyed state in memory what has changed.
    bool incremental = false;
  };
  enum class State : uint8_t { kCreated, kInitializing, kRunning, kFinished, kCanceled, kFailed };

  // `on_change` is called on the executor after each change of state. All references outlive the
  // task.
  Task(Options options, Env& env, Executor& executor, std::function<void()> on_change);

  // Filled before Start.
  Chain& chain() { return chain_; }
  uint32_t vertex() const { return options_.vertex; }
  TaskClock& clock() { return clock_; }
  void SetInput(std::unique_ptr<TaskInput> input) { input_ = std::move(input); }

  void Start();
  void Cancel();
  // Has the source put the barrier into its stream; nothing if the task reads channels, has come to
  // its end, or has had this or a higher one.
  void TriggerCheckpoint(const Barrier& barrier);
  // The checkpoint is not waited for any more. If it stopped the task, that goes on.
  void AbortCheckpoint(uint64_t id);
  // The checkpoint and all before it are complete: sinks commit. If it stopped the task, that is
  // FINISHED when they have. May be told again.
  void CompleteCheckpoint(uint64_t id);
  void Wake() override;
  void Fail(absl::Status status) override;
  // After the executor's shutdown, on any one thread.
  void CloseNow();

  void FillReport(proto::TaskReport& report) const;
  // Has `done` called on the task's thread, between two steps, with what is asked; soon, unless a
  // step takes long. `done` is dropped if the task is destroyed before. Any thread.
  void Inspect(TaskInspection inspection, std::function<void(proto::TaskInspection)> done);

 private:
  // The mailbox: whether the task waits, waits for its executor, runs, or runs and has been woken
  // meanwhile.
  enum class Schedule : uint8_t { kIdle, kPosted, kRunning, kWoken };
  struct Failure {
    absl::Status status;
    std::string operator_uid;
    int64_t time_micros = 0;
    // Where it was thrown, if it was and that is known.
    std::vector<std::string> stack;
    // While it was taking up its state.
    bool restoring = false;
  };

  static bool IsTerminal(State state) {
    return state == State::kFinished || state == State::kCanceled || state == State::kFailed;
  }
  void Post();
  void Run();
  // Steps until there is nothing to do or the budget is used up.
  StepResult RunSteps(int64_t start);
  absl::StatusOr<StepResult> Step(int64_t now);
  StepResult HeldBack(int64_t now);
  // Queues wakeups that are due; whether there are any.
  bool QueueWakeups();
  absl::Status FlushAfter(StepResult result, int64_t now);
  absl::Status OpenAll();
  // Answers who asked what the task holds; task_inspection.cc.
  void AnswerInspections();
  proto::TaskInspection Answer(const TaskInspection& inspection);
  void FillLateRecords(proto::TaskLateRecords& late);
  absl::Status FillWindows(const TaskInspection& inspection, proto::TaskWindows& windows);
  // What others asked for about checkpoints.
  void TakeRequests();
  // A barrier that is to be snapshotted now. One that drains comes when that is done.
  std::optional<Barrier> NextBarrier();
  // After a barrier that stops the task: whether it has ended, goes on or still waits.
  StepResult StepStopped();
  // Looks for a barrier that overtakes what is queued: it is reached at once.
  void LookForOvertaking();
  void DropReached();
  // `overtakes`: the barrier has not come on all channels.
  absl::Status TakeSnapshot(const Barrier& barrier, bool overtakes);
  // From the end of the input until all output is committed.
  absl::StatusOr<StepResult> StepAtEnd();
  absl::Status TakeFinalSnapshot();
  // Of the tables that track changes; none: there are none.
  std::optional<StateIncrement> BeginIncrement(uint64_t id);
  // Has sinks commit what may be, and go on with what they make ready for a snapshot.
  absl::Status PollSinks();
  // Tells the snapshot that is held once all sinks are ready, and all is gathered that its barrier
  // has overtaken.
  absl::Status TellWhenPrepared();
  bool Gathered();
  // When the barrier of the snapshot that is held, or one that has come, is to overtake.
  Ticks OvertakingAt() const;
  // The one place where what user code throws is caught: it becomes a status, and failed_uid_ says
  // where.
  absl::Status Guarded(absl::FunctionRef<absl::Status()> call);
  void End(State state, absl::Status status);
  void CloseAll();
  void SetState(State state);
  // Counts the time since the last Run as idle or backpressured.
  void AccountWait(int64_t now);
  // Has the task woken when the next wakeup or periodic emission is due.
  void ArmTimer(int64_t now);

  const Options options_;
  Executor& executor_;
  const std::function<void()> on_change_;
  TaskClock clock_;
  // Null: each checkpoint has all.
  const std::shared_ptr<CheckpointChain> increments_;
  Chain chain_;
  std::unique_ptr<TaskInput> input_;

  std::atomic<Schedule> schedule_{Schedule::kIdle};
  std::atomic<State> state_{State::kCreated};
  std::atomic<bool> start_requested_{false};
  std::atomic<bool> cancel_requested_{false};
  std::atomic<bool> fail_requested_{false};
  std::atomic<bool> checkpoint_requested_{false};
  std::atomic<bool> inspection_requested_{false};
  // The highest complete checkpoint that was told.
  std::atomic<uint64_t> complete_{0};

  // Of the executor's thread.
  bool input_ended_ = false;
  bool final_taken_ = false;
  // A barrier before whose snapshot the chain is drained.
  std::optional<Barrier> draining_;
  // The checkpoint whose barrier has stopped the task; 0: it is not stopped.
  uint64_t stopped_by_ = 0;
  uint64_t last_aborted_ = 0;
  bool woken_ = false;
  bool poll_sinks_ = false;
  // A barrier that has been reached, and waits for the snapshot before it to be told.
  std::optional<Barrier> reached_;
  // It overtakes: it has not come on all channels.
  bool overtakes_ = false;
  // A snapshot that has been taken and is not told yet: a sink is still making ready what belongs
  // to it, under this id. The task goes on meanwhile.
  struct HeldSnapshot {
    TaskCheckpoint checkpoint;
    uint64_t commit_id = 0;
    // What the barrier overtakes in the inputs is not complete.
    bool gathering = false;
    // The barrier may still have to overtake in the outputs.
    bool in_outputs = false;
    // Nobody waits for it any more: it is not told.
    bool dropped = false;

    bool unsettled() const { return gathering || in_outputs; }
  };
  std::optional<HeldSnapshot> held_;
  std::string failed_uid_;
  // A part of the state that the task began with could not be read.
  bool failed_restoring_ = false;
  std::vector<std::string> thrown_stack_;
  int64_t last_flush_ = 0;
  std::optional<Executor::TimerId> timer_;
  int64_t timer_deadline_ = kNoDeadline;

  // Written by the executor's thread, read by any: totals, and what it waits for since when (0: it
  // does not).
  std::atomic<int64_t> busy_nanos_{0};
  std::atomic<int64_t> idle_nanos_{0};
  std::atomic<int64_t> backpressured_nanos_{0};
  std::atomic<int64_t> waiting_since_{0};
  std::atomic<StepResult> waiting_for_{StepResult::kNoInput};

  mutable Mutex mutex_;
  std::optional<Failure> failure_ ABSL_GUARDED_BY(mutex_);
  absl::Status fail_status_ ABSL_GUARDED_BY(mutex_);
  // id 0: none.
  std::deque<Barrier> triggers_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_trigger_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<uint64_t> aborts_ ABSL_GUARDED_BY(mutex_);
  struct Asked {
    TaskInspection inspection;
    std::function<void(proto::TaskInspection)> done;
  };
  std::vector<Asked> inspections_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace weir

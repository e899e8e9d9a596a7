#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/task/chain_node.h"
#include "runtime/task/restored_input.h"
#include "runtime/task_state.h"
#include "runtime/time/time_event.h"
#include "runtime/time/watermark_moves.h"
#include "state/backend/state_backend.h"

namespace weir {

// The operators of one task: a tree whose head is a source or an operator that reads the task's
// channels. What is not a batch (watermarks, wakeups, the end) is queued and walked through the
// nodes in order, each before those behind it; when an operator stops because an output is blocked,
// the walk goes on there before anything else happens. Owned by the task's thread.
class Chain {
 public:
  // The walks that are waiting; `first` is where they begin. `mover`: who moved the watermark, if
  // it is one; `now` is on the monotonic clock, in nanoseconds.
  void QueueTimeEvent(const TimeEvent& event, const WatermarkMover& mover, int64_t now);
  // Watermark MAX if it was not there yet, and Finish of each node from head to tail (semantics
  // rule 22).
  void QueueDrain();
  // The same, and the end to all channels.
  void QueueEnd();
  // Wakeups that are due: nodes whose WakeNow was called, and nodes with WakeAt before the clock
  // (semantics rule 20).
  void QueueWakeups();
  // Goes on with what is queued. False: an operator has stopped before it was done; call again when
  // woken.
  absl::StatusOr<bool> Advance();
  bool has_queued() const { return !walks_.empty() || TimestampsAtWork() != nullptr; }
  // No output takes more, or an operator waits for something of its own.
  void OnBlocked(int64_t now_nanos);

  // A batch for the head, which is an operator. The batch is empty afterwards.
  absl::Status Process(size_t input, BatchBase& batch) { return ProcessIn(head(), input, batch); }
  // True while an output of the task or a sink takes no more.
  bool Blocked() const;
  // Sends partly filled buffers and has sinks hand over what they hold.
  absl::Status Flush();
  // Has full buffers that were sent leave the process.
  void FlushSent();

  // `restore`: what Restore is called with next; null: nothing.
  absl::Status Open(const TaskState* restore);
  // The state of every node, at a moment when nothing is queued. `as_files`: what is in stores, as
  // their files. `increment`: what of tables that track changes is wanted; null: all of it.
  absl::StatusOr<TaskState> Snapshot(SnapshotUse use, bool as_files,
                                     const StateIncrement* increment) const;
  // Those of all nodes that can track changes by now.
  std::vector<const KeyedStateTable*> TablesWithChanges() const;
  // After Open and before anything else: every node gets the watermark that it had been told and
  // its state. kFailedPrecondition for state that a node does not have, or has with another type.
  absl::Status Restore(const TaskState& state);
  // Whether tables have all their entries; others read them when they are needed, which throws
  // LateRestoreError if that fails.
  bool loaded() const { return loading_.empty(); }
  // Reads about so many bytes of what is missing.
  void LoadSome(size_t bytes);
  // Whether something is to be processed that was in flight on an exchange which has become a call:
  // before anything else, and before a barrier, since it is in no snapshot.
  bool restoring() const { return !restored_.empty(); }
  // Processes one batch of it.
  absl::Status ProcessRestored();
  // After all records so far, to every channel.
  absl::Status SendBarrier(const Barrier& barrier);
  // Whether the barrier that was sent last waits in an output behind records; has it overtake them,
  // which become part of `state`, that Snapshot gave.
  bool BarrierWaits() const;
  void OvertakeWithBarrier(TaskState& state);
  // While `may`, operators may put out more than their outputs take, within a bound, so that what
  // is queued can come to its end.
  void SetMayExceed(bool may);

  // What sinks that commit do; chain_commits.cc.
  //
  // Has them make ready what came before the first call with this id, and appends what is to be
  // committed of it to `state`, which is what Snapshot gave then, or null if nobody is told of it.
  // False: call again when woken.
  absl::StatusOr<bool> PrepareCommit(uint64_t id, TaskState* state);
  // The checkpoint and all before it are complete.
  void CommitUpTo(uint64_t id);
  // Takes what came of commits and begins those that are due.
  absl::Status PollCommits();
  // Nothing that was prepared is still to be committed.
  bool AllCommitted() const;

  // Ends all nodes that were opened and frees them. `Close` of user code may throw: the rest is
  // closed by the next call.
  void Close();

  // The earliest time that a node asked to be woken at; kMaxTicks if none.
  Ticks wake_at() const;
  // The same of nodes that answer later and for which the chain waits: also while it is blocked.
  Ticks answers_wake_at() const;
  // The first wrong use of metrics by a node.
  absl::Status MetricsError(const ChainNode*& node) const;

  ChainNode& head() { return *nodes.front(); }
  // Of the head's input.
  const WatermarkMoves& moves() const { return moves_; }

  // Head first, each before those behind it. Filled before the task starts.
  std::vector<std::unique_ptr<ChainNode>> nodes;
  // Of all nodes.
  std::vector<PartitionedOutput*> channel_outputs;
  TaskClock* clock = nullptr;
  // Null: keyed state is in memory.
  StateBackend* state_backend = nullptr;
  // How operators read that an edge of the chain leads to. Filled before the task starts.
  struct ChainedEdge {
    uint32_t edge = 0;
    ChainNode* to = nullptr;
    size_t input = 0;
    RecordOwner owner;
  };
  std::vector<ChainedEdge> chained_edges;
  // The node in which the last error arose.
  const ChainNode* failed_in = nullptr;

 private:
  enum class WalkKind : uint8_t { kTimeEvent, kProcessingTime, kWake, kFinish, kEnd };
  struct Walk {
    WalkKind kind;
    // kTimeEvent; its time is that of kProcessingTime too.
    TimeEvent event;
    // Where it is; only this node for kProcessingTime and kWake.
    size_t node;
    // Of kTimeEvent: whose it is (ChainNode::time_from). It begins there.
    size_t from = ChainNode::kHeadTime;

    bool IsWatermark() const {
      return kind == WalkKind::kTimeEvent && event.kind == TimeEventKind::kWatermark;
    }
  };
  // The last operator that assigns timestamps and has something to put out; null if none has.
  ChainNode* TimestampsAtWork() const;
  // Has it do that, as walks and records. False: stopped.
  absl::StatusOr<bool> AdvanceTimestamps(ChainNode& node);
  absl::Status OpenNode(ChainNode& node, const TaskState* restore);
  absl::Status ProcessIn(ChainNode& node, size_t input, BatchBase& batch);
  absl::Status RestoreRewired(const TaskState& state);
  // Tells the nodes that are behind what the head was told.
  void QueueRestoredWatermark();
  // Does the walk's part at its node; false: stopped.
  absl::StatusOr<bool> Visit(const Walk& walk);
  absl::StatusOr<bool> CallOperator(const Walk& walk, ChainNode& node);
  // To the channels that begin at the node, once its operator has done its part.
  static absl::Status SendOn(const Walk& walk, ChainNode& node);

  std::deque<Walk> walks_;
  struct LoadingTable {
    ChainNode* node;
    KeyedStateTable* table;
  };
  std::vector<LoadingTable> loading_;
  // By index into chained_edges.
  RestoredInput restored_;
  std::vector<const SinkOperator*> sinks_;
  // Those that commit.
  std::vector<ChainNode*> committing_;
  // Those that assign timestamps, as indices of `nodes`.
  std::vector<size_t> timestamps_;
  std::vector<ChainNode*> answering_later_;
  // The greatest watermark queued, and how it came to that.
  Ticks watermark_ = kMinTicks;
  WatermarkMoves moves_;
};

}  // namespace weir

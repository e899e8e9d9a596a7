#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "state/backend/state_backend.h"
#include "weir/operator.h"
#include "weir/time.h"

namespace weir {

// What a barrier asks for besides a snapshot. On the wire: never change a number.
enum class BarrierKind : uint8_t {
  kCheckpoint = 0,
  // The state goes to a folder of its own, which the worker is told with the order to trigger.
  kSavepoint = 1,
  // Likewise; then the task stops until the savepoint is complete, and ends, or is aborted, and
  // goes on.
  kStop = 2,
  // Likewise, but first all is done that would be done at the end of the input.
  kDrain = 3,
  // As kStop, but it is a checkpoint of the job's own, from which the job goes on at another
  // parallelism.
  kRescale = 4,
};
inline bool NamesFolder(BarrierKind kind) { return kind != BarrierKind::kCheckpoint; }
inline bool StopsTask(BarrierKind kind) {
  return kind == BarrierKind::kStop || kind == BarrierKind::kDrain || kind == BarrierKind::kRescale;
}
// Not a checkpoint of the job's own.
inline bool IsSavepoint(BarrierKind kind) {
  return kind != BarrierKind::kCheckpoint && kind != BarrierKind::kRescale;
}
// A savepoint holds nothing in flight.
inline bool MayOvertake(BarrierKind kind) { return !IsSavepoint(kind); }

// Divides what belongs to a checkpoint from what comes after it.
struct Barrier {
  // From 1 on, growing.
  uint64_t id = 0;
  // The wall clock when the checkpoint was triggered.
  Ticks time = 0;
  BarrierKind kind = BarrierKind::kCheckpoint;
  // It has overtaken records at its sender, or is to do so here at once (semantics rule 43). Never
  // a savepoint's.
  bool unaligned = false;

  friend bool operator==(const Barrier&, const Barrier&) = default;
};

// How the tasks of a job deal with barriers.
struct BarrierOptions {
  // They are counted, and hold no channel back (semantics rule 44).
  bool at_least_once = false;
  // Those of checkpoints overtake records once more than `aligned_timeout` has passed since the
  // trigger (semantics rule 43); zero: at once. Not with at_least_once.
  bool unaligned = false;
  Ticks aligned_timeout = 0;
  // Of records in flight in one task's snapshot while a barrier is still missing on some input; a
  // checkpoint that would need more is declined.
  uint64_t max_in_flight_bytes = 512 << 20;

  // Whether this one is to overtake by now.
  bool Overtakes(const Barrier& barrier, Ticks now) const {
    return unaligned && MayOvertake(barrier.kind) &&
           (barrier.unaligned || aligned_timeout == 0 || now >= OvertakesAt(barrier));
  }
  // When one that has not overtaken yet does, on the wall clock.
  Ticks OvertakesAt(const Barrier& barrier) const {
    return barrier.time > kMaxTicks - aligned_timeout - 1 ? kMaxTicks
                                                          : barrier.time + aligned_timeout + 1;
  }
};

// Keyed state in files, to be read when it is taken up.
class StoredKeyGroups {
 public:
  virtual ~StoredKeyGroups() = default;
  // Calls use(key_group, bytes, changes) until one returns an error, and returns that; `changes`:
  // they are what has changed since what came before. Blocks. Once. kDataLoss: a file is damaged,
  // and which.
  virtual absl::Status ForEach(
      absl::FunctionRef<absl::Status(uint32_t, std::string_view, bool)> use) = 0;
  // Those that can be read in parts later; ForEach leaves them out then. Null: there are none.
  virtual absl::StatusOr<std::shared_ptr<KeyedStateParts>> TakeParts() { return nullptr; }
};

// Thrown where a part of a state is needed that cannot be read or is damaged.
class LateRestoreError : public std::runtime_error {
 public:
  explicit LateRestoreError(absl::Status status)
      : std::runtime_error(std::string(status.message())), status_(std::move(status)) {}
  const absl::Status& status() const { return status_; }

 private:
  const absl::Status status_;
};

// The state of one operator of one subtask, as bytes or as what writes them.
struct OperatorState {
  struct Keyed {
    std::string name;
    std::string type;
    // Those that are not empty, by number. What a task hands over has them to be written yet.
    std::vector<std::pair<uint32_t, std::string>> key_groups;
    std::shared_ptr<KeyedStateSnapshot> snapshot;
    KeyGroupRange range;
    std::shared_ptr<StoredKeyGroups> stored;
    // `snapshot` is of TaskCheckpoint::increment.
    bool incremental = false;

    // Calls use(key_group, bytes, changes) for each that is not empty until one returns an error,
    // and returns that. The snapshot can write its own once.
    template <class Use>
    absl::Status ForEachKeyGroup(Use&& use) const {
      return ForEach(use, [&](uint32_t group, std::string& bytes) {
        snapshot->WriteKeyGroup(group, bytes);
        return absl::OkStatus();
      });
    }
    // Likewise, but the bytes of a key group may come in pieces, in several calls in turn.
    template <class Use>
    absl::Status ForEachPiece(Use&& use) const {
      return ForEach(use, [&](uint32_t group, std::string& bytes) {
        absl::Status status;
        snapshot->WriteInPieces(group, bytes, [&](std::string& piece) {
          if (status.ok()) status = use(group, piece, false);
          piece.clear();
        });
        return status;
      });
    }

   private:
    // write(key_group, bytes) writes one of the snapshot's.
    template <class Use, class Write>
    absl::Status ForEach(Use&& use, Write&& write) const {
      for (const auto& [group, bytes] : key_groups) {
        if (absl::Status status = use(group, bytes, false); !status.ok()) return status;
      }
      if (stored != nullptr) {
        if (absl::Status status = stored->ForEach(use); !status.ok()) return status;
      }
      if (snapshot == nullptr) return absl::OkStatus();
      std::string bytes;
      for (uint32_t group = range.first; group <= range.last; ++group) {
        bytes.clear();
        if (absl::Status status = write(group, bytes); !status.ok()) return status;
        if (bytes.empty()) continue;
        if (absl::Status status = use(group, bytes, false); !status.ok()) return status;
      }
      return absl::OkStatus();
    }
  };
  struct List {
    std::string name;
    std::string type;
    Redistribution redistribution = Redistribution::kSplit;
    std::vector<std::string> items;
  };

  // What an unaligned barrier has overtaken in one channel.
  struct InFlight {
    // Index into the graph's edges.
    uint32_t edge = 0;
    uint32_t from_subtask = 0;
    uint32_t to_subtask = 0;
    // It had not left its sender, who has it in its state then: it follows what the receiver has of
    // the same channel.
    bool sent = true;
    // runtime/exchange/in_flight.h
    std::string elements;
  };

  // To start from: what was in flight on an edge of which an end has another parallelism now, or
  // which has become a call. The records are to be divided anew: first all that had arrived or was
  // to come, then the watermark.
  struct Rewired {
    struct Channel {
      // Of the subtask that was to read it.
      KeyGroupRange key_groups;
      // runtime/exchange/in_flight.h
      std::string elements;
    };
    // Index into the graph's edges.
    uint32_t edge = 0;
    // In the order in which they are to be read.
    std::vector<Channel> channels;
    // What all senders have told by then.
    Ticks watermark = kMinTicks;
  };

  // Index into the graph's nodes.
  uint32_t node = 0;
  // Files with the entries of those of `keyed` that have neither `key_groups` nor `snapshot`: as
  // they are at a barrier, or to restore from. Null: none.
  std::shared_ptr<StoreCheckpoint> store;
  std::shared_ptr<const StoredParts> stored;
  // What the operator had been told.
  Ticks watermark = kMinTicks;
  // Of a restored source that had another parallelism: the position is not this subtask's own but
  // those of all that there were, in their order.
  bool positions_of_all = false;
  std::vector<Keyed> keyed;
  std::vector<List> lists;
  // On its way to the operator, if it is the head of its task, and away from it. To start from,
  // only a head has some: what is to be read before anything else, one element a channel.
  std::vector<InFlight> in_flight;
  std::vector<Rewired> rewired;
};

// Of all operators of a task.
using TaskState = std::vector<OperatorState>;

// A state file that several checkpoints of a task have.
struct SharedStateFile {
  // "shared/<name>".
  std::string name;
  uint64_t bytes = 0;
  uint64_t digest = 0;
  // What the sections of each node have in it.
  std::map<uint32_t, uint64_t> payload_bytes;
};

// Keyed state in memory that is written as a part of a chain of checkpoints: whole, or what has
// changed since another (runtime/task/checkpoint_chain.h).
struct StateIncrement {
  // The argument of KeyedStateTable::TakeChanges; none: whole, SnapshotUse::kBase.
  std::optional<uint32_t> since;
  // What it builds on, oldest first.
  std::vector<SharedStateFile> files;
  // To be called by whoever has written it durably, on any thread: with the file, or without one if
  // nothing has changed.
  std::function<void(std::optional<SharedStateFile>)> written;
};

// What a task has at a barrier.
struct TaskCheckpoint {
  uint32_t vertex = 0;
  uint32_t subtask = 0;
  Barrier barrier;
  // The task has read all its input and put all out: every checkpoint later than `barrier`, the
  // last of which it has seen a barrier (id 0: none), has this of it.
  bool final = false;
  TaskState state;
  // What the keyed states with `incremental` are; none: there are none.
  std::optional<StateIncrement> increment;
  // From the trigger to the first barrier, from that to the last, and of the snapshot itself, while
  // the task did nothing else; what is written later is not in it.
  int64_t start_delay_nanos = 0;
  int64_t alignment_nanos = 0;
  int64_t sync_nanos = 0;
  // Of the records that the task has processed from the first barrier to the last, as its channels
  // count them.
  uint64_t alignment_bytes = 0;
  // The barrier overtook records here, of so many bytes.
  bool unaligned = false;
  uint64_t in_flight_bytes = 0;
  // Not OK: why there is no state, and the checkpoint is to be declined.
  absl::Status failed;
};

}  // namespace weir

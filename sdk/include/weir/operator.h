#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "weir/batch.h"
#include "weir/metrics.h"
#include "weir/time.h"

// Returns from the enclosing function with the status of `expr` if it is not OK. For the SDK's own
// headers.
#define WEIR_SDK_RETURN_IF_ERROR(expr)       \
  do {                                       \
    ::absl::Status weir_sdk_status = (expr); \
    if (!weir_sdk_status.ok()) [[unlikely]]  \
      return weir_sdk_status;                \
  } while (false)

namespace weir {

class StateStore;
struct WindowListing;

// Where an operator's results go: another operator of the chain, or a partitioner and its channels.
class Output {
 public:
  virtual ~Output() = default;
  // Takes the batch's records and leaves it empty. One virtual call a batch. Accepts the batch even
  // when Blocked, so the bound that a consumer sets is exceeded by at most what one call into an
  // operator produces.
  virtual absl::Status Push(BatchBase& batch) = 0;
  // True while some consumer downstream takes no more. An operator that can stop (between timers,
  // between windows of a firing) does so and returns "not done".
  virtual bool Blocked() const = 0;
};

// A range of key groups, both ends inclusive (semantics rule 48).
struct KeyGroupRange {
  std::uint32_t first = 0;
  std::uint32_t last = 0;
  bool Contains(std::uint32_t key_group) const { return key_group >= first && key_group <= last; }
  std::uint32_t size() const { return last - first + 1; }
};

// Which execution of which job an operator is part of.
struct RunInfo {
  // The job's id, 32 hex digits; empty where there is no cluster.
  std::string job;
  // From 1 on; each restart of the job has a higher one.
  std::uint32_t attempt = 1;
  // The checkpoint or savepoint that this attempt starts from; 0: none.
  std::uint64_t restored_checkpoint = 0;
  // Checkpoints are taken by themselves, and sinks commit with them. Otherwise sinks commit at the
  // end of the input.
  bool commits_with_checkpoints = false;
  // Snapshots may be taken (a savepoint is one), so that what a sink has prepared may belong to
  // one.
  bool takes_snapshots = false;
};

// A thread for calls that block. Ends with the object: what has begun is waited for, what has not
// is dropped.
class OperatorThread {
 public:
  virtual ~OperatorThread() = default;
  // Runs `call`, which does not throw, after those that were given before. Any thread.
  virtual void Post(std::function<void()> call) = 0;
};

// A record that came too late for an operator (semantics rules 7, 32, 34, 36).
struct LateRecord {
  enum class Fate : std::uint8_t { kDropped, kSideOutput, kJoinedLate };
  Ticks time = kMinTicks;
  // The operator's.
  Ticks watermark = kMinTicks;
  // The least watermark at which the record is late here.
  Ticks late_from = kMinTicks;
  Fate fate = Fate::kDropped;
};

// What the runtime tells one subtask of an operator. Lives as long as the operator. Owned by the
// task's thread.
class OperatorContext {
 public:
  virtual ~OperatorContext() = default;

  // Where keyed state is kept that need not fit into memory; null: it is all in memory.
  virtual StateStore* state_store() { return nullptr; }

  virtual const std::string& uid() const = 0;
  virtual std::uint32_t subtask() const = 0;
  virtual std::uint32_t parallelism() const = 0;
  virtual std::uint32_t max_parallelism() const = 0;
  virtual KeyGroupRange key_groups() const = 0;
  virtual const RunInfo& run() const = 0;

  // Port 0 is the main output, port i + 1 the side output with index i.
  virtual Output& output(std::size_t port) = 0;

  // The wall clock in ticks; the same value within one call into the operator.
  virtual Ticks ProcessingTime() const = 0;
  // Has OnProcessingTime called once the clock is past `at`; the earliest of several requests
  // counts, kMaxTicks withdraws.
  virtual void WakeAt(Ticks at) = 0;
  // Has OnWake called soon. The only call here that any thread may make.
  virtual void WakeNow() = 0;
  // The context outlives it.
  virtual std::unique_ptr<OperatorThread> NewThread() = 0;

  virtual MetricGroup& metrics() = 0;
  // Counts the record, in numLateRecordsDropped if it is dropped, and may keep it as an example:
  // then `write_key` is called, which appends its key as JSON, or nothing if it has none.
  virtual void OnLateRecord(const LateRecord& record,
                            absl::FunctionRef<void(std::string&)> write_key) = 0;
  // A function of the job has thrown, and the operator passes that on: what the function was given,
  // as JSON; empty: nothing, or it is not known. Of several calls until the exception is caught the
  // first counts.
  virtual void OnThrown(std::string_view key, std::string_view record) = 0;
  // One line in the log of the job. Level: "info", "warning", "error".
  virtual void Log(std::string_view level, std::string_view text) = 0;
};

// Whether a table is changed again after a snapshot of it.
enum class SnapshotUse {
  kLive,  // each key group is written once, its entries in any order
  // It is not: a key group may be written again, and its entries are in the order of their bytes,
  // so that equal state has equal bytes.
  kFinal,
  // As kLive, and what changes after it is kept track of: KeyedStateTable::TakeChanges. Of tables
  // that do so.
  kBase,
};

// Divides the entries of a key group into 2^bits parts by bits of the lower halves of their keys'
// hashes, from bit `shift` up.
struct PartBits {
  std::uint8_t bits = 0;
  std::uint8_t shift = 0;

  // The number of a part, from the lower half of a hash. 0 counts as 1, which tables have for it.
  std::uint32_t PartOf(std::uint32_t lower) const {
    const std::uint64_t from_shift = std::uint64_t{lower != 0 ? lower : 1} >> shift;
    return static_cast<std::uint32_t>(from_shift & ((std::uint64_t{1} << bits) - 1));
  }
};

// What a KeyedStateTable held when the snapshot was taken, to be written while the table goes on.
class KeyedStateSnapshot {
 public:
  virtual ~KeyedStateSnapshot() = default;
  // Appends everything held for `key_group`, or what has changed of it; nothing if there is none.
  // Any thread, one at a time;
  // may call what encodes the job's record types, whose exceptions pass through. Does not outlive
  // the plugin, but the table.
  virtual void WriteKeyGroup(std::uint32_t key_group, std::string& out) = 0;
  // Likewise, but calls take(out), which is to empty it, whenever `out` has become large. What is
  // in it at the end is the last piece.
  virtual void WriteInPieces(std::uint32_t key_group, std::string& out,
                             absl::FunctionRef<void(std::string&)> /*take*/) {
    WriteKeyGroup(key_group, out);
  }
  // Likewise in parts that can be taken up by themselves, by rising number, each as WriteKeyGroup
  // writes the entries of its keys. `ends` gets where each ends in `out`. Only of snapshots for
  // SnapshotUse::kBase.
  struct WrittenParts {
    // 0 if that is not known.
    std::uint64_t entries = 0;
    PartBits parts;
  };
  virtual WrittenParts WriteParts(std::uint32_t key_group, std::string& out,
                                  std::vector<std::size_t>& ends) {
    const std::size_t before = out.size();
    WriteKeyGroup(key_group, out);
    if (out.size() != before) ends.push_back(out.size());
    return {};
  }
};

// Entries of a keyed state that are in files and are read when they are needed, part by part as
// KeyedStateSnapshot::WriteParts wrote them. What is wrong with a file is thrown, by every later
// call too, and fails the task. Owned by the task's thread, which it blocks.
class KeyedStateParts {
 public:
  struct Part {
    std::uint32_t key_group = 0;
    // It has the keys for whose hashes parts.PartOf is its number.
    PartBits parts;
    std::uint32_t number = 0;
    // What was written; empty: nothing, or it was taken before. Valid until the next call.
    std::string_view bytes;
    // Of the key group.
    std::uint64_t entries = 0;
  };

  virtual ~KeyedStateParts() = default;
  // The one with the keys of this hash.
  virtual Part Take(std::uint32_t key_group, std::uint64_t hash) = 0;
  // A hint: these are about to be asked of Take, so that reading them may begin, all at once. Waits
  // for what says where they are.
  struct Place {
    std::uint32_t key_group = 0;
    std::uint64_t hash = 0;
  };
  virtual void WillTake(std::span<const Place> places) { (void)places; }
  // Any other, in the order in which they are fast to read. Not if all_taken().
  virtual Part TakeNext() = 0;
  // Those of the key group are not wanted.
  virtual void Drop(std::uint32_t key_group) = 0;
  virtual bool all_taken() const = 0;
  // Throws that what was taken last is damaged.
  [[noreturn]] virtual void Fail(absl::Status why) = 0;
};

// Keyed state of one operator as the runtime and the snapshots see it: by key group, never by
// record.
class KeyedStateTable {
 public:
  virtual ~KeyedStateTable() = default;
  // Unique within the operator.
  virtual const std::string& name() const = 0;
  // Key, value and layout, in the notation of docs/FORMATS.md.
  virtual const std::string& type() const = 0;
  // The type with what it can be read from: former names and defaults of fields.
  virtual std::string evolution() const { return type(); }
  // Whether the entries are in the store of the operator's context. What is in memory is the
  // table's cache.
  virtual bool stored() const { return false; }
  // Has a checkpoint of the store that is asked for now have all that was changed, if `stored`.
  // Throws StateError.
  virtual void Flush() {}
  // What the table holds now. Takes little time: what is changed later is copied before.
  virtual std::unique_ptr<KeyedStateSnapshot> TakeSnapshot(SnapshotUse use) = 0;
  // Whether it can keep track of changes from now on.
  virtual bool tracks_changes() const { return false; }
  // What has changed since the last snapshot for SnapshotUse::kBase (`since` 0), or since the
  // since-th call of this after that; at most kMaxChanges calls after each of those. `since` never
  // declines. Takes little time, too.
  static constexpr std::uint32_t kMaxChanges = 200;
  virtual std::unique_ptr<KeyedStateSnapshot> TakeChanges(std::uint32_t since) {
    (void)since;
    return nullptr;
  }
  // Adds what a snapshot wrote. kDataLoss if malformed.
  virtual absl::Status ReadKeyGroup(std::uint32_t key_group, std::string_view bytes) = 0;
  // Applies what a snapshot of changes wrote to what the one has before which it was taken.
  // kDataLoss likewise.
  virtual absl::Status ReadChanges(std::uint32_t key_group, std::string_view bytes) {
    (void)key_group, (void)bytes;
    return absl::DataLossError("state '" + name() + "' has no changes to be read");
  }
  virtual void DropKeyGroup(std::uint32_t key_group) = 0;
  // All that a restore brings is there: the operator knows the watermark, what the store was
  // restored with can be read, and so can what ReadKeyGroup added. Throws StateError.
  virtual void Restored() {}
  // Whether it takes entries up when they are needed: those of `parts`, which comes before anything
  // is read or changed.
  virtual bool LoadLater(std::shared_ptr<KeyedStateParts> parts) {
    (void)parts;
    return false;
  }
  // Whether some of them are still to be taken up.
  virtual bool loading() const { return false; }
  // Takes up about so many bytes of them; whether there are no more.
  virtual bool LoadSome(std::size_t bytes) {
    (void)bytes;
    return true;
  }
  // An estimate if `stored`.
  virtual std::size_t entries() const = 0;
  // Of the table itself, without what keys and values point to.
  virtual std::size_t memory_bytes() const = 0;
};

// How the items of an operator's list are dealt out when it is restored (semantics rule 49).
enum class Redistribution {
  kSplit,      // dealt out round-robin in the order of the subtasks; with the same parallelism each
               // keeps its own
  kUnion,      // every subtask gets all items of all
  kBroadcast,  // every subtask has the same items: a new one gets those of one old one
};

// State of one operator that belongs to no key: a list of items, each in the operator's own
// encoding.
class OperatorListState {
 public:
  virtual ~OperatorListState() = default;
  // Unique within the operator.
  virtual const std::string& name() const = 0;
  // Of an item, in the notation of docs/FORMATS.md.
  virtual const std::string& type() const = 0;
  // The type with what it can be read from: former names and defaults of fields.
  virtual std::string evolution() const { return type(); }
  virtual Redistribution redistribution() const = 0;
  virtual void Write(std::vector<std::string>& items) const = 0;
  // Adds what Write wrote. kDataLoss if malformed.
  virtual absl::Status Read(const std::vector<std::string_view>& items) = 0;
};

// One subtask of an operator. Every call comes from the task's thread, never two at once. Between
// two calls it is consistent: that is where a snapshot is taken. Calls that return StatusOr<bool>
// return false when they stopped because an output is Blocked; they are then called again with the
// same argument before anything else. Exceptions of user code pass through; the runtime turns them
// into the failure of the task.
class Operator {
 public:
  virtual ~Operator() = default;

  // Once, before all others but the state's restore hooks. `context` outlives the operator.
  virtual absl::Status Open(OperatorContext& context) = 0;
  // Records of one input; may move from the batch, which the caller then clears. No more than
  // kBatchRecords on the regular path.
  virtual absl::Status ProcessBatch(std::size_t input, BatchBase& batch) = 0;
  // True: ProcessBatch leaves records and timestamps as they are. Of a stream that several
  // operators read, such ones are given the same batch, others a copy. The same at every call.
  virtual bool LeavesInput() const { return false; }
  // The combined watermark of all inputs has grown to `watermark`. The watermark goes downstream
  // after this has returned true (semantics rule 8).
  virtual absl::StatusOr<bool> OnWatermark(Ticks watermark) {
    (void)watermark;
    return true;
  }
  // The clock is past what WakeAt asked for.
  virtual absl::StatusOr<bool> OnProcessingTime(Ticks now) {
    (void)now;
    return true;
  }
  virtual absl::StatusOr<bool> OnWake() { return true; }
  // After the last input and its watermark MAX. Rule 22.
  virtual absl::StatusOr<bool> Finish() { return true; }
  // Last call, also after a failure or a cancel; releases what Open took.
  virtual void Close() {}

  // ---- Of an operator with NodeDefinition::answers_later alone (semantics rule 51): watermarks
  // and idleness wait in it for the results of the records before them.

  // Such an event has come after the records so far. In the place of OnWatermark, which is called
  // before the state is restored alone.
  virtual void OnMark() {}
  // How many marks may go on now, the oldest first; each is told once. Asked after OnMark, OnWake,
  // OnProcessingTime and Finish, none of which puts out what came after a mark before that was
  // told.
  virtual std::size_t TakePassed() { return 0; }
  // Whether it wants no more records for now. What a batch brings it takes all the same.
  virtual bool Full() const { return false; }

  // The keyed state, after Open; for snapshots and restore.
  virtual std::vector<KeyedStateTable*> keyed_state() { return {}; }
  // The state that belongs to no key, after Open.
  virtual std::vector<OperatorListState*> list_state() { return {}; }

  // Adds windows that are open to `listing` (weir/window_listing.h), for who asks what the job
  // waits for; false: it has no windows at all. After Open, between two other calls, and looks at
  // no more than the listing says, so that it takes milliseconds at most.
  virtual bool ListWindows(WindowListing& listing) {
    (void)listing;
    return false;
  }
};

}  // namespace weir

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "weir/batch.h"
#include "weir/committer.h"
#include "weir/operator.h"
#include "weir/record_type.h"

namespace weir {

// A value of a connector's setting. Lists and nested settings are not needed.
using SettingValue = std::variant<std::string, std::int64_t, double, bool>;

// Which connector of the host to use and how: what Files{...}, Print{} and the like turn into. The host refuses unknown
// connectors and settings by name.
struct ConnectorSpec {
  std::string connector;  // "files", "print", "blackhole", "kafka"
  std::map<std::string, SettingValue> settings;
};

// What a source subtask may use. Thread safe where said.
class SourceContext {
 public:
  virtual ~SourceContext() = default;
  virtual std::uint32_t subtask() const = 0;
  virtual std::uint32_t parallelism() const = 0;
  virtual Ticks ProcessingTime() const = 0;
  virtual MetricGroup& metrics() = 0;
  virtual const std::string& uid() const = 0;
  // Has Poll called again soon. From any thread.
  virtual void Wake() = 0;
  // Output for records that could not be decoded, or null if the job has none: Batch<MalformedRecord>.
  virtual Output* malformed_output() = 0;
};

enum class PollState {
  kMore,   // call again at once
  kWait,   // nothing now: call again after Wake, or at `wake_at`
  kEnd,    // bounded and done; Poll is not called again
};

struct PollResult {
  PollState state = PollState::kMore;
  // Which split the records came from: 0 ... ; watermarks are made per split (semantics rule 26).
  std::uint32_t split = 0;
  // The split has no more records after these.
  bool split_ended = false;
  // With kWait: wall-clock ticks at which to call again by itself; kMaxTicks: only after Wake.
  Ticks wake_at = kMaxTicks;
};

// Reads records in one subtask. Owned by the task's thread; blocking work is done elsewhere and announced by Wake.
class SourceReader {
 public:
  virtual ~SourceReader() = default;
  virtual absl::Status Open(SourceContext& context) = 0;
  // Splits known to this subtask so far, each with a number below this; the watermark of one that has had no record holds
  // at MIN. Zero is possible (this subtask has nothing to read).
  virtual std::uint32_t splits() const = 0;
  // Never blocks. Appends at most `max_records` records of one split to `batch` (timestamps only if the source itself gives
  // them). An error fails the job and names the place.
  virtual absl::StatusOr<PollResult> Poll(BatchBase& batch, std::size_t max_records) = 0;
  // Alignment holds the split back from now on, or no more: while it does, Poll returns no record of it, and may go on with
  // other splits. False, as by default: the reader cannot do that, and is not polled while all its splits together are
  // ahead.
  virtual bool SetPaused(std::uint32_t split, bool paused) {
    (void)split;
    (void)paused;
    return false;
  }
  // What the split is, for who asks: a file, a partition of a topic. Empty: it has its number alone.
  virtual std::string SplitName(std::uint32_t split) const {
    (void)split;
    return {};
  }
  // The position, for a checkpoint, in the reader's own format. A restored reader is given it back before Open: by
  // RestorePosition this subtask's own, where the source has as many subtasks as it had.
  virtual std::string SnapshotPosition() const = 0;
  virtual absl::Status RestorePosition(std::string_view position) = 0;
  // The source has another number of subtasks than it had: takes the part of subtask `subtask` of `parallelism` of what the
  // former subtasks, whose positions these are in their order, had still to read. Every subtask is given the same and
  // decides by itself, so the parts depend on nothing else; together they are everything, and no two overlap. By default
  // kUnimplemented: such a source is restored with its own parallelism only.
  virtual absl::Status RestorePositions(const std::vector<std::string_view>& positions, std::uint32_t subtask,
                                        std::uint32_t parallelism) {
    (void)positions;
    (void)subtask;
    (void)parallelism;
    return absl::UnimplementedError("its reader has no RestorePositions");
  }
  virtual void Close() {}
};

// Writes records in one subtask. Owned by the task's thread.
//
// A sink that makes a Committer is exactly once: what it writes stays invisible until a checkpoint that holds it is complete.
// At each barrier, and at the end of the input, PrepareCommit makes ready what was written so far and gives committables, which
// become part of the checkpoint. When that is complete, and again when the job is restored from it, they are committed. What
// was written and is in no complete checkpoint is never committed; its input comes again.
class SinkWriter {
 public:
  virtual ~SinkWriter() = default;
  virtual absl::Status Open(OperatorContext& context) = 0;
  // Takes the records. An error that a background write met is returned by the next call.
  virtual absl::Status Write(BatchBase& batch) = 0;
  // True while too much is waiting to be written; context.WakeNow() is called when that ends.
  virtual bool Blocked() const = 0;
  // Hands over what is buffered, so that readers see it; called when the input runs dry and on the latency bound.
  virtual absl::Status Flush() = 0;
  // No more records: true once all is durable and visible; false: call again after WakeNow. Not called if there is a
  // committer: the last PrepareCommit is the end.
  virtual absl::StatusOr<bool> Finish() = 0;
  virtual void Close() {}

  // Called once, after Open. Null: the sink shows what it writes at once, so that after a failure it is written again.
  virtual std::unique_ptr<Committer> MakeCommitter() { return nullptr; }
  // Only with a committer. What was written before the first call with this id is durable once true is returned, and
  // `committables` has what is to be committed of it; nothing if nothing was written. False: call again with the same id after
  // WakeNow; records that are written meanwhile belong to the next id. A writer that cannot take any is Blocked until then.
  // Ids grow, and one is ready before the next begins. `checkpoint` is that of the barrier, or at the end of the input
  // one that is higher than any before.
  virtual absl::StatusOr<bool> PrepareCommit(std::uint64_t checkpoint, std::vector<std::string>& committables) {
    (void)checkpoint;
    (void)committables;
    return true;
  }
  // State of the writer's own, after Open; for snapshots and restore. "committables" is no name for one.
  virtual std::vector<OperatorListState*> list_state() { return {}; }
};

// Reads the timestamp of each record of a batch into its timestamps column and returns the greatest
// (kMinTicks of an empty batch). Instantiated in the plugin.
class TimestampAssigner {
 public:
  virtual ~TimestampAssigner() = default;
  // If the user's function throws, `failed_at` is set to the index of the record.
  virtual Ticks Assign(BatchBase& batch, std::size_t& failed_at) const = 0;
};

// A user's generator of the watermarks of one split. Instantiated in the plugin.
class RecordWatermarks {
 public:
  virtual ~RecordWatermarks() = default;
  // Looks at records from `next` on, up to and with the first that makes a watermark; `next` is then the index behind it,
  // and the record's own if the user's function throws.
  virtual void OnRecords(const BatchBase& batch, std::size_t& next, std::optional<Ticks>& watermark) = 0;
  virtual std::optional<Ticks> OnPeriodic() = 0;
};

// How a source, or an operator that assigns timestamps, makes watermarks (semantics rules 23, 26, 28, 29).
struct WatermarkSettings {
  // Null: records keep the timestamps that they have, or have none.
  std::shared_ptr<const TimestampAssigner> timestamps;
  // Called once for each split; null: by `max_delay`.
  std::function<std::unique_ptr<RecordWatermarks>()> make_generator;
  // It may make watermarks without records.
  bool periodic_generator = false;
  // B of bounded out-of-orderness; 0 for monotonous.
  Ticks max_delay = 0;
  // 0: never idle.
  Ticks idle_after = 0;
  // No watermark but MAX at the end.
  bool none = true;
  // A watermark after every record instead of periodically.
  bool every_record = false;
  // Sources of one group wait for each other while they are more than `max_drift` ahead; empty: none.
  std::string alignment_group;
  Ticks max_drift = 0;
};

// A record that could not be decoded, on the side output that a source was given for them.
struct MalformedRecord {
  std::string source;  // file or topic
  std::int64_t position = 0;  // line number from 1, or offset
  std::string reason;
  std::string text;  // the raw input, at most 64 KiB of it
};

}  // namespace weir

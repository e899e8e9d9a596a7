#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "common/base/limits.h"

namespace weir {

struct StringOption {
  std::string_view key;
  std::string_view default_value;
  // Comma-separated; empty: anything.
  std::string_view allowed;
  std::string_view help;
};

struct IntOption {
  std::string_view key;
  int64_t default_value;
  int64_t min;
  int64_t max;
  std::string_view help;
};

struct DoubleOption {
  std::string_view key;
  double default_value;
  double min;
  double max;
  std::string_view help;
};

struct BoolOption {
  std::string_view key;
  bool default_value;
  std::string_view help;
};

struct DurationOption {
  std::string_view key;
  absl::Duration default_value;
  absl::Duration min;
  absl::Duration max;
  std::string_view help;
};

// A number of bytes.
struct MemoryOption {
  std::string_view key;
  int64_t default_value;
  int64_t min;
  int64_t max;
  std::string_view help;
};

using AnyOption = std::variant<const StringOption*, const IntOption*, const DoubleOption*,
                               const BoolOption*, const DurationOption*, const MemoryOption*>;

// All options there are, sorted by key. What is not in it cannot be set and cannot be asked for.
const std::vector<AnyOption>& KnownOptions();

// Every option of the product, with Flink's name where Flink has it.
namespace options {

inline constexpr StringOption kJobManagerAddress{
    "jobmanager.rpc.address", "127.0.0.1", "",
    "Host of the job manager, as task managers and jobctl reach it."};
inline constexpr IntOption kJobManagerPort{
    "jobmanager.rpc.port", 6123, 0, 65535,
    "Port of the job manager for task managers and jobctl; 0 takes a free one."};
inline constexpr DurationOption kTakeoverTimeout{
    "jobmanager.takeover-timeout", absl::Seconds(10), absl::Milliseconds(100), absl::Hours(24),
    "How long a job manager that was started again waits for the workers of a job before it starts "
    "the job anew."};
inline constexpr StringOption kJobManagerBindHost{"jobmanager.bind-host", "127.0.0.1", "",
                                                  "Interface on which the job manager listens."};
inline constexpr StringOption kRestAddress{"rest.address", "127.0.0.1", "",
                                           "Host of the REST interface, as clients reach it."};
inline constexpr IntOption kRestPort{
    "rest.port", 8081, 0, 65535,
    "Port of the REST interface and of the job manager's metrics; 0 takes a free one."};
inline constexpr StringOption kRestBindAddress{"rest.bind-address", "127.0.0.1", "",
                                               "Interface on which the REST interface listens."};

inline constexpr IntOption kTaskSlots{
    "taskmanager.numberOfTaskSlots", 1, 1, kMaxSlotsPerTaskManager,
    "Slots of a task manager: how many subtasks of each operator it runs at most."};
inline constexpr StringOption kTaskManagerHost{"taskmanager.host", "127.0.0.1", "",
                                               "Host of the task manager, as others reach it."};
inline constexpr StringOption kTaskManagerBindHost{
    "taskmanager.bind-host", "127.0.0.1", "",
    "Interface on which the task manager and its workers listen."};
inline constexpr IntOption kTaskManagerPort{"taskmanager.rpc.port", 0, 0, 65535,
                                            "Port of the task manager; 0 takes a free one."};
inline constexpr StringOption kTaskManagerResourceId{
    "taskmanager.resource-id", "", "",
    "Name of the task manager, unique in its cluster; empty draws one."};
inline constexpr DurationOption kWorkerOrphanTimeout{
    "taskmanager.worker.orphan-timeout", absl::Seconds(10), absl::Milliseconds(100),
    absl::Hours(24),
    "How long a worker goes on after its job manager was last heard of: for as long that may be "
    "away."};
inline constexpr MemoryOption kWorkerOutput{"taskmanager.system-out.max-size", 100 << 20, 4 << 20,
                                            int64_t{1} << 50,
                                            "How much of what a worker writes to its standard "
                                            "output, and as much to its standard error, is "
                                            "kept; what is older is dropped."};
inline constexpr MemoryOption kWorkerMemory{
    "taskmanager.memory.worker.size", 0, 0, int64_t{1} << 50,
    "Memory of a worker process; beyond it the worker ends and its job fails. 0: no limit."};
inline constexpr IntOption kCreditsPerChannel{
    "taskmanager.network.credits-per-channel", 16, 1, 65536,
    "Buffers that a receiver grants each channel from "
    "another process; fewer than 4 share 4 times as many."};
inline constexpr IntOption kBatchRecords{
    "taskmanager.network.batch-records", 1024, 1, 65536,
    "Records that travel together between operators, at most."};
inline constexpr IntOption kBatchesPerLocalChannel{
    "taskmanager.network.batches-per-local-channel", 8, 1, 65536,
    "Batches that wait in a channel between two subtasks of a process, at most."};

inline constexpr MemoryOption kBytesPerLocalChannel{
    "taskmanager.network.memory-per-local-channel", 16 << 20, 1, int64_t{1} << 40,
    "What the records in a channel between two subtasks of a process may take in memory."};

inline constexpr IntOption kDefaultParallelism{"parallelism.default", 1, 1, 4096,
                                               "Parallelism of operators and jobs that set none."};
inline constexpr IntOption kMaxParallelism{
    "pipeline.max-parallelism", 128, 1, 32768,
    "Number of key groups: the highest parallelism that a job can ever be given."};
inline constexpr DurationOption kBufferTimeout{
    "execution.buffer-timeout", absl::Milliseconds(5), absl::ZeroDuration(), absl::Minutes(10),
    "How long a record waits for others to travel with; 0 sends each step's records at once."};
inline constexpr DurationOption kWatermarkInterval{
    "pipeline.auto-watermark-interval", absl::Milliseconds(5), absl::ZeroDuration(),
    absl::Minutes(10), "How often sources send watermarks; 0: after every batch."};

inline constexpr DurationOption kCheckpointInterval{
    "execution.checkpointing.interval", absl::ZeroDuration(), absl::ZeroDuration(),
    absl::Hours(24 * 7), "How often a checkpoint is taken; 0: never, but savepoints can be."};
inline constexpr DurationOption kCheckpointMinPause{
    "execution.checkpointing.min-pause", absl::ZeroDuration(), absl::ZeroDuration(),
    absl::Hours(24 * 7), "How long at least from the end of a checkpoint to the next one."};
inline constexpr DurationOption kCheckpointTimeout{
    "execution.checkpointing.timeout", absl::Minutes(10), absl::Milliseconds(10),
    absl::Hours(24 * 7), "A checkpoint that some subtask has not acknowledged by then fails."};
inline constexpr IntOption kTolerableFailedCheckpoints{
    "execution.checkpointing.tolerable-failed-checkpoints", 0, 0, 1'000'000,
    "How many checkpoints may fail one after the other; one more fails the job."};
inline constexpr IntOption kMaxConcurrentCheckpoints{
    "execution.checkpointing.max-concurrent-checkpoints", 1, 1, 100,
    "How many checkpoints may be under way at a time."};
inline constexpr IntOption kRetainedCheckpoints{
    "execution.checkpointing.num-retained", 1, 1, 1'000,
    "How many complete checkpoints are kept; older ones are deleted."};
inline constexpr StringOption kCheckpointRetention{
    "execution.checkpointing.externalized-checkpoint-retention", "DELETE_ON_CANCELLATION",
    "DELETE_ON_CANCELLATION,RETAIN_ON_CANCELLATION",
    "What becomes of the checkpoints of a cancelled job; those of a failed job stay, those of a "
    "finished one go."};

inline constexpr StringOption kCheckpointMode{
    "execution.checkpointing.mode", "exactly-once",
    "exactly-once,at-least-once,EXACTLY_ONCE,AT_LEAST_ONCE",
    "Whether a task waits for a checkpoint's barriers on all its inputs before it reads on; "
    "at-least-once: it does not, and some records count twice after a failure."};
inline constexpr BoolOption kUnalignedCheckpoints{
    "execution.checkpointing.unaligned", false,
    "Barriers overtake the records in buffers, which become part of the checkpoint."};
inline constexpr DurationOption kAlignedTimeout{
    "execution.checkpointing.aligned-timeout", absl::ZeroDuration(), absl::ZeroDuration(),
    absl::Hours(24 * 7),
    "With execution.checkpointing.unaligned: how long after its trigger a checkpoint's barriers "
    "begin to overtake; 0: at once."};

inline constexpr BoolOption kIncrementalCheckpoints{
    "execution.checkpointing.incremental", true,
    "Checkpoints have of keyed state in memory what has changed, and refer to older ones for the "
    "rest."};

inline constexpr StringOption kCheckpointDirectory{
    "execution.checkpointing.dir", "", "",
    "Folder for checkpoints, which all hosts of the cluster see by the same path."};

inline constexpr StringOption kSavepointDirectory{
    "execution.checkpointing.savepoint-dir", "", "",
    "Folder below which savepoints are made that name no other; empty: 'savepoints' in the folder "
    "for checkpoints."};

inline constexpr StringOption kRestartStrategy{
    "restart-strategy.type", "default", "default,none,fixed-delay,exponential-delay,failure-rate",
    "Whether a failed job is started again; default: with exponential delay if it takes "
    "checkpoints, else not."};
inline constexpr IntOption kFixedDelayAttempts{"restart-strategy.fixed-delay.attempts", 1, 1,
                                               1'000'000'000, "How often a job is started again."};
inline constexpr DurationOption kFixedDelay{"restart-strategy.fixed-delay.delay", absl::Seconds(1),
                                            absl::ZeroDuration(), absl::Hours(24),
                                            "How long before it is started again."};
inline constexpr IntOption kFailureRateMax{
    "restart-strategy.failure-rate.max-failures-per-interval", 1, 1, 1'000'000,
    "One failure more within the interval fails the job for good."};
inline constexpr DurationOption kFailureRateInterval{
    "restart-strategy.failure-rate.failure-rate-interval", absl::Minutes(1), absl::Milliseconds(1),
    absl::Hours(24 * 365), "The interval in which failures are counted."};
inline constexpr DurationOption kFailureRateDelay{
    "restart-strategy.failure-rate.delay", absl::Seconds(1), absl::ZeroDuration(), absl::Hours(24),
    "How long before a job is started again."};
inline constexpr DurationOption kInitialBackoff{
    "restart-strategy.exponential-delay.initial-backoff", absl::Milliseconds(50),
    absl::ZeroDuration(), absl::Hours(24),
    "How long before a job is started again the first time."};
inline constexpr DurationOption kMaxBackoff{"restart-strategy.exponential-delay.max-backoff",
                                            absl::Minutes(1), absl::ZeroDuration(), absl::Hours(24),
                                            "How long at most before a job is started again."};
inline constexpr DoubleOption kBackoffMultiplier{
    "restart-strategy.exponential-delay.backoff-multiplier", 2, 1, 1000,
    "By how much the delay grows with each failure."};
inline constexpr DurationOption kResetBackoff{
    "restart-strategy.exponential-delay.reset-backoff-threshold", absl::Minutes(5),
    absl::Milliseconds(1), absl::Hours(24 * 365),
    "After so long without a failure the delay begins anew."};
inline constexpr DoubleOption kBackoffJitter{
    "restart-strategy.exponential-delay.jitter-factor", 0.1, 0, 1,
    "By how much of itself a delay is varied, so that jobs do not start at once."};
inline constexpr IntOption kBackoffAttempts{
    "restart-strategy.exponential-delay.attempts-before-reset-backoff", 0, 0, 1'000'000'000,
    "How often a job is started again before the delay begins anew; 0: for ever."};

inline constexpr DurationOption kHeartbeatInterval{
    "heartbeat.interval", absl::Milliseconds(500), absl::Milliseconds(10), absl::Hours(1),
    "How often job manager, task managers and workers tell each other that they live."};
inline constexpr DurationOption kHeartbeatTimeout{
    "heartbeat.timeout", absl::Milliseconds(2500), absl::Milliseconds(50), absl::Hours(24),
    "After how long without a sign of life a process counts as lost."};
inline constexpr DurationOption kSlotRequestTimeout{
    "slot.request.timeout", absl::Minutes(5), absl::Milliseconds(10), absl::Hours(24 * 7),
    "How long a job waits for free slots before it fails."};
inline constexpr StringOption kStateBackend{
    "state.backend", "heap", "heap,rocksdb",
    "Where a job keeps its keyed state: heap: in memory; rocksdb: in files on local disks."};
inline constexpr StringOption kRocksDbDirectory{
    "state.backend.rocksdb.localdir", "", "",
    "Folder on each host for the files of state in RocksDB; empty: in that of the worker."};
inline constexpr MemoryOption kRocksDbDecodedMemory{
    "state.backend.rocksdb.memory.decoded-size", 256 << 20, 64 << 10, int64_t{1} << 50,
    "Memory of a worker for values of state in RocksDB as the job uses them."};
inline constexpr MemoryOption kRocksDbMemory{
    "state.backend.rocksdb.memory.size", 256 << 20, 1 << 20, int64_t{1} << 50,
    "Memory of a worker for what RocksDB reads from files and has not written to them yet."};
inline constexpr BoolOption kLocalRecovery{
    "state.local-recovery", false,
    "Task managers keep copies of the state files that their tasks write, and restarts there read "
    "them."};
inline constexpr StringOption kLocalRecoveryDirectory{
    "state.local-recovery.dir", "", "",
    "Folder of a task manager for such copies; empty: in its data folder."};
inline constexpr MemoryOption kLocalRecoverySize{
    "state.local-recovery.max-size", int64_t{16} << 30, 1 << 20, int64_t{1} << 50,
    "How large the copies of one job on one task manager may be; what goes beyond is not copied."};
inline constexpr MemoryOption kRestoreChunkSize{
    "state.restore.chunk-size", 256 << 10, 0, int64_t{1} << 40,
    "A restored job runs before it has read all its state in memory: how much of it a task reads "
    "at "
    "a time, besides what records need. More is sooner done, less lets records wait less; 0: what "
    "they do not need is read for the next checkpoint."};
inline constexpr DurationOption kDefineTimeout{
    "client.define-timeout", absl::Seconds(30), absl::Milliseconds(100), absl::Hours(1),
    "How long a job's definition may run when its graph is made."};

inline constexpr StringOption kTmpDirs{"io.tmp.dirs", "/tmp", "",
                                       "Folders for temporary files, separated by commas."};
inline constexpr StringOption kDataDir{
    "weir.data.dir", "", "",
    "Folder for uploaded jobs and other files of this process; empty: one of its own below "
    "io.tmp.dirs."};
inline constexpr StringOption kLogLevel{"log.level", "info", "debug,info,warning,error",
                                        "What is logged: this and what is worse."};
inline constexpr StringOption kLogFormat{"log.format", "text", "text,json",
                                         "How a log line looks."};
inline constexpr StringOption kLogFile{
    "log.file", "", "", "File that log lines are appended to; empty: standard error."};

}  // namespace options
}  // namespace weir

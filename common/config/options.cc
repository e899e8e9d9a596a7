#include "common/config/options.h"

namespace weir {

const std::vector<AnyOption>& KnownOptions() {
  static const std::vector<AnyOption> kAll = {
      &options::kDefineTimeout,
      &options::kBufferTimeout,
      &options::kCheckpointRetention,
      &options::kCheckpointInterval,
      &options::kMaxConcurrentCheckpoints,
      &options::kCheckpointMinPause,
      &options::kRetainedCheckpoints,
      &options::kCheckpointTimeout,
      &options::kTolerableFailedCheckpoints,
      &options::kHeartbeatInterval,
      &options::kHeartbeatTimeout,
      &options::kTmpDirs,
      &options::kJobManagerBindHost,
      &options::kJobManagerAddress,
      &options::kJobManagerPort,
      &options::kLogFile,
      &options::kLogFormat,
      &options::kLogLevel,
      &options::kDefaultParallelism,
      &options::kWatermarkInterval,
      &options::kMaxParallelism,
      &options::kRestAddress,
      &options::kRestBindAddress,
      &options::kRestPort,
      &options::kSlotRequestTimeout,
      &options::kTaskManagerBindHost,
      &options::kTaskManagerHost,
      &options::kWorkerMemory,
      &options::kBatchRecords,
      &options::kBatchesPerLocalChannel,
      &options::kCreditsPerChannel,
      &options::kBytesPerLocalChannel,
      &options::kTaskSlots,
      &options::kTaskManagerResourceId,
      &options::kTaskManagerPort,
      &options::kWorkerOutput,
      &options::kWorkerOrphanTimeout,
      &options::kDataDir,
  };
  return kAll;
}

}  // namespace weir

#include "taskmanager/worker/runtime_settings.h"

#include "common/base/status_macros.h"

namespace weir {

RuntimeOptions RuntimeOptionsFromSettings(const Settings& settings) {
  RuntimeOptions runtime;
  runtime.flush_interval = settings.Get(options::kBufferTimeout);
  runtime.watermark_interval = settings.Get(options::kWatermarkInterval);
  runtime.batch_records = static_cast<uint32_t>(settings.Get(options::kBatchRecords));
  runtime.batches_per_local_channel =
      static_cast<uint32_t>(settings.Get(options::kBatchesPerLocalChannel));
  runtime.bytes_per_local_channel =
      static_cast<size_t>(settings.Get(options::kBytesPerLocalChannel));
  return runtime;
}

absl::StatusOr<Settings> SettingsOfJob(const std::map<std::string, std::string>& settings) {
  Settings job;
  for (const auto& [key, value] : settings) WEIR_RETURN_IF_ERROR(job.Set(key, value));
  return job;
}

}  // namespace weir

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "common/env/file_system.h"
#include "state/backend/state_backend.h"

namespace weir::sim {

// Stores of a simulated worker: sorted maps behind caches that are always full. A checkpoint has
// immutable files, each with what had changed since the one before it, and one that names them in
// their order; now and then all is written anew, as a compaction does. Thread safe where a
// StateBackend is.
class SimStateBackend final : public StateBackend {
 public:
  // `files` outlives it. Its own are in `folder`.
  SimStateBackend(FileSystem& files, std::string folder)
      : files_(files), folder_(std::move(folder)) {}

  absl::StatusOr<std::unique_ptr<OperatorStore>> Open(uint32_t node, uint32_t subtask,
                                                      const StoredParts* parts) override;
  absl::StatusOr<std::shared_ptr<StoredState>> Read(const StoredFiles& files) override;

 private:
  FileSystem& files_;
  const std::string folder_;
  // Each store has a folder of its own, though one of the same subtask was there before.
  std::atomic<uint64_t> opened_{0};
};

}  // namespace weir::sim

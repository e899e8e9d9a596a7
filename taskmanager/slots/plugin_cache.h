#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/env/env.h"

namespace weir {

// The plugins of one task manager, as files named by their sha256: fetched from the job manager
// once, checked, renamed into place, never overwritten. Two that want the same plugin wait for one
// fetch; kConcurrentFetches run at a time, the others queue. At most kMaxFiles are kept; the one
// fetched longest ago goes first (a worker that has loaded it keeps its mapping).
//
// Get may be called from any thread. It has an executor of its own, on which the files are written:
// the stream is read as fast as the disk takes it.
class PluginCache {
 public:
  static constexpr size_t kConcurrentFetches = 2;
  static constexpr size_t kMaxFiles = 64;
  static constexpr absl::Duration kStallTimeout = absl::Seconds(30);

  using Done = absl::AnyInvocable<void(absl::StatusOr<std::string> path)>;

  // `directory` is made if missing.
  static std::unique_ptr<PluginCache> Make(Env& env, std::string directory);
  virtual ~PluginCache() = default;

  // `done` gets the path of the file, on `executor`. kDataLoss: what came was not what `sha256`
  // names. The job manager's refusals and kUnavailable are passed on. `sha256` is checked by the
  // caller (IsSha256Hex).
  virtual void Get(const std::string& sha256, uint64_t bytes,
                   const std::string& job_manager_address, Executor* executor, Done done) = 0;
};

}  // namespace weir

#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/lifetime.h"
#include "common/env/env.h"
#include "jobmanager/dispatch/blob_store.h"

namespace weir::jobmanager {

// The stream /weir.JobManager/FetchPlugin: sends a blob in chunks of 1 MiB, a few at a time, so
// that a slow task manager holds neither memory nor the others. One that takes nothing for
// `stall_timeout` is cut off.
//
// Owned by the IO executor, on which the streams' callbacks run too.
class PluginServer {
 public:
  PluginServer(Env& env, Executor& io, BlobStore& blobs,
               absl::Duration stall_timeout = absl::Seconds(30));
  ~PluginServer();

  // A ServerMethods::StreamHandler.
  absl::StatusOr<StreamCallbacks> Open(std::shared_ptr<MessageStream> stream);

 private:
  struct Transfer;

  absl::Status Begin(Transfer& transfer, const std::string& request);
  // Sends what the network takes now, and comes back for the rest.
  void Pump(uint64_t id);
  void End(uint64_t id);

  Env& env_;
  Executor& io_;
  BlobStore& blobs_;
  const absl::Duration stall_timeout_;
  std::map<uint64_t, std::unique_ptr<Transfer>> transfers_;
  uint64_t last_transfer_ = 0;
  Lifetime lifetime_;
};

}  // namespace weir::jobmanager

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/env/env.h"
#include "jobmanager/dispatch/snapshot.h"

namespace weir::jobmanager {

struct RestOptions {
  std::string bind_host = "127.0.0.1";
  // 0 takes a free one.
  uint16_t port = 8081;
  // Otherwise only this machine can be let in: nothing is encrypted here.
  bool allow_insecure_non_loopback = false;
  // The host label of the job manager's own metrics.
  std::string host_label = "localhost";
};

// HTTP for people, Prometheus and Flink's tools: /metrics, /overview, /jobs/overview (also below
// /v1). Reads snapshots only, on threads of its own: whatever a client does, the job manager goes
// on. A request is answered within the time that formatting a snapshot takes; bodies, headers and
// waiting are bounded.
//
// Start and destruction on one thread; the destructor waits for requests that are being answered.
class RestServer {
 public:
  // Null until there is one; called on the server's threads.
  using Snapshots = std::function<std::shared_ptr<const ClusterSnapshot>()>;

  // kAlreadyExists, naming the port, if it is in use; kFailedPrecondition for an address that other
  // machines reach.
  static absl::StatusOr<std::unique_ptr<RestServer>> Start(Env& env, RestOptions options,
                                                           Snapshots snapshots);
  virtual ~RestServer() = default;
  // "host:port"
  virtual const std::string& address() const = 0;
};

}  // namespace weir::jobmanager

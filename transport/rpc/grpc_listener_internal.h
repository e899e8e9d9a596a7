#pragma once

#include <grpc/grpc.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/env/network.h"
#include "transport/rpc/completion_queue_internal.h"

namespace weir::rpc {

// Listener on a gRPC server that takes calls of any method and looks it up itself. Destroyed on a
// thread that is none of the queue's.
class GrpcListener : public Listener {
 public:
  // Errors: kInvalidArgument (no address, not of this host, or open to other hosts), kAlreadyExists
  // (in use), kPermissionDenied, kUnavailable. Each names the address and says what to do.
  static absl::StatusOr<std::unique_ptr<Listener>> Make(std::shared_ptr<CompletionQueue> queue,
                                                        const std::string& address,
                                                        ServerMethods methods);
  ~GrpcListener() override;
  const std::string& address() const override { return address_; }

 private:
  class Server;
  GrpcListener(std::shared_ptr<Server> server, std::string address);

  const std::shared_ptr<Server> server_;
  const std::string address_;
};

}  // namespace weir::rpc

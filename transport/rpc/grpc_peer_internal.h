#pragma once

#include <grpc/grpc.h>

#include <memory>
#include <string>

#include "common/env/network.h"
#include "transport/rpc/completion_queue_internal.h"

namespace weir::rpc {

// RemotePeer over one gRPC channel, that is one connection. Thread safe.
class GrpcPeer : public RemotePeer {
 public:
  GrpcPeer(std::shared_ptr<CompletionQueue> queue, std::string address);
  ~GrpcPeer() override;

  void Call(std::string method, std::string request, absl::Duration timeout, Executor* executor,
            Responder done) override;
  std::shared_ptr<MessageStream> OpenStream(std::string method, Executor* executor,
                                            StreamCallbacks callbacks) override;

 private:
  struct Channel;
  const std::shared_ptr<CompletionQueue> queue_;
  const std::string address_;
  // Shared with the calls, which may outlive the peer.
  const std::shared_ptr<Channel> channel_;
};

}  // namespace weir::rpc

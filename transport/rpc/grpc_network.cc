#include "transport/rpc/grpc_network.h"

#include <utility>

#include "transport/rpc/completion_queue_internal.h"
#include "transport/rpc/grpc_listener_internal.h"
#include "transport/rpc/grpc_peer_internal.h"

namespace weir {
namespace {

class GrpcNetwork : public Network {
 public:
  explicit GrpcNetwork(const GrpcNetworkOptions& options)
      : queue_(std::make_shared<rpc::CompletionQueue>(options)) {}
  ~GrpcNetwork() override { queue_->Shutdown(); }

  absl::StatusOr<std::unique_ptr<Listener>> Listen(const std::string& address,
                                                   ServerMethods methods) override {
    return rpc::GrpcListener::Make(queue_, address, std::move(methods));
  }
  std::shared_ptr<RemotePeer> Connect(const std::string& address) override {
    return std::make_shared<rpc::GrpcPeer>(queue_, address);
  }

 private:
  const std::shared_ptr<rpc::CompletionQueue> queue_;
};

}  // namespace

std::unique_ptr<Network> MakeGrpcNetwork(GrpcNetworkOptions options) {
  return std::make_unique<GrpcNetwork>(options);
}

}  // namespace weir

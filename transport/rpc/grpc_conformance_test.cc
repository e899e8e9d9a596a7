#include <memory>

#include "common/env/network_conformance.h"
#include "common/env/system/system_env.h"
#include "transport/rpc/grpc_network.h"

namespace weir {
namespace {

class GrpcHarness final : public ThreadedNetworkHarness {
 public:
  Env& server() override { return *server_; }
  Env& client() override { return *client_; }
  std::string listen_address() override { return "localhost:0"; }
  // Port 1 is reserved and needs a privilege to be taken.
  std::string unused_address() override { return "localhost:1"; }

 private:
  std::unique_ptr<Network> server_network_ = MakeGrpcNetwork({});
  std::unique_ptr<Network> client_network_ = MakeGrpcNetwork({});
  std::unique_ptr<Env> server_ = MakeSystemEnv({.network = server_network_.get()});
  std::unique_ptr<Env> client_ = MakeSystemEnv({.network = client_network_.get()});
};

INSTANTIATE_TEST_SUITE_P(Grpc, NetworkConformanceTest,
                         testing::Values([] { return std::make_unique<GrpcHarness>(); }));

}  // namespace
}  // namespace weir

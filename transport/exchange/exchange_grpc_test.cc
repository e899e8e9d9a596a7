#include "common/env/system/system_env.h"
#include "transport/exchange/exchange_conformance.h"
#include "transport/rpc/grpc_network.h"

namespace weir {
namespace {

class GrpcExchangeHarness final : public ThreadedNetworkHarness {
 public:
  Env& server() override { return *server_; }
  Env& client() override { return *client_; }
  std::string listen_address() override { return "localhost:0"; }
  std::string unused_address() override { return "localhost:1"; }

 private:
  std::unique_ptr<Network> server_network_ = MakeGrpcNetwork({});
  std::unique_ptr<Network> client_network_ = MakeGrpcNetwork({});
  std::unique_ptr<Env> server_ = MakeSystemEnv({.network = server_network_.get()});
  std::unique_ptr<Env> client_ = MakeSystemEnv({.network = client_network_.get()});
};

INSTANTIATE_TEST_SUITE_P(Grpc, ExchangeConformanceTest,
                         testing::Values([] { return std::make_unique<GrpcExchangeHarness>(); }));

}  // namespace
}  // namespace weir

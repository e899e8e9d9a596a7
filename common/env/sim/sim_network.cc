#include <charconv>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/env/sim/sim_network_internal.h"

namespace weir {
namespace {

class SimStream final : public MessageStream {
 public:
  SimStream(std::shared_ptr<SimConnection> connection, int side)
      : connection_(std::move(connection)), side_(side) {}

  void Send(MessageBytes message) override { connection_->Send(side_, std::move(message)); }
  size_t queued_bytes() const override { return connection_->queued_bytes(side_); }
  void Finish() override { connection_->Finish(side_); }
  void Cancel(absl::Status why) override { connection_->Cancel(side_, std::move(why)); }

 private:
  const std::shared_ptr<SimConnection> connection_;
  const int side_;
};

class SimPeer final : public RemotePeer {
 public:
  SimPeer(SimFabric& fabric, SimEnv& env, const std::string& address)
      : fabric_(fabric), env_(env), address_(SimAddress::Parse(address, env.host())) {}

  void Call(std::string method, std::string request, absl::Duration timeout, Executor* executor,
            Responder done) override {
    if (!env_.alive()) return;
    std::make_shared<SimCall>(fabric_, env_, executor, std::move(done))
        ->Begin(address_, method, std::move(request), timeout);
  }

  std::shared_ptr<MessageStream> OpenStream(std::string method, Executor* executor,
                                            StreamCallbacks callbacks) override {
    auto connection =
        std::make_shared<SimConnection>(fabric_, env_, executor, std::move(callbacks));
    if (env_.alive()) connection->Open(address_, method);
    return std::make_shared<SimStream>(std::move(connection), 0);
  }

 private:
  SimFabric& fabric_;
  SimEnv& env_;
  const absl::StatusOr<SimAddress> address_;
};

// The network of one process: the fabric, seen from there.
class SimNetwork final : public Network {
 public:
  SimNetwork(SimFabric& fabric, SimEnv& env) : fabric_(fabric), env_(env) {}

  absl::StatusOr<std::unique_ptr<Listener>> Listen(const std::string& address,
                                                   ServerMethods methods) override {
    if (!env_.alive()) return absl::UnavailableError("the process is dead");
    WEIR_ASSIGN_OR_RETURN(SimAddress bound, SimAddress::Parse(address, env_.host()));
    if (bound.host != env_.host()) {
      return absl::InvalidArgumentError(StrCat("listening on ", address, ": this host is not '",
                                               bound.host, "' but '", env_.host(), "'"));
    }
    // Bound before it exists, to know the port; nothing is delivered in between.
    WEIR_ASSIGN_OR_RETURN(bound.port, fabric_.Bind(bound.host, bound.port, nullptr));
    fabric_.Unbind(bound.host, bound.port);
    return std::make_unique<SimListener>(fabric_, env_, std::move(bound), std::move(methods));
  }

  std::shared_ptr<RemotePeer> Connect(const std::string& address) override {
    return std::make_shared<SimPeer>(fabric_, env_, address);
  }

 private:
  SimFabric& fabric_;
  SimEnv& env_;
};

}  // namespace

std::unique_ptr<Network> SimFabric::NewNetwork(SimEnv& env) {
  return std::make_unique<SimNetwork>(*this, env);
}

// The server's handle of a stream, for its handler.
std::shared_ptr<MessageStream> MakeSimStream(std::shared_ptr<SimConnection> connection, int side) {
  return std::make_shared<SimStream>(std::move(connection), side);
}

absl::StatusOr<SimAddress> SimAddress::Parse(const std::string& text, const std::string& own_host) {
  const size_t colon = text.rfind(':');
  uint16_t port = 0;
  if (colon != std::string::npos) {
    const char* const end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data() + colon + 1, end, port);
    if (parsed.ec == std::errc() && parsed.ptr == end) {
      std::string host = text.substr(0, colon);
      if (host == "localhost" || host == "127.0.0.1" || host == "0.0.0.0") host = own_host;
      if (!host.empty()) return SimAddress{std::move(host), port};
    }
  }
  return absl::InvalidArgumentError(StrCat("'", text, "' is not an address of the form host:port"));
}

std::string SimAddress::ToString() const { return StrCat(host, ":", port); }

SimTarget::SimTarget(SimEnv& env, Executor* executor) : env_(&env) {
  if (executor == nullptr) {
    core_ = env.NewExecutorCore("network");
    return;
  }
  const auto* own = dynamic_cast<SimExecutor*>(executor);
  WEIR_CHECK(own != nullptr);  // Simulated processes use the executors of their Env.
  core_ = own->core();
}

void SimTarget::Post(Closure closure) const {
  if (env_ == nullptr || !env_->alive()) return;
  if (core_->destroyed) {
    internal::CheckFailed(__FILE__, __LINE__,
                          StrCat("a callback of the network is due on executor '", core_->name(),
                                 "' of process '", env_->name(),
                                 "', which was destroyed while the process lives: an executor must "
                                 "outlive its calls, streams and listeners"));
  }
  core_->Post(std::move(closure));
}

SimListener::SimListener(SimFabric& fabric, SimEnv& env, SimAddress address, ServerMethods methods)
    : fabric_(fabric),
      env_(env),
      id_(fabric.NextId()),
      address_(std::move(address)),
      text_(address_.ToString()),
      methods_(std::move(methods)) {
  WEIR_CHECK(fabric_.Bind(address_.host, address_.port, this).ok());
}

SimListener::~SimListener() { Stop(); }

void SimListener::Stop() {
  if (std::exchange(stopped_, true)) return;
  fabric_.Unbind(address_.host, address_.port);
  const std::string why = StrCat("the server at ", text_, " stopped");
  const auto connections = fabric_.connections;
  for (const auto& [id, connection] : connections) {
    if (connection->listener_id() == id_) connection->Abandon(1, why);
  }
  const auto calls = fabric_.calls;
  for (const auto& [id, call] : calls) {
    if (call->listener_id() != id_) continue;
    if (fabric_.IsCut(address_.host, call->client().host())) {
      call->Lose(why);
    } else {
      call->CompleteAfter(fabric_.DrawDelay(address_.host, call->client().host()),
                          absl::UnavailableError(why));
    }
  }
}

}  // namespace weir

#include "common/env/sim/sim_fabric.h"

#include <vector>

#include "common/base/check.h"
#include "common/base/strings.h"
#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_network_internal.h"
#include "common/env/sim/sim_world.h"

namespace weir {
namespace {

// What a copy of the table says, because what is called may change it.
template <class T>
std::vector<std::shared_ptr<T>> Snapshot(const std::map<uint64_t, std::shared_ptr<T>>& table) {
  std::vector<std::shared_ptr<T>> all;
  all.reserve(table.size());
  for (const auto& [id, entry] : table) all.push_back(entry);
  return all;
}

}  // namespace

SimFabric::SimFabric(SimWorld& world) : world_(world) {}

SimFabric::~SimFabric() = default;

void SimFabric::Cut(const std::string& from_host, const std::string& to_host) {
  cut_.insert({from_host, to_host});
  const auto is_cut = [&](const std::string& a, const std::string& b) {
    return (a == from_host && b == to_host) || (b == from_host && a == to_host);
  };
  for (const auto& connection : Snapshot(connections)) {
    if (is_cut(connection->host(0), connection->host(1))) connection->Break("the link was cut");
  }
  for (const auto& call : Snapshot(calls)) {
    if (is_cut(call->client().host(), call->server_host())) call->Lose("the link was cut");
  }
}

void SimFabric::Heal(const std::string& host, const std::string& other_host) {
  cut_.erase({host, other_host});
  cut_.erase({other_host, host});
}

void SimFabric::SetDelay(const std::string& host, const std::string& other_host, absl::Duration min,
                         absl::Duration max) {
  delays_[{host, other_host}] = {min, max};
  delays_[{other_host, host}] = {min, max};
}

void SimFabric::ProcessDied(SimEnv& env) {
  std::vector<SimListener*> stopping;
  for (const auto& [address, listener] : listeners_) {
    if (&listener->env() == &env) stopping.push_back(listener);
  }
  for (SimListener* listener : stopping) listener->Stop();
  for (const auto& connection : Snapshot(connections)) {
    for (const int side : {0, 1}) {
      if (connection->env(side) == &env) connection->Abandon(side, "the peer's process ended");
    }
  }
  for (const auto& call : Snapshot(calls)) {
    if (&call->client() == &env) call->Abandon();
  }
}

int64_t SimFabric::DrawDelay(const std::string& from_host, const std::string& to_host) {
  const SimOptions& options = world_.options();
  absl::Duration min = options.min_link_delay;
  absl::Duration max = options.max_link_delay;
  if (const auto own = delays_.find({from_host, to_host}); own != delays_.end()) {
    min = own->second.first;
    max = own->second.second;
  } else if (from_host == to_host) {
    min = options.min_local_delay;
    max = options.max_local_delay;
  }
  return world_.world_random().Between(absl::ToInt64Nanoseconds(min),
                                       absl::ToInt64Nanoseconds(max));
}

int64_t SimFabric::DrawDetection() {
  return world_.world_random().Between(
      0, absl::ToInt64Nanoseconds(world_.options().max_cut_detection));
}

bool SimFabric::DrawLoss() {
  return world_.world_random().Chance(world_.options().connection_loss);
}

absl::StatusOr<uint16_t> SimFabric::Bind(const std::string& host, uint16_t port,
                                         SimListener* listener) {
  if (port == 0) {
    uint16_t& next = next_port_.at(host);
    // A number is not given twice, so a late message for a dead server finds nobody.
    do {
      WEIR_CHECK_LT(next, 65'535);
      port = next++;
    } while (listeners_.contains({host, port}));
  }
  if (!listeners_.emplace(std::make_pair(host, port), listener).second) {
    return absl::AlreadyExistsError(
        StrCat("listening on ", host, ":", port, ": the port is in use"));
  }
  return port;
}

void SimFabric::Unbind(const std::string& host, uint16_t port) { listeners_.erase({host, port}); }

SimListener* SimFabric::FindListener(const std::string& host, uint16_t port) const {
  const auto found = listeners_.find({host, port});
  return found == listeners_.end() ? nullptr : found->second;
}

}  // namespace weir

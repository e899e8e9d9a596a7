#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/env/network.h"

namespace weir {

class SimCall;
class SimConnection;
class SimEnv;
class SimListener;
class SimWorld;

// The network between simulated hosts: who listens where, which links are cut, and what is on its
// way. Owned by the SimWorld; one thread.
class SimFabric {
 public:
  explicit SimFabric(SimWorld& world);
  ~SimFabric();

  // The Network of one process.
  std::unique_ptr<Network> NewNetwork(SimEnv& env);

  void AddHost(const std::string& host) { next_port_.emplace(host, 40'000); }
  bool HasHost(const std::string& host) const { return next_port_.contains(host); }
  void Cut(const std::string& from_host, const std::string& to_host);
  void Heal(const std::string& host, const std::string& other_host);
  void HealAll() { cut_.clear(); }
  void SetDelay(const std::string& host, const std::string& other_host, absl::Duration min,
                absl::Duration max);
  // Its listeners vanish, its callbacks are destroyed, and its peers learn that the connection is
  // lost.
  void ProcessDied(SimEnv& env);

  // For the parts of the network.
  SimWorld& world() { return world_; }
  bool IsCut(const std::string& from_host, const std::string& to_host) const {
    return cut_.contains({from_host, to_host});
  }
  // Draws how long a message takes, in nanoseconds.
  int64_t DrawDelay(const std::string& from_host, const std::string& to_host);
  // Draws after how long a lost connection is noticed where no answer comes, in nanoseconds.
  int64_t DrawDetection();
  // Draws whether a message breaks its connection.
  bool DrawLoss();
  uint64_t NextId() { return ++last_id_; }
  absl::StatusOr<uint16_t> Bind(const std::string& host, uint16_t port, SimListener* listener);
  void Unbind(const std::string& host, uint16_t port);
  SimListener* FindListener(const std::string& host, uint16_t port) const;
  // Calls and connections that are not over.
  std::map<uint64_t, std::shared_ptr<SimCall>> calls;
  std::map<uint64_t, std::shared_ptr<SimConnection>> connections;

 private:
  using Link = std::pair<std::string, std::string>;

  SimWorld& world_;
  uint64_t last_id_ = 0;
  std::set<Link> cut_;
  std::map<Link, std::pair<absl::Duration, absl::Duration>> delays_;
  std::map<std::string, uint16_t> next_port_;
  std::map<std::pair<std::string, uint16_t>, SimListener*> listeners_;
};

}  // namespace weir

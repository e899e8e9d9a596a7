#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/env/env.h"
#include "common/env/sim/sim_random.h"
#include "common/env/sim/sim_world.h"

namespace weir {

// The queue of a simulated executor. Shared by the SimExecutor, the events of the world and the
// network.
class SimExecutorCore : public std::enable_shared_from_this<SimExecutorCore> {
 public:
  SimExecutorCore(SimEnv& env, std::string_view name);

  void Post(Closure closure);
  Executor::TimerId PostAfter(absl::Duration delay, Closure closure);
  bool Cancel(Executor::TimerId id);
  bool IsCurrent() const;
  // Drops everything, now and from now on.
  void Stop();

  // The SimExecutor itself is gone: whoever posts by a pointer to it would touch freed memory in a
  // real process.
  bool destroyed = false;
  const std::string& name() const { return name_; }

 private:
  bool RunOne();
  bool RunTimer(Executor::TimerId id);
  void Run(Closure closure);
  void ScheduleTurn();

  SimEnv& env_;
  const std::string name_;
  const uint64_t label_;
  bool stopped_ = false;
  bool turn_scheduled_ = false;
  int64_t busy_until_nanos_ = 0;
  std::deque<Closure> queue_;
  std::map<Executor::TimerId, Closure> timers_;
  Executor::TimerId last_timer_id_ = 0;
};

// An executor of a simulated process. What is posted runs in order, each closure at the virtual
// time at which it was posted or when the one before it is done (SimOptions::closure_time); timers
// run at exactly their time.
class SimExecutor final : public Executor {
 public:
  explicit SimExecutor(std::shared_ptr<SimExecutorCore> core) : core_(std::move(core)) {}
  ~SimExecutor() override;

  void Post(Closure closure) override { core_->Post(std::move(closure)); }
  TimerId PostAfter(absl::Duration delay, Closure closure) override {
    return core_->PostAfter(delay, std::move(closure));
  }
  bool Cancel(TimerId id) override { return core_->Cancel(id); }
  bool IsCurrent() const override { return core_->IsCurrent(); }
  void Shutdown() override { core_->Stop(); }

  const std::shared_ptr<SimExecutorCore>& core() const { return core_; }

 private:
  const std::shared_ptr<SimExecutorCore> core_;
};

// Virtual time, as one process sees it.
class SimClock final : public Clock {
 public:
  explicit SimClock(SimWorld& world) : world_(world) {}
  absl::Time Now() const override { return world_.options().start + world_.elapsed() + offset_; }
  int64_t MonotonicNanos() const override { return world_.now_nanos() + 1'000'000'000; }
  int64_t ThreadCpuNanos() const override { return 0; }
  // By how much this process's wall clock is wrong.
  void set_offset(absl::Duration offset) { offset_ = offset; }

 private:
  SimWorld& world_;
  absl::Duration offset_;
};

// The Env of a simulated process; see SimWorld. Once the process is dead, executors drop what they
// are given, files fail with kUnavailable, and the network says nothing.
class SimEnv final : public Env {
 public:
  SimEnv(SimWorld& world, std::string name, std::string host, uint64_t incarnation, uint64_t seed,
         SimDisk& disk);
  ~SimEnv() override;

  SimClock& clock() override { return clock_; }
  Random& random() override { return random_; }
  FileSystem& files() override { return *files_; }
  Network& network() override { return *network_; }
  std::unique_ptr<Executor> NewExecutor(std::string_view name) override;
  void RunBlocking(Closure work) override;

  const std::string& name() const { return name_; }
  // Where it runs: the name that others reach it by.
  const std::string& host() const { return host_; }
  bool alive() const { return alive_; }
  SimWorld& world() { return world_; }

  // For the parts of the simulator.
  std::shared_ptr<SimExecutorCore> NewExecutorCore(std::string_view name);
  void Die();
  uint64_t name_hash() const { return name_hash_; }
  bool paused = false;

 private:
  SimWorld& world_;
  const std::string name_;
  const std::string host_;
  const uint64_t name_hash_;
  bool alive_ = true;
  SimClock clock_;
  SimRandom random_;
  std::vector<std::weak_ptr<SimExecutorCore>> executors_;
  std::map<uint64_t, Closure> blocking_;
  uint64_t last_blocking_id_ = 0;
  std::unique_ptr<FileSystem> files_;
  std::unique_ptr<Network> network_;
};

}  // namespace weir

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "common/env/sim/sim_disk.h"
#include "common/env/sim/sim_random.h"

namespace weir {

class SimEnv;
class SimExecutorCore;
class SimFabric;

struct SimOptions {
  // All that is random follows from it.
  uint64_t seed = 1;
  // What the wall clock shows at the beginning.
  absl::Time start = absl::FromUnixSeconds(1'767'225'600);  // 2026-01-01T00:00:00Z
  // How long a message travels between two hosts, and between two processes of one host.
  absl::Duration min_link_delay = absl::Microseconds(50);
  absl::Duration max_link_delay = absl::Microseconds(500);
  absl::Duration min_local_delay = absl::Microseconds(5);
  absl::Duration max_local_delay = absl::Microseconds(50);
  // After how long at most the ends of a connection notice that it has been cut.
  absl::Duration max_cut_detection = absl::Seconds(1);
  // How likely a message breaks its connection instead of arriving.
  double connection_loss = 0;
  // How long work given to RunBlocking takes.
  absl::Duration min_blocking_time = absl::Microseconds(10);
  absl::Duration max_blocking_time = absl::Microseconds(200);
  // How long one closure keeps its executor busy, on average. Must be positive: work that posts
  // itself again for ever would stop time otherwise.
  absl::Duration closure_time = absl::Microseconds(1);
  // Mixes the bytes of messages into the event hash, not their sizes only.
  bool hash_message_bytes = false;
};

// A simulated cluster: virtual time, one queue of events, hosts with disks, processes on them, and
// the network between them. Everything runs on the thread that calls Step, RunFor or RunUntil, in
// an order drawn from the seed: the same seed and the same program give the same events and the
// same hash().
//
// A process is a SimEnv. What runs in it (a job manager, a task manager) is made and owned by the
// test, with that SimEnv as its Env. KillProcess stops it as `kill -9` does: nothing of it runs any
// more, its files stay; the test then destroys its objects at leisure, and what they still call
// does nothing.
//
// Not thread safe; outlives everything made in it.
class SimWorld {
 public:
  enum class EventKind : uint8_t {
    kClosure = 1,
    kTimer = 2,
    kBlocking = 3,
    kNetwork = 4,
    kTest = 5
  };
  // Returns false if there was nothing to do any more (a timer that was cancelled): such events are
  // not counted.
  using EventAction = absl::AnyInvocable<bool()>;

  explicit SimWorld(SimOptions options = {});
  ~SimWorld();
  SimWorld(const SimWorld&) = delete;
  SimWorld& operator=(const SimWorld&) = delete;

  // Starts a process on `host` (by default a host of its own, with the process's name). No live
  // process may have the name; one that is dead may, and then this is its restart, on the same
  // disk. The world owns the result.
  SimEnv& StartProcess(const std::string& name, const std::string& host = "");
  void KillProcess(SimEnv& process);
  // Kills every process of the host and loses what its disk had not synced.
  void CrashHost(const std::string& host, SimDisk::Loss loss);
  // A paused process (SIGSTOP) runs nothing; its timers and messages wait. The network does not
  // notice.
  void PauseProcess(SimEnv& process);
  void ResumeProcess(SimEnv& process);

  // A cut link carries nothing from one host to the other. Connections over it break, which their
  // ends notice within max_cut_detection; calls end with kUnavailable or run into their deadline.
  void CutOneWay(const std::string& from_host, const std::string& to_host);
  void CutLink(const std::string& host, const std::string& other_host);
  void HealLink(const std::string& host, const std::string& other_host);
  void HealAllLinks();
  // Replaces the delays of SimOptions between two hosts, in both directions.
  void SetLinkDelay(const std::string& host, const std::string& other_host, absl::Duration min,
                    absl::Duration max);
  void SetConnectionLoss(double probability) { options_.connection_loss = probability; }

  // Runs the next event; false if there is none.
  bool Step();
  // Runs events until `predicate` holds, which is looked at after each of them. False: `limit` of
  // virtual time passed, or nothing is left to run.
  bool RunUntil(const std::function<bool()>& predicate, absl::Duration limit);
  // Runs all events of the next `duration`, and moves time to its end.
  void RunFor(absl::Duration duration);
  // Runs `action` as an event after `delay`: for what a test does to the cluster at a certain time.
  void At(absl::Duration delay, std::function<void()> action);

  // Differs if any event differs: its time, its process or its kind and label.
  uint64_t hash() const { return hash_; }
  uint64_t executed_events() const { return executed_events_; }
  absl::Duration elapsed() const { return absl::Nanoseconds(now_nanos_); }
  // For choices of the test; apart from what the simulation draws.
  SimRandom& random() { return test_random_; }
  SimDisk& disk(const std::string& host);
  // Every host sees the same files below `path` ("/shared"), which lie on a disk of their own that
  // no crash of a host touches. Returns it. Before any process uses the path.
  SimDisk& ShareFolder(const std::string& path);
  // The disk that is shared at or above a normalized path; null: it is the host's own.
  SimDisk* SharedDiskOf(const std::string& path);
  const SimOptions& options() const { return options_; }

  // For the parts of the simulator.
  int64_t now_nanos() const { return now_nanos_; }
  SimRandom& world_random() { return world_random_; }
  SimFabric& fabric() { return *fabric_; }
  // Runs `action` at `at_nanos`, in random order among the events of that time. `process` null: it
  // belongs to none.
  void Schedule(SimEnv* process, int64_t at_nanos, EventKind kind, uint64_t label,
                EventAction action);
  void CheckThread() const;
  SimExecutorCore* current_executor = nullptr;

 private:
  struct Event {
    int64_t at_nanos;
    uint64_t tie;
    uint64_t sequence;
    SimEnv* process;
    EventKind kind;
    uint64_t label;
    EventAction action;
  };
  // For a heap with the earliest event on top.
  static bool Later(const Event& a, const Event& b);

  void Push(Event event);
  bool RunNext(int64_t not_after_nanos);

  SimOptions options_;
  const std::thread::id thread_id_;
  SimRandom world_random_;
  SimRandom test_random_;
  int64_t now_nanos_ = 0;
  uint64_t hash_;
  uint64_t executed_events_ = 0;
  uint64_t events_at_this_time_ = 0;
  uint64_t last_sequence_ = 0;
  std::vector<Event> events_;
  // Events of paused processes, in the order in which they became due.
  std::vector<Event> deferred_;
  std::map<std::string, std::unique_ptr<SimDisk>> disks_;
  std::map<std::string, std::unique_ptr<SimDisk>> shared_disks_;
  std::unique_ptr<SimFabric> fabric_;
  std::vector<std::unique_ptr<SimEnv>> processes_;
};

}  // namespace weir

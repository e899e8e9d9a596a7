#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/version.h"
#include "common/env/env.h"
#include "taskmanager/slots/worker_launcher.h"

namespace weir {

struct AgentOptions {
  // What people call it; default of the binary: host:port.
  std::string name;
  std::string listen_address = "127.0.0.1:0";
  // The host by which others reach it and its workers; empty: the one it listens on.
  std::string host;
  std::string job_manager_address;
  uint32_t slots = 1;
  // Holds plugins/ and jobs/.
  std::string data_directory;
  // state.local-recovery.dir; empty: local/ in the data directory.
  std::string local_copies_directory = {};
  // Compared by the job manager, which refuses another one.
  std::string version{kVersion};
  uint32_t protocol = kControlProtocol;
  // 0: no limit. taskmanager.memory.worker.size.
  uint64_t worker_memory_limit_bytes = 0;
  // taskmanager.worker.orphan-timeout.
  absl::Duration worker_orphan_timeout = absl::Seconds(10);
  // Between asking a worker to end and ending it.
  absl::Duration worker_stop_grace = absl::Seconds(3);
  // One line of its log.
  std::function<void(std::string_view level, std::string_view text)> log;
};

// A task manager but for its workers' insides: offers its slots to the job manager, starts and
// stops workers as that says, and tells it when and why one ended. Registers again, for ever, when
// the job manager is away or a new one; workers run on meanwhile and end by themselves. Remembers
// the highest leader epoch and refuses lower ones.
//
// Owned by `control`; the constructor, Start and Stop may be called from any thread. Destroyed
// where no handler of it can be running: on the simulator's thread, or after control.Shutdown().
class Agent {
 public:
  // OK: it was stopped. kFailedPrecondition: the job manager refuses a task manager of this version
  // (the message says which it wants). Its workers have ended in both cases.
  using OnEnd = std::function<void(absl::Status why)>;

  // Everything passed by reference outlives it. `on_end` runs once, on `control`; it must not
  // destroy the agent.
  static std::unique_ptr<Agent> Make(Env& env, Executor& control, WorkerLauncher& launcher,
                                     AgentOptions options, OnEnd on_end);
  virtual ~Agent() = default;

  // Listens; fails with kAlreadyExists if the port is taken. Registering goes on in the background.
  virtual absl::Status Start() = 0;
  // Ends the workers, then itself.
  virtual void Stop() = 0;
  // Where it listens; valid after Start.
  virtual const std::string& address() const = 0;
};

}  // namespace weir

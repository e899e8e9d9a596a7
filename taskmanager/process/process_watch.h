#pragma once

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "common/env/env.h"

namespace weir {

// Tells a process what comes to it from outside: SIGTERM and SIGINT, and the end of the process
// that holds the other end of a pipe. Waits on a thread of its own, so it also works while every
// other thread is stuck in user code. The callbacks run on that thread.
class ProcessWatch {
 public:
  struct Events {
    std::function<void(int signal)> on_signal;
    // -1: none. Becomes readable or closed when the other process has ended.
    int parent_pipe = -1;
    std::function<void()> on_parent_gone;
  };

  // Early in main, before threads are made: they inherit that these signals are blocked.
  static void BlockSignals();

  static absl::StatusOr<std::unique_ptr<ProcessWatch>> Make(Env& env, Events events);
  // Waits for a callback that is running.
  virtual ~ProcessWatch() = default;
};

}  // namespace weir

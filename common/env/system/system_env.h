#pragma once

#include <cstddef>
#include <memory>

#include "common/env/env.h"

namespace weir {

struct SystemEnvOptions {
  // How this process talks; outlives the Env. May be null in a process that never calls
  // Env::network().
  Network* network = nullptr;
  // Threads of RunBlocking, made when needed and kept.
  size_t max_blocking_threads = 16;
};

// The Env of a real process: the system's clocks, threads, files and random numbers. Made once, in
// main, and destroyed after all executors that it made. Its destructor waits for the blocking work
// that is running and drops what has not begun. Thread safe.
std::unique_ptr<Env> MakeSystemEnv(SystemEnvOptions options = {});

}  // namespace weir

#pragma once

#include <memory>
#include <string_view>

#include "common/env/clock.h"
#include "common/env/executor.h"
#include "common/env/file_system.h"
#include "common/env/network.h"
#include "common/env/random.h"

namespace weir {

// Everything that is not computation. Made in main (SystemEnv) or by the simulator (SimEnv), passed by reference to
// constructors, never global. Outlives all that uses it. Thread safe.
//
// A process has one Env. In the simulator each simulated process has one of its own, so that it can be killed, cut off or
// slowed down alone.
class Env {
 public:
  virtual ~Env() = default;

  virtual Clock& clock() = 0;
  virtual Random& random() = 0;
  virtual FileSystem& files() = 0;
  virtual Network& network() = 0;
  // A new mailbox with a thread of its own (none in the simulator). `name` (at most 15 characters are shown by the
  // system) is the thread's.
  virtual std::unique_ptr<Executor> NewExecutor(std::string_view name) = 0;
  // Runs blocking work on a bounded pool, in no order. The closure owns no state of a task and posts its result to the
  // owner's executor.
  virtual void RunBlocking(Closure work) = 0;
};

}  // namespace weir

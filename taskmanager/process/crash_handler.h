#pragma once

#include "absl/status/status.h"

namespace weir {

// What a worker process does when user code ends it: on SIGSEGV, SIGBUS, SIGFPE, SIGILL and
// SIGABRT, on an exception that nobody catches, on exit() and on _exit() by an operator, it writes
// a report (CrashReport) that names the operator which ran on the thread and the symbolized stack,
// and lets the process end.
//
// The one place with process-wide mutable state, because signal handlers have no other; nothing in
// it allocates or locks when a signal has come. If writing the stack takes longer than
// kPatienceSeconds (a lock held by the thread that crashed), an alarm ends the process; what was
// written by then is kept.
class CrashHandler {
 public:
  static constexpr unsigned kPatienceSeconds = 5;

  // Once, early in main, before threads are made. `program` is argv[0]; `report_fd`, open for
  // writing, is kept.
  static absl::Status Install(const char* program, int report_fd);

  // Gives the calling thread a stack of its own for signals, so that an overflow of its stack is
  // reported too. Idempotent; freed when the thread ends.
  static void ArmThread();

  // Has exit() reported as user code's doing. Called before and after a plugin is loaded: hooks run
  // in reverse order, so that the second comes before destructors of the plugin's statics. The
  // worker itself leaves by _exit.
  static void ArmExitHook();
};

}  // namespace weir

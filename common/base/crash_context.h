#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace weir {

// Which user code the current thread runs. The runtime sets it around calls into operators, sources
// and sinks; the crash handler of a worker and its exit hook read it, in a signal handler too, to
// name the operator that ended the process.
//
// The pointer must stay valid while it is set: the runtime points to the uid in the operator's
// context. Setting it is two plain stores to thread-local memory, so it is done once a batch
// without being seen in a profile.
struct CrashContext {
  // Null: no user code of an operator runs on this thread.
  const char* operator_uid = nullptr;
  std::uint32_t subtask = 0;
};

// The current thread's. Safe to read in a signal handler of this thread: constant-initialized, no
// allocation.
inline CrashContext& ThisThreadCrashContext() {
  static constinit thread_local CrashContext context;
  return context;
}

// What a function of the job was given when it threw, as JSON, if that is known; empty otherwise.
// Whoever catches the exception takes it.
struct FailedInput {
  static constexpr std::size_t kMaxBytes = 1024;  // of each
  std::string key;
  std::string record;
};
inline FailedInput& ThisThreadFailedInput() {
  static thread_local FailedInput input;
  return input;
}

// Sets the context for a scope and puts the former one back (chained operators nest).
class ScopedCrashContext {
 public:
  ScopedCrashContext(const char* operator_uid, std::uint32_t subtask)
      : former_(ThisThreadCrashContext()) {
    ThisThreadCrashContext() = {operator_uid, subtask};
  }
  ~ScopedCrashContext() { ThisThreadCrashContext() = former_; }
  ScopedCrashContext(const ScopedCrashContext&) = delete;
  ScopedCrashContext& operator=(const ScopedCrashContext&) = delete;

 private:
  CrashContext former_;
};

}  // namespace weir

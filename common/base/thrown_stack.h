#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace weir {

// Where the current thread threw an exception last, innermost frame first: when an exception is
// caught, its stack is gone. Recorded by the hook of a worker process (taskmanager/process), for
// threads that run user code of an operator; always empty in processes without the hook.
struct ThrownStack {
  static constexpr int kMaxFrames = 64;
  void* frames[kMaxFrames] = {};
  int count = 0;
};

inline ThrownStack& ThisThreadThrownStack() {
  static constinit thread_local ThrownStack stack;
  return stack;
}

// The frames as "0x" and hex digits, for a process that knows their names; empties the record.
std::vector<std::string> TakeThrownStack();

}  // namespace weir

#pragma once

namespace weir {

// The descriptor at which the child finds the socket to its parent.
inline constexpr int kDefineSocket = 3;
// Each message of the child begins with one of these.
inline constexpr char kDefineResponseMark = 'R';  // A serialized DefineResponse follows.
inline constexpr char kDefineStackMark =
    'S';  // Lines of a stack trace follow; then a signal ends the child.

// The child's whole life: reads a DefineRequest from kDefineSocket to its end, loads the plugin,
// runs define(), writes the response, and returns the exit code. Dies with its parent. What the
// plugin prints goes to standard error.
int RunDefineChild(const char* program);

}  // namespace weir

#pragma once

// Marks a function that must not be called, an overload for what users get wrong: a compiler
// reports the call itself, at the user's own line, with this text. The function has a body (a
// template over a lambda must), which calls NeverRun so that no optimization removes the call
// before it is seen.
#define WEIR_USAGE_ERROR(text) __attribute__((error(text), noinline))

namespace weir::internal {

inline void NeverRun() { asm volatile(""); }

}  // namespace weir::internal

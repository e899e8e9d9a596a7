#pragma once

#include <cstdint>

#include "absl/status/status.h"

namespace weir {

inline constexpr uint64_t kMaxDescriptors = 16384;
// Less does not hold the worker itself.
inline constexpr uint64_t kMinMemoryLimitBytes = 256ull << 20;

// What a worker process gives up before it loads a plugin, for itself and all that it starts: core
// dumps, more than kMaxDescriptors open files, new privileges (set-user-id programs), system calls
// that no job needs and that attacks do (ptrace, mount, bpf, keyctl, module loading, unshare, ...:
// they fail with EPERM), and more than `memory_limit_bytes` of private memory, if that is not 0: an
// allocation beyond it throws std::bad_alloc.
//
// The memory limit is RLIMIT_DATA, not RLIMIT_AS: it counts what is written to, not the address
// space that the allocator and thread stacks reserve. Called before threads are made.
absl::Status ApplyWorkerLimits(uint64_t memory_limit_bytes);

// kInvalidArgument if no worker can live within it.
absl::Status CheckMemoryLimit(uint64_t memory_limit_bytes);

}  // namespace weir

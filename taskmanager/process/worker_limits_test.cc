#include "taskmanager/process/worker_limits.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <new>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

// Each check runs in a child process, which gives its result as its exit code.
#define EXPECT_IN_A_WORKER(memory_limit_bytes, condition)                       \
  EXPECT_EXIT(                                                                  \
      {                                                                         \
        const absl::Status limited = ApplyWorkerLimits(memory_limit_bytes);     \
        if (!limited.ok()) fprintf(stderr, "%s\n", limited.ToString().c_str()); \
        _exit(limited.ok() && (condition) ? 0 : 1);                             \
      },                                                                        \
      ::testing::ExitedWithCode(0), "")

rlimit LimitOf(__rlimit_resource resource) {
  rlimit limit = {};
  getrlimit(resource, &limit);
  return limit;
}

TEST(WorkerLimitsTest, CoreDumpsAreOffAndDescriptorsAreBounded) {
  EXPECT_IN_A_WORKER(0, LimitOf(RLIMIT_CORE).rlim_max == 0);
  EXPECT_IN_A_WORKER(0, LimitOf(RLIMIT_NOFILE).rlim_max <= kMaxDescriptors);
}

TEST(WorkerLimitsTest, NewPrivilegesAreGivenUp) {
  EXPECT_IN_A_WORKER(0, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
}

TEST(WorkerLimitsTest, SystemCallsThatNoJobNeedsAreDenied) {
  EXPECT_IN_A_WORKER(0, unshare(CLONE_NEWUSER) == -1 && errno == EPERM);
  EXPECT_IN_A_WORKER(0, ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == -1 && errno == EPERM);
  EXPECT_IN_A_WORKER(0, mount("none", "/nowhere", "tmpfs", 0, nullptr) == -1 && errno == EPERM);
}

TEST(WorkerLimitsTest, MemoryBeyondTheLimitIsNotGiven) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's shadow memory exceeds any limit";
#endif
  const auto allocate = [](size_t bytes) {
    const std::unique_ptr<char[]> memory(new (std::nothrow) char[bytes]);
    if (memory != nullptr) std::memset(memory.get(), 1, bytes);
    return memory != nullptr;
  };
  EXPECT_IN_A_WORKER(kMinMemoryLimitBytes, allocate(kMinMemoryLimitBytes / 2));
  EXPECT_IN_A_WORKER(kMinMemoryLimitBytes, !allocate(kMinMemoryLimitBytes));
}

TEST(WorkerLimitsTest, ALimitThatHoldsNoWorkerIsRefused) {
  const absl::Status refused = ApplyWorkerLimits(1 << 20);
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()),
              ::testing::AllOf(::testing::HasSubstr("taskmanager.memory.worker.size"),
                               ::testing::HasSubstr("256 MiB")));
}

}  // namespace
}  // namespace weir

// Does what a plugin should not, in the operator "trouble", when it sees the 100th number.
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include <weir/sdk.h>

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

// An address that nothing is mapped at, and that a sanitizer does not know to be wrong before it is
// read.
const volatile int* Nowhere() {
  volatile std::uintptr_t address = 16;
  return reinterpret_cast<const volatile int*>(address);
}

// In the global namespace and not inlined, so that their names are seen in a stack.
__attribute__((noinline)) int ReadThrough(const volatile int* pointer) { return *pointer + 1; }
__attribute__((noinline)) int RecurseForEver(int depth) {
  volatile char frame[1024];
  frame[0] = static_cast<char>(depth);
  return depth < 0 ? 0 : RecurseForEver(depth + 1) + frame[0];
}
__attribute__((noinline)) void ThrowTooMuch() {
  throw std::runtime_error("this number is too much");
}
__attribute__((noinline)) void CallExit() { exit(3); }
__attribute__((noinline)) void ThrowUncaught() { throw std::logic_error("nobody catches this"); }
__attribute__((noinline)) void UseAllMemory() {
  std::vector<char*> blocks;
  for (;;) {
    blocks.push_back(new char[16 << 20]);
    std::memset(blocks.back(), 1, 16 << 20);
  }
}

namespace {

void Misbehave(const std::string& how) {
  if (how == "segfault") ReadThrough(Nowhere());
  if (how == "stack_overflow") RecurseForEver(0);
  if (how == "abort") abort();
  if (how == "throw") ThrowTooMuch();
  if (how == "throw_on_thread") std::thread(ThrowUncaught).join();
  if (how == "exit") CallExit();
  if (how == "leave") _exit(4);
  if (how == "memory") UseAllMemory();
  if (how == "kill") kill(getpid(), SIGKILL);
  if (how == "hang") {
    for (volatile bool for_ever = true; for_ever;) {
    }
  }
}

}  // namespace

WEIR_JOB(job) {
  const auto how = job.Arg<std::string>("how", "what to do");
  job.From<std::int64_t>(
         "numbers",
         weir::Generator{.make = [](std::uint64_t i) { return static_cast<std::int64_t>(i); },
                         .count = 0,
                         .rate = 1'000})
      .Map("trouble",
           [how](std::int64_t n) {
             if (n == 100) Misbehave(how);
             return n;
           })
      .To("out", weir::Blackhole{});
}

#include "taskmanager/process/thrown_stack_hook.h"

#include <dlfcn.h>
#include <execinfo.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>

#include "absl/debugging/symbolize.h"
#include "absl/strings/numbers.h"
#include "common/base/check.h"
#include "common/base/crash_context.h"
#include "common/base/strings.h"
#include "common/base/thrown_stack.h"

namespace {

using Throw = void (*)(void* exception, void* type, void (*destroy)(void*));

// The frames of the hook itself.
constexpr int kOwnFrames = 1;

}  // namespace

// Found by plugins and by the standard library before the one of the standard library.
extern "C" __attribute__((visibility("default"), noreturn)) void __cxa_throw(
    void* exception, void* type, void (*destroy)(void*)) {
  static const Throw real = reinterpret_cast<Throw>(dlsym(RTLD_NEXT, "__cxa_throw"));
  if (weir::ThisThreadCrashContext().operator_uid != nullptr) {
    void* frames[weir::ThrownStack::kMaxFrames + kOwnFrames];
    const int count = backtrace(frames, static_cast<int>(std::size(frames)));
    weir::ThrownStack& stack = weir::ThisThreadThrownStack();
    stack.count = std::max(count - kOwnFrames, 0);
    std::copy(frames + kOwnFrames, frames + kOwnFrames + stack.count, stack.frames);
  }
  WEIR_CHECK(real != nullptr);
  real(exception, type, destroy);
  std::abort();  // it does not return
}

namespace weir {

std::string DescribeFrame(const std::string& frame) {
  uint64_t address = 0;
  if (!frame.starts_with("0x") || !absl::SimpleHexAtoi(frame, &address)) return frame;
  // A return address may be the first of the next function.
  const void* inside = reinterpret_cast<const void*>(address - 1);
  char name[4096];
  if (absl::Symbolize(inside, name, sizeof(name))) {
    return StrCat(frame, " ", static_cast<const char*>(name));
  }
  Dl_info info;
  if (dladdr(inside, &info) != 0 && info.dli_fname != nullptr) {
    return StrCat(frame, " (", info.dli_fname, "+0x",
                  absl::Hex(address - reinterpret_cast<uint64_t>(info.dli_fbase)), ")");
  }
  return frame;
}

}  // namespace weir

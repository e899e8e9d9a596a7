#include "taskmanager/process/crash_handler.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <exception>
#include <new>

#include "absl/debugging/symbolize.h"
#include "common/base/check.h"
#include "common/base/crash_context.h"
#include "common/base/strings.h"
#include "taskmanager/worker/crash_report.h"

namespace weir {
namespace {

constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
constexpr size_t kSignalStackBytes = 256 << 10;
// Frames that are looked at; the first kMaxStackFrames below the handler are written.
constexpr int kMaxWalkedFrames = static_cast<int>(kMaxStackFrames) + 16;

// Process-wide: signal handlers get no other state. Written by Install only, but for `entered`,
// `message` and `symbol`, which belong to the thread that sets `entered`.
struct HandlerState {
  int report_fd = -1;
  std::atomic<bool> entered{false};
  char message[1024] = {};
  char symbol[16 << 10] = {};
};
constinit HandlerState state;

// Writes text to the report with nothing but write().
class ReportWriter {
 public:
  void Text(const char* text) { Bytes(text, strlen(text)); }
  // On one line.
  void Line(const char* text) {
    for (; *text != '\0'; ++text) {
      if (*text == '\n') {
        Text("\\n");
      } else if (*text == '\\') {
        Text("\\\\");
      } else {
        Bytes(text, 1);
      }
    }
    Text("\n");
  }
  void Number(uint64_t value, unsigned base) {
    char digits[24];
    size_t begin = sizeof(digits);
    do {
      digits[--begin] = "0123456789abcdef"[value % base];
      value /= base;
    } while (value != 0);
    Bytes(digits + begin, sizeof(digits) - begin);
  }
  void Signed(int64_t value) {
    if (value < 0) Text("-");
    Number(value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value), 10);
  }
  void Flush() {
    size_t done = 0;
    while (done < used_) {
      const ssize_t n = write(state.report_fd, buffer_ + done, used_ - done);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;  // a full disk: the agent shows what there is
      done += static_cast<size_t>(n);
    }
    used_ = 0;
  }

 private:
  void Bytes(const char* bytes, size_t size) {
    for (size_t i = 0; i < size; ++i) {
      if (used_ == sizeof(buffer_)) Flush();
      buffer_[used_++] = bytes[i];
    }
  }

  char buffer_[512];
  size_t used_ = 0;
};

void* ProgramCounter(void* context) {
  const auto* machine = &static_cast<const ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  return reinterpret_cast<void*>(machine->gregs[REG_RIP]);
#elif defined(__aarch64__)
  return reinterpret_cast<void*>(machine->pc);
#else
#error "the program counter of this machine is not known here"
#endif
}

void WriteFrame(ReportWriter& report, void* pc, bool is_return_address) {
  report.Text("frame 0x");
  report.Number(reinterpret_cast<uintptr_t>(pc), 16);
  report.Text(" ");
  // A return address may be the first of the next function.
  const void* inside = static_cast<const char*>(pc) - (is_return_address ? 1 : 0);
  if (absl::Symbolize(inside, state.symbol, sizeof(state.symbol))) {
    report.Line(state.symbol);
  } else {
    Dl_info info;
    if (dladdr(inside, &info) != 0 && info.dli_fname != nullptr) {
      report.Text("(");
      report.Text(info.dli_fname);
      report.Text("+0x");
      report.Number(static_cast<size_t>(static_cast<const char*>(pc) -
                                        static_cast<const char*>(info.dli_fbase)),
                    16);
      report.Line(")");
    } else {
      report.Line("(unknown)");
    }
  }
  report.Flush();
}

// `pc`: where the signal hit; null outside of a signal handler.
void WriteStack(ReportWriter& report, void* pc) {
  void* frames[kMaxWalkedFrames];
  const int count = backtrace(frames, kMaxWalkedFrames);
  int first = 1;
  if (pc != nullptr) {
    first = count;
    for (int i = 0; i < count; ++i) {
      if (frames[i] == pc) first = i;
    }
    if (first == count) {
      // A jump to nowhere: the unwinder could not pass it.
      WriteFrame(report, pc, false);
      first = 1;
    }
  }
  for (int i = first; i < count && i < first + static_cast<int>(kMaxStackFrames); ++i) {
    WriteFrame(report, frames[i], frames[i] != pc);
  }
}

// Everything but the stack. True for the first caller in the process; others must not go on.
bool BeginReport(ReportWriter& report) {
  if (state.entered.exchange(true)) return false;
  report.Text("weir-crash 1\n");
  const CrashContext& context = ThisThreadCrashContext();
  if (context.operator_uid != nullptr) {
    report.Text("operator ");
    report.Line(context.operator_uid);
    report.Text("subtask ");
    report.Number(context.subtask, 10);
    report.Text("\n");
  }
  if (state.message[0] != '\0') {
    report.Text("message ");
    report.Line(state.message);
  }
  return true;
}

// Ends the process with nothing else done; not by _exit, which is replaced below.
[[noreturn]] void EndProcess(int status) {
  for (;;) syscall(SYS_exit_group, status);
}

void ArmPatience() {
  signal(SIGALRM, SIG_DFL);
  sigset_t alarms;
  sigemptyset(&alarms);
  sigaddset(&alarms, SIGALRM);
  pthread_sigmask(SIG_UNBLOCK, &alarms, nullptr);
  alarm(CrashHandler::kPatienceSeconds);
}

void OnSignal(int number, siginfo_t* info, void* context) {
  ReportWriter report;
  if (!BeginReport(report)) {
    // A crash while a crash is reported: in the report itself, or on another thread, which waits
    // for the end.
    static thread_local bool reporting = false;
    if (reporting) EndProcess(128 + number);
    reporting = true;
    ArmPatience();
    for (;;) pause();
  }
  report.Text("signal ");
  report.Signed(number);
  report.Text("\n");
  // Sent by a process (kill) otherwise.
  if (number != SIGABRT && info->si_code > 0) {
    report.Text("address 0x");
    report.Number(reinterpret_cast<uintptr_t>(info->si_addr), 16);
    report.Text("\n");
  }
  report.Flush();
  ArmPatience();
  WriteStack(report, ProgramCounter(context));
  report.Flush();
  // Once more, for the exit status: it is blocked until the handler returns.
  signal(number, SIG_DFL);
  raise(number);
}

// False if another report was begun already.
bool ReportExit(int status) {
  ReportWriter report;
  if (!BeginReport(report)) return false;
  report.Text("exit ");
  report.Signed(status);
  report.Text("\n");
  report.Flush();
  ArmPatience();
  WriteStack(report, nullptr);
  report.Flush();
  return true;
}

void OnExit(int status, void* /*argument*/) {
  ReportExit(status);
  // Other threads run on: destructors of statics would pull the ground from under them.
  EndProcess(static_cast<int>(WorkerExitCode::kUserExit));
}

// _exit runs no hooks. Called by an operator it is reported all the same.
[[noreturn]] void OnRawExit(int status) {
  if (state.report_fd >= 0 && ThisThreadCrashContext().operator_uid != nullptr &&
      ReportExit(status)) {
    EndProcess(static_cast<int>(WorkerExitCode::kUserExit));
  }
  EndProcess(status);
}

void CopyMessage(const char* first, const char* second, const char* third) {
  size_t used = 0;
  for (const char* text : {first, second, third}) {
    for (; *text != '\0' && used + 1 < sizeof(state.message); ++text) {
      state.message[used++] = *text;
    }
  }
  state.message[used] = '\0';
}

// Runs on the thread whose exception nobody caught, with its stack intact.
[[noreturn]] void OnTerminate() {
  static thread_local bool inside = false;
  if (!inside) {
    inside = true;
    if (const std::type_info* type = abi::__cxa_current_exception_type(); type != nullptr) {
      int status = 0;
      char* name = abi::__cxa_demangle(type->name(), nullptr, nullptr, &status);
      const char* shown = status == 0 && name != nullptr ? name : type->name();
      try {
        throw;
      } catch (const std::exception& exception) {
        CopyMessage(shown, ": ", exception.what());
      } catch (...) {
        CopyMessage("an exception of type ", shown, "");
      }
    } else {
      CopyMessage("std::terminate was called", "", "");
    }
  }
  abort();
}

// The signal stack of one thread.
class SignalStack {
 public:
  SignalStack() {
    memory_ = mmap(nullptr, kSignalStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                   -1, 0);
    if (memory_ == MAP_FAILED) return;  // signals are handled on the thread's own stack then
    stack_t stack = {};
    stack.ss_sp = memory_;
    stack.ss_size = kSignalStackBytes;
    sigaltstack(&stack, nullptr);
  }
  ~SignalStack() {
    if (memory_ == MAP_FAILED) return;
    stack_t off = {};
    off.ss_flags = SS_DISABLE;
    sigaltstack(&off, nullptr);
    munmap(memory_, kSignalStackBytes);
  }
  SignalStack(const SignalStack&) = delete;
  SignalStack& operator=(const SignalStack&) = delete;

 private:
  void* memory_ = MAP_FAILED;
};

}  // namespace

absl::Status CrashHandler::Install(const char* program, int report_fd) {
  WEIR_CHECK_EQ(state.report_fd, -1);
  WEIR_CHECK_GE(report_fd, 0);
  state.report_fd = report_fd;
  absl::InitializeSymbolizer(program);
  // The first call loads and allocates; later ones do not.
  void* frame[1];
  backtrace(frame, 1);
  ArmThread();
  std::set_terminate(OnTerminate);
  struct sigaction action = {};
  action.sa_sigaction = OnSignal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  for (const int number : kSignals) {
    if (sigaction(number, &action, nullptr) != 0) {
      return absl::ErrnoToStatus(errno, StrCat("catching signal ", number));
    }
  }
  return absl::OkStatus();
}

void CrashHandler::ArmThread() { static thread_local SignalStack stack; }

void CrashHandler::ArmExitHook() {
  WEIR_CHECK_EQ(on_exit(OnExit, nullptr), 0);
  WEIR_CHECK_EQ(at_quick_exit([] { OnExit(0, nullptr); }), 0);
}

}  // namespace weir

// Found by plugins before those of the C library, which uses its own all the same.
extern "C" {
__attribute__((visibility("default"), noreturn)) void _exit(int status) { weir::OnRawExit(status); }
__attribute__((visibility("default"), noreturn)) void _Exit(int status) { weir::OnRawExit(status); }
}

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "taskmanager/worker/worker_spec.h"

namespace weir {

namespace proto {
class Failure;
}

// How a worker process ends. An agent that reaps another code without a report knows that user code
// left by itself.
enum class WorkerExitCode : int {
  kStopped = 0,     // it was told to stop
  kWrongUsage = 2,  // its parameters or command line are malformed
  kStartFailed =
      70,  // the plugin cannot be loaded, makes another graph, no port, ...: the report says what
  kFenced = 71,     // the job manager refused it: an older attempt or epoch, or an unknown job
  kOrphaned = 72,   // the job manager was silent for taskmanager.worker.orphan-timeout
  kAgentGone = 73,  // its agent has ended
  kUserExit = 74,   // user code called exit(): the report says where
};

// What a worker leaves behind in the file kCrashReportName of its folder when it does not end as it
// was told to.
struct CrashReport {
  // Why, in one line, if the process could say so: "std::runtime_error: text".
  std::string message;
  // As absl::StatusCode; 0: kInternal.
  int code = 0;
  // 0, or the signal that the handler caught.
  int signal = 0;
  // The address whose access failed, as text; empty if that does not apply.
  std::string fault_address;
  // Set when user code called exit(): its argument.
  std::optional<int> user_exit_code;
  std::string operator_uid;
  uint32_t subtask = 0;
  // Innermost first: function, module and offset.
  std::vector<std::string> stack;
};

inline constexpr char kCrashReportName[] = "crash";
inline constexpr size_t kMaxCrashReportBytes = 256 << 10;
inline constexpr size_t kMaxStackFrames = 64;

// How a process ended, as the operating system says.
struct WorkerExit {
  int exit_code = 0;
  int signal = 0;
};

// The file's format is lines of "word value"; a report that was cut off is still read up to there.
std::string FormatCrashReport(const CrashReport& report);
// Empty if `text` is not a report. Total: any text is accepted, lines that are not understood are
// left out.
std::optional<CrashReport> ParseCrashReport(std::string_view text);

// "SIGSEGV (Segmentation fault)".
std::string DescribeSignal(int signal);

// The failure to show for a worker that ended with `exit`: says what happened, where, and what to
// do. `report` may be missing (SIGKILL, _exit). Frames that are mangled C++ names are demangled.
void FillWorkerFailure(const WorkerExit& exit, const std::optional<CrashReport>& report,
                       const WorkerSpec& spec, int64_t time_unix_micros, proto::Failure& failure);

}  // namespace weir

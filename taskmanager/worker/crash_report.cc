#include "taskmanager/worker/crash_report.h"

#include <cxxabi.h>
#include <signal.h>
#include <string.h>

#include <cstdlib>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/base/strings.h"
#include "proto/control.pb.h"

namespace weir {
namespace {

constexpr char kFirstLine[] = "weir-crash 1";

std::string OneLine(const std::string& text) {
  return absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"\n", "\\n"}, {"\r", "\\r"}});
}

std::string FromOneLine(std::string_view line) {
  std::string text;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] != '\\' || i + 1 == line.size()) {
      text += line[i];
      continue;
    }
    ++i;
    text += line[i] == 'n' ? '\n' : line[i] == 'r' ? '\r' : line[i];
  }
  return text;
}

// A frame is "0xADDRESS name"; a name that is still mangled is made readable.
std::string Demangle(const std::string& frame) {
  const size_t begin = frame.find("_Z");
  if (begin == std::string::npos) return frame;
  const size_t end = frame.find_first_of(" +(", begin);
  const std::string mangled =
      frame.substr(begin, end == std::string::npos ? std::string::npos : end - begin);
  int status = 0;
  std::unique_ptr<char, void (*)(void*)> name(
      abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status), std::free);
  if (status != 0 || name == nullptr) return frame;
  return StrCat(frame.substr(0, begin), name.get(),
                end == std::string::npos ? "" : frame.substr(end));
}

std::string DescribeOperator(const CrashReport& report) {
  if (report.operator_uid.empty()) return "code of the plugin outside of any operator";
  return StrCat("operator '", report.operator_uid, "' (subtask ", report.subtask, ")");
}

std::string DescribeLimit(const WorkerSpec& spec) {
  if (spec.memory_limit_bytes == 0) return "no memory limit is set for workers";
  return StrCat("a worker's memory is limited to ", spec.memory_limit_bytes >> 20,
                " MiB by taskmanager.memory.worker.size");
}

std::string DescribeSignalExit(int signal, const std::optional<CrashReport>& report,
                               const WorkerSpec& spec) {
  if (report.has_value()) {
    std::string text = StrCat(DescribeOperator(*report), " crashed the worker with ",
                              DescribeSignal(report->signal != 0 ? report->signal : signal));
    if (!report->fault_address.empty()) text += StrCat(" at address ", report->fault_address);
    if (!report->message.empty()) text += StrCat(": ", report->message);
    if (report->message.find("bad_alloc") != std::string::npos) {
      text += StrCat("; ", DescribeLimit(spec));
    }
    return text;
  }
  if (signal == SIGKILL) {
    return StrCat("the worker was killed by ", DescribeSignal(signal),
                  ": by hand, or by the kernel for want of memory (the kernel's log says so; ",
                  DescribeLimit(spec), ")");
  }
  return StrCat("the worker was ended by ", DescribeSignal(signal));
}

std::string DescribeCodeExit(int exit_code, const std::optional<CrashReport>& report) {
  if (report.has_value() && report->user_exit_code.has_value()) {
    return StrCat(DescribeOperator(*report), " called exit(", *report->user_exit_code,
                  "), which ends the whole worker: return an error or throw instead");
  }
  if (report.has_value() && !report->message.empty()) return report->message;
  switch (static_cast<WorkerExitCode>(exit_code)) {
    case WorkerExitCode::kStopped:
      return "the worker was stopped";
    case WorkerExitCode::kFenced:
      return "the worker ended because the job manager did not know its attempt";
    case WorkerExitCode::kOrphaned:
      return "the worker ended because the job manager was silent";
    case WorkerExitCode::kAgentGone:
      return "the worker ended because its task manager has ended";
    default:
      return StrCat("the worker ended with exit code ", exit_code,
                    " without having been told to: code of the plugin called _exit or quick_exit");
  }
}

}  // namespace

std::string DescribeSignal(int signal) {
  const char* abbreviation = sigabbrev_np(signal);
  const char* description = sigdescr_np(signal);
  if (abbreviation == nullptr || description == nullptr) return StrCat("signal ", signal);
  return StrCat("SIG", abbreviation, " (", description, ")");
}

std::string FormatCrashReport(const CrashReport& report) {
  std::string text = StrCat(kFirstLine, "\n");
  if (report.code != 0) text += StrCat("code ", report.code, "\n");
  if (report.signal != 0) text += StrCat("signal ", report.signal, "\n");
  if (!report.fault_address.empty()) text += StrCat("address ", report.fault_address, "\n");
  if (report.user_exit_code.has_value()) text += StrCat("exit ", *report.user_exit_code, "\n");
  if (!report.operator_uid.empty()) {
    text += StrCat("operator ", OneLine(report.operator_uid), "\n");
    text += StrCat("subtask ", report.subtask, "\n");
  }
  if (!report.message.empty()) text += StrCat("message ", OneLine(report.message), "\n");
  for (const std::string& frame : report.stack) text += StrCat("frame ", OneLine(frame), "\n");
  return text;
}

std::optional<CrashReport> ParseCrashReport(std::string_view text) {
  const std::vector<absl::string_view> lines = absl::StrSplit(ToAbsl(text), '\n');
  if (lines.empty() || lines[0] != kFirstLine) return std::nullopt;
  CrashReport report;
  for (size_t i = 1; i < lines.size(); ++i) {
    const size_t space = lines[i].find(' ');
    if (space == absl::string_view::npos) continue;
    const absl::string_view word = lines[i].substr(0, space);
    const absl::string_view value = lines[i].substr(space + 1);
    int number = 0;
    const bool is_number = absl::SimpleAtoi(value, &number);
    if (word == "code" && is_number) report.code = number;
    if (word == "signal" && is_number) report.signal = number;
    if (word == "exit" && is_number) report.user_exit_code = number;
    if (word == "subtask" && is_number && number >= 0) {
      report.subtask = static_cast<uint32_t>(number);
    }
    if (word == "address") report.fault_address = FromOneLine(ToStd(value));
    if (word == "operator") report.operator_uid = FromOneLine(ToStd(value));
    if (word == "message") report.message = FromOneLine(ToStd(value));
    if (word == "frame" && report.stack.size() < kMaxStackFrames) {
      report.stack.push_back(FromOneLine(ToStd(value)));
    }
  }
  return report;
}

void FillWorkerFailure(const WorkerExit& exit, const std::optional<CrashReport>& report,
                       const WorkerSpec& spec, int64_t time_unix_micros, proto::Failure& failure) {
  failure.set_code(report.has_value() && report->code != 0
                       ? report->code
                       : static_cast<int>(absl::StatusCode::kInternal));
  failure.set_task_manager(spec.task_manager);
  failure.set_time_unix_micros(time_unix_micros);
  if (report.has_value()) {
    failure.set_operator_uid(report->operator_uid);
    failure.set_subtask(report->subtask);
    for (const std::string& frame : report->stack) failure.add_stack(Demangle(frame));
  }
  const int signal = report.has_value() && report->signal != 0 ? report->signal : exit.signal;
  failure.set_signal(signal);
  failure.set_message(signal != 0 ? DescribeSignalExit(signal, report, spec)
                                  : DescribeCodeExit(exit.exit_code, report));
}

}  // namespace weir

#include "client/define/define_child.h"

#include <execinfo.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "absl/debugging/symbolize.h"
#include "client/define/define_runner.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/define.pb.h"
#include "sdk/host/abi_stamp.h"
#include "sdk/host/plugin_host.h"

namespace weir {
namespace {

bool SendAll(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = send(kDefineSocket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

bool ReceiveAll(std::string& bytes) {
  char buffer[16 << 10];
  while (bytes.size() <= kMaxDefineMessageBytes) {
    const ssize_t n = recv(kDefineSocket, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    if (n == 0) return true;
    bytes.append(buffer, static_cast<size_t>(n));
  }
  return false;
}

void SendText(const char* text) {
  (void)send(kDefineSocket, text, std::strlen(text), MSG_NOSIGNAL);
}

// The frames below the handler, a line each, as far as their symbols are known. Allocates nothing.
void OnSignal(int number, siginfo_t*, void*) {
  constexpr int kMaxFrames = 64;
  void* frames[kMaxFrames];
  const int count = backtrace(frames, kMaxFrames);
  // Not on the small stack. One handler runs at a time: all signals are blocked in it.
  static char symbol[4096];
  SendText("S");
  // 0 is this function, 1 what the system calls it from.
  for (int i = 2; i < count; ++i) {
    // A return address may be the first of the next function; the innermost frame is where the
    // signal hit.
    const char* pc = static_cast<const char*>(frames[i]) - (i == 2 ? 0 : 1);
    SendText(absl::Symbolize(pc, symbol, sizeof symbol) ? symbol : "(unknown)");
    SendText("\n");
  }
  signal(number, SIG_DFL);
  raise(number);  // Comes when the handler has returned.
}

// A stack overflow leaves no room for the handler, so it has a stack of its own.
void InstallSignalHandlers(const char* program) {
  absl::InitializeSymbolizer(program);
  void* frame[1];
  backtrace(frame, 1);  // The first call loads a library and allocates.
  static char stack[256 << 10];
  stack_t alternate = {};
  alternate.ss_sp = stack;
  alternate.ss_size = sizeof stack;
  sigaltstack(&alternate, nullptr);
  struct sigaction action = {};
  action.sa_sigaction = OnSignal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigfillset(&action.sa_mask);
  for (int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGTERM}) {
    sigaction(number, &action, nullptr);
  }
}

absl::Status Define(const proto::DefineRequest& request, proto::DefineResponse& response) {
  WEIR_ASSIGN_OR_RETURN(auto plugin, MakeFilePluginLoader()->Load(request.plugin_path()));
  response.set_fingerprint(HostFingerprint());
  DefineInput input;
  input.arguments.insert(request.arguments().begin(), request.arguments().end());
  input.describe_only = request.describe_only();
  WEIR_ASSIGN_OR_RETURN(auto definition, plugin->Define(input));
  if (definition->name.empty()) definition->name = JobNameOfFile(request.plugin_path());
  response.set_job_name(definition->name);
  const auto graph = BuildJobGraph(*definition, {.job_name = request.job_name(),
                                                 .parallelism = request.parallelism(),
                                                 .max_parallelism = request.max_parallelism()});
  if (graph.ok()) {
    *response.mutable_graph() = *graph;
    *response.mutable_arguments() = graph->arguments();
    return absl::OkStatus();
  }
  if (!request.describe_only()) return graph.status();
  for (const ArgumentDefinition& argument : definition->arguments) {
    proto::Argument& out = *response.add_arguments();
    out.set_name(argument.name);
    out.set_type(argument.type);
    out.set_help(argument.help);
    out.set_required(argument.required);
    out.set_default_text(argument.default_text);
    out.set_value_text(argument.value_text);
  }
  response.set_message(std::string(graph.status().message()));
  return absl::OkStatus();
}

}  // namespace

int RunDefineChild(const char* program) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  close_range(kDefineSocket + 1, ~0U, 0);
  InstallSignalHandlers(program);

  std::string bytes;
  proto::DefineRequest request;
  if (!ReceiveAll(bytes) || !request.ParseFromString(bytes)) return kDefineProtocolExitCode;
  proto::DefineResponse response;
  if (absl::Status status = Define(request, response); !status.ok()) {
    response.Clear();
    response.set_code(static_cast<int>(status.code()));
    response.set_message(std::string(status.message()));
  }
  std::string out(1, kDefineResponseMark);
  if (response.ByteSizeLong() > kMaxDefineMessageBytes) {
    const size_t size = response.ByteSizeLong();
    response.Clear();
    response.set_code(static_cast<int>(absl::StatusCode::kInvalidArgument));
    response.set_message(StrCat("the graph of the job has ", size, " bytes; at most ",
                                kMaxDefineMessageBytes,
                                " are allowed: shorten names and descriptions, or split the job"));
  }
  response.AppendToString(&out);
  if (!SendAll(out)) return kDefineProtocolExitCode;
  // Not through the plugin's static destructors, which may crash or hang: the work is done.
  std::fflush(nullptr);
  _exit(0);
}

}  // namespace weir

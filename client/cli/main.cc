#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "client/cli/cli.h"
#include "client/define/define_child.h"
#include "client/define/define_runner.h"
#include "common/env/system/system_env.h"
#include "transport/rpc/grpc_network.h"

namespace {

std::string OwnPath() {
  char path[4096];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof path);
  return size > 0 ? std::string(path, static_cast<size_t>(size)) : "jobctl";
}

size_t TerminalWidth() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string Exec(const std::vector<std::string>& arguments) {
  std::vector<std::string> copies = arguments;
  std::vector<char*> pointers;
  for (std::string& argument : copies) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  execv(pointers[0], pointers.data());
  return std::strerror(errno);
}

}  // namespace

int main(int argc, char** argv) {
  // Before anything that starts threads.
  if (argc > 1 && std::string_view(argv[1]) == weir::kDefineCommand)
    return weir::RunDefineChild(argv[0]);
  auto network = weir::MakeGrpcNetwork({});
  auto env = weir::MakeSystemEnv({.network = network.get()});
  weir::CliContext context;
  context.env = env.get();
  // At once: the id of a job stands before its progress. A failure is seen below.
  context.out = [](std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  };
  context.err = [](std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); };
  context.out_is_terminal = isatty(STDOUT_FILENO) != 0;
  context.err_is_terminal = isatty(STDERR_FILENO) != 0;
  context.width = TerminalWidth();
  for (const char* name : {"WEIR_JOBMANAGER", "WEIR_CONFIG", "NO_COLOR"}) {
    if (const char* value = std::getenv(name); value != nullptr) context.environment[name] = value;
  }
  context.executable = OwnPath();
  context.exec = Exec;
  int code = weir::RunCli(context, std::vector<std::string>(argv + 1, argv + argc));
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    std::fprintf(stderr, "jobctl: writing to standard output failed: %s\n", std::strerror(errno));
    if (code == 0) code = static_cast<int>(weir::ExitCode::kInternal);
  }
  return code;
}

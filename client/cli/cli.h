#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/env/env.h"

namespace weir {

// What a script can rely on; documented in `jobctl --help`.
enum class ExitCode : int {
  kOk = 0,
  kJobSaysNo = 1,  // The job failed or was canceled, or the job manager refused (no such job, ...).
  kUsage = 2,      // The command line is wrong.
  kUnreachable = 3,    // No job manager answers.
  kPluginRefused = 4,  // The file is no job, is built for another Weir, or its definition is wrong.
  kInternal = 5,       // This program or its machine: a fault, a full disk.
};

// Everything that jobctl takes from its process, so that tests can be another one.
struct CliContext {
  Env* env = nullptr;
  std::function<void(std::string_view)> out;
  std::function<void(std::string_view)> err;
  bool out_is_terminal = false;
  bool err_is_terminal = false;
  // Columns of the terminal behind `err`.
  size_t width = 80;
  // WEIR_JOBMANAGER, WEIR_CONFIG, NO_COLOR.
  std::map<std::string, std::string> environment;
  // This program: its child runs define(), and `taskmanager` is beside it.
  std::string executable;
  // Replaces the process by another program; returns only on failure, with the error's text.
  std::function<std::string(const std::vector<std::string>& arguments)> exec;
};

// Runs one command and returns an ExitCode. `arguments` are without the program's name. Blocks.
int RunCli(CliContext& context, const std::vector<std::string>& arguments);

}  // namespace weir

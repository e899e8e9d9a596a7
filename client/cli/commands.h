#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/cli.h"
#include "common/config/settings.h"

namespace weir {

// What the options of all commands say together; each command looks at its own.
struct CliOptions {
  std::string job_manager;
  bool json = false;
  // A plugin's file, or the id or name of a job.
  std::string target;
  // Of a submission; of rescale.
  std::optional<uint32_t> parallelism;
  std::string job_name;
  // The file of -c, -D over it, and defaults.
  Settings settings;
  // -D as they were given.
  std::vector<std::string> overrides;
  std::string config_file;
  // After "--".
  std::vector<std::string> job_arguments;
  bool wait = false;
  // savepoint check: the job's library.
  std::string plugin;
  // savepoint inspect: read all files.
  bool verify = false;
  // submit: a savepoint to start from.
  std::string restore_from;
  bool allow_dropped_state = false;
  // savepoint and stop.
  std::string directory;
  bool with_savepoint = false;
  bool drain = false;
  // checkpoints: the one to show with its subtasks.
  std::optional<uint64_t> checkpoint;
  // windows: how many.
  uint32_t limit = 20;
  // watermarks and late: of this operator; windows: its name. watermarks: again and again.
  std::string operator_uid;
  bool follow = false;
  bool dot = false;
  uint32_t lines = 0;
};

ExitCode RunSubmit(CliContext& context, const CliOptions& options);
ExitCode RunEmbedded(CliContext& context, const CliOptions& options);
ExitCode RunList(CliContext& context, const CliOptions& options);
ExitCode RunStatus(CliContext& context, const CliOptions& options);
ExitCode RunExplain(CliContext& context, const CliOptions& options);
ExitCode RunLogs(CliContext& context, const CliOptions& options);
ExitCode RunCancel(CliContext& context, const CliOptions& options);
ExitCode RunCheckpoints(CliContext& context, const CliOptions& options);
ExitCode RunWatermarks(CliContext& context, const CliOptions& options);
ExitCode RunLate(CliContext& context, const CliOptions& options);
ExitCode RunWindows(CliContext& context, const CliOptions& options);
ExitCode RunSavepoint(CliContext& context, const CliOptions& options);
ExitCode RunSavepointInspect(CliContext& context, const CliOptions& options);
ExitCode RunSavepointCheck(CliContext& context, const CliOptions& options);
ExitCode RunRescale(CliContext& context, const CliOptions& options);
ExitCode RunStop(CliContext& context, const CliOptions& options);
ExitCode RunVersion(CliContext& context, const CliOptions& options);

// Shows an error as text, and with --json as {"error": {"code", "message"}} on standard output.
// Returns `code`.
ExitCode ShowError(CliContext& context, const CliOptions& options, const absl::Status& status,
                   ExitCode code);
// As above, with the code that an answer of the job manager, or the lack of one, stands for; says
// how to start one.
ExitCode ShowCallError(CliContext& context, const CliOptions& options, const absl::Status& status);

// "--name=value", "--name value" and "--flag" (true); kInvalidArgument for anything else.
absl::StatusOr<std::map<std::string, std::string>> ParseJobArguments(
    const std::vector<std::string>& arguments);

}  // namespace weir

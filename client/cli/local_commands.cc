#include <string>
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/json_writer.h"
#include "common/base/strings.h"
#include "common/base/version.h"
#include "sdk/host/plugin_host.h"

namespace weir {

// The binary beside this one runs the job in its own process, with the same words.
ExitCode RunEmbedded(CliContext& context, const CliOptions& options) {
  auto job_arguments = ParseJobArguments(options.job_arguments);
  if (!job_arguments.ok()) {
    return ShowError(context, options, job_arguments.status(), ExitCode::kUsage);
  }
  const size_t slash = context.executable.find_last_of('/');
  const std::string folder = slash == std::string::npos ? "." : context.executable.substr(0, slash);
  std::vector<std::string> arguments = {folder + "/taskmanager", "--run", options.target};
  if (options.parallelism.has_value()) {
    arguments.insert(arguments.end(), {"-p", std::to_string(*options.parallelism)});
  }
  if (!options.job_name.empty()) arguments.insert(arguments.end(), {"--name", options.job_name});
  if (!options.config_file.empty()) {
    arguments.insert(arguments.end(), {"--config", options.config_file});
  }
  for (const std::string& setting : options.overrides) {
    arguments.insert(arguments.end(), {"-D", setting});
  }
  if (!job_arguments->empty()) arguments.emplace_back("--");
  for (const auto& [name, value] : *job_arguments) {
    arguments.push_back(StrCat("--", name, "=", value));
  }
  const std::string error = context.exec(arguments);
  return ShowError(context, options,
                   absl::InternalError(StrCat("cannot run '", arguments[0],
                                              "', which belongs beside jobctl: ", error)),
                   ExitCode::kInternal);
}

ExitCode RunVersion(CliContext& context, const CliOptions& options) {
  if (options.json) {
    JsonWriter json;
    json.BeginObject();
    json.Key("version").String(kVersion);
    json.Key("protocol").Uint(kControlProtocol);
    json.Key("fingerprint").String(HostFingerprint());
    json.EndObject();
    context.out(json.Finish());
  } else {
    context.out(StrCat("jobctl ", kVersion, ", protocol ", kControlProtocol,
                       "\njobs built for: ", HostFingerprint(), "\n"));
  }
  return ExitCode::kOk;
}

}  // namespace weir

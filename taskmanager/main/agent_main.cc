#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/config/settings.h"
#include "common/env/system/system_env.h"
#include "taskmanager/main/mains.h"
#include "taskmanager/main/process_log.h"
#include "taskmanager/process/process_launcher.h"
#include "taskmanager/process/process_watch.h"
#include "taskmanager/process/worker_limits.h"
#include "taskmanager/slots/agent.h"
#include "transport/rpc/grpc_network.h"

namespace weir {
namespace {

constexpr int kWrongUsage = 2;

struct AgentCommand {
  std::string config;
  std::vector<std::string> overrides;
  bool allow_insecure = false;
};

// Where the process keeps its files; one of its own is removed at its end.
struct DataDirectory {
  std::string path;
  bool own = false;
};

// One of its own has a name that nobody can guess and is this user's alone: plugins are loaded from
// it.
absl::StatusOr<DataDirectory> MakeDataDirectory(Env& env, const Settings& settings) {
  const std::string data = settings.Get(options::kDataDir);
  if (!data.empty()) {
    WEIR_RETURN_IF_ERROR(env.files().CreateDirectories(data));
    return DataDirectory{data, false};
  }
  const std::vector<std::string> temporary = absl::StrSplit(settings.Get(options::kTmpDirs), ',');
  std::string path = StrCat(temporary[0], "/weir-taskmanager-XXXXXX");
  if (mkdtemp(path.data()) == nullptr) {
    return absl::ErrnoToStatus(
        errno, StrCat("making a folder in ", temporary[0], " (io.tmp.dirs; or set weir.data.dir)"));
  }
  return DataDirectory{path, true};
}

// "host:port", with brackets around an IPv6 address.
std::string Address(const std::string& host, int64_t port) {
  const bool v6 = host.find(':') != std::string::npos && !host.starts_with("[");
  return StrCat(v6 ? "[" : "", host, v6 ? "]" : "", ":", port);
}

AgentOptions OptionsFromSettings(const Settings& settings, std::string_view version) {
  AgentOptions agent;
  agent.name = settings.Get(options::kTaskManagerResourceId);
  agent.listen_address =
      Address(settings.Get(options::kTaskManagerBindHost), settings.Get(options::kTaskManagerPort));
  agent.host = settings.Get(options::kTaskManagerHost);
  agent.job_manager_address =
      Address(settings.Get(options::kJobManagerAddress), settings.Get(options::kJobManagerPort));
  agent.slots = static_cast<uint32_t>(settings.Get(options::kTaskSlots));
  agent.version = std::string(version);
  agent.worker_memory_limit_bytes = static_cast<uint64_t>(settings.Get(options::kWorkerMemory));
  agent.worker_orphan_timeout = settings.Get(options::kWorkerOrphanTimeout);
  return agent;
}

absl::Status Run(const AgentCommand& command, const Settings& settings, std::string_view version) {
  const std::unique_ptr<Network> network =
      MakeGrpcNetwork({.allow_insecure_non_loopback = command.allow_insecure});
  const std::unique_ptr<Env> env = MakeSystemEnv({.network = network.get()});
  WEIR_ASSIGN_OR_RETURN(const DataDirectory data, MakeDataDirectory(*env, settings));
  WEIR_ASSIGN_OR_RETURN(
      const auto launcher,
      MakeProcessLauncher(*env, "/proc/self/exe",
                          static_cast<uint64_t>(settings.Get(options::kWorkerOutput))));
  const std::unique_ptr<Executor> control = env->NewExecutor("agent");
  AgentOptions agent_options = OptionsFromSettings(settings, version);
  agent_options.data_directory = data.path;
  agent_options.local_copies_directory = settings.Get(options::kLocalRecoveryDirectory);
  WEIR_ASSIGN_OR_RETURN(agent_options.log, MakeProcessLog(settings, env->clock(), "taskmanager"));
  std::promise<absl::Status> ended;
  const std::unique_ptr<Agent> agent =
      Agent::Make(*env, *control, *launcher, agent_options,
                  [&ended](const absl::Status& why) { ended.set_value(why); });
  ProcessWatch::Events events;
  events.on_signal = [&agent](int) { agent->Stop(); };
  WEIR_ASSIGN_OR_RETURN(const auto watch, ProcessWatch::Make(*env, std::move(events)));
  absl::Status end = agent->Start();
  if (end.ok()) {
    printf("taskmanager listening on %s, %u slots, files in %s\n", agent->address().c_str(),
           agent_options.slots, data.path.c_str());
    fflush(stdout);
    end = ended.get_future().get();
  }
  control->Shutdown();
  if (data.own)
    env->files().DeleteRecursively(data.path).IgnoreError();  // it is in a temporary folder
  return end;
}

}  // namespace

int AgentMain(int argc, char** argv, std::string_view version) {
  AgentCommand command;
  CLI::App app{"Runs workers of jobs in its slots, as the job manager says."};
  app.add_option("--config", command.config, "YAML file with settings");
  app.add_option("-D", command.overrides, "A setting, key=value, over those of the file")
      ->allow_extra_args(false);
  app.add_flag("--insecure-allow-plaintext", command.allow_insecure,
               "Listen on an address that other hosts reach, without encryption");
  app.set_version_flag("--version", std::string(version));
  app.footer("Settings:\n" + FormatOptionsForHelp());
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kWrongUsage;
  }
  ProcessWatch::BlockSignals();
  signal(SIGPIPE, SIG_IGN);
  absl::StatusOr<Settings> settings;
  {
    const std::unique_ptr<Env> env = MakeSystemEnv();
    settings = LoadSettings(env->files(), command.config, command.overrides);
  }
  const absl::Status valid =
      settings.ok() ? CheckMemoryLimit(static_cast<uint64_t>(settings->Get(options::kWorkerMemory)))
                    : settings.status();
  if (!valid.ok()) {
    fprintf(stderr, "taskmanager: %s\n", std::string(valid.message()).c_str());
    return kWrongUsage;
  }
  const absl::Status end = Run(command, *settings, version);
  if (end.ok()) return 0;
  fprintf(stderr, "taskmanager: %s\n", std::string(end.message()).c_str());
  return 1;
}

}  // namespace weir

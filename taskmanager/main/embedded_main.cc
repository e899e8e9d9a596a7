#include <stdio.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/base/strings.h"
#include "common/config/settings.h"
#include "common/env/system/system_env.h"
#include "connectors/registry.h"
#include "taskmanager/embedded/embedded_run.h"
#include "taskmanager/main/mains.h"
#include "taskmanager/main/process_log.h"
#include "taskmanager/main/state_backends.h"
#include "taskmanager/process/crash_handler.h"
#include "taskmanager/process/process_watch.h"
#include "taskmanager/process/thrown_stack_hook.h"
#include "taskmanager/worker/runtime_settings.h"

namespace weir {
namespace {

constexpr int kFailed = 1;
constexpr int kWrongUsage = 2;
constexpr int kInterrupted = 130;

struct RunCommand {
  std::string plugin;
  uint32_t parallelism = 0;
  std::vector<std::string> overrides;
  std::string config;
  std::string name;
  bool progress = false;
  std::map<std::string, std::string> arguments;
};

// "--name=value"; "--name" alone is "true".
absl::Status ParseJobArguments(int argc, char** argv,
                               std::map<std::string, std::string>& arguments) {
  for (int i = 0; i < argc; ++i) {
    const std::string text = argv[i];
    if (!text.starts_with("--") || text.size() == 2) {
      return absl::InvalidArgumentError(
          StrCat("'", text, "' is no job argument; they look like --name=value"));
    }
    const size_t equals = text.find('=');
    const std::string name = text.substr(2, equals == std::string::npos ? equals : equals - 2);
    const std::string value = equals == std::string::npos ? "true" : text.substr(equals + 1);
    if (!arguments.emplace(name, value).second) {
      return absl::InvalidArgumentError(StrCat("job argument --", name, " is given twice"));
    }
  }
  return absl::OkStatus();
}

int Run(const RunCommand& command, const Settings& settings) {
  const std::unique_ptr<Env> env = MakeSystemEnv();
  const absl::StatusOr<ProcessLog> log = MakeProcessLog(settings, env->clock(), "job");
  if (!log.ok()) {
    fprintf(stderr, "taskmanager: %s\n", log.status().ToString().c_str());
    return kWrongUsage;
  }
  EmbeddedSpec spec;
  spec.plugin_path = command.plugin;
  spec.arguments = command.arguments;
  spec.job_name = command.name;
  spec.parallelism = command.parallelism != 0
                         ? command.parallelism
                         : static_cast<uint32_t>(settings.Get(options::kDefaultParallelism));
  spec.max_parallelism = static_cast<uint32_t>(settings.Get(options::kMaxParallelism));
  spec.runtime = RuntimeOptionsFromSettings(settings);
  const long cores = sysconf(_SC_NPROCESSORS_ONLN);
  spec.runtime.task_threads =
      std::min(spec.parallelism, static_cast<uint32_t>(std::max(cores, 1L)));
  spec.runtime.log = [log = *log](std::string_view uid, std::string_view level,
                                  std::string_view text) {
    log(level, StrCat("operator=", uid, " ", text));
  };
  spec.describe_frame = DescribeFrame;
  EmbeddedRun::OnProgress on_progress;
  if (command.progress || isatty(STDERR_FILENO) != 0) {
    on_progress = [](const std::string& line) { fprintf(stderr, "%s\n", line.c_str()); };
  }

  std::unique_ptr<StateBackend> state_backend;
  std::string state_folder = settings.Get(options::kRocksDbDirectory);
  if (state_folder.empty()) {
    state_folder = settings.Get(options::kTmpDirs);
    state_folder = state_folder.substr(0, state_folder.find(','));
  }
  state_folder = StrCat(state_folder, "/weir-state-", getpid());
  if (settings.Get(options::kStateBackend) == "rocksdb") {
    state_backend = MakeRocksDb(settings, state_folder);
    spec.runtime.state_backend = state_backend.get();
  }
  const std::unique_ptr<PluginLoader> loader = MakeFilePluginLoader();
  const std::unique_ptr<ConnectorRegistry> connectors = MakeConnectorRegistry(*env);
  const std::unique_ptr<Executor> control = env->NewExecutor("control");
  std::promise<EmbeddedEnd> ended;
  const std::unique_ptr<EmbeddedRun> run =
      EmbeddedRun::Make(*env, *control, *loader, *connectors, std::move(spec), on_progress,
                        [&ended](EmbeddedEnd end) { ended.set_value(std::move(end)); });
  std::atomic<bool> interrupted{false};
  ProcessWatch::Events events;
  events.on_signal = [&](int) {
    // The second time: tasks may be stuck in user code.
    if (interrupted.exchange(true)) _exit(kInterrupted);
    run->Cancel();
  };
  const auto watch = ProcessWatch::Make(*env, std::move(events));
  if (!watch.ok()) {
    fprintf(stderr, "taskmanager: %s\n", watch.status().ToString().c_str());
    return kFailed;
  }
  run->Start();
  const EmbeddedEnd end = ended.get_future().get();
  control->Shutdown();
  if (state_backend != nullptr) {
    if (absl::Status deleted = env->files().DeleteRecursively(state_folder); !deleted.ok())
      fprintf(stderr, "taskmanager: %s\n", deleted.ToString().c_str());
  }
  fflush(stdout);
  switch (end.kind) {
    case EmbeddedEnd::Kind::kFinished:
      return 0;
    case EmbeddedEnd::Kind::kCanceled:
      fprintf(stderr, "the job was cancelled\n");
      return kInterrupted;
    case EmbeddedEnd::Kind::kFailed:
      fprintf(stderr, "the job failed: %s\n", end.message.c_str());
      return kFailed;
    case EmbeddedEnd::Kind::kWrongUsage:
      fprintf(stderr, "%s: %s\n", command.plugin.c_str(), end.message.c_str());
      return kWrongUsage;
  }
  return kFailed;
}

}  // namespace

int EmbeddedMain(int argc, char** argv) {
  int own = argc;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--") {
      own = i;
      break;
    }
  }
  RunCommand command;
  CLI::App app{"Runs a job in this process alone."};
  app.add_option("--run", command.plugin, "The job: a shared library")->required();
  app.add_option("-p,--parallelism", command.parallelism, "Subtasks of each operator")
      ->check(CLI::Range(1, 4096));
  app.add_option("-D", command.overrides, "A setting, key=value")->allow_extra_args(false);
  app.add_option("--config", command.config, "YAML file with settings");
  app.add_option("--name", command.name, "Name of the job, in place of its own");
  app.add_flag("--progress", command.progress,
               "Show progress though standard error is no terminal");
  app.footer("The job's arguments follow after --, each as --name=value.");
  try {
    app.parse(own, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kWrongUsage;
  }
  ProcessWatch::BlockSignals();
  // A crash ends this process: its report is for the person in front of it.
  absl::Status ready = CrashHandler::Install(argv[0], STDERR_FILENO);
  absl::StatusOr<Settings> settings;
  if (ready.ok()) {
    const std::unique_ptr<Env> env = MakeSystemEnv();
    settings = LoadSettings(env->files(), command.config, command.overrides);
    ready = settings.status();
  }
  if (ready.ok() && own < argc) {
    ready = ParseJobArguments(argc - own - 1, argv + own + 1, command.arguments);
  }
  if (!ready.ok()) {
    fprintf(stderr, "taskmanager: %s\n", std::string(ready.message()).c_str());
    return kWrongUsage;
  }
  return Run(command, *settings);
}

}  // namespace weir

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/env/system/system_env.h"
#include "common/hash/sha256.h"
#include "connectors/registry.h"
#include "taskmanager/main/mains.h"
#include "taskmanager/main/process_log.h"
#include "taskmanager/main/state_backends.h"
#include "taskmanager/process/crash_handler.h"
#include "taskmanager/process/process_launcher.h"
#include "taskmanager/process/process_watch.h"
#include "taskmanager/process/thrown_stack_hook.h"
#include "taskmanager/process/worker_limits.h"
#include "taskmanager/worker/runtime_settings.h"
#include "taskmanager/worker/worker.h"
#include "transport/rpc/grpc_network.h"

namespace weir {
namespace {

// Between SIGTERM and the end of a worker whose tasks do not stop; less than the agent's grace.
constexpr absl::Duration kStopPatience = absl::Seconds(2);

absl::StatusOr<WorkerSpec> ReadParameters() {
  struct stat info = {};
  if (fstat(kParametersFd, &info) != 0) {
    return absl::ErrnoToStatus(
        errno, "reading the worker's parameters (--worker is for the task manager's own use)");
  }
  std::string bytes(static_cast<size_t>(info.st_size), '\0');
  const ssize_t size = pread(kParametersFd, bytes.data(), bytes.size(), 0);
  if (size != static_cast<ssize_t>(bytes.size())) {
    return absl::InvalidArgumentError("the worker's parameters were cut off");
  }
  return ParseWorkerSpec(bytes);
}

absl::StatusOr<int> OpenReport(const std::string& directory) {
  const std::string path = StrCat(directory, "/", kCrashReportName);
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return absl::ErrnoToStatus(errno, StrCat("making ", path));
  return fd;
}

// Leaves without running destructors: tasks may be stuck in user code, and a plugin is never
// unloaded.
[[noreturn]] void Leave(WorkerExitCode code, int report_fd, const CrashReport& report) {
  if (code != WorkerExitCode::kStopped && report_fd >= 0) {
    const std::string text = FormatCrashReport(report);
    // What cannot be written is lost; the exit code remains.
    if (write(report_fd, text.data(), text.size()) < 0) perror("writing the worker's report");
  }
  fflush(nullptr);
  _exit(static_cast<int>(code));
}

[[noreturn]] void LeaveUnstarted(const absl::Status& why, int report_fd) {
  fprintf(stderr, "%s\n", why.ToString().c_str());
  CrashReport report;
  report.code = static_cast<int>(why.code());
  report.message = std::string(why.message());
  Leave(WorkerExitCode::kStartFailed, report_fd, report);
}

// An Env whose threads have signal stacks of their own, because user code runs on them.
class ArmedEnv final : public Env {
 public:
  explicit ArmedEnv(Env& env) : env_(env) {}
  Clock& clock() override { return env_.clock(); }
  Random& random() override { return env_.random(); }
  FileSystem& files() override { return env_.files(); }
  Network& network() override { return env_.network(); }
  std::unique_ptr<Executor> NewExecutor(std::string_view name) override {
    auto executor = env_.NewExecutor(name);
    executor->Post([] { CrashHandler::ArmThread(); });
    return executor;
  }
  void RunBlocking(Closure work) override {
    env_.RunBlocking([work = std::move(work)]() mutable {
      CrashHandler::ArmThread();
      work();
    });
  }

 private:
  Env& env_;
};

// Loads the plugin if it is still what its hash says, and has exit() watched from before its first
// code runs.
class CheckingLoader final : public PluginLoader {
 public:
  CheckingLoader(FileSystem& files, std::string sha256)
      : files_(files), sha256_(std::move(sha256)), loader_(MakeFilePluginLoader()) {}

  absl::StatusOr<std::unique_ptr<Plugin>> Load(const std::string& path) override {
    WEIR_RETURN_IF_ERROR(Check(path));
    CrashHandler::ArmExitHook();
    auto plugin = loader_->Load(path);
    CrashHandler::ArmExitHook();
    return plugin;
  }

 private:
  absl::Status Check(const std::string& path) {
    WEIR_ASSIGN_OR_RETURN(auto file, files_.OpenForRead(path));
    Sha256 hash;
    std::string block(1 << 20, '\0');
    for (uint64_t at = 0;;) {
      WEIR_ASSIGN_OR_RETURN(const size_t size, file->ReadAt(at, block.size(), block.data()));
      if (size == 0) break;
      hash.Update(std::string_view(block).substr(0, size));
      at += size;
    }
    if (const std::string found = hash.Finish(); found != sha256_) {
      return absl::DataLossError(
          StrCat(path, " has changed since it was fetched: its sha256 is ", found));
    }
    return absl::OkStatus();
  }

  FileSystem& files_;
  const std::string sha256_;
  std::unique_ptr<PluginLoader> loader_;
};

}  // namespace

int WorkerMain(const char* program) {
  ProcessWatch::BlockSignals();
  absl::StatusOr<WorkerSpec> spec = ReadParameters();
  if (!spec.ok()) {
    fprintf(stderr, "%s\n", spec.status().ToString().c_str());
    return static_cast<int>(WorkerExitCode::kWrongUsage);
  }
  spec->pid = getpid();
  const absl::StatusOr<int> report_fd = OpenReport(spec->directory);
  if (!report_fd.ok()) LeaveUnstarted(report_fd.status(), -1);
  if (absl::Status installed = CrashHandler::Install(program, *report_fd); !installed.ok()) {
    LeaveUnstarted(installed, *report_fd);
  }
  if (absl::Status limited = ApplyWorkerLimits(spec->memory_limit_bytes); !limited.ok()) {
    LeaveUnstarted(limited, *report_fd);
  }

  const std::unique_ptr<Network> network = MakeGrpcNetwork({.allow_insecure_non_loopback = true});
  const std::unique_ptr<Env> system = MakeSystemEnv({.network = network.get()});
  ArmedEnv env(*system);
  // A malformed setting is reported when the job's are read: the log does with the defaults until
  // then.
  const absl::StatusOr<ProcessLog> log =
      MakeProcessLog(SettingsOfJob(spec->settings).value_or(Settings()), env.clock(), "worker");
  if (!log.ok()) LeaveUnstarted(log.status(), *report_fd);
  const std::unique_ptr<ConnectorRegistry> connectors = MakeConnectorRegistry(env);
  CheckingLoader loader(env.files(), spec->plugin_sha256);
  const std::unique_ptr<Executor> control = env.NewExecutor("worker");
  std::promise<WorkerEnd> ended;
  const std::unique_ptr<Worker> worker =
      Worker::Make({env, *control, loader, *connectors, *log, DescribeFrame, MakeRocksDb}, *spec,
                   [&ended](WorkerEnd end) { ended.set_value(std::move(end)); });
  ProcessWatch::Events events;
  events.on_signal = [&worker](int) { worker->Stop(kStopPatience); };
  events.parent_pipe = kParentPipeFd;
  events.on_parent_gone = [] { _exit(static_cast<int>(WorkerExitCode::kAgentGone)); };
  const auto watch = ProcessWatch::Make(env, std::move(events));
  if (!watch.ok()) LeaveUnstarted(watch.status(), *report_fd);
  worker->Start();
  const WorkerEnd end = ended.get_future().get();
  Leave(end.code, *report_fd, end.report);
}

}  // namespace weir

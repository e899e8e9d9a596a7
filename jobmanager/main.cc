// The job manager's binary: one process of the control plane. Never loads a job.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/base/version.h"
#include "common/config/settings.h"
#include "common/env/system/system_env.h"
#include "common/obs/log.h"
#include "jobmanager/job_manager.h"
#include "jobmanager/rest/rest_server.h"
#include "transport/rpc/grpc_network.h"

namespace weir {
namespace {

constexpr int kFailed = 1;
constexpr int kWrongUsage = 2;

struct Command {
  std::string config;
  std::vector<std::string> overrides;
  bool allow_insecure = false;
};

std::string Address(const std::string& host, int64_t port) {
  const bool v6 = host.find(':') != std::string::npos && !host.starts_with("[");
  return StrCat(v6 ? "[" : "", host, v6 ? "]" : "", ":", port);
}

absl::Status SystemError(const std::string& what) {
  return absl::UnavailableError(StrCat(what, ": ", strerror(errno)));
}

// A folder that nobody else can have prepared, and in which no other job manager works while `fd`
// is open.
class DataFolder {
 public:
  // Without a setting: one below io.tmp.dirs, the same after a restart (the leader epoch must go on
  // from there).
  static absl::StatusOr<std::unique_ptr<DataFolder>> Open(Env& env, const Settings& settings) {
    std::string path = settings.Get(options::kDataDir);
    const bool chosen = path.empty();
    if (chosen) {
      const std::vector<std::string> temporary =
          absl::StrSplit(settings.Get(options::kTmpDirs), ',');
      const int64_t port = settings.Get(options::kJobManagerPort);
      path = StrCat(temporary[0], "/weir-jobmanager-", getuid(), "-",
                    port == 0 ? StrCat("process-", getpid()) : StrCat(port));
      if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return SystemError(path);
      struct stat info{};
      if (lstat(path.c_str(), &info) != 0) return SystemError(path);
      if (!S_ISDIR(info.st_mode) || info.st_uid != getuid() || (info.st_mode & 0022) != 0) {
        return absl::FailedPreconditionError(StrCat(
            path,
            " is not a folder that this user alone can write: remove it, or set weir.data.dir"));
      }
    } else {
      WEIR_RETURN_IF_ERROR(env.files().CreateDirectories(path));
    }
    const std::string lock = StrCat(path, "/lock");
    const int fd = open(lock.c_str(), O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return SystemError(lock);
    auto folder = std::unique_ptr<DataFolder>(new DataFolder(env, path, fd));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return SystemError(lock);
      return absl::AlreadyExistsError(
          StrCat("another job manager works in ", path, Holder(fd),
                 ": stop it, or set weir.data.dir (and jobmanager.rpc.port) to another one"));
    }
    WEIR_RETURN_IF_ERROR(WriteHolder(fd, lock));
    // Not before it is known to be ours.
    folder->temporary_ = chosen && settings.Get(options::kJobManagerPort) == 0;
    return folder;
  }
  ~DataFolder() {
    // It is in a temporary folder: what cannot be deleted does no harm.
    if (temporary_) env_.files().DeleteRecursively(path_).IgnoreError();
    close(fd_);
  }
  DataFolder(const DataFolder&) = delete;
  DataFolder& operator=(const DataFolder&) = delete;

  const std::string& path() const { return path_; }

 private:
  // " (process 7 on host 'a')", as the holder of the lock has written it.
  static std::string Holder(int fd) {
    std::string text(256, '\0');
    const ssize_t size = pread(fd, text.data(), text.size(), 0);
    text.resize(size > 0 ? static_cast<size_t>(size) : 0);
    text.resize(std::min(text.find('\n'), text.size()));
    return text.empty() ? text : StrCat(" (", absl::Utf8SafeCEscape(text), ")");
  }
  static absl::Status WriteHolder(int fd, const std::string& lock) {
    char host[HOST_NAME_MAX + 1] = {};
    if (gethostname(host, sizeof(host) - 1) != 0) return SystemError("gethostname");
    const std::string text = StrCat("process ", getpid(), " on host '", host, "'\n");
    if (ftruncate(fd, 0) != 0 ||
        pwrite(fd, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
      return SystemError(lock);
    }
    return absl::OkStatus();
  }

  DataFolder(Env& env, std::string path, int fd) : env_(env), path_(std::move(path)), fd_(fd) {}

  Env& env_;
  const std::string path_;
  const int fd_;
  bool temporary_ = false;
};

absl::StatusOr<Logger> MakeLogger(const Settings& settings, const Clock& clock) {
  LogOptions log;
  WEIR_ASSIGN_OR_RETURN(log.level, ParseLogLevel(settings.Get(options::kLogLevel)));
  if (settings.Get(options::kLogFormat) == "json") log.format = LogFormat::kJsonLines;
  std::shared_ptr<LogWriter> writer = MakeStderrLogWriter();
  if (const std::string file = settings.Get(options::kLogFile); !file.empty()) {
    WEIR_ASSIGN_OR_RETURN(writer, MakeFileLogWriter(file));
  }
  return Logger(std::move(writer), clock, log).For("jobmanager");
}

JobManagerOptions OptionsOf(const Settings& settings, const std::string& data,
                            const Logger& logger) {
  JobManagerOptions job_manager;
  job_manager.data_directory = data;
  job_manager.schedule.heartbeat_interval = settings.Get(options::kHeartbeatInterval);
  job_manager.schedule.heartbeat_timeout = settings.Get(options::kHeartbeatTimeout);
  job_manager.schedule.slot_request_timeout = settings.Get(options::kSlotRequestTimeout);
  job_manager.schedule.takeover_timeout = settings.Get(options::kTakeoverTimeout);
  job_manager.settings = settings;
  job_manager.publish_snapshots = true;
  job_manager.log = [logger](std::string_view level, std::string_view text) {
    logger.Write(level == "error"     ? LogLevel::kError
                 : level == "warning" ? LogLevel::kWarning
                                      : LogLevel::kInfo,
                 text);
  };
  return job_manager;
}

// Runs until SIGTERM or SIGINT, which are blocked in all threads.
absl::Status Run(const Command& command, const Settings& settings, const sigset_t& signals) {
  if (settings.Get(options::kHeartbeatTimeout) < 2 * settings.Get(options::kHeartbeatInterval)) {
    return absl::InvalidArgumentError(
        "heartbeat.timeout must be at least twice heartbeat.interval, so that one late heartbeat "
        "is no loss");
  }
  const std::unique_ptr<Network> network =
      MakeGrpcNetwork({.allow_insecure_non_loopback = command.allow_insecure});
  const std::unique_ptr<Env> env = MakeSystemEnv({.network = network.get()});
  WEIR_ASSIGN_OR_RETURN(const Logger logger, MakeLogger(settings, env->clock()));
  WEIR_ASSIGN_OR_RETURN(const std::unique_ptr<DataFolder> data, DataFolder::Open(*env, settings));

  const std::string bind_host = settings.Get(options::kJobManagerBindHost);
  const std::string host = settings.Get(options::kJobManagerAddress);
  JobManagerOptions job_manager_options = OptionsOf(settings, data->path(), logger);
  job_manager_options.advertised_host = host;
  std::atomic<bool> superseded = false;
  job_manager_options.superseded = [&superseded](const absl::Status&) {
    superseded = true;
    kill(getpid(), SIGTERM);
  };
  JobManager job_manager(*env, std::move(job_manager_options));
  WEIR_RETURN_IF_ERROR(
      job_manager.Start(Address(bind_host, settings.Get(options::kJobManagerPort))));
  jobmanager::RestOptions rest;
  rest.bind_host = settings.Get(options::kRestBindAddress);
  rest.port = static_cast<uint16_t>(settings.Get(options::kRestPort));
  rest.allow_insecure_non_loopback = command.allow_insecure;
  rest.host_label = host;
  WEIR_ASSIGN_OR_RETURN(
      const std::unique_ptr<jobmanager::RestServer> rest_server,
      jobmanager::RestServer::Start(*env, rest, [&job_manager] { return job_manager.Snapshot(); }));
  printf("jobmanager listening on %s, REST on http://%s, files in %s\n",
         job_manager.address().c_str(), rest_server->address().c_str(), data->path().c_str());
  fflush(stdout);
  int signal = 0;
  sigwait(&signals, &signal);
  // The next one ends the process at once.
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  logger.Info("job manager stops", {{"signal", signal}});
  if (superseded) {
    return absl::AbortedError(
        StrCat("another job manager has taken ", data->path(), " over; this one leads no more"));
  }
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  Command command;
  CLI::App app{"Takes jobs, schedules them on task managers, and watches them."};
  app.add_option("--config", command.config, "YAML file with settings");
  app.add_option("-D", command.overrides, "A setting, key=value, over those of the file");
  app.add_flag("--insecure-allow-plaintext", command.allow_insecure,
               "Listen on addresses that other hosts reach, without encryption");
  app.set_version_flag("--version", std::string(kVersion));
  app.footer("Settings:\n" + FormatOptionsForHelp());
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kWrongUsage;
  }
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  absl::StatusOr<Settings> settings;
  {
    const std::unique_ptr<Env> env = MakeSystemEnv();
    settings = LoadSettings(env->files(), command.config, command.overrides);
  }
  const absl::Status end = settings.ok() ? Run(command, *settings, signals) : settings.status();
  if (end.ok()) return 0;
  fprintf(stderr, "jobmanager: %s\n", std::string(end.message()).c_str());
  return settings.ok() ? kFailed : kWrongUsage;
}

}  // namespace
}  // namespace weir

int main(int argc, char** argv) { return weir::Main(argc, argv); }

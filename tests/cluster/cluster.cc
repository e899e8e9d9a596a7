#include "tests/cluster/cluster.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <future>
#include <sstream>
#include <utility>

#include "common/base/check.h"
#include "common/base/strings.h"
#include "common/env/system/system_env.h"
#include "proto/job_graph.pb.h"
#include "sdk/host/plugin_host.h"
#include "transport/rpc/grpc_network.h"

namespace weir::cluster {
namespace {

std::string ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// The host:port after "listening on "; empty if it is not there yet.
std::string AddressIn(const std::string& output) {
  const std::string mark = "listening on ";
  const size_t begin = output.find(mark);
  if (begin == std::string::npos || output.find('\n', begin) == std::string::npos) return "";
  const size_t from = begin + mark.size();
  return output.substr(from, output.find_first_of(",\n", from) - from);
}

void AddSettings(const std::vector<std::string>& settings, std::vector<std::string>& arguments) {
  for (const std::string& setting : settings) {
    if (setting.rfind("--", 0) != 0) arguments.push_back("-D");
    arguments.push_back(setting);
  }
}

absl::Time Now() { return absl::Now(); }

}  // namespace

std::unique_ptr<TestProcess> TestProcess::Start(std::vector<std::string> arguments,
                                                const std::string& log_prefix,
                                                const std::vector<std::string>& environment) {
  auto process = std::make_unique<TestProcess>();
  process->log_prefix_ = log_prefix;
  posix_spawn_file_actions_t actions;
  WEIR_CHECK_EQ(posix_spawn_file_actions_init(&actions), 0);
  const std::string out = StrCat(log_prefix, ".out");
  const std::string err = StrCat(log_prefix, ".err");
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, err.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0600);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  std::vector<char*> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) variables.push_back(*variable);
  std::vector<std::string> more = environment;
  for (std::string& variable : more) variables.push_back(variable.data());
  variables.push_back(nullptr);
  const int error =
      posix_spawn(&process->pid_, argv[0], &actions, nullptr, argv.data(), variables.data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) fprintf(stderr, "%s: %s\n", argv[0], strerror(error));
  WEIR_CHECK_EQ(error, 0);
  process->pidfd_ = static_cast<int>(syscall(SYS_pidfd_open, process->pid_, 0));
  WEIR_CHECK_GE(process->pidfd_, 0);
  return process;
}

TestProcess::~TestProcess() {
  if (exit_code_ == -1) {
    Signal(SIGTERM);
    if (AwaitExit(absl::Seconds(10)) == -1) {
      Signal(SIGKILL);
      AwaitExit(absl::Seconds(10));
    }
  }
  close(pidfd_);
}

void TestProcess::Signal(int signal) const {
  syscall(SYS_pidfd_send_signal, pidfd_, signal, nullptr, 0);
}

int TestProcess::AwaitExit(absl::Duration limit) {
  if (exit_code_ != -1) return exit_code_;
  pollfd source = {pidfd_, POLLIN, 0};
  const absl::Time until = Now() + limit;
  while (Now() < until) {
    const int ready =
        poll(&source, 1, static_cast<int>(absl::ToInt64Milliseconds(until - Now())) + 1);
    if (ready <= 0) continue;
    siginfo_t info = {};
    WEIR_CHECK_EQ(waitid(P_PIDFD, static_cast<id_t>(pidfd_), &info, WEXITED), 0);
    exit_code_ = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
    return exit_code_;
  }
  return -1;
}

std::string TestProcess::Output() const { return ReadAll(StrCat(log_prefix_, ".out")); }
std::string TestProcess::Errors() const { return ReadAll(StrCat(log_prefix_, ".err")); }

Cluster::Cluster() {
  const char* temporary = getenv("TEST_TMPDIR");
  folder_ = StrCat(temporary == nullptr ? "/tmp" : temporary, "/weir-cluster-XXXXXX");
  WEIR_CHECK(mkdtemp(folder_.data()) != nullptr);
  network_ = MakeGrpcNetwork({});
  env_ = MakeSystemEnv({.network = network_.get()});
  executor_ = env_->NewExecutor("test");
}

Cluster::~Cluster() {
  task_managers_.clear();
  job_manager_.reset();
  std::promise<void> gone;
  executor_->Post([this, &gone] {
    client_.reset();
    gone.set_value();
  });
  gone.get_future().wait();
  executor_->Shutdown();
  executor_.reset();
  std::filesystem::remove_all(folder_);
}

void Cluster::RunFor(absl::Duration duration) {
  std::promise<void> over;
  executor_->PostAfter(duration, [&over] { over.set_value(); });
  over.get_future().wait();
}

bool Cluster::Poll(const std::function<bool()>& condition, absl::Duration limit) {
  const absl::Time until = Now() + limit;
  for (;;) {
    if (condition()) return true;
    if (Now() >= until) return false;
    RunFor(absl::Milliseconds(10));
  }
}

void Cluster::StartJobManager(const std::vector<std::string>& settings) {
  if (TryStartJobManager(settings, {})) return;
  PrintLogs();
  WEIR_CHECK(!"the job manager did not start");
}

bool Cluster::TryStartJobManager(const std::vector<std::string>& settings,
                                 const std::vector<std::string>& environment) {
  const std::string port = address_.empty() ? "0" : address_.substr(address_.rfind(':') + 1);
  std::vector<std::string> arguments{WEIR_JOBMANAGER,
                                     "-D",
                                     StrCat("jobmanager.rpc.port=", port),
                                     "-D",
                                     "rest.port=0",
                                     "-D",
                                     StrCat("weir.data.dir=", folder_, "/jobmanager")};
  AddSettings(settings, arguments);
  job_manager_ = TestProcess::Start(
      std::move(arguments), StrCat(folder_, "/jobmanager-", started_job_managers_++), environment);
  const bool listening = Poll(
      [this] {
        return !AddressIn(job_manager_->Output()).empty() || job_manager_->AwaitExit({}) != -1;
      },
      absl::Seconds(20));
  if (!listening || AddressIn(job_manager_->Output()).empty()) return false;
  address_ = AddressIn(job_manager_->Output());
  std::promise<void> made;
  executor_->Post([this, &made] {
    client_ =
        std::make_unique<JobManagerClient>(*env_, *executor_, ClientOptions{.address = address_});
    made.set_value();
  });
  made.get_future().wait();
  return true;
}

size_t Cluster::StartTaskManager(uint32_t slots, std::vector<std::string> settings,
                                 const std::string& program,
                                 const std::vector<std::string>& environment,
                                 std::vector<std::string> launcher) {
  const size_t index = task_managers_.size();
  const size_t colon = address_.rfind(':');
  settings.push_back(StrCat("taskmanager.numberOfTaskSlots=", slots));
  settings.push_back(StrCat("taskmanager.resource-id=tm-", index));
  settings.push_back(StrCat("jobmanager.rpc.address=", address_.substr(0, colon)));
  settings.push_back(StrCat("jobmanager.rpc.port=", address_.substr(colon + 1)));
  settings.push_back(StrCat("weir.data.dir=", folder_, "/tm-", index));
  std::vector<std::string> arguments = std::move(launcher);
  arguments.push_back(program.empty() ? WEIR_TASKMANAGER : program);
  AddSettings(settings, arguments);
  task_managers_.push_back(TestProcess::Start(
      std::move(arguments), StrCat(folder_, "/taskmanager-", index), environment));
  return index;
}

template <class T>
absl::StatusOr<T> Cluster::Await(std::function<void(ClientCallback<T>)> call) {
  auto promise = std::make_shared<std::promise<absl::StatusOr<T>>>();
  std::future<absl::StatusOr<T>> answer = promise->get_future();
  executor_->Post([call = std::move(call), promise] {
    call([promise](absl::StatusOr<T>&& result) { promise->set_value(std::move(result)); });
  });
  if (answer.wait_for(std::chrono::seconds(60)) != std::future_status::ready) {
    return absl::DeadlineExceededError("the client was never answered");
  }
  return answer.get();
}

absl::StatusOr<JobId> Cluster::Submit(const std::string& plugin, uint32_t parallelism,
                                      std::map<std::string, std::string> arguments,
                                      std::map<std::string, std::string> settings) {
  Submission submission;
  submission.settings = std::move(settings);
  submission.plugin_path = plugin;
  submission.arguments = std::move(arguments);
  submission.fingerprint = HostFingerprint();
  static const std::unique_ptr<PluginLoader> loader = MakeFilePluginLoader();
  auto loaded = loader->Load(plugin);
  if (!loaded.ok()) return loaded.status();
  auto definition = (*loaded)->Define({.arguments = submission.arguments});
  if (!definition.ok()) return definition.status();
  auto graph = BuildJobGraph(**definition, {.parallelism = parallelism});
  if (!graph.ok()) return graph.status();
  submission.graph = std::make_shared<const proto::JobGraph>(*std::move(graph));
  return Await<JobId>([this, submission](ClientCallback<JobId> done) {
    client_->Submit(submission, nullptr, std::move(done));
  });
}

absl::StatusOr<proto::JobStatusResponse> Cluster::Status(JobId job) {
  return Await<proto::JobStatusResponse>(
      [this, job](auto done) { client_->JobStatus(job, std::move(done)); });
}

absl::StatusOr<proto::JobCheckpointsResponse> Cluster::Checkpoints(JobId job, uint64_t checkpoint) {
  return Await<proto::JobCheckpointsResponse>([this, job, checkpoint](auto done) {
    client_->JobCheckpoints(job, checkpoint, std::move(done));
  });
}

uint64_t Cluster::NewestCheckpoint(JobId job) {
  const auto told = Checkpoints(job);
  if (!told.ok()) return 0;
  for (const auto& checkpoint : told->checkpoints()) {
    if (checkpoint.state() == proto::JobCheckpoint::COMPLETED) return checkpoint.id();
  }
  return 0;
}

absl::StatusOr<proto::ClusterInfoResponse> Cluster::Info() {
  return Await<proto::ClusterInfoResponse>(
      [this](auto done) { client_->ClusterInfo(std::move(done)); });
}

absl::StatusOr<std::string> Cluster::Logs(JobId job) {
  auto logs = Await<proto::JobLogsResponse>(
      [this, job](auto done) { client_->JobLogs(job, 1000, std::move(done)); });
  if (!logs.ok()) return logs.status();
  std::string text;
  for (const auto& log : logs->logs()) text += log.text();
  return text;
}

absl::Status Cluster::Cancel(JobId job) {
  return Await<proto::CancelJobResponse>(
             [this, job](auto done) { client_->CancelJob(job, std::move(done)); })
      .status();
}

absl::Status Cluster::TriggerRescale(const RescaleRequest& request) {
  return Await<proto::RescaleProgress>(
             [this, request](auto done) { client_->RescaleJob(request, std::move(done)); })
      .status();
}

bool Cluster::AwaitTaskManagers(int count, absl::Duration limit) {
  return Poll(
      [&] {
        const auto info = Info();
        return info.ok() && info->task_managers_size() == count;
      },
      limit);
}

bool Cluster::AwaitStatus(JobId job,
                          const std::function<bool(const proto::JobStatusResponse&)>& condition,
                          absl::Duration limit) {
  return Poll(
      [&] {
        const auto status = Status(job);
        return status.ok() && condition(*status);
      },
      limit);
}

bool Cluster::AwaitState(JobId job, proto::JobState state, absl::Duration limit) {
  proto::JobState last = proto::JOB_STATE_UNSPECIFIED;
  AwaitStatus(
      job,
      [&](const proto::JobStatusResponse& status) {
        last = status.summary().state();
        return last == state || last == proto::FINISHED || last == proto::CANCELED ||
               last == proto::FAILED;
      },
      limit);
  return last == state;
}

bool Cluster::AwaitGone(int64_t pid, absl::Duration limit) {
  return Poll([pid] { return kill(static_cast<pid_t>(pid), 0) != 0 && errno == ESRCH; }, limit);
}

void Cluster::PrintLogs() const {
  for (const std::filesystem::path& file : FilesBelow(folder_)) {
    const std::string path = file.string();
    const bool is_log = path.ends_with(".log") || path.ends_with(".out") ||
                        path.ends_with(".err") || file.filename() == "crash";
    if (is_log) printf("--- %s\n%s\n", path.c_str(), ReadAll(path).c_str());
  }
}

std::vector<std::filesystem::path> FilesBelow(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  std::vector<std::filesystem::path> folders = {folder};
  while (!folders.empty()) {
    // What has gone meanwhile has nothing in it.
    std::error_code gone;
    std::filesystem::directory_iterator entry(folders.back(), gone);
    folders.pop_back();
    for (; !gone && entry != std::filesystem::directory_iterator(); entry.increment(gone)) {
      std::error_code unknown;
      if (entry->is_directory(unknown)) {
        folders.push_back(entry->path());
      } else if (entry->is_regular_file(unknown)) {
        files.push_back(entry->path());
      }
    }
  }
  return files;
}

}  // namespace weir::cluster

#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/lib/job_manager_client.h"
#include "common/env/env.h"
#include "proto/control.pb.h"

namespace weir::cluster {

// Regular files below a folder in which others come and go while it is listed; none if it is not
// there. Those that were there all the time are among them.
std::vector<std::filesystem::path> FilesBelow(const std::filesystem::path& folder);

// A process that a test started, with its output in a file. Killed, and waited for, at the end at
// the latest.
class TestProcess {
 public:
  // `arguments[0]` is the program. Output goes to <log_prefix>.out and .err. `environment`:
  // "NAME=value", besides those of the test.
  static std::unique_ptr<TestProcess> Start(std::vector<std::string> arguments,
                                            const std::string& log_prefix,
                                            const std::vector<std::string>& environment = {});
  ~TestProcess();

  pid_t pid() const { return pid_; }
  void Signal(int signal) const;
  // Waits for its end: the exit code, or 128 + the signal that ended it; -1 if it still runs after
  // `limit`.
  int AwaitExit(absl::Duration limit);
  std::string Output() const;
  std::string Errors() const;

 private:
  pid_t pid_ = 0;
  int pidfd_ = -1;
  int exit_code_ = -1;
  std::string log_prefix_;
};

// A cluster of real processes on loopback: one job manager, any number of task managers, and a
// client in the test's process. All files are in a temporary folder of its own; it ends only
// processes that it started. One thread.
class Cluster {
 public:
  Cluster();
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  // On a free port the first time, and on the same one afterwards: the next job manager of the same
  // cluster.
  // `settings`: "key=value", or a flag ("--..."). It must come up.
  void StartJobManager(const std::vector<std::string>& settings = {});
  // False: it ended before it was up.
  bool TryStartJobManager(const std::vector<std::string>& settings,
                          const std::vector<std::string>& environment);
  TestProcess& job_manager() { return *job_manager_; }
  // `settings`: as above. `launcher`: a program and its arguments that become the task manager,
  // such as one that enters a namespace. Returns its index.
  size_t StartTaskManager(uint32_t slots, std::vector<std::string> settings = {},
                          const std::string& program = "",
                          const std::vector<std::string>& environment = {},
                          std::vector<std::string> launcher = {});
  size_t task_managers() const { return task_managers_.size(); }
  TestProcess& task_manager(size_t index) { return *task_managers_[index]; }
  const std::string& folder() const { return folder_; }
  const std::string& address() const { return address_; }

  bool AwaitTaskManagers(int count, absl::Duration limit = absl::Seconds(20));
  absl::StatusOr<JobId> Submit(const std::string& plugin, uint32_t parallelism,
                               std::map<std::string, std::string> arguments = {},
                               std::map<std::string, std::string> settings = {});
  absl::StatusOr<proto::JobStatusResponse> Status(JobId job);
  absl::StatusOr<proto::JobCheckpointsResponse> Checkpoints(JobId job, uint64_t checkpoint = 0);
  // The newest complete one; 0: none, or none that the job manager knows.
  uint64_t NewestCheckpoint(JobId job);
  absl::StatusOr<proto::ClusterInfoResponse> Info();
  absl::StatusOr<std::string> Logs(JobId job);
  absl::Status Cancel(JobId job);
  // Begins it; whatever comes of it.
  absl::Status TriggerRescale(const RescaleRequest& request);
  // False: not within `limit`, or terminal in another state.
  bool AwaitState(JobId job, proto::JobState state, absl::Duration limit = absl::Seconds(30));
  // Asks until `condition` holds.
  bool AwaitStatus(JobId job, const std::function<bool(const proto::JobStatusResponse&)>& condition,
                   absl::Duration limit = absl::Seconds(30));
  // For a fault that lasts; to wait for something there are the others.
  void RunFor(absl::Duration duration);
  // True once no process with this number is left.
  bool AwaitGone(int64_t pid, absl::Duration limit);

  // Prints what all processes wrote, workers too; for a test that failed.
  void PrintLogs() const;

 private:
  template <class T>
  absl::StatusOr<T> Await(std::function<void(ClientCallback<T>)> call);
  // Calls `condition` with pauses until it holds or `limit` has passed.
  bool Poll(const std::function<bool()>& condition, absl::Duration limit);

  std::string folder_;
  std::string address_;
  int started_job_managers_ = 0;
  std::unique_ptr<Network> network_;
  std::unique_ptr<Env> env_;
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<JobManagerClient> client_;
  std::unique_ptr<TestProcess> job_manager_;
  std::vector<std::unique_ptr<TestProcess>> task_managers_;
};

}  // namespace weir::cluster

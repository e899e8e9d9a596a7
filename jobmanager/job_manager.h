#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "common/config/settings.h"
#include "common/env/env.h"
#include "jobmanager/dispatch/snapshot.h"
#include "jobmanager/schedule/job.h"

namespace weir {

struct JobManagerOptions {
  // Holds plugins, jobs and the leader epoch. No other job manager may use it at the same time.
  std::string data_directory = "jobmanager-data";
  jobmanager::ScheduleOptions schedule;
  // Of the cluster: what holds for a job that says nothing else.
  Settings settings;
  // Jobs that have not ended; more are refused.
  size_t max_jobs = 1'000;
  // Jobs that have ended and are still shown.
  size_t max_ended_jobs = 100;
  // Plugins that no job needs are kept for the next submission, up to this many bytes together.
  uint64_t max_idle_plugin_bytes = 2ull << 30;
  // How long a client may be silent in the middle of a submission.
  absl::Duration submission_idle_timeout = absl::Minutes(1);
  // The host by which task managers and workers reach it, if that is not the one that it listens
  // on: without a port.
  std::string advertised_host;
  // Another job manager has taken over: this one does nothing any more and may be stopped. Called
  // on one of its executors, once. May be null.
  std::function<void(const absl::Status& why)> superseded;
  // Makes snapshots for the REST server.
  bool publish_snapshots = false;
  // Level ("info", "warning", "error") and a line. Called from any thread. Null: nothing is logged.
  std::function<void(std::string_view level, std::string_view text)> log;
};

// The control plane of a cluster: takes submissions, schedules jobs on task managers, watches and
// ends them. Never loads a plugin. See proto/control.proto for what it answers.
//
// Lifecycle: Start once, then Stop (or destruction), from the thread that made it, which none of
// its executors is. It works on any Env; in the simulator everything runs on the one thread.
class JobManager {
 public:
  JobManager(Env& env, JobManagerOptions options);
  ~JobManager();
  JobManager(const JobManager&) = delete;
  JobManager& operator=(const JobManager&) = delete;

  // Takes the leadership of the data folder and listens; `address` is "host:port", port 0 takes a
  // free one. Blocks. Errors name the folder or the address that is in the way.
  absl::Status Start(const std::string& address);
  // Closes the server; jobs and task managers are left as they are. Idempotent.
  void Stop();

  // After Start.
  const std::string& address() const;
  uint64_t leader_epoch() const;
  // The last one that was made; null before the first. Any thread.
  std::shared_ptr<const jobmanager::ClusterSnapshot> Snapshot() const;

 private:
  class Process;
  std::unique_ptr<Process> process_;
};

}  // namespace weir

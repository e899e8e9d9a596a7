#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/id.h"

namespace weir {

// Names one worker process for ever: an attempt of a job is never started twice.
struct WorkerKey {
  JobId job;
  uint32_t attempt = 0;
  uint32_t index = 0;

  // "<job id>/<attempt>-<index>": also its folder below <data>/jobs.
  std::string ToString() const;
  friend auto operator<=>(const WorkerKey&, const WorkerKey&) = default;
};

// All that a worker needs to know to run its part of a job. Made by the agent from the job
// manager's request. A value.
struct WorkerSpec {
  WorkerKey key;
  uint64_t leader_epoch = 0;
  // Slots of the task manager that it takes: threads that run its tasks.
  uint32_t slots = 1;
  // 64 lower-case hex digits.
  std::string plugin_sha256;
  uint64_t plugin_bytes = 0;
  std::string plugin_path;
  std::map<std::string, std::string> arguments;
  std::map<std::string, std::string> settings;
  uint32_t parallelism = 1;
  uint32_t max_parallelism = 128;
  std::string job_name;
  std::string graph_hash;
  std::string job_manager_address;
  std::string task_manager;
  std::string directory;
  // Where copies of the job's state files lie, which other workers of the job use too, at once or
  // later; empty: there are none.
  std::string local_copies;
  std::string listen_host = "127.0.0.1";
  // The host by which others reach it; empty: the one it listens on.
  std::string host;
  // 0: no limit.
  uint64_t memory_limit_bytes = 0;
  absl::Duration orphan_timeout = absl::Seconds(10);
  // For people; the process sets it itself.
  int64_t pid = 0;
};

// Where the worker keeps state in files; nobody else uses it, and it is of no use once the worker
// has ended.
std::string LocalStateFolder(const WorkerSpec& spec);

// For handing a spec to another process. Parse fails with kInvalidArgument.
std::string SerializeWorkerSpec(const WorkerSpec& spec);
absl::StatusOr<WorkerSpec> ParseWorkerSpec(std::string_view bytes);

namespace proto {
class StartWorkerRequest;
}
// Takes over what the job manager says. kInvalidArgument if an id or the plugin's hash is malformed
// or a number is out of its range.
absl::StatusOr<WorkerSpec> WorkerSpecFromRequest(const proto::StartWorkerRequest& request);

// "host:port" with another host; as it is if `host` is empty.
std::string WithHost(const std::string& address, const std::string& host);

// Reads a job id of exactly 16 bytes.
absl::StatusOr<JobId> ReadJobId(std::string_view bytes);
std::string JobIdBytes(const JobId& id);

}  // namespace weir

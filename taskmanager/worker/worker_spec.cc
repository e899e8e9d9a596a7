#include "taskmanager/worker/worker_spec.h"

#include <algorithm>

#include "common/base/limits.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/config/options.h"
#include "common/hash/sha256.h"
#include "proto/control.pb.h"
#include "proto/worker.pb.h"

namespace weir {
namespace {

void FillRequest(const WorkerSpec& spec, proto::StartWorkerRequest& request) {
  request.set_leader_epoch(spec.leader_epoch);
  request.set_job_id(JobIdBytes(spec.key.job));
  request.set_attempt(spec.key.attempt);
  request.set_worker_index(spec.key.index);
  request.set_slots(spec.slots);
  request.set_plugin_sha256(spec.plugin_sha256);
  request.set_plugin_bytes(spec.plugin_bytes);
  request.mutable_arguments()->insert(spec.arguments.begin(), spec.arguments.end());
  request.mutable_settings()->insert(spec.settings.begin(), spec.settings.end());
  request.set_parallelism(spec.parallelism);
  request.set_max_parallelism(spec.max_parallelism);
  request.set_job_name(spec.job_name);
  request.set_graph_hash(spec.graph_hash);
  request.set_job_manager_address(spec.job_manager_address);
}

}  // namespace

std::string LocalStateFolder(const WorkerSpec& spec) {
  const auto named = spec.settings.find(std::string(options::kRocksDbDirectory.key));
  if (named == spec.settings.end() || named->second.empty())
    return StrCat(spec.directory, "/state");
  return StrCat(named->second, "/weir-", spec.key.job.ToString(), "-", spec.key.attempt, "-",
                spec.key.index);
}

std::string WorkerKey::ToString() const { return StrCat(job.ToString(), "/", attempt, "-", index); }

std::string WithHost(const std::string& address, const std::string& host) {
  return host.empty() ? address : StrCat(host, address.substr(address.rfind(':')));
}

absl::StatusOr<JobId> ReadJobId(std::string_view bytes) {
  if (bytes.size() != JobId::kBytes) {
    return absl::InvalidArgumentError(
        StrCat("a job id has ", JobId::kBytes, " bytes, this one ", bytes.size()));
  }
  std::array<uint8_t, JobId::kBytes> id;
  std::copy(bytes.begin(), bytes.end(), id.begin());
  return JobId(id);
}

std::string JobIdBytes(const JobId& id) {
  return std::string(id.bytes().begin(), id.bytes().end());
}

absl::StatusOr<WorkerSpec> WorkerSpecFromRequest(const proto::StartWorkerRequest& request) {
  WorkerSpec spec;
  WEIR_ASSIGN_OR_RETURN(spec.key.job, ReadJobId(request.job_id()));
  spec.key.attempt = request.attempt();
  spec.key.index = request.worker_index();
  spec.leader_epoch = request.leader_epoch();
  if (request.slots() == 0 || request.slots() > kMaxSlotsPerTaskManager) {
    return absl::InvalidArgumentError(
        StrCat("a worker takes 1 to ", kMaxSlotsPerTaskManager, " slots, not ", request.slots()));
  }
  spec.slots = request.slots();
  if (!IsSha256Hex(request.plugin_sha256())) {
    return absl::InvalidArgumentError("the plugin's sha256 must be 64 lower-case hex digits");
  }
  spec.plugin_sha256 = request.plugin_sha256();
  if (request.plugin_bytes() == 0 || request.plugin_bytes() > kMaxPluginBytes) {
    return absl::InvalidArgumentError(
        StrCat("a plugin has 1 to ", kMaxPluginBytes, " bytes, this one ", request.plugin_bytes()));
  }
  spec.plugin_bytes = request.plugin_bytes();
  spec.arguments.insert(request.arguments().begin(), request.arguments().end());
  spec.settings.insert(request.settings().begin(), request.settings().end());
  spec.parallelism = request.parallelism();
  spec.max_parallelism = request.max_parallelism();
  spec.job_name = request.job_name();
  spec.graph_hash = request.graph_hash();
  spec.job_manager_address = request.job_manager_address();
  return spec;
}

std::string SerializeWorkerSpec(const WorkerSpec& spec) {
  proto::WorkerParameters parameters;
  FillRequest(spec, *parameters.mutable_start());
  parameters.set_plugin_path(spec.plugin_path);
  parameters.set_task_manager(spec.task_manager);
  parameters.set_directory(spec.directory);
  parameters.set_local_copies(spec.local_copies);
  parameters.set_listen_host(spec.listen_host);
  parameters.set_host(spec.host);
  parameters.set_memory_limit_bytes(spec.memory_limit_bytes);
  parameters.set_orphan_timeout_micros(absl::ToInt64Microseconds(spec.orphan_timeout));
  return parameters.SerializeAsString();
}

absl::StatusOr<WorkerSpec> ParseWorkerSpec(std::string_view bytes) {
  proto::WorkerParameters parameters;
  if (!parameters.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("the worker's parameters are malformed");
  }
  WEIR_ASSIGN_OR_RETURN(WorkerSpec spec, WorkerSpecFromRequest(parameters.start()));
  spec.plugin_path = parameters.plugin_path();
  spec.task_manager = parameters.task_manager();
  spec.directory = parameters.directory();
  spec.local_copies = parameters.local_copies();
  spec.listen_host = parameters.listen_host();
  spec.host = parameters.host();
  spec.memory_limit_bytes = parameters.memory_limit_bytes();
  spec.orphan_timeout = absl::Microseconds(parameters.orphan_timeout_micros());
  return spec;
}

}  // namespace weir

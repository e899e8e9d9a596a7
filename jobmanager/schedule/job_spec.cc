#include "common/base/status_macros.h"
#include "common/base/version.h"
#include "common/config/settings.h"
#include "jobmanager/schedule/job.h"
#include "proto/job_graph.pb.h"
#include "proto/job_record.pb.h"

namespace weir::jobmanager {

std::shared_ptr<const proto::SubmittedJob> ToSubmittedJob(const JobSpec& spec) {
  auto job = std::make_shared<proto::SubmittedJob>();
  job->set_job_id(std::string(spec.id.bytes().begin(), spec.id.bytes().end()));
  job->set_name(spec.name);
  *job->mutable_graph() = *spec.graph;
  job->set_graph_hash(spec.graph_hash);
  job->set_plugin_sha256(spec.plugin_sha256);
  job->set_plugin_bytes(spec.plugin_bytes);
  job->mutable_arguments()->insert(spec.arguments.begin(), spec.arguments.end());
  job->mutable_settings()->insert(spec.settings.begin(), spec.settings.end());
  job->mutable_cluster_settings()->insert(spec.cluster_settings.begin(),
                                          spec.cluster_settings.end());
  job->set_parallelism(spec.parallelism);
  job->set_submitted_unix_micros(spec.submitted_unix_micros);
  job->set_allow_dropped_state(spec.allow_dropped_state);
  job->set_weir_version(std::string(kVersion));
  return job;
}

void ApplyScale(const proto::JobRecord_Scale& scale, JobSpec& spec) {
  spec.parallelism = scale.parallelism();
  spec.graph = std::make_shared<const proto::JobGraph>(scale.graph());
  spec.graph_hash = scale.graph_hash();
}

absl::StatusOr<JobSpec> ToJobSpec(const JobId& id, const proto::SubmittedJob& job) {
  JobSpec spec;
  spec.id = id;
  spec.name = job.name();
  spec.graph = std::make_shared<const proto::JobGraph>(job.graph());
  spec.graph_hash = job.graph_hash();
  spec.plugin_sha256 = job.plugin_sha256();
  spec.plugin_bytes = job.plugin_bytes();
  spec.arguments = {job.arguments().begin(), job.arguments().end()};
  spec.settings = {job.settings().begin(), job.settings().end()};
  spec.cluster_settings = {job.cluster_settings().begin(), job.cluster_settings().end()};
  spec.parallelism = job.parallelism();
  spec.allow_dropped_state = job.allow_dropped_state();
  spec.submitted_unix_micros = job.submitted_unix_micros();
  Settings cluster;
  for (const auto& [key, value] : spec.cluster_settings) {
    WEIR_RETURN_IF_ERROR(cluster.Set(key, value));
  }
  WEIR_ASSIGN_OR_RETURN(spec.policies, JobPolicies::Make(cluster, spec.settings));
  return spec;
}

}  // namespace weir::jobmanager

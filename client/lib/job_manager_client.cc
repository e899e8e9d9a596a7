#include "client/lib/job_manager_client.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "client/lib/plugin_upload_internal.h"
#include "common/base/strings.h"
#include "proto/control.pb.h"
#include "transport/rpc/typed_call.h"

namespace weir {
namespace {

template <class Id>
std::string Bytes(const Id& id) {
  return std::string(id.bytes().begin(), id.bytes().end());
}

template <class Response, class Progress>
ClientCallback<Response> ProgressOf(ClientCallback<Progress> done) {
  return [done = std::move(done)](absl::StatusOr<Response>&& response) mutable {
    if (!response.ok()) return done(response.status());
    done(std::move(*response->mutable_progress()));
  };
}

// One message for whatever means that nobody answers.
absl::Status WithAddress(const absl::Status& status, const ClientOptions& options) {
  if (absl::IsUnavailable(status)) {
    return absl::UnavailableError(StrCat("the job manager at ", options.address,
                                         " is not reachable: ", UnreachableCause(status)));
  }
  if (absl::IsDeadlineExceeded(status)) {
    return absl::UnavailableError(StrCat("the job manager at ", options.address,
                                         " did not answer within ",
                                         absl::FormatDuration(options.timeout)));
  }
  return status;
}

bool IsTerminal(proto::JobState state) {
  return state == proto::FINISHED || state == proto::CANCELED || state == proto::FAILED;
}

std::string ListOf(const std::vector<const proto::JobSummary*>& jobs) {
  constexpr size_t kMaxListed = 10;
  std::string text;
  for (size_t i = 0; i < jobs.size() && i < kMaxListed; ++i) {
    auto id = JobIdFromBytes(jobs[i]->job_id());
    text += StrCat("\n  ", id.ok() ? id->ToString() : "(no id)", "  ", jobs[i]->name());
  }
  if (jobs.size() > kMaxListed) text += StrCat("\n  and ", jobs.size() - kMaxListed, " more");
  return text;
}

}  // namespace

std::string UnreachableCause(const absl::Status& status) {
  const std::string text(status.message());
  return text.find("Connection refused") != std::string::npos ? "nothing listens there" : text;
}

JobManagerClient::JobManagerClient(Env& env, Executor& executor, ClientOptions options)
    : env_(env),
      executor_(executor),
      options_(std::move(options)),
      peer_(env.network().Connect(options_.address)) {}

JobManagerClient::~JobManagerClient() = default;

template <class Resp, class Req>
void JobManagerClient::Call(std::string_view method, const Req& request,
                            ClientCallback<Resp> done) {
  TypedCall<Req, Resp>(
      *peer_, StrCat("/weir.JobManager/", method), request, options_.timeout, &executor_,
      lifetime_.Guard([this, done = std::move(done)](absl::StatusOr<Resp> response) mutable {
        if (!response.ok()) return done(WithAddress(response.status(), options_));
        done(std::move(response));
      }));
}

void JobManagerClient::Submit(Submission submission,
                              std::function<void(uint64_t, uint64_t)> progress,
                              ClientCallback<JobId> done) {
  auto upload = std::make_shared<PluginUpload>(
      env_, executor_, options_, peer_, std::move(submission), std::move(progress),
      lifetime_.Guard([done = std::move(done)](absl::StatusOr<JobId>&& result) mutable {
        done(std::move(result));
      }));
  upload->Start();
}

void JobManagerClient::ListJobs(ClientCallback<proto::ListJobsResponse> done) {
  Call("ListJobs", proto::ListJobsRequest(), std::move(done));
}

void JobManagerClient::JobStatus(JobId job, ClientCallback<proto::JobStatusResponse> done) {
  proto::JobStatusRequest request;
  request.set_job_id(Bytes(job));
  Call("JobStatus", request, std::move(done));
}

void JobManagerClient::CancelJob(JobId job, ClientCallback<proto::CancelJobResponse> done) {
  proto::CancelJobRequest request;
  request.set_job_id(Bytes(job));
  Call("CancelJob", request, std::move(done));
}

void JobManagerClient::TriggerSavepoint(const SavepointRequest& savepoint,
                                        ClientCallback<proto::SavepointProgress> done) {
  proto::TriggerSavepointRequest request;
  request.set_job_id(Bytes(savepoint.job));
  request.set_trigger_id(Bytes(savepoint.trigger));
  request.set_directory(savepoint.directory);
  request.set_then(savepoint.then == SavepointRequest::Then::kGoOn   ? proto::GO_ON
                   : savepoint.then == SavepointRequest::Then::kStop ? proto::STOP
                                                                     : proto::DRAIN_AND_STOP);
  Call("TriggerSavepoint", request, ProgressOf<proto::TriggerSavepointResponse>(std::move(done)));
}

void JobManagerClient::SavepointStatus(JobId job, TriggerId trigger,
                                       ClientCallback<proto::SavepointProgress> done) {
  proto::SavepointStatusRequest request;
  request.set_job_id(Bytes(job));
  request.set_trigger_id(Bytes(trigger));
  Call("SavepointStatus", request, ProgressOf<proto::SavepointStatusResponse>(std::move(done)));
}

void JobManagerClient::JobCheckpoints(JobId job, uint64_t checkpoint,
                                      ClientCallback<proto::JobCheckpointsResponse> done) {
  proto::JobCheckpointsRequest request;
  request.set_job_id(Bytes(job));
  request.set_checkpoint_id(checkpoint);
  Call("JobCheckpoints", request, std::move(done));
}

void JobManagerClient::InspectWatermarks(JobId job,
                                         ClientCallback<proto::InspectJobResponse> done) {
  proto::InspectJobRequest request;
  request.set_job_id(Bytes(job));
  request.set_kind(proto::INSPECT_WATERMARKS);
  Call("InspectJob", request, std::move(done));
}

void JobManagerClient::InspectLateRecords(JobId job,
                                          ClientCallback<proto::InspectJobResponse> done) {
  proto::InspectJobRequest request;
  request.set_job_id(Bytes(job));
  request.set_kind(proto::INSPECT_LATE_RECORDS);
  Call("InspectJob", request, std::move(done));
}

void JobManagerClient::InspectWindows(JobId job, const std::string& operator_uid, uint32_t limit,
                                      ClientCallback<proto::InspectJobResponse> done) {
  proto::InspectJobRequest request;
  request.set_job_id(Bytes(job));
  request.set_kind(proto::INSPECT_WINDOWS);
  request.set_operator_uid(operator_uid);
  request.set_limit(limit);
  Call("InspectJob", request, std::move(done));
}

void JobManagerClient::RescaleJob(const RescaleRequest& rescale,
                                  ClientCallback<proto::RescaleProgress> done) {
  proto::RescaleJobRequest request;
  request.set_job_id(Bytes(rescale.job));
  request.set_trigger_id(Bytes(rescale.trigger));
  request.set_parallelism(rescale.parallelism);
  Call("RescaleJob", request, ProgressOf<proto::RescaleJobResponse>(std::move(done)));
}

void JobManagerClient::RescaleStatus(JobId job, TriggerId trigger,
                                     ClientCallback<proto::RescaleProgress> done) {
  proto::RescaleStatusRequest request;
  request.set_job_id(Bytes(job));
  request.set_trigger_id(Bytes(trigger));
  Call("RescaleStatus", request, ProgressOf<proto::RescaleStatusResponse>(std::move(done)));
}

void JobManagerClient::JobLogs(JobId job, uint32_t max_lines,
                               ClientCallback<proto::JobLogsResponse> done) {
  proto::JobLogsRequest request;
  request.set_job_id(Bytes(job));
  request.set_max_lines(max_lines);
  Call("JobLogs", request, std::move(done));
}

void JobManagerClient::ClusterInfo(ClientCallback<proto::ClusterInfoResponse> done) {
  Call("ClusterInfo", proto::ClusterInfoRequest(), std::move(done));
}

absl::StatusOr<JobId> JobIdFromBytes(std::string_view bytes) {
  if (bytes.size() != JobId::kBytes) {
    return absl::InvalidArgumentError(
        StrCat("a job's id has ", bytes.size(), " bytes; it must have 16"));
  }
  std::array<uint8_t, JobId::kBytes> id;
  std::copy(bytes.begin(), bytes.end(), id.begin());
  return JobId(id);
}

absl::StatusOr<JobId> FindJob(const proto::ListJobsResponse& jobs, std::string_view text) {
  if (auto id = JobId::Parse(text); id.ok()) return id;
  if (text.empty()) return absl::InvalidArgumentError("an empty id or name means no job");
  std::vector<const proto::JobSummary*> all;
  std::vector<const proto::JobSummary*> by_id;
  std::vector<const proto::JobSummary*> by_name;
  std::vector<const proto::JobSummary*> by_name_alive;
  std::string prefix(text);
  std::transform(prefix.begin(), prefix.end(), prefix.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  for (const proto::JobSummary& job : jobs.jobs()) {
    auto id = JobIdFromBytes(job.job_id());
    if (!id.ok()) continue;
    all.push_back(&job);
    if (id->ToString().starts_with(prefix)) by_id.push_back(&job);
    if (job.name() != text) continue;
    by_name.push_back(&job);
    if (!IsTerminal(job.state())) by_name_alive.push_back(&job);
  }
  // A name that looks like the beginning of an id means the name.
  for (const auto* candidates : {&by_name_alive, &by_name, &by_id}) {
    if (candidates->empty()) continue;
    if (candidates->size() == 1) return JobIdFromBytes(candidates->front()->job_id());
    return absl::InvalidArgumentError(
        StrCat("'", text, "' means several jobs; give more of the id:", ListOf(*candidates)));
  }
  if (all.empty())
    return absl::NotFoundError(StrCat("there is no job '", text, "': the job manager has none"));
  return absl::NotFoundError(
      StrCat("there is no job with the id or name '", text, "'; there are:", ListOf(all)));
}

}  // namespace weir

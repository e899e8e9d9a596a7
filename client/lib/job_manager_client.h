#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/id.h"
#include "common/base/lifetime.h"
#include "common/base/limits.h"
#include "common/env/env.h"

namespace weir {

namespace proto {
class CancelJobResponse;
class ClusterInfoResponse;
class JobGraph;
class JobLogsResponse;
class JobStatusResponse;
class ListJobsResponse;
class JobCheckpointsResponse;
class InspectJobResponse;
class RescaleProgress;
class SavepointProgress;
}  // namespace proto

using TriggerId = Id128<struct TriggerIdTag>;

// A savepoint that is asked for. The same id asks for the same one again.
struct SavepointRequest {
  JobId job;
  TriggerId trigger;
  // Absolute, on storage that all hosts see; empty: that of the job's settings.
  std::string directory;
  enum class Then { kGoOn, kStop, kDrainAndStop };
  Then then = Then::kGoOn;
};

// Another parallelism that a running job is to have. The same id asks for the same change again.
struct RescaleRequest {
  JobId job;
  TriggerId trigger;
  uint32_t parallelism = 1;
};

// What is submitted besides the plugin's file.
struct Submission {
  std::string plugin_path;
  // As define() made it with `arguments` (client/define).
  std::shared_ptr<const proto::JobGraph> graph;
  std::map<std::string, std::string> arguments;
  // -D settings of this job.
  std::map<std::string, std::string> settings;
  std::string fingerprint;
  // A savepoint's folder to start from, absolute; empty: from the beginning.
  std::string restore_from = {};
  bool allow_dropped_state = false;
};

struct ClientOptions {
  // "host:port".
  std::string address = "localhost:6123";
  // Of one call, and of each wait for the job manager during an upload.
  absl::Duration timeout = absl::Seconds(5);
  // A larger plugin is refused before anything is sent.
  uint64_t max_plugin_bytes = kMaxPluginBytes;
};

template <class T>
using ClientCallback = absl::AnyInvocable<void(absl::StatusOr<T>&& result)>;

// Talks to a job manager. Owned by one executor: made, called and destroyed there, and callbacks
// run there, each once unless the client is destroyed before. No call blocks. Works on the real
// network and on the simulated one.
//
// Errors of all calls: kUnavailable, naming the address, if the job manager is not reachable or
// does not answer in time; otherwise what it says (kNotFound: no such job; kFailedPrecondition:
// another version; kResourceExhausted; ...).
class JobManagerClient {
 public:
  // `env` and `executor` outlive it, and its calls: the executor is not shut down before each
  // `done` has been called.
  JobManagerClient(Env& env, Executor& executor, ClientOptions options);
  ~JobManagerClient();
  JobManagerClient(const JobManagerClient&) = delete;
  JobManagerClient& operator=(const JobManagerClient&) = delete;

  // Uploads the plugin in pieces of 1 MiB, unless the job manager has it already, and starts the
  // job. `progress` (may be empty) is told how many bytes are under way. When the outcome is
  // unknown (the connection was lost after the last piece) the error says so.
  void Submit(Submission submission, std::function<void(uint64_t sent, uint64_t total)> progress,
              ClientCallback<JobId> done);
  void ListJobs(ClientCallback<proto::ListJobsResponse> done);
  void JobStatus(JobId job, ClientCallback<proto::JobStatusResponse> done);
  // Asks for it; the job ends some time later. kFailedPrecondition for a job that has ended
  // already.
  void CancelJob(JobId job, ClientCallback<proto::CancelJobResponse> done);
  // Begins a savepoint, and says how far it is: it is done later, see SavepointStatus. May be
  // repeated. kFailedPrecondition: the job does not run, ...; kInvalidArgument: no folder.
  void TriggerSavepoint(const SavepointRequest& request,
                        ClientCallback<proto::SavepointProgress> done);
  void SavepointStatus(JobId job, TriggerId trigger, ClientCallback<proto::SavepointProgress> done);
  // All that are known without their subtasks, or `checkpoint` (not 0) with them. kNotFound: that
  // one is not known, or not any more.
  void JobCheckpoints(JobId job, uint64_t checkpoint,
                      ClientCallback<proto::JobCheckpointsResponse> done);
  // How far event time is in each of its tasks. kFailedPrecondition: the job does not run. Tasks
  // that do not answer within seconds are named in the response.
  void InspectWatermarks(JobId job, ClientCallback<proto::InspectJobResponse> done);
  // Likewise: records that were too late, and how watermarks came to where they are.
  void InspectLateRecords(JobId job, ClientCallback<proto::InspectJobResponse> done);
  // Likewise: open windows, `limit` of each subtask; of all operators if `operator_uid` is empty.
  void InspectWindows(JobId job, const std::string& operator_uid, uint32_t limit,
                      ClientCallback<proto::InspectJobResponse> done);
  // Begins to give a running job another parallelism, and says how far that is: it is done later,
  // see RescaleStatus. May be repeated. kFailedPrecondition: the job does not run, takes no
  // checkpoints, has that parallelism, ...; kInvalidArgument: above the maximum.
  void RescaleJob(const RescaleRequest& request, ClientCallback<proto::RescaleProgress> done);
  void RescaleStatus(JobId job, TriggerId trigger, ClientCallback<proto::RescaleProgress> done);
  // The last `max_lines` lines of each worker; 0: the job manager's default.
  void JobLogs(JobId job, uint32_t max_lines, ClientCallback<proto::JobLogsResponse> done);
  void ClusterInfo(ClientCallback<proto::ClusterInfoResponse> done);

  const std::string& address() const { return options_.address; }

 private:
  template <class Resp, class Req>
  void Call(std::string_view method, const Req& request, ClientCallback<Resp> done);

  Env& env_;
  Executor& executor_;
  const ClientOptions options_;
  const std::shared_ptr<RemotePeer> peer_;
  Lifetime lifetime_;
};

// The job that `text` means: its id, a prefix of it that no other job's id has, or its name. Of
// several jobs with the name the one that has not ended is taken. kNotFound and kInvalidArgument
// (several) list what there is.
absl::StatusOr<JobId> FindJob(const proto::ListJobsResponse& jobs, std::string_view text);

// kInvalidArgument unless it is 16 bytes.
absl::StatusOr<JobId> JobIdFromBytes(std::string_view bytes);

}  // namespace weir

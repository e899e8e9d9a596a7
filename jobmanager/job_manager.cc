#include "jobmanager/job_manager.h"

#include <utility>

#include "absl/base/thread_annotations.h"
#include "common/base/check.h"
#include "common/base/mutex.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "jobmanager/dispatch/blob_store.h"
#include "jobmanager/dispatch/dispatcher.h"
#include "jobmanager/dispatch/plugin_server.h"
#include "jobmanager/dispatch/submissions.h"
#include "jobmanager/ha/cluster_id.h"
#include "jobmanager/ha/folder_store.h"
#include "proto/control.pb.h"
#include "proto/job_record.pb.h"
#include "transport/rpc/typed_call.h"

namespace weir {

using jobmanager::BlobStore;
using jobmanager::ClusterSnapshot;
using jobmanager::Dispatcher;
using jobmanager::DispatcherOptions;
using jobmanager::FolderStore;
using jobmanager::JobSpec;
using jobmanager::PluginServer;
using jobmanager::StoredJob;
using jobmanager::Submissions;

// Three executors: `control` owns the dispatcher and its jobs, `io` the blobs and the streams that
// carry them, `writer` the store.
class JobManager::Process {
 public:
  Process(Env& env, JobManagerOptions options) : env_(env), options_(std::move(options)) {
    if (!options_.log) options_.log = [](std::string_view, std::string_view) {};
  }

  ~Process() { Stop(); }

  absl::Status Start(const std::string& address) {
    WEIR_CHECK(control_ == nullptr);
    store_ = std::make_unique<FolderStore>(env_.files(), options_.data_directory);
    const absl::StatusOr<uint64_t> epoch = store_->Campaign();
    if (!epoch.ok()) {
      return absl::Status(epoch.status().code(), StrCat("the job manager's data folder: ",
                                                        ToStd(epoch.status().message())));
    }
    epoch_ = *epoch;
    WEIR_ASSIGN_OR_RETURN(cluster_id_, jobmanager::TakeClusterId(env_, options_.data_directory));
    WEIR_ASSIGN_OR_RETURN(std::vector<StoredJob> jobs, store_->ReadJobs());
    blobs_ =
        std::make_unique<BlobStore>(env_, options_.data_directory, options_.max_idle_plugin_bytes);
    // Before the idle ones are trimmed.
    for (const StoredJob& job : jobs) {
      const bool clean = job.status.ok() && job.record->clean();
      if (job.submitted != nullptr && !clean) blobs_->Pin(job.submitted->plugin_sha256());
    }
    WEIR_RETURN_IF_ERROR(blobs_->Open());
    control_ = env_.NewExecutor("jobmanager");
    io_ = env_.NewExecutor("jobmanager-io");
    writer_ = env_.NewExecutor("jobmanager-jobs");
    MakeDispatcher();
    MakeStreams();
    absl::StatusOr<std::unique_ptr<Listener>> listener = env_.network().Listen(address, Methods());
    if (!listener.ok()) {
      Stop();
      return listener.status();
    }
    listener_ = *std::move(listener);
    address_ = listener_->address();
    control_->Post(
        [this, jobs = std::move(jobs)] { dispatcher_->Start(AdvertisedAddress(), jobs); });
    options_.log("info", StrCat("job manager listens at ", address_, ", leader epoch ", epoch_));
    return absl::OkStatus();
  }

  void Stop() {
    // No handler runs after this one, no closure after the next two.
    listener_ = nullptr;
    if (control_ != nullptr) control_->Shutdown();
    if (io_ != nullptr) io_->Shutdown();
    if (writer_ != nullptr) writer_->Shutdown();
    submissions_ = nullptr;
    plugin_server_ = nullptr;
    dispatcher_ = nullptr;
  }

  const std::string& address() const { return address_; }
  uint64_t leader_epoch() const { return epoch_; }

  std::shared_ptr<const ClusterSnapshot> Snapshot() const {
    MutexLock lock(mutex_);
    return snapshot_;
  }

 private:
  void MakeDispatcher() {
    DispatcherOptions dispatcher;
    dispatcher.schedule = options_.schedule;
    dispatcher.settings = options_.settings;
    dispatcher.cluster_id = cluster_id_;
    dispatcher.max_jobs = options_.max_jobs;
    dispatcher.max_ended_jobs = options_.max_ended_jobs;
    dispatcher.log = options_.log;
    if (options_.publish_snapshots) {
      dispatcher.publish = [this](std::shared_ptr<const ClusterSnapshot> snapshot) {
        MutexLock lock(mutex_);
        snapshot_ = std::move(snapshot);
      };
    }
    dispatcher.release_plugin = [this](const std::string& sha256) {
      io_->Post([this, sha256] { blobs_->Unpin(sha256); });
    };
    dispatcher.superseded = options_.superseded;
    dispatcher_ = std::make_unique<Dispatcher>(env_, *control_, *writer_, *store_, epoch_,
                                               std::move(dispatcher));
  }

  void MakeStreams() {
    submissions_ = std::make_unique<Submissions>(
        *io_, env_.files(), *blobs_,
        [this](JobSpec spec, Submissions::Done done) {
          control_->Post([this, spec = std::move(spec), done = std::move(done)]() mutable {
            dispatcher_->Accept(std::move(spec), std::move(done));
          });
        },
        options_.submission_idle_timeout);
    plugin_server_ = std::make_unique<PluginServer>(env_, *io_, *blobs_);
  }

  std::string AdvertisedAddress() const {
    if (options_.advertised_host.empty()) return address_;
    const bool v6 = options_.advertised_host.find(':') != std::string::npos;
    return StrCat(v6 ? "[" : "", options_.advertised_host, v6 ? "]" : "",
                  address_.substr(address_.rfind(':')));
  }

  // Adds one method of the dispatcher.
  template <class Request, class Response>
  void Add(ServerMethods& methods, std::string_view name,
           absl::StatusOr<Response> (Dispatcher::*handler)(const Request&)) {
    methods.unary.push_back(TypedUnary<Request, Response>(
        StrCat("/weir.JobManager/", name), control_.get(),
        [this, handler](const Request& request, TypedResponder<Response> respond) {
          respond((dispatcher_.get()->*handler)(request));
        }));
  }

  ServerMethods Methods() {
    ServerMethods methods;
    Add(methods, "JobStatus", &Dispatcher::JobStatus);
    Add(methods, "JobCheckpoints", &Dispatcher::JobCheckpoints);
    Add(methods, "TriggerSavepoint", &Dispatcher::TriggerSavepoint);
    Add(methods, "SavepointStatus", &Dispatcher::SavepointStatus);
    Add(methods, "RescaleJob", &Dispatcher::RescaleJob);
    Add(methods, "RescaleStatus", &Dispatcher::RescaleStatus);
    Add(methods, "RegisterTaskManager", &Dispatcher::RegisterTaskManager);
    Add(methods, "TaskManagerHeartbeat", &Dispatcher::TaskManagerHeartbeat);
    Add(methods, "WorkerExited", &Dispatcher::WorkerExited);
    Add(methods, "RegisterWorker", &Dispatcher::RegisterWorker);
    Add(methods, "WorkerHeartbeat", &Dispatcher::WorkerHeartbeat);
    Add(methods, "AcknowledgeCheckpoint", &Dispatcher::AcknowledgeCheckpoint);
    Add(methods, "AlignSources", &Dispatcher::AlignSources);
    methods.unary.push_back(TypedUnary<proto::ListJobsRequest, proto::ListJobsResponse>(
        "/weir.JobManager/ListJobs", control_.get(),
        [this](const proto::ListJobsRequest&, TypedResponder<proto::ListJobsResponse> respond) {
          respond(dispatcher_->ListJobs());
        }));
    methods.unary.push_back(TypedUnary<proto::ClusterInfoRequest, proto::ClusterInfoResponse>(
        "/weir.JobManager/ClusterInfo", control_.get(),
        [this](const proto::ClusterInfoRequest&,
               TypedResponder<proto::ClusterInfoResponse> respond) {
          respond(dispatcher_->ClusterInfo());
        }));
    methods.unary.push_back(TypedUnary<proto::CancelJobRequest, proto::CancelJobResponse>(
        "/weir.JobManager/CancelJob", control_.get(),
        [this](const proto::CancelJobRequest& request,
               TypedResponder<proto::CancelJobResponse> respond) {
          dispatcher_->CancelJob(request, std::move(respond));
        }));
    methods.unary.push_back(TypedUnary<proto::InspectJobRequest, proto::InspectJobResponse>(
        "/weir.JobManager/InspectJob", control_.get(),
        [this](const proto::InspectJobRequest& request,
               TypedResponder<proto::InspectJobResponse> respond) {
          dispatcher_->InspectJob(request, std::move(respond));
        }));
    methods.unary.push_back(TypedUnary<proto::JobLogsRequest, proto::JobLogsResponse>(
        "/weir.JobManager/JobLogs", control_.get(),
        [this](const proto::JobLogsRequest& request,
               TypedResponder<proto::JobLogsResponse> respond) {
          dispatcher_->JobLogs(request, std::move(respond));
        }));
    methods.streams.push_back(
        {"/weir.JobManager/Submit", io_.get(), [this](std::shared_ptr<MessageStream> stream) {
           return submissions_->Open(std::move(stream));
         }});
    methods.streams.push_back(
        {"/weir.JobManager/FetchPlugin", io_.get(), [this](std::shared_ptr<MessageStream> stream) {
           return plugin_server_->Open(std::move(stream));
         }});
    return methods;
  }

  Env& env_;
  JobManagerOptions options_;
  uint64_t epoch_ = 0;
  std::string cluster_id_;
  std::string address_;
  // Destroyed from the last to the first: what runs on an executor goes before it.
  std::unique_ptr<Executor> control_;
  std::unique_ptr<Executor> io_;
  std::unique_ptr<FolderStore> store_;
  std::unique_ptr<Executor> writer_;
  std::unique_ptr<BlobStore> blobs_;
  std::unique_ptr<Dispatcher> dispatcher_;
  std::unique_ptr<Submissions> submissions_;
  std::unique_ptr<PluginServer> plugin_server_;
  std::unique_ptr<Listener> listener_;
  mutable Mutex mutex_;
  std::shared_ptr<const ClusterSnapshot> snapshot_ ABSL_GUARDED_BY(mutex_);
};

JobManager::JobManager(Env& env, JobManagerOptions options)
    : process_(std::make_unique<Process>(env, std::move(options))) {}

JobManager::~JobManager() = default;

absl::Status JobManager::Start(const std::string& address) { return process_->Start(address); }
void JobManager::Stop() { process_->Stop(); }
const std::string& JobManager::address() const { return process_->address(); }
uint64_t JobManager::leader_epoch() const { return process_->leader_epoch(); }

std::shared_ptr<const ClusterSnapshot> JobManager::Snapshot() const { return process_->Snapshot(); }

}  // namespace weir

#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "common/hash/sha256.h"
#include "gtest/gtest.h"
#include "jobmanager/job_manager.h"
#include "jobmanager/testing/fake_task_manager.h"
#include "proto/control.pb.h"
#include "proto/job_graph.pb.h"
#include "transport/rpc/typed_call.h"

namespace weir::jobmanager {

// A source and a sink that is not chained to it, each with `parallelism`.
inline proto::JobGraph TwoVertexGraph(uint32_t parallelism) {
  proto::JobGraph graph;
  graph.set_job_name("words");
  graph.set_max_parallelism(4096);
  graph.set_default_parallelism(parallelism);
  for (uint32_t i = 0; i < 2; ++i) {
    proto::Node* node = graph.add_nodes();
    node->set_id(i);
    node->set_uid(i == 0 ? "source" : "sink");
    node->set_operator_id(i == 0 ? "0123456789abcdef" : "fedcba9876543210");
    node->set_kind(i == 0 ? proto::SOURCE : proto::SINK);
    node->set_parallelism(parallelism);
    node->set_inputs(i);
    if (i == 0) node->add_outputs();
    proto::Vertex* vertex = graph.add_vertices();
    vertex->set_id(i);
    vertex->set_vertex_id(node->operator_id());
    vertex->set_name(node->uid());
    vertex->set_parallelism(parallelism);
    vertex->add_nodes(i);
  }
  proto::Edge* edge = graph.add_edges();
  edge->set_to_node(1);
  edge->set_partitioning(proto::HASH);
  return graph;
}

// A client's stream of one submission, as a test writes it.
struct Upload {
  std::shared_ptr<MessageStream> stream;
  std::vector<proto::SubmitResponse> responses;
  std::optional<absl::Status> closed;

  void Send(const proto::SubmitChunk& chunk) {
    MessageBytes bytes;
    bytes.pieces.push_back(chunk.SerializeAsString());
    stream->Send(std::move(bytes));
  }
  void SendData(const std::string& data) {
    proto::SubmitChunk chunk;
    chunk.set_data(data);
    Send(chunk);
  }
  void SendEnd() {
    proto::SubmitChunk chunk;
    chunk.set_end(true);
    Send(chunk);
  }
};

// A job manager, task managers and a client in one simulated world.
class JobManagerFixture : public ::testing::Test {
 public:
  using Key = FakeTaskManager::Key;
  static constexpr char kAddress[] = "jm:6123";

  explicit JobManagerFixture(SimOptions options = {}) : world_(options) {
    client_env_ = &world_.StartProcess("client");
    client_ = client_env_->NewExecutor("client");
    peer_ = client_env_->network().Connect(kAddress);
  }
  ~JobManagerFixture() override {
    task_managers_.clear();
    peer_ = nullptr;
    job_manager_ = nullptr;
  }

  void StartJobManager() {
    jm_env_ = &world_.StartProcess("jm");
    options_.data_directory = "/data";
    options_.publish_snapshots = true;
    options_.log = [this](std::string_view level, std::string_view text) {
      log_ += StrCat(level, ": ", text, "\n");
    };
    job_manager_ = std::make_unique<JobManager>(*jm_env_, options_);
    const absl::Status started = job_manager_->Start(kAddress);
    ASSERT_TRUE(started.ok()) << started;
  }
  // As kill -9 would.
  void KillJobManager() {
    world_.KillProcess(*jm_env_);
    job_manager_ = nullptr;
  }

  FakeTaskManager& StartTaskManager(const std::string& host, uint32_t slots) {
    SimEnv& env = world_.StartProcess(host);
    task_manager_envs_[host] = &env;
    task_managers_[host] = std::make_unique<FakeTaskManager>(env, host, kAddress, slots);
    FakeTaskManager& task_manager = *task_managers_[host];
    EXPECT_TRUE(Until([&] { return task_manager.registration.ok(); })) << task_manager.registration;
    return task_manager;
  }
  void KillTaskManager(const std::string& host) {
    world_.KillProcess(*task_manager_envs_.at(host));
    task_managers_.erase(host);
  }

  bool Until(const std::function<bool()>& predicate, absl::Duration limit = absl::Seconds(30)) {
    return world_.RunUntil(predicate, limit);
  }

  template <class Req, class Resp>
  absl::StatusOr<Resp> Call(const std::string& method, const Req& request) {
    // Outlives the call, which may be answered after the limit.
    auto result = std::make_shared<std::optional<absl::StatusOr<Resp>>>();
    TypedCall<Req, Resp>(
        *peer_, StrCat("/weir.JobManager/", method), request, absl::Seconds(20), client_.get(),
        [result](absl::StatusOr<Resp> response) { *result = std::move(response); });
    if (!Until([&] { return result->has_value(); })) return absl::InternalError("never answered");
    return **std::move(result);
  }

  proto::SubmitHeader Header(uint32_t parallelism, const std::string& plugin) {
    proto::SubmitHeader header;
    *header.mutable_graph() = TwoVertexGraph(parallelism);
    header.set_plugin_sha256(Sha256::Hex(plugin));
    header.set_plugin_bytes(plugin.size());
    header.set_parallelism(parallelism);
    (*header.mutable_arguments())["input"] = "/in";
    (*header.mutable_settings())["execution.buffer-timeout"] = "1 ms";
    return header;
  }

  std::shared_ptr<Upload> OpenUpload(const proto::SubmitHeader& header) {
    auto upload = std::make_shared<Upload>();
    StreamCallbacks callbacks;
    callbacks.on_message = [upload](const std::string& message) {
      ASSERT_TRUE(upload->responses.emplace_back().ParseFromString(message));
    };
    callbacks.on_close = [upload](absl::Status status) { upload->closed = std::move(status); };
    upload->stream =
        peer_->OpenStream("/weir.JobManager/Submit", client_.get(), std::move(callbacks));
    proto::SubmitChunk chunk;
    *chunk.mutable_header() = header;
    upload->Send(chunk);
    return upload;
  }

  // The header's answer, or what ended the stream.
  absl::Status AwaitAnswer(Upload& upload, size_t answers = 1) {
    if (!Until([&] { return upload.responses.size() >= answers || upload.closed.has_value(); })) {
      return absl::InternalError("never answered");
    }
    if (upload.responses.size() >= answers) return absl::OkStatus();
    return *upload.closed;
  }

  absl::StatusOr<std::string> TrySubmit(uint32_t parallelism,
                                        const std::string& plugin = "plugin bytes") {
    auto upload = OpenUpload(Header(parallelism, plugin));
    if (absl::Status status = AwaitAnswer(*upload); !status.ok()) return status;
    if (!upload->responses[0].plugin_known()) upload->SendData(plugin);
    upload->SendEnd();
    if (absl::Status status = AwaitAnswer(*upload, 2); !status.ok()) return status;
    upload->stream->Finish();
    return upload->responses[1].job_id();
  }

  std::string Submit(uint32_t parallelism) {
    auto id = TrySubmit(parallelism);
    EXPECT_TRUE(id.ok()) << id.status();
    return id.ok() ? *id : std::string(16, '?');
  }

  proto::JobStatusResponse Status(const std::string& job) {
    proto::JobStatusRequest request;
    request.set_job_id(job);
    auto status = Call<proto::JobStatusRequest, proto::JobStatusResponse>("JobStatus", request);
    EXPECT_TRUE(status.ok()) << status.status();
    return status.ok() ? *status : proto::JobStatusResponse();
  }

  proto::JobState State(const std::string& job) { return Status(job).summary().state(); }

  // Asks again and again, as a person would.
  bool UntilState(const std::string& job, proto::JobState state,
                  absl::Duration limit = absl::Seconds(30)) {
    const absl::Duration end = world_.elapsed() + limit;
    while (world_.elapsed() < end) {
      if (State(job) == state) return true;
      world_.RunFor(absl::Milliseconds(10));
    }
    ADD_FAILURE() << "the job is " << proto::JobState_Name(State(job)) << ", not "
                  << proto::JobState_Name(state) << "\n"
                  << log_;
    return false;
  }

  absl::StatusOr<proto::JobState> Cancel(const std::string& job) {
    proto::CancelJobRequest request;
    request.set_job_id(job);
    auto response = Call<proto::CancelJobRequest, proto::CancelJobResponse>("CancelJob", request);
    if (!response.ok()) return response.status();
    return response->state();
  }

  proto::ClusterInfoResponse ClusterInfo() {
    auto info = Call<proto::ClusterInfoRequest, proto::ClusterInfoResponse>(
        "ClusterInfo", proto::ClusterInfoRequest());
    EXPECT_TRUE(info.ok()) << info.status();
    return info.ok() ? *info : proto::ClusterInfoResponse();
  }
  uint32_t FreeSlots() {
    uint32_t free = 0;
    const proto::ClusterInfoResponse info = ClusterInfo();
    for (const auto& tm : info.task_managers()) free += tm.slots_free();
    return free;
  }

  // Names of the entries of a folder of the job manager.
  std::vector<std::string> Files(const std::string& directory) {
    std::vector<std::string> names;
    auto files = jm_env_->files().List(directory);
    EXPECT_TRUE(files.ok()) << files.status();
    for (const FileInfo& file : *files) {
      names.push_back(file.path.substr(file.path.rfind('/') + 1));
    }
    return names;
  }

  SimWorld world_;
  JobManagerOptions options_;
  std::string log_;
  SimEnv* jm_env_ = nullptr;
  SimEnv* client_env_ = nullptr;
  std::unique_ptr<Executor> client_;
  std::shared_ptr<RemotePeer> peer_;
  std::unique_ptr<JobManager> job_manager_;
  std::map<std::string, SimEnv*> task_manager_envs_;
  std::map<std::string, std::unique_ptr<FakeTaskManager>> task_managers_;
};

// With a job manager that runs.
class JobManagerTest : public JobManagerFixture {
 public:
  JobManagerTest() { StartJobManager(); }

  // Two task managers with two slots each and a job that takes all four.
  void StartCluster() {
    tm1_ = &StartTaskManager("tm1", 2);
    tm2_ = &StartTaskManager("tm2", 2);
  }
  std::string RunningJob() {
    const std::string job = Submit(4);
    EXPECT_TRUE(UntilState(job, proto::RUNNING));
    return job;
  }
  Key WorkerOn(FakeTaskManager& tm) {
    EXPECT_FALSE(tm.workers.empty());
    return tm.workers.begin()->first;
  }

  FakeTaskManager* tm1_ = nullptr;
  FakeTaskManager* tm2_ = nullptr;
};

}  // namespace weir::jobmanager

#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "jobmanager/checkpoint/checkpoint_coordinator.h"
#include "proto/checkpoint.pb.h"
#include "proto/control.pb.h"
#include "proto/job_graph.pb.h"

namespace weir::jobmanager {

// A vertex of two source subtasks on workers 0 and 1, and one of two chained nodes with state, two
// subtasks on workers 0 and 1.
inline std::shared_ptr<const proto::JobGraph> TestGraph() {
  auto graph = std::make_shared<proto::JobGraph>();
  graph->set_job_name("words");
  graph->set_max_parallelism(128);
  const auto add_node = [&](const std::string& uid, proto::NodeKind kind) {
    proto::Node* node = graph->add_nodes();
    node->set_id(static_cast<uint32_t>(graph->nodes_size() - 1));
    node->set_uid(uid);
    std::string id = uid;
    id.resize(16, '#');
    node->set_operator_id(id);
    node->set_kind(kind);
    node->set_parallelism(2);
    return node->id();
  };
  const auto add_vertex = [&](const std::string& name, const std::vector<uint32_t>& nodes) {
    proto::Vertex* vertex = graph->add_vertices();
    vertex->set_id(static_cast<uint32_t>(graph->vertices_size() - 1));
    vertex->set_name(name);
    vertex->set_parallelism(2);
    for (const uint32_t node : nodes) vertex->add_nodes(node);
  };
  add_vertex("words", {add_node("words", proto::SOURCE)});
  add_vertex("count", {add_node("count", proto::OPERATOR), add_node("out", proto::SINK)});
  return graph;
}

inline TaskPlacement TestPlacement() { return {{0, 1}, {0, 1}}; }

// Writes down what it is asked. Answers at once, unless what is asked is held.
class FakeSurroundings final : public CheckpointSurroundings {
 public:
  explicit FakeSurroundings(SimEnv& env) : env_(env), executor_(env.NewExecutor("checkpoints")) {}

  Executor& executor() override { return *executor_; }
  Clock& clock() override { return env_.clock(); }

  void Prepare(uint64_t id, CheckpointKind, const std::string& target,
               absl::AnyInvocable<void(absl::StatusOr<std::string>)> done) override {
    prepared.push_back(id);
    absl::StatusOr<std::string> answer =
        (target.empty() ? "/job" : target) + "/" + std::to_string(id);
    if (!prepare_error.ok()) answer = prepare_error;
    Reply(hold_prepare, [done = std::move(done), answer]() mutable { done(answer); });
  }
  void WriteMetadata(const std::string& directory,
                     std::shared_ptr<const proto::CheckpointMetadata> metadata,
                     std::vector<std::string> copies,
                     absl::AnyInvocable<void(WriteOutcome, const absl::Status&)> done) override {
    writes.emplace_back(directory, metadata);
    copied.insert(copied.end(), copies.begin(), copies.end());
    // A held write is answered by what is said when it is let go.
    Reply(hold_writes, [this, done = std::move(done)]() mutable {
      done(write_outcome, write_outcome == WriteOutcome::kDone
                              ? absl::OkStatus()
                              : absl::UnavailableError("the store is away"));
    });
  }
  void DeleteCheckpoint(uint64_t id, const std::string& directory, Done done) override {
    deleted_ids.push_back(id);
    Delete(directory, std::move(done));
  }
  void DeleteShared(const std::vector<std::string>& names, Done done) override {
    for (const std::string& name : names) deleted.push_back(name);
    Reply(hold_deletes, [this, done = std::move(done)]() mutable { done(delete_status); });
  }
  void DeleteLeftovers(const Leftovers& leftovers, Done done) override {
    sweeps.push_back(leftovers);
    Reply(hold_deletes, [this, done = std::move(done)]() mutable { done(delete_status); });
  }
  void SendTrigger(const TriggerOrder& order) override { triggers.push_back(order); }
  void SendNotice(const CheckpointNotice& notice) override { notices.push_back(notice); }
  void FailJob(const absl::Status& why) override { failures.push_back(why); }
  void Log(std::string_view, std::string_view text) override { log.emplace_back(text); }

  // Answers all that is held.
  void Release() {
    for (Closure& reply : std::exchange(held_, {})) executor_->Post(std::move(reply));
  }

  bool hold_prepare = false;
  bool hold_writes = false;
  bool hold_deletes = false;
  absl::Status prepare_error;
  absl::Status delete_status;
  WriteOutcome write_outcome = WriteOutcome::kDone;

  std::vector<uint64_t> prepared;
  std::vector<std::pair<std::string, std::shared_ptr<const proto::CheckpointMetadata>>> writes;
  std::vector<std::string> copied;
  std::vector<uint64_t> deleted_ids;
  // Folders and shared names.
  std::vector<std::string> deleted;
  std::vector<Leftovers> sweeps;
  std::vector<TriggerOrder> triggers;
  std::vector<CheckpointNotice> notices;
  std::vector<absl::Status> failures;
  std::vector<std::string> log;

 private:
  void Delete(const std::string& name, Done done) {
    deleted.push_back(name);
    Reply(hold_deletes, [this, done = std::move(done)]() mutable { done(delete_status); });
  }
  void Reply(bool hold, Closure reply) {
    if (hold) {
      held_.push_back(std::move(reply));
    } else {
      executor_->Post(std::move(reply));
    }
  }

  SimEnv& env_;
  std::unique_ptr<Executor> executor_;
  std::vector<Closure> held_;
};

class CoordinatorTest : public ::testing::Test {
 protected:
  CoordinatorTest() : env_(world_.StartProcess("jobmanager")), out_(env_) {
    settings_.interval = absl::Seconds(10);
    settings_.timeout = absl::Minutes(1);
  }

  void Make(uint64_t next_id = 1) {
    coordinator_ = std::make_unique<CheckpointCoordinator>(
        out_, settings_, CheckpointedJob{JobId(1, 2), "words", graph_}, next_id);
  }
  // Made, and its first attempt runs.
  void Start(uint64_t next_id = 1) {
    Make(next_id);
    BeginAttempt(1);
  }
  void BeginAttempt(uint32_t attempt, uint64_t restored = 0) {
    attempt_ = attempt;
    coordinator_->BeginAttempt(attempt, TestPlacement(), restored);
    coordinator_->OnRunning();
  }
  void Pass(absl::Duration time) { world_.RunFor(time); }
  void Settle() { Pass(absl::Milliseconds(1)); }

  static proto::AcknowledgeCheckpointRequest MakeAck(uint32_t attempt, uint64_t id, uint32_t vertex,
                                                     uint32_t subtask) {
    proto::AcknowledgeCheckpointRequest request;
    request.set_attempt(attempt);
    request.set_worker_index(subtask);
    request.set_checkpoint_id(id);
    request.mutable_snapshot()->set_vertex(vertex);
    request.mutable_snapshot()->set_subtask(subtask);
    return request;
  }
  // With files of the task's first node.
  static void AddFiles(proto::AcknowledgeCheckpointRequest& request,
                       const std::vector<std::string>& files) {
    proto::TaskSnapshot& snapshot = *request.mutable_snapshot();
    auto* operator_state = snapshot.add_operators();
    operator_state->set_node(snapshot.vertex());
    for (const std::string& name : files) {
      operator_state->add_files(static_cast<uint32_t>(snapshot.files_size()));
      snapshot.add_files()->set_name(name);
    }
  }
  absl::Status Ack(uint64_t id, uint32_t vertex, uint32_t subtask,
                   const std::vector<std::string>& files = {}) {
    proto::AcknowledgeCheckpointRequest request = MakeAck(attempt_, id, vertex, subtask);
    if (!files.empty()) AddFiles(request, files);
    return coordinator_->OnAcknowledge(request);
  }
  absl::Status Final(uint32_t vertex, uint32_t subtask, uint64_t last_barrier = 0,
                     const std::vector<std::string>& files = {}) {
    proto::AcknowledgeCheckpointRequest request = MakeAck(attempt_, 0, vertex, subtask);
    if (!files.empty()) AddFiles(request, files);
    request.mutable_snapshot()->set_final(true);
    request.mutable_snapshot()->set_last_barrier(last_barrier);
    return coordinator_->OnAcknowledge(request);
  }
  absl::Status Decline(uint64_t id, uint32_t vertex, uint32_t subtask, absl::StatusCode code,
                       const std::string& message) {
    proto::AcknowledgeCheckpointRequest request = MakeAck(attempt_, id, vertex, subtask);
    request.mutable_declined()->set_code(static_cast<int>(code));
    request.mutable_declined()->set_message(message);
    return coordinator_->OnAcknowledge(request);
  }
  // By all tasks; the files are those of subtask 0 of vertex 1.
  void AckAll(uint64_t id, const std::vector<std::string>& files = {}) {
    for (uint32_t vertex : {0u, 1u}) {
      for (uint32_t subtask : {0u, 1u}) {
        const bool with_files = vertex == 1 && subtask == 0;
        const absl::Status status =
            Ack(id, vertex, subtask, with_files ? files : std::vector<std::string>());
        ASSERT_TRUE(status.ok()) << status;
      }
    }
    Settle();
  }
  // The next periodic one.
  void CompleteOne(const std::vector<std::string>& files = {}) {
    const uint64_t id = coordinator_->next_id();
    Pass(settings_.interval);
    ASSERT_EQ(coordinator_->next_id(), id + 1) << "none was triggered";
    AckAll(id, files);
    ASSERT_EQ(coordinator_->completed_for_tasks(), id);
  }
  uint64_t LatestId() const {
    return coordinator_->latest().has_value() ? coordinator_->latest()->id : 0;
  }
  const CheckpointStatistics& LastOver() const {
    return *coordinator_->history().checkpoints().back();
  }

  SimWorld world_;
  SimEnv& env_;
  FakeSurroundings out_;
  CheckpointSettings settings_;
  std::shared_ptr<const proto::JobGraph> graph_ = TestGraph();
  uint32_t attempt_ = 0;
  std::unique_ptr<CheckpointCoordinator> coordinator_;
};

}  // namespace weir::jobmanager

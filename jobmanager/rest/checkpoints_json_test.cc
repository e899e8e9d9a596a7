#include "jobmanager/rest/checkpoints_json.h"

#include <memory>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/job_graph.pb.h"

namespace weir::jobmanager {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int64_t kTriggered = 1'795'218'592'910'000;
constexpr char kJob[] = "00000000000012340000000000005678";
constexpr char kVertex[] = "abababababababababababababababab";

std::shared_ptr<const CheckpointStatistics> Completed(uint64_t id) {
  auto checkpoint = std::make_shared<CheckpointStatistics>();
  checkpoint->id = id;
  checkpoint->state = CheckpointState::kCompleted;
  checkpoint->directory = "/ckpt/chk-" + std::to_string(id);
  checkpoint->triggered_unix_micros = kTriggered;
  checkpoint->duration_nanos = 60'000'000;
  checkpoint->end_to_end_nanos = 50'000'000;
  checkpoint->new_bytes = 30;
  checkpoint->full_bytes = 300;
  checkpoint->processed_bytes = 7;
  checkpoint->persisted_bytes = 9;
  checkpoint->unaligned = true;
  checkpoint->acknowledged = 1;
  checkpoint->total = 2;
  TaskCheckpointStatistics task;
  task.vertex = 0;
  task.subtask = 1;
  task.acknowledged_nanos = 50'000'000;
  task.start_delay_nanos = 1'000'000;
  task.alignment_nanos = 2'000'000;
  task.sync_nanos = 3'000'000;
  task.async_nanos = 4'000'000;
  task.new_bytes = 30;
  task.full_bytes = 300;
  task.processed_bytes = 7;
  task.persisted_bytes = 9;
  task.unaligned = true;
  checkpoint->tasks.push_back(task);
  return checkpoint;
}

ClusterSnapshot Cluster(std::shared_ptr<const CheckpointsView> view,
                        const std::string& backend = "heap") {
  auto graph = std::make_shared<proto::JobGraph>();
  proto::Vertex* vertex = graph->add_vertices();
  vertex->set_name("clicks -> count");
  vertex->set_vertex_id(std::string(16, '\xab'));
  vertex->set_parallelism(2);
  auto job = std::make_shared<JobSnapshot>();
  job->id = JobId(0x1234, 0x5678);
  job->graph = graph;
  job->checkpoints = std::move(view);
  job->state_backend = backend;
  ClusterSnapshot cluster;
  cluster.jobs.push_back(job);
  return cluster;
}

std::shared_ptr<CheckpointsView> View() {
  auto view = std::make_shared<CheckpointsView>();
  view->settings.interval = absl::Seconds(3);
  view->counters.completed = 2;
  view->counters.failed = 1;
  view->counters.restored = 1;
  view->over.push_back(Completed(5));
  auto failed = std::make_shared<CheckpointStatistics>(*Completed(6));
  failed->state = CheckpointState::kAborted;
  failed->abort_reason = AbortReason::kTimeout;
  failed->failure = "timeout: \"x\"";
  view->over.push_back(failed);
  auto savepoint = std::make_shared<CheckpointStatistics>(*Completed(7));
  savepoint->kind = CheckpointKind::kSavepoint;
  savepoint->unaligned = false;
  view->over.push_back(savepoint);
  view->restored.emplace();
  view->restored->id = 4;
  view->restored->directory = "/ckpt/chk-4";
  view->restored->restored_unix_micros = kTriggered - 1'000'000;
  return view;
}

constexpr char kNumbers[] =
    "\"latest_ack_timestamp\":1795218592960,\"checkpointed_size\":30,\"state_size\":300,"
    "\"end_to_end_duration\":50,\"alignment_buffered\":0,\"processed_data\":7,"
    "\"persisted_data\":9,\"num_subtasks\":2,\"num_acknowledged_subtasks\":1";

TEST(CheckpointsJsonTest, TellsOfTheLastOnesAsFlinkDoes) {
  const RestAnswer answer = CheckpointsAnswer(Cluster(View()), kJob);
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.body,
              HasSubstr("{\"counts\":{\"restored\":1,\"total\":3,\"in_progress\":0,\"completed\":2,"
                        "\"failed\":1},\"summary\":{\"checkpointed_size\":{\"min\":30,\"max\":30,"
                        "\"avg\":30,\"p50\":30.0,\"p90\":30.0,\"p95\":30.0,\"p99\":30.0,"
                        "\"p999\":30.0},"));
  const std::string completed =
      std::string("{\"className\":\"completed\",\"id\":5,\"status\":\"COMPLETED\",") + kNumbers +
      ",\"is_savepoint\":false,\"savepointFormat\":null,\"trigger_timestamp\":1795218592910,"
      "\"checkpoint_type\":\"UNALIGNED_CHECKPOINT\",\"tasks\":{},\"external_path\":\"/ckpt/chk-5\","
      "\"discarded\":false}";
  const std::string failed =
      std::string("{\"className\":\"failed\",\"id\":6,\"status\":\"FAILED\",") + kNumbers +
      ",\"is_savepoint\":false,\"savepointFormat\":null,\"trigger_timestamp\":1795218592910,"
      "\"checkpoint_type\":\"UNALIGNED_CHECKPOINT\",\"tasks\":{},\"failure_timestamp\":"
      "1795218592970,\"failure_message\":\"timeout: \\\"x\\\"\"}";
  const std::string savepoint =
      std::string("{\"className\":\"completed\",\"id\":7,\"status\":\"COMPLETED\",") + kNumbers +
      ",\"is_savepoint\":true,\"savepointFormat\":\"CANONICAL\",\"trigger_timestamp\":"
      "1795218592910,\"checkpoint_type\":\"SAVEPOINT\",\"tasks\":{},\"external_path\":"
      "\"/ckpt/chk-7\",\"discarded\":false}";
  EXPECT_THAT(answer.body, HasSubstr("\"latest\":{\"completed\":" + completed +
                                     ",\"savepoint\":" + savepoint + ",\"failed\":" + failed +
                                     ",\"restored\":{\"id\":4,\"restore_timestamp\":1795218591910,"
                                     "\"is_savepoint\":false,\"external_path\":\"/ckpt/chk-4\"}}"));
  EXPECT_THAT(answer.body,
              HasSubstr("\"history\":[" + savepoint + "," + failed + "," + completed + "]}"));
}

TEST(CheckpointsJsonTest, TellsOfOneByItsVertices) {
  const RestAnswer answer = CheckpointAnswer(Cluster(View()), kJob, "5");
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.body, HasSubstr(std::string("\"tasks\":{\"") + kVertex +
                                     "\":{\"id\":5,\"status\":\"COMPLETED\"," + kNumbers + "}}"));
}

TEST(CheckpointsJsonTest, TellsOfAVertexByItsSubtasks) {
  const RestAnswer answer = CheckpointVertexAnswer(Cluster(View()), kJob, "5", kVertex);
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(
      answer.body,
      AllOf(HasSubstr("\"start_delay\":{\"min\":1,\"max\":1,\"avg\":1,"),
            HasSubstr("\"subtasks\":[{\"className\":\"pending\",\"index\":0,\"status\":"
                      "\"pending_or_failed\"},{\"className\":\"completed\",\"index\":1,"
                      "\"ack_timestamp\":1795218592960,\"end_to_end_duration\":50,"
                      "\"checkpointed_size\":30,\"state_size\":300,\"checkpoint\":{\"sync\":3,"
                      "\"async\":4},\"alignment\":{\"buffered\":0,\"processed\":7,\"persisted\":9,"
                      "\"duration\":2},\"start_delay\":1,\"unaligned_checkpoint\":true,"
                      "\"aborted\":false,\"status\":\"completed\"}]}")));
}

TEST(CheckpointsJsonTest, TellsTheSettings) {
  const RestAnswer answer = CheckpointSettingsAnswer(Cluster(View()), kJob);
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.body, HasSubstr("\"interval\":3000,\"timeout\":600000,\"min_pause\":0,"
                                     "\"max_concurrent\":1,"));
  EXPECT_THAT(answer.body, AllOf(HasSubstr("{\"mode\":\"exactly_once\","),
                                 HasSubstr("\"state_backend\":\"HashMapStateBackend\""),
                                 HasSubstr("\"unaligned_checkpoints\":false,")));
  auto view = View();
  view->settings.unaligned = true;
  view->settings.aligned_timeout = absl::Milliseconds(20);
  EXPECT_THAT(CheckpointSettingsAnswer(Cluster(view, "rocksdb"), kJob).body,
              AllOf(HasSubstr("\"state_backend\":\"EmbeddedRocksDBStateBackend\""),
                    HasSubstr("\"unaligned_checkpoints\":true,"),
                    HasSubstr("\"aligned_checkpoint_timeout\":20,")));
  view = View();
  view->settings.mode = CheckpointMode::kAtLeastOnce;
  EXPECT_THAT(CheckpointSettingsAnswer(Cluster(view), kJob).body,
              HasSubstr("{\"mode\":\"at_least_once\","));
}

TEST(CheckpointsJsonTest, SaysWhatIsWrongWithARequest) {
  const ClusterSnapshot cluster = Cluster(View());
  EXPECT_EQ(CheckpointsAnswer(cluster, "x").status, 400);
  EXPECT_EQ(CheckpointsAnswer(cluster, kVertex).status, 404);
  EXPECT_EQ(CheckpointAnswer(cluster, kJob, "abc").status, 400);
  EXPECT_EQ(CheckpointAnswer(cluster, kJob, "-5").status, 400);
  EXPECT_EQ(CheckpointAnswer(cluster, kJob, "99999999999999999999").status, 400);
  EXPECT_EQ(CheckpointAnswer(cluster, kJob, "99").status, 404);
  EXPECT_EQ(CheckpointVertexAnswer(cluster, kJob, "5", kJob).status, 404);
  EXPECT_EQ(CheckpointVertexAnswer(cluster, kJob, "99", kVertex).status, 404);
  EXPECT_EQ(CheckpointSettingsAnswer(cluster, "").status, 400);
}

TEST(CheckpointsJsonTest, OfAJobWithoutCheckpointsAreNotFound) {
  const ClusterSnapshot cluster = Cluster(std::make_shared<CheckpointsView>());
  const RestAnswer answer = CheckpointsAnswer(cluster, kJob);
  EXPECT_EQ(answer.status, 404);
  EXPECT_EQ(answer.body, "{\"errors\":[\"Checkpointing has not been enabled.\"]}");
}

TEST(CheckpointsJsonTest, MeanAndPercentilesAreThoseOfTheCompletedOnes) {
  auto view = std::make_shared<CheckpointsView>();
  view->settings.interval = absl::Seconds(1);
  for (uint64_t i = 1; i <= 11; ++i) {
    auto checkpoint = std::make_shared<CheckpointStatistics>(*Completed(i));
    checkpoint->new_bytes = 10 * i;
    view->over.push_back(checkpoint);
  }
  const RestAnswer answer = CheckpointsAnswer(Cluster(view), kJob);
  EXPECT_THAT(answer.body,
              HasSubstr("\"checkpointed_size\":{\"min\":10,\"max\":110,\"avg\":60,\"p50\":60.0,"
                        "\"p90\":100.0,\"p95\":105.0,\"p99\":109.0,\"p999\":109.9}"));
}

}  // namespace
}  // namespace weir::jobmanager

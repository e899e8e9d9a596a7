#include <httplib.h>

#include <future>

#include "common/base/strings.h"
#include "common/env/system/system_env.h"
#include "common/obs/metrics.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "jobmanager/rest/cluster_metrics.h"
#include "jobmanager/rest/flink_json.h"
#include "jobmanager/rest/rest_server.h"
#include "proto/control.pb.h"
#include "proto/job_graph.pb.h"

namespace weir::jobmanager {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kStart = 1'795'218'592'910'000;

std::shared_ptr<JobSnapshot> RunningJob() {
  auto graph = std::make_shared<proto::JobGraph>();
  proto::Node* node = graph->add_nodes();
  node->set_uid("clicks");
  node->set_operator_id(std::string(16, '\x01'));
  node->set_kind(proto::SOURCE);
  node = graph->add_nodes();
  node->set_uid("count per page");
  node->set_operator_id(std::string(16, '\x02'));
  node->set_kind(proto::OPERATOR);
  proto::Vertex* vertex = graph->add_vertices();
  vertex->set_name("clicks -> count");
  vertex->set_vertex_id(std::string(16, '\xab'));
  vertex->set_parallelism(2);
  auto job = std::make_shared<JobSnapshot>();
  job->id = JobId(0x1234, 0x5678);
  job->name = "clicks-per-page \"x\"";
  job->state = proto::RUNNING;
  job->attempt = 1;
  job->submitted_unix_micros = kStart;
  job->changed_unix_micros = kStart + 700'000;
  job->state_times_unix_micros.resize(proto::JobState_MAX + 1);
  job->state_times_unix_micros[proto::RUNNING] = kStart + 1'000'000;
  job->graph = graph;
  for (uint32_t i = 0; i < 2; ++i) {
    proto::TaskReport& task = job->tasks.emplace_back();
    task.set_subtask(i);
    task.set_state(i == 0 ? proto::TASK_RUNNING : proto::TASK_FINISHED);
    task.set_busy_micros(5'000);
    for (uint32_t n = 0; n < 2; ++n) {
      proto::OperatorMetrics* op = task.add_operators();
      op->set_node(n);
      op->set_records_in(100 * n);
      op->set_records_out(100);
      op->set_late_records_dropped(7 * n);
      op->set_watermark(n == 0 ? INT64_MIN : 2'000'000);
    }
    (*task.mutable_operators(1)->mutable_counters())["my counter"] = 3;
    job->rates.push_back({250, 700, 50, 10, 20});
    job->task_managers.push_back("tm-1");
  }
  return job;
}

std::shared_ptr<ClusterSnapshot> Cluster() {
  auto cluster = std::make_shared<ClusterSnapshot>();
  cluster->task_managers = {{TaskManagerId(0, 1), "tm-1", "127.0.0.1:4711", 4, 2, kStart},
                            {TaskManagerId(0, 2), "tm-2", "127.0.0.1:4712", 4, 4, kStart}};
  cluster->jobs.push_back(RunningJob());
  for (proto::JobState state : {proto::FINISHED, proto::CANCELED, proto::FAILED}) {
    auto job = RunningJob();
    job->state = state;
    job->ended_unix_micros = kStart + 9'000'000;
    cluster->jobs.push_back(job);
  }
  return cluster;
}

TEST(FlinkJsonTest, WritesTheOverviewAsFlinkDoes) {
  EXPECT_EQ(
      OverviewJson(*Cluster()),
      "{\"taskmanagers\":2,\"slots-total\":8,\"slots-available\":6,\"jobs-running\":1,"
      "\"jobs-finished\":1,\"jobs-cancelled\":1,\"jobs-failed\":1,\"flink-version\":\"0.1.0\","
      "\"flink-commit\":\"weir\"}");
}

TEST(FlinkJsonTest, WritesJobsAsFlinkDoes) {
  auto cluster = Cluster();
  cluster->jobs.resize(2);
  EXPECT_EQ(JobsOverviewJson(*cluster, kStart + 5'000'000),
            "{\"jobs\":[{\"jid\":\"00000000000012340000000000005678\",\"name\":\"clicks-per-page "
            "\\\"x\\\"\",\"start-time\":1795218592910,\"end-time\":-1,\"duration\":5000,\"state\":"
            "\"RUNNING\",\"last-modification\":1795218593610,\"tasks\":{\"total\":2,\"created\":0,"
            "\"scheduled\":0,\"deploying\":0,\"initializing\":0,\"running\":1,\"finished\":1,"
            "\"canceling\":0,\"canceled\":0,\"failed\":0,\"reconciling\":0}},"
            "{\"jid\":\"00000000000012340000000000005678\",\"name\":\"clicks-per-page "
            "\\\"x\\\"\",\"start-time\":1795218592910,\"end-time\":1795218601910,\"duration\":9000,"
            "\"state\":\"FINISHED\",\"last-modification\":1795218593610,\"tasks\":{\"total\":2,"
            "\"created\":0,\"scheduled\":0,\"deploying\":0,\"initializing\":0,\"running\":1,"
            "\"finished\":1,\"canceling\":0,\"canceled\":0,\"failed\":0,\"reconciling\":0}}]}");
}

TEST(FlinkJsonTest, KnowsOnlyFlinksStates) {
  EXPECT_EQ(FlinkJobState(proto::DEPLOYING), "RUNNING");
  EXPECT_EQ(FlinkJobState(proto::CANCELLING), "CANCELLING");
}

TEST(ClusterMetricsTest, NamesAndLabelsAreFlinks) {
  const std::string text =
      WritePrometheusText(ClusterMetrics(*Cluster(), kStart + 5'000'000, "jm.example"));
  for (const char* line : {
           "# TYPE flink_jobmanager_numRegisteredTaskManagers gauge",
           "# HELP flink_jobmanager_taskSlotsTotal taskSlotsTotal (scope: jobmanager)",
           "flink_jobmanager_numRegisteredTaskManagers{host=\"jm_example\"} 2",
           "flink_jobmanager_taskSlotsTotal{host=\"jm_example\"} 8",
           "flink_jobmanager_taskSlotsAvailable{host=\"jm_example\"} 6",
           "flink_jobmanager_numRunningJobs{host=\"jm_example\"} 1",
           "flink_jobmanager_job_uptime{job_id=\"00000000000012340000000000005678\",job_name="
           "\"clicks_per_page__x_\","
           "host=\"jm_example\"} 4000",
           "flink_taskmanager_job_task_busyTimeMsPerSecond{job_id="
           "\"00000000000012340000000000005678\","
           "job_name=\"clicks_per_page__x_\",task_id=\"abababababababababababababababab\","
           "task_name=\"clicks____count\",task_attempt_id=\"00000000000012340000000000005678_"
           "abababababababababababababababab_0_0\",task_attempt_num=\"0\",subtask_index=\"0\",tm_"
           "id=\"tm_"
           "1\","
           "host=\"127_0_0_1\"} 250",
       }) {
    EXPECT_THAT(text, HasSubstr(StrCat(line, "\n")));
  }
  const std::string op = "subtask_index=\"0\",tm_id=\"tm_1\",host=\"127_0_0_1\",operator_id=\"";
  const std::string source =
      StrCat(op, std::string("01010101010101010101010101010101"), "\",operator_name=\"clicks\"} ");
  const std::string count = StrCat(op, std::string("02020202020202020202020202020202"),
                                   "\",operator_name=\"count_per_page\"} ");
  EXPECT_THAT(text, HasSubstr("flink_taskmanager_job_task_operator_numLateRecordsDropped{"));
  EXPECT_THAT(text, HasSubstr(StrCat(count, "7\n")));
  EXPECT_THAT(text, HasSubstr(StrCat(count, "2000\n")));
  EXPECT_THAT(text, HasSubstr(StrCat(count, "3\n")));
  EXPECT_THAT(text, HasSubstr(StrCat(source, "-9223372036854775808\n")));
  EXPECT_THAT(text, HasSubstr("flink_taskmanager_job_task_operator_my_counter{"));
}

TEST(ClusterMetricsTest, AreGoneWhenTheTaskOrTheJobHasEnded) {
  const std::string text = WritePrometheusText(ClusterMetrics(*Cluster(), kStart, "jm"));
  EXPECT_THAT(text, HasSubstr("subtask_index=\"0\""));
  EXPECT_THAT(text, Not(HasSubstr("subtask_index=\"1\"")));
}

class RestServerTest : public ::testing::Test {
 protected:
  void Start(RestServer::Snapshots snapshots) {
    auto server = RestServer::Start(*env_, {.port = 0}, std::move(snapshots));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    client_ = std::make_unique<httplib::Client>("http://" + server_->address());
  }
  int port() const {
    return std::stoi(server_->address().substr(server_->address().rfind(':') + 1));
  }

  std::unique_ptr<Env> env_ = MakeSystemEnv();
  std::unique_ptr<RestServer> server_;
  std::unique_ptr<httplib::Client> client_;
};

TEST_F(RestServerTest, AnswersUnderBothSpellings) {
  Start(Cluster);
  for (const char* path : {"/overview", "/v1/overview", "/overview/", "/v1/overview/"}) {
    auto result = client_->Get(path);
    ASSERT_TRUE(result) << path;
    EXPECT_EQ(result->status, 200) << path;
    EXPECT_EQ(result->get_header_value("Content-Type"), "application/json; charset=UTF-8");
    EXPECT_EQ(result->get_header_value("Access-Control-Allow-Origin"), "*");
    EXPECT_EQ(result->body, OverviewJson(*Cluster()));
  }
  EXPECT_THAT(client_->Get("/jobs/overview")->body, HasSubstr("\"jobs\":["));
  auto metrics = client_->Get("/metrics");
  EXPECT_EQ(metrics->get_header_value("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_THAT(metrics->body, HasSubstr("flink_jobmanager_taskSlotsTotal"));
  EXPECT_THAT(client_->Get("/")->body, HasSubstr("/metrics"));
}

TEST_F(RestServerTest, TellsOfCheckpointsByTheIdsInThePath) {
  Start([] {
    auto cluster = Cluster();
    auto view = std::make_shared<CheckpointsView>();
    view->settings.interval = absl::Seconds(1);
    auto checkpoint = std::make_shared<CheckpointStatistics>();
    checkpoint->id = 12;
    checkpoint->state = CheckpointState::kCompleted;
    view->over.push_back(checkpoint);
    auto job = std::make_shared<JobSnapshot>(*cluster->jobs[0]);
    job->checkpoints = view;
    cluster->jobs[0] = job;
    return cluster;
  });
  const std::string job = "/v1/jobs/00000000000012340000000000005678/checkpoints";
  EXPECT_THAT(client_->Get(job)->body, HasSubstr("\"history\":[{\"className\":\"completed\""));
  EXPECT_THAT(client_->Get(job + "/config")->body, HasSubstr("\"interval\":1000"));
  EXPECT_THAT(client_->Get(job + "/details/12")->body, HasSubstr("\"id\":12"));
  EXPECT_THAT(client_->Get(job + "/details/12/subtasks/abababababababababababababababab")->body,
              HasSubstr("\"subtasks\":["));
  EXPECT_EQ(client_->Get(job + "/details/13")->status, 404);
  EXPECT_THAT(client_->Get("/metrics")->body,
              ContainsRegex("flink_jobmanager_job_lastCompletedCheckpointId\\{[^}]*\\} 12\n"));
}

TEST_F(RestServerTest, TellsTheWatermarkOfEachSubtaskOfAVertex) {
  Start([] {
    auto cluster = Cluster();
    auto job = std::make_shared<JobSnapshot>(*cluster->jobs[0]);
    auto graph = std::make_shared<proto::JobGraph>(*job->graph);
    graph->mutable_vertices(0)->add_nodes(1);
    job->graph = graph;
    job->tasks[1].mutable_operators(1)->set_watermark(-1);
    cluster->jobs[0] = job;
    return cluster;
  });
  const std::string vertices = "/v1/jobs/00000000000012340000000000005678/vertices/";
  EXPECT_EQ(client_->Get(vertices + "abababababababababababababababab/watermarks")->body,
            "[{\"id\":\"0.currentInputWatermark\",\"value\":\"2000\"},"
            "{\"id\":\"1.currentInputWatermark\",\"value\":\"-1\"}]");
  EXPECT_EQ(client_->Get(vertices + "00000000000000000000000000000000/watermarks")->status, 404);
  EXPECT_EQ(client_->Get("/jobs/1/vertices/1/watermarks")->status, 404);
}

TEST_F(RestServerTest, SaysWhatItDoesNotHave) {
  Start(Cluster);
  auto result = client_->Get("/v2/overview");
  EXPECT_EQ(result->status, 404);
  EXPECT_EQ(result->body, "{\"errors\":[\"Not found: /v2/overview\"]}");
  EXPECT_EQ(client_->Post("/overview", "{}", "application/json")->status, 404);
}

TEST_F(RestServerTest, SaysThatItIsNotReadyBeforeTheFirstSnapshot) {
  Start([] { return nullptr; });
  EXPECT_EQ(client_->Get("/overview")->status, 503);
}

TEST_F(RestServerTest, RefusesAPortThatIsInUse) {
  Start(Cluster);
  auto second = RestServer::Start(*env_, {.port = static_cast<uint16_t>(port())}, Cluster);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(StrCat(":", port(), " is in use")));
}

TEST_F(RestServerTest, RefusesAnAddressThatOthersReachUnlessToldOtherwise) {
  for (const char* host : {"0.0.0.0", "::", "192.0.2.1", "127.evil.example"}) {
    auto server = RestServer::Start(*env_, {.bind_host = host, .port = 0}, Cluster);
    EXPECT_EQ(server.status().code(), absl::StatusCode::kFailedPrecondition) << host;
  }
  auto open = RestServer::Start(
      *env_, {.bind_host = "0.0.0.0", .port = 0, .allow_insecure_non_loopback = true}, Cluster);
  EXPECT_TRUE(open.ok()) << open.status();
}

TEST_F(RestServerTest, StopsAtOnceEvenIfItHasNotBegunToServe) {
  for (int i = 0; i < 50; ++i) {
    auto server = RestServer::Start(*env_, {.port = 0}, Cluster);
    ASSERT_TRUE(server.ok());
  }
}

}  // namespace
}  // namespace weir::jobmanager

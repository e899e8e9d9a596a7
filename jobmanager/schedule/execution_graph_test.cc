#include "jobmanager/schedule/execution_graph.h"

#include "gtest/gtest.h"
#include "proto/control.pb.h"
#include "proto/job_graph.pb.h"

namespace weir::jobmanager {
namespace {

using Change = ExecutionGraph::Change;

// Two vertices, of parallelism 2 and 3.
std::shared_ptr<const proto::JobGraph> TwoVertices() {
  auto graph = std::make_shared<proto::JobGraph>();
  for (uint32_t i = 0; i < 2; ++i) {
    proto::Vertex* vertex = graph->add_vertices();
    vertex->set_id(i);
    vertex->set_parallelism(2 + i);
  }
  return graph;
}

proto::TaskReport Report(uint32_t vertex, uint32_t subtask, proto::TaskState state) {
  proto::TaskReport report;
  report.set_vertex(vertex);
  report.set_subtask(subtask);
  report.set_state(state);
  return report;
}

class ExecutionGraphTest : public ::testing::Test {
 protected:
  void Deploy() {
    graph_.Schedule({0, 0, 1});
    graph_.Deploy();
  }
  std::vector<proto::TaskReport> Reports() const {
    std::vector<proto::TaskReport> reports;
    graph_.FillReports(true, reports);
    return reports;
  }
  ExecutionGraph graph_{TwoVertices()};
};

TEST_F(ExecutionGraphTest, NeedsAsManySlotsAsTheLargestParallelism) {
  EXPECT_EQ(graph_.slots_needed(), 3u);
  EXPECT_EQ(graph_.tasks(), 5u);
  EXPECT_EQ(graph_.Count(proto::TASK_CREATED), 5u);
}

TEST_F(ExecutionGraphTest, PutsSubtasksOfOneIndexIntoOneSlot) {
  Deploy();
  proto::DeploymentPlan plan;
  graph_.FillPlacement(plan);
  ASSERT_EQ(plan.vertices_size(), 2);
  EXPECT_EQ(
      std::vector<uint32_t>(plan.vertices(0).workers().begin(), plan.vertices(0).workers().end()),
      (std::vector<uint32_t>{0, 0}));
  EXPECT_EQ(
      std::vector<uint32_t>(plan.vertices(1).workers().begin(), plan.vertices(1).workers().end()),
      (std::vector<uint32_t>{0, 0, 1}));
}

TEST_F(ExecutionGraphTest, FollowsTheReportsOfItsWorkers) {
  Deploy();
  EXPECT_EQ(*graph_.Apply(0, Report(0, 0, proto::TASK_RUNNING), 1), Change::kMoved);
  EXPECT_EQ(*graph_.Apply(0, Report(0, 0, proto::TASK_RUNNING), 2), Change::kNone);
  EXPECT_EQ(*graph_.Apply(0, Report(0, 0, proto::TASK_FAILED), 3), Change::kFailed);
  EXPECT_EQ(graph_.Count(proto::TASK_FAILED), 1u);
  EXPECT_EQ(graph_.Count(proto::TASK_DEPLOYING), 4u);
}

TEST_F(ExecutionGraphTest, IsFinishedWhenEveryTaskIs) {
  Deploy();
  for (uint32_t v = 0; v < 2; ++v) {
    for (uint32_t i = 0; i < 2 + v; ++i) {
      EXPECT_FALSE(graph_.AllFinished());
      ASSERT_TRUE(graph_.Apply(i == 2 ? 1 : 0, Report(v, i, proto::TASK_FINISHED), 1).ok());
    }
  }
  EXPECT_TRUE(graph_.AllFinished());
}

TEST_F(ExecutionGraphTest, IgnoresAReportThatWasOvertaken) {
  Deploy();
  proto::TaskReport newer = Report(0, 0, proto::TASK_RUNNING);
  newer.set_busy_micros(100);
  newer.add_operators()->set_records_in(50);
  proto::TaskReport older = Report(0, 0, proto::TASK_INITIALIZING);
  older.set_busy_micros(10);
  older.add_operators()->set_records_in(5);
  ASSERT_TRUE(graph_.Apply(0, newer, 1).ok());
  EXPECT_EQ(*graph_.Apply(0, older, 2), Change::kNone);
  EXPECT_EQ(Reports()[0].operators(0).records_in(), 50u);
  EXPECT_EQ(Reports()[0].state(), proto::TASK_RUNNING);
}

TEST_F(ExecutionGraphTest, LetsNoReportChangeATerminalTask) {
  Deploy();
  ASSERT_TRUE(graph_.Apply(0, Report(0, 0, proto::TASK_FINISHED), 1).ok());
  EXPECT_EQ(*graph_.Apply(0, Report(0, 0, proto::TASK_FAILED), 2), Change::kNone);
  EXPECT_EQ(*graph_.Apply(0, Report(0, 0, proto::TASK_RUNNING), 3), Change::kNone);
  EXPECT_EQ(graph_.Count(proto::TASK_FINISHED), 1u);
}

TEST_F(ExecutionGraphTest, RefusesReportsThatCannotBe) {
  EXPECT_EQ(graph_.Apply(0, Report(0, 0, proto::TASK_RUNNING), 1).status().code(),
            absl::StatusCode::kInvalidArgument);
  Deploy();
  EXPECT_FALSE(graph_.Apply(0, Report(2, 0, proto::TASK_RUNNING), 1).ok());
  EXPECT_FALSE(graph_.Apply(0, Report(0, 2, proto::TASK_RUNNING), 1).ok());
  EXPECT_FALSE(graph_.Apply(1, Report(0, 0, proto::TASK_RUNNING), 1).ok());
  EXPECT_FALSE(graph_.Apply(0, Report(0, 0, static_cast<proto::TaskState>(77)), 1).ok());
  EXPECT_FALSE(graph_.Apply(0, Report(0, 0, proto::TASK_STATE_UNSPECIFIED), 1).ok());
  EXPECT_EQ(graph_.Count(proto::TASK_DEPLOYING), 5u);
}

TEST_F(ExecutionGraphTest, EndsWhatRanOnALostWorkerAndNothingElse) {
  Deploy();
  ASSERT_TRUE(graph_.Apply(1, Report(1, 2, proto::TASK_RUNNING), 1).ok());
  EXPECT_FALSE(graph_.AllTerminalOf(1));
  graph_.EndTasksOf(1, proto::TASK_FAILED);
  EXPECT_TRUE(graph_.AllTerminalOf(1));
  EXPECT_EQ(graph_.Count(proto::TASK_FAILED), 1u);
  graph_.Cancel();
  EXPECT_EQ(graph_.Count(proto::TASK_CANCELING), 4u);
  graph_.EndAll();
  EXPECT_EQ(graph_.Count(proto::TASK_CANCELED), 4u);
}

TEST_F(ExecutionGraphTest, CancelsWhatNeverRanAtOnce) {
  graph_.Cancel();
  EXPECT_EQ(graph_.Count(proto::TASK_CANCELED), 5u);
}

TEST_F(ExecutionGraphTest, ComputesRatesBetweenReports) {
  Deploy();
  proto::TaskReport report = Report(0, 0, proto::TASK_RUNNING);
  report.set_busy_micros(1'000);
  report.add_operators()->set_records_in(100);
  ASSERT_TRUE(graph_.Apply(0, report, 1'000'000'000).ok());
  EXPECT_EQ(graph_.Rates()[0].busy_ms, 0);
  report.set_busy_micros(1'000 + 250'000);
  report.set_idle_micros(500'000);
  report.set_backpressured_micros(250'000);
  report.mutable_operators(0)->set_records_in(1'100);
  report.mutable_operators(0)->set_records_out(10);
  ASSERT_TRUE(graph_.Apply(0, report, 3'000'000'000).ok());
  const TaskRates rates = graph_.Rates()[0];
  EXPECT_DOUBLE_EQ(rates.busy_ms, 250);
  EXPECT_DOUBLE_EQ(rates.idle_ms, 500);
  EXPECT_DOUBLE_EQ(rates.backpressured_ms, 250);
  EXPECT_DOUBLE_EQ(rates.records_in, 500);
  EXPECT_DOUBLE_EQ(rates.records_out, 5);
  ASSERT_TRUE(graph_.Apply(0, Report(0, 0, proto::TASK_FINISHED), 4'000'000'000).ok());
  EXPECT_EQ(graph_.Rates()[0].busy_ms, 0);
}

// Subtasks of one number are a region: 0 and 1 of both vertices, 2 of the second one.
class RegionsOfExecutionGraphTest : public ::testing::Test {
 protected:
  RegionsOfExecutionGraphTest() {
    graph_.Schedule({0, 0, 1});
    graph_.Deploy();
    for (const auto& [vertex, subtask] : kTasks) Tell(vertex, subtask, proto::TASK_RUNNING);
  }
  static std::shared_ptr<const proto::JobGraph> Apart() {
    auto graph = std::make_shared<proto::JobGraph>();
    for (uint32_t i = 0; i < 2; ++i) {
      graph->add_nodes()->set_id(i);
      proto::Vertex* vertex = graph->add_vertices();
      vertex->set_id(i);
      vertex->set_parallelism(3);
      vertex->add_nodes(i);
    }
    proto::Edge* edge = graph->add_edges();
    edge->set_to_node(1);
    edge->set_partitioning(proto::FORWARD);
    return graph;
  }
  Change Tell(uint32_t vertex, uint32_t subtask, proto::TaskState state, uint32_t attempt = 1,
              uint32_t worker = UINT32_MAX) {
    proto::TaskReport report = Report(vertex, subtask, state);
    report.set_attempt(attempt);
    const auto change = graph_.Apply(worker == UINT32_MAX ? subtask / 2 : worker, report, 1);
    EXPECT_TRUE(change.ok()) << change.status();
    return change.ok() ? *change : Change::kNone;
  }
  const std::vector<std::pair<uint32_t, uint32_t>> kTasks = {{0, 0}, {0, 1}, {0, 2},
                                                             {1, 0}, {1, 1}, {1, 2}};
  ExecutionGraph graph_{Apart()};
};

TEST_F(RegionsOfExecutionGraphTest, ARegionIsEndedAndBeginsAnewAndTheOthersStay) {
  EXPECT_EQ(graph_.regions().count(), 3u);
  EXPECT_EQ(graph_.RegionsOn(0), (std::set<uint32_t>{0, 1}));
  EXPECT_EQ(graph_.RegionsOn(1), (std::set<uint32_t>{2}));
  graph_.CancelRegions({2});
  EXPECT_EQ(graph_.Count(proto::TASK_CANCELING), 2u);
  EXPECT_FALSE(graph_.AllTerminalIn({2}));
  Tell(0, 2, proto::TASK_CANCELED);
  EXPECT_FALSE(graph_.AllTerminalIn({2}, 1));
  EXPECT_TRUE(graph_.AllTerminalIn({2}, 0)) << "it has none there";
  graph_.EndTasksOf(1, proto::TASK_CANCELED, {2});
  EXPECT_TRUE(graph_.AllTerminalIn({2}));
  graph_.ResetRegions({2}, 5);
  EXPECT_EQ(graph_.AttemptOf(2), 5u);
  EXPECT_EQ(graph_.AttemptOf(0), 0u);
  EXPECT_EQ(graph_.Count(proto::TASK_CREATED), 2u);
  EXPECT_EQ(graph_.Count(proto::TASK_RUNNING), 4u);
  EXPECT_TRUE(graph_.RegionsOn(1).empty()) << "it has no place";
  // What becomes of the worker that it was in is nothing to it.
  graph_.EndTasksOf(1, proto::TASK_FAILED);
  EXPECT_TRUE(graph_.NeedSlot({2}, 2));
  EXPECT_FALSE(graph_.NeedSlot({2}, 1));
  graph_.ScheduleRegions({2}, {0, 0, 4});
  graph_.DeployRegions({2});
  EXPECT_EQ(Tell(0, 2, proto::TASK_RUNNING, 5, 4), Change::kMoved);
}

TEST_F(RegionsOfExecutionGraphTest, AReportOfAnotherAttemptChangesNothing) {
  graph_.CancelRegions({0});
  graph_.EndTasksOf(0, proto::TASK_CANCELED, {0});
  graph_.ResetRegions({0}, 2);
  graph_.ScheduleRegions({0}, {0, 0, 1});
  EXPECT_EQ(Tell(0, 0, proto::TASK_FAILED, 1), Change::kNone);
  graph_.DeployRegions({0});
  EXPECT_EQ(Tell(0, 0, proto::TASK_FINISHED, 1), Change::kNone);
  // Even of a worker that it does not run on any more.
  EXPECT_EQ(Tell(0, 0, proto::TASK_FAILED, 1, 1), Change::kNone);
  EXPECT_EQ(Tell(0, 0, proto::TASK_FINISHED, 2), Change::kMoved);
  EXPECT_FALSE(graph_.AllFinishedIn(0));
  EXPECT_EQ(Tell(1, 0, proto::TASK_FINISHED, 2), Change::kMoved);
  EXPECT_TRUE(graph_.AllFinishedIn(0));
}

}  // namespace
}  // namespace weir::jobmanager

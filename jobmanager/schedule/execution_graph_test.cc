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

}  // namespace
}  // namespace weir::jobmanager

// Records in flight, from tasks through files to the tasks that read them.
#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "gmock/gmock.h"
#include "proto/checkpoint.pb.h"
#include "proto/job_graph.pb.h"
#include "taskmanager/checkpoint/task_snapshots.h"

namespace weir {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr uint32_t kParallelism = 2;

// Two sources of two subtasks, and a stage that reads each by another edge; the first by two.
proto::JobGraph Graph() {
  proto::JobGraph graph;
  graph.set_max_parallelism(128);
  for (const char* uid : {"left", "right", "stage"}) {
    proto::Node& node = *graph.add_nodes();
    node.set_id(static_cast<uint32_t>(graph.nodes_size() - 1));
    node.set_uid(uid);
    node.set_kind(node.id() < 2 ? proto::SOURCE : proto::OPERATOR);
    node.set_parallelism(kParallelism);
    node.add_outputs()->mutable_schema()->set_type_name("Event");
    proto::Vertex& vertex = *graph.add_vertices();
    vertex.set_id(node.id());
    vertex.set_parallelism(kParallelism);
    vertex.add_nodes(node.id());
  }
  for (const uint32_t from : {0u, 0u, 1u}) {
    proto::Edge& edge = *graph.add_edges();
    edge.set_id(static_cast<uint32_t>(graph.edges_size() - 1));
    edge.set_from_node(from);
    edge.set_to_node(2);
    edge.set_to_input(from);
    edge.set_partitioning(proto::HASH);
  }
  return graph;
}

class InFlightFilesTest : public ::testing::Test {
 protected:
  InFlightFilesTest() : env_(world_.StartProcess("worker")) {
    EXPECT_TRUE(env_.files().CreateDirectories("/checkpoints/job/chk-7").ok());
    restore_.set_checkpoint_id(7);
    restore_.set_directory("/checkpoints/job/chk-7");
    for (const proto::Node& node : graph_.nodes()) {
      proto::OperatorRestore& of_node = *restore_.add_operators();
      of_node.set_node(node.id());
      of_node.mutable_checkpoint()->set_uid(node.uid());
      of_node.mutable_checkpoint()->set_parallelism(kParallelism);
    }
  }

  // What the job manager makes of what a task tells.
  void Write(uint32_t node, uint32_t subtask, std::vector<OperatorState::InFlight> in_flight) {
    TaskCheckpoint task;
    task.vertex = node;
    task.subtask = subtask;
    task.barrier.id = 7;
    task.unaligned = true;
    task.state.emplace_back().node = node;
    for (const auto& channel : in_flight) task.in_flight_bytes += channel.elements.size();
    task.state[0].in_flight = std::move(in_flight);
    auto told = WriteTaskSnapshot(env_.files(), {"/checkpoints/job", 1}, graph_, task);
    ASSERT_TRUE(told.ok()) << told.status();
    EXPECT_TRUE(told->unaligned());
    EXPECT_EQ(told->in_flight_bytes(), task.in_flight_bytes);
    EXPECT_EQ(told->full_bytes(), task.in_flight_bytes);
    proto::OperatorCheckpoint& to =
        *restore_.mutable_operators(static_cast<int>(node))->mutable_checkpoint();
    to.mutable_in_flight()->MergeFrom(told->operators(0).in_flight());
    proto::SubtaskState& state = *to.add_subtasks();
    state.set_subtask(subtask);
    if (told->files_size() == 0) return;
    state.add_files(static_cast<uint32_t>(restore_.files_size()));
    *restore_.add_files() = told->files(0);
  }
  absl::StatusOr<RestoredTasks> Read() {
    return ReadTaskStates(env_.files(), restore_, graph_, {{0, {0, 0}}, {1, {0, 0}}, {2, {0, 0}}},
                          0);
  }
  static std::string Of(const RestoredTasks& tasks, uint32_t subtask, uint32_t edge,
                        uint32_t from) {
    for (const auto& in_flight : tasks.at({2, subtask})->front().in_flight) {
      if (in_flight.edge == edge && in_flight.from_subtask == from) return in_flight.elements;
    }
    return "";
  }

  SimWorld world_{SimOptions{}};
  SimEnv& env_;
  const proto::JobGraph graph_ = Graph();
  proto::JobRestore restore_;
};

// Flink 20645, 18139: in-flight buffers missing from an unaligned checkpoint.
TEST_F(InFlightFilesTest, EachTaskReadsWhatHadArrivedAndThenWhatItsSendersHad) {
  Write(0, 0, {{0, 0, 1, true, "sent-0-0-1"}, {1, 0, 1, true, "sent-1-0-1"}});
  Write(0, 1, {{0, 1, 0, true, "sent-0-1-0"}, {0, 1, 1, true, "sent-0-1-1"}});
  Write(1, 0, {});
  Write(1, 1, {{2, 1, 0, true, "sent-2-1-0"}});
  Write(2, 0, {{0, 0, 0, false, "got-0-0-0,"}, {2, 1, 0, false, "got-2-1-0,"}});
  Write(2, 1, {{0, 0, 1, false, "got-0-0-1,"}, {1, 0, 1, false, "got-1-0-1,"}});
  const auto tasks = Read();
  ASSERT_TRUE(tasks.ok()) << tasks.status();
  EXPECT_EQ(Of(*tasks, 0, 0, 0), "got-0-0-0,");
  EXPECT_EQ(Of(*tasks, 0, 0, 1), "sent-0-1-0");
  EXPECT_EQ(Of(*tasks, 0, 2, 1), "got-2-1-0,sent-2-1-0");
  EXPECT_EQ(Of(*tasks, 1, 0, 0), "got-0-0-1,sent-0-0-1");
  EXPECT_EQ(Of(*tasks, 1, 0, 1), "sent-0-1-1");
  EXPECT_EQ(Of(*tasks, 1, 1, 0), "got-1-0-1,sent-1-0-1");
  EXPECT_THAT(tasks->at({2, 0})->front().in_flight, SizeIs(3));
  EXPECT_THAT(tasks->at({2, 1})->front().in_flight, SizeIs(3));
  EXPECT_THAT(tasks->at({0, 0})->front().in_flight, IsEmpty()) << "a source reads nothing";
}

TEST_F(InFlightFilesTest, ADamagedFileIsRefused) {
  Write(0, 0, {{0, 0, 1, true, std::string(100, 'x')}});
  Write(2, 1, {});
  const std::string path = "/checkpoints/job/chk-7/" + restore_.files(0).name();
  std::string content = ReadFile(env_.files(), path, 1 << 20).value();
  content[40] = static_cast<char>(content[40] ^ 1);
  ASSERT_TRUE(WriteFileAtomically(env_.files(), path, content).ok());
  EXPECT_EQ(Read().status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace weir

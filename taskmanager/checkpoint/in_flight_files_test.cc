// Records in flight, from tasks through files to the tasks that read them.
#include "common/base/strings.h"
#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "gmock/gmock.h"
#include "proto/checkpoint.pb.h"
#include "proto/job_graph.pb.h"
#include "taskmanager/checkpoint/task_snapshots.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

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
  void Write(uint32_t node, uint32_t subtask, std::vector<OperatorState::InFlight> in_flight,
             Ticks watermark = kMinTicks) {
    TaskCheckpoint task;
    task.vertex = node;
    task.subtask = subtask;
    task.barrier.id = 7;
    task.unaligned = true;
    task.state.emplace_back().node = node;
    task.state[0].watermark = watermark;
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
    state.set_watermark(told->operators(0).watermark());
    if (told->files_size() == 0) return;
    state.add_files(static_cast<uint32_t>(restore_.files_size()));
    *restore_.add_files() = told->files(0);
  }
  absl::StatusOr<RestoredTasks> Read() { return Read(graph_); }
  absl::StatusOr<RestoredTasks> Read(const proto::JobGraph& graph) {
    std::map<uint32_t, std::vector<uint32_t>> workers;
    for (const proto::Vertex& vertex : graph.vertices()) {
      workers[vertex.id()].assign(vertex.parallelism(), 0);
    }
    return ReadTaskStates(env_.files(), restore_, graph, workers, 0);
  }
  // The job at another parallelism of the sources and of the stage.
  proto::JobGraph Scaled(uint32_t sources, uint32_t stage) const {
    proto::JobGraph graph = graph_;
    for (proto::Node& node : *graph.mutable_nodes()) {
      node.set_parallelism(node.id() == 2 ? stage : sources);
      graph.mutable_vertices(static_cast<int>(node.id()))->set_parallelism(node.parallelism());
    }
    return graph;
  }
  // Two channels of each of the two subtasks of "left", by edge 0.
  void WriteLeft() {
    Write(0, 0, {{0, 0, 0, true, "0>0,"}, {0, 0, 1, true, "0>1,"}}, 70);
    Write(0, 1, {{0, 1, 0, true, "1>0,"}, {0, 1, 1, true, "1>1,"}}, 50);
    Write(1, 0, {});
    Write(1, 1, {});
    Write(2, 0, {{0, 0, 0, false, "at 0 of 0,"}}, 40);
    Write(2, 1, {{0, 1, 1, false, "at 1 of 1,"}}, 30);
  }
  // What subtask `subtask` of the stage is to take its records from, and the key groups that are in
  // it.
  static std::vector<std::string> Divided(const RestoredTasks& tasks, uint32_t subtask) {
    std::vector<std::string> channels;
    for (const auto& rewired : tasks.at({2, subtask})->front().rewired) {
      EXPECT_EQ(rewired.edge, 0u);
      EXPECT_EQ(rewired.watermark, 50) << "the least that a sender had told";
      for (const auto& channel : rewired.channels) {
        channels.push_back(
            StrCat(channel.elements, " ", channel.key_groups.first, "-", channel.key_groups.last));
      }
    }
    EXPECT_EQ(tasks.at({2, subtask})->front().watermark, 30);
    return channels;
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
  proto::JobGraph graph_ = Graph();
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

// Flink 38483
TEST_F(InFlightFilesTest, ByKeyEachTaskReadsTheChannelsOfTheFormerReadersOfItsKeyGroups) {
  WriteLeft();
  const auto tasks = Read(Scaled(2, 3));
  ASSERT_TRUE(tasks.ok()) << tasks.status();
  const std::string of_0[] = {"at 0 of 0,0>0, 0-63", "1>0, 0-63"};
  const std::string of_1[] = {"0>1, 64-127", "at 1 of 1,1>1, 64-127"};
  EXPECT_THAT(Divided(*tasks, 0), ElementsAre(of_0[0], of_0[1]));
  EXPECT_THAT(Divided(*tasks, 1), ElementsAre(of_0[0], of_0[1], of_1[0], of_1[1]));
  EXPECT_THAT(Divided(*tasks, 2), ElementsAre(of_1[0], of_1[1]));
}

TEST_F(InFlightFilesTest, OtherSendersOfTheSameReadersLeaveEachItsOwn) {
  WriteLeft();
  const auto tasks = Read(Scaled(1, 2));
  ASSERT_TRUE(tasks.ok()) << tasks.status();
  EXPECT_THAT(Divided(*tasks, 0), ElementsAre("at 0 of 0,0>0, 0-63", "1>0, 0-63"));
  EXPECT_THAT(Divided(*tasks, 1), ElementsAre("0>1, 64-127", "at 1 of 1,1>1, 64-127"));
}

TEST_F(InFlightFilesTest, WhatGoesToAllIsReadFromTheSubtaskWhoseStateIsCopied) {
  graph_.mutable_edges(0)->set_partitioning(proto::BROADCAST);
  WriteLeft();
  const auto tasks = Read(Scaled(2, 3));
  ASSERT_TRUE(tasks.ok()) << tasks.status();
  EXPECT_THAT(Divided(*tasks, 0), ElementsAre("at 0 of 0,0>0, 0-63", "1>0, 0-63"));
  EXPECT_THAT(Divided(*tasks, 1), ElementsAre("0>1, 64-127", "at 1 of 1,1>1, 64-127"));
  EXPECT_EQ(Divided(*tasks, 2), Divided(*tasks, 0));
}

TEST_F(InFlightFilesTest, WithoutAKeyEachChannelIsReadOnce) {
  graph_.mutable_edges(0)->set_partitioning(proto::REBALANCE);
  WriteLeft();
  for (const uint32_t parallelism : {1u, 3u, 4u, 7u}) {
    const auto tasks = Read(Scaled(2, parallelism));
    ASSERT_TRUE(tasks.ok()) << tasks.status();
    std::vector<std::string> all;
    for (uint32_t i = 0; i < parallelism; ++i) {
      for (std::string& channel : Divided(*tasks, i)) all.push_back(std::move(channel));
    }
    EXPECT_THAT(all, UnorderedElementsAre("at 0 of 0,0>0, 0-63", "1>0, 0-63", "0>1, 64-127",
                                          "at 1 of 1,1>1, 64-127"));
  }
}

TEST_F(InFlightFilesTest, OneToOneTheReaderOfTheFirstKeyGroupHasIt) {
  graph_.mutable_edges(0)->set_partitioning(proto::FORWARD);
  Write(0, 0, {{0, 0, 0, true, "0>0"}}, 70);
  Write(0, 1, {{0, 1, 1, true, "1>1"}}, 50);
  Write(1, 0, {});
  Write(1, 1, {});
  Write(2, 0, {}, 40);
  Write(2, 1, {}, 30);
  auto tasks = Read(Scaled(4, 4));
  ASSERT_TRUE(tasks.ok()) << tasks.status();
  EXPECT_THAT(Divided(*tasks, 0), ElementsAre("0>0 0-63"));
  EXPECT_THAT(Divided(*tasks, 1), IsEmpty());
  EXPECT_THAT(Divided(*tasks, 2), ElementsAre("1>1 64-127"));
  EXPECT_THAT(Divided(*tasks, 3), IsEmpty());
  tasks = Read(Scaled(1, 1));
  ASSERT_TRUE(tasks.ok()) << tasks.status();
  EXPECT_THAT(Divided(*tasks, 0), ElementsAre("0>0 0-63", "1>1 64-127"));
}

TEST_F(InFlightFilesTest, AChannelThatThereCannotHaveBeenIsRefused) {
  Write(0, 0, {{0, 0, 2, true, "to a third"}});
  Write(2, 0, {});
  EXPECT_EQ(Read(Scaled(2, 3)).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(InFlightFilesTest, ADamagedFileIsRefusedAtAnotherParallelismToo) {
  WriteLeft();
  const std::string path = "/checkpoints/job/chk-7/" + restore_.files(0).name();
  std::string content = ReadFile(env_.files(), path, 1 << 20).value();
  content[17] = static_cast<char>(content[17] ^ 1);
  ASSERT_TRUE(WriteFileAtomically(env_.files(), path, content).ok());
  EXPECT_EQ(Read(Scaled(2, 3)).status().code(), absl::StatusCode::kDataLoss);
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

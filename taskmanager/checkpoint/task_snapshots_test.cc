#include "taskmanager/checkpoint/task_snapshots.h"

#include <random>
#include <set>

#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "gmock/gmock.h"
#include "proto/checkpoint.pb.h"
#include "proto/job_graph.pb.h"
#include "weir/hash.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kMaxParallelism = 128;

// One vertex of a source and an operator behind it.
proto::JobGraph GraphOf(uint32_t parallelism) {
  proto::JobGraph graph;
  graph.set_max_parallelism(kMaxParallelism);
  for (const char* uid : {"in", "sum"}) {
    proto::Node& node = *graph.add_nodes();
    node.set_id(static_cast<uint32_t>(graph.nodes_size() - 1));
    node.set_uid(uid);
    node.set_kind(node.id() == 0 ? proto::SOURCE : proto::OPERATOR);
    node.set_parallelism(parallelism);
  }
  proto::Vertex& vertex = *graph.add_vertices();
  vertex.set_parallelism(parallelism);
  vertex.add_nodes(0);
  vertex.add_nodes(1);
  return graph;
}

std::string GroupBytes(uint32_t group) { return "group " + std::to_string(group); }

class TaskSnapshotsTest : public ::testing::Test {
 protected:
  TaskSnapshotsTest() : env_(world_.StartProcess("worker")) {
    EXPECT_TRUE(files().CreateDirectories("/checkpoints/job/chk-7").ok());
  }
  FileSystem& files() { return env_.files(); }

  // A checkpoint of a job with that parallelism; every subtask has the bytes of its key groups, two
  // items of each list, and a watermark of its own. Files of odd subtasks are final.
  proto::JobRestore Write(uint32_t parallelism) {
    const proto::JobGraph graph = GraphOf(parallelism);
    proto::JobRestore restore;
    restore.set_checkpoint_id(7);
    restore.set_directory("/checkpoints/job/chk-7");
    for (uint32_t node = 0; node < 2; ++node) {
      proto::OperatorRestore& of_node = *restore.add_operators();
      of_node.set_node(node);
      of_node.mutable_checkpoint()->set_uid(graph.nodes(static_cast<int>(node)).uid());
      of_node.mutable_checkpoint()->set_parallelism(parallelism);
    }
    for (uint32_t subtask = 0; subtask < parallelism; ++subtask) {
      TaskCheckpoint task;
      task.subtask = subtask;
      task.barrier.id = 7;
      task.final = subtask % 2 == 1;
      OperatorState& source = task.state.emplace_back();
      source.lists.push_back(
          {"position", "string", Redistribution::kSplit, {"p" + std::to_string(subtask)}});
      OperatorState& sum = task.state.emplace_back();
      sum.node = 1;
      sum.watermark = 100 + subtask;
      OperatorState::Keyed& keyed = sum.keyed.emplace_back();
      keyed.name = "sums";
      keyed.type = "map<i64,i64>";
      const KeyGroupRange range = KeyGroupRangeOf(subtask, kMaxParallelism, parallelism);
      for (uint32_t group = range.first; group <= range.last; ++group) {
        if (group % 3 != 0) keyed.key_groups.emplace_back(group, GroupBytes(group));
      }
      for (const auto& [name, rule] :
           {std::pair("split", Redistribution::kSplit), std::pair("union", Redistribution::kUnion),
            std::pair("broadcast", Redistribution::kBroadcast)}) {
        sum.lists.push_back({name, "string", rule, {}});
        for (const char* item : {"a", "b"}) {
          sum.lists.back().items.push_back(
              rule == Redistribution::kBroadcast ? item : item + std::to_string(subtask));
        }
      }
      auto told = WriteTaskSnapshot(files(), {"/checkpoints/job", 1}, graph, task);
      EXPECT_TRUE(told.ok()) << told.status();
      EXPECT_EQ(told->final(), task.final);
      const auto file = static_cast<uint32_t>(restore.files_size());
      *restore.add_files() = told->files(0);
      for (const auto& of_operator : told->operators()) {
        proto::OperatorCheckpoint& to =
            *restore.mutable_operators(static_cast<int>(of_operator.node()))->mutable_checkpoint();
        *to.mutable_states() = of_operator.states();
        proto::SubtaskState& state = *to.add_subtasks();
        state.set_subtask(subtask);
        state.set_watermark(of_operator.watermark());
        for (int i = 0; i < of_operator.files_size(); ++i) state.add_files(file);
      }
    }
    return restore;
  }

  // All subtasks on worker 0.
  absl::StatusOr<RestoredTasks> Read(const proto::JobRestore& restore, uint32_t parallelism) {
    return ReadTaskStates(files(), restore, GraphOf(parallelism),
                          {{0, std::vector<uint32_t>(parallelism, 0)}}, 0);
  }

  SimWorld world_{SimOptions{}};
  SimEnv& env_;
};

const OperatorState::List& ListNamed(const OperatorState& state, std::string_view name) {
  for (const OperatorState::List& list : state.lists) {
    if (list.name == name) return list;
  }
  ADD_FAILURE() << "no list " << name;
  static const OperatorState::List none;
  return none;
}

TEST_F(TaskSnapshotsTest, WithTheSameParallelismEachSubtaskHasItsOwn) {  // Rule 49
  const proto::JobRestore restore = Write(3);
  const auto tasks = Read(restore, 3);
  ASSERT_TRUE(tasks.ok()) << tasks.status();
  ASSERT_EQ(tasks->size(), 3u);
  for (uint32_t subtask = 0; subtask < 3; ++subtask) {
    const TaskState& state = *tasks->at({0, subtask});
    ASSERT_EQ(state.size(), 2u);
    EXPECT_EQ(ListNamed(state[0], "position").items,
              std::vector<std::string>{"p" + std::to_string(subtask)});
    EXPECT_EQ(state[1].watermark, 100 + subtask);
    EXPECT_EQ(
        ListNamed(state[1], "split").items,
        (std::vector<std::string>{"a" + std::to_string(subtask), "b" + std::to_string(subtask)}));
    EXPECT_EQ(ListNamed(state[1], "union").items.size(), 6u);
    EXPECT_EQ(ListNamed(state[1], "broadcast").items, (std::vector<std::string>{"a", "b"}));
  }
}

TEST_F(TaskSnapshotsTest, AnotherParallelismMovesKeyGroupsAndDealsListsOut) {  // Rules 48 and 49
  for (const uint32_t from : {1u, 2u, 3u, 5u, 128u}) {
    for (const uint32_t to : {1u, 2u, 4u, 7u, 128u}) {
      SCOPED_TRACE(std::to_string(from) + " to " + std::to_string(to));
      ASSERT_TRUE(files().DeleteRecursively("/checkpoints").ok());
      ASSERT_TRUE(files().CreateDirectories("/checkpoints/job/chk-7").ok());
      const auto tasks = Read(Write(from), to);
      ASSERT_TRUE(tasks.ok()) << tasks.status();
      std::set<uint32_t> groups;
      std::multiset<std::string> split;
      for (uint32_t subtask = 0; subtask < to; ++subtask) {
        // Readers of sources are given all positions and take their part.
        const OperatorState& source = tasks->at({0, subtask})->at(0);
        EXPECT_EQ(source.positions_of_all, from != to);
        const auto& positions = ListNamed(source, "position").items;
        ASSERT_EQ(positions.size(), from == to ? 1 : from);
        for (uint32_t i = 0; i < positions.size(); ++i) {
          EXPECT_EQ(positions[i], "p" + std::to_string(from == to ? subtask : i));
        }
        const OperatorState& sum = tasks->at({0, subtask})->at(1);
        const KeyGroupRange range = KeyGroupRangeOf(subtask, kMaxParallelism, to);
        const absl::Status read = sum.keyed.at(0).ForEachKeyGroup(
            [&](uint32_t group, std::string_view bytes, bool changes) {
              EXPECT_TRUE(range.Contains(group));
              EXPECT_EQ(bytes, GroupBytes(group));
              EXPECT_FALSE(changes);
              EXPECT_TRUE(groups.insert(group).second);
              return absl::OkStatus();
            });
        EXPECT_TRUE(read.ok()) << read;
        const auto& items = ListNamed(sum, "split").items;
        split.insert(items.begin(), items.end());
        if (from != to) {
          EXPECT_LE(items.size(), 2 * from / to + 1) << "dealt out evenly";
        }
        EXPECT_EQ(ListNamed(sum, "union").items.size(), 2 * from);
        EXPECT_EQ(ListNamed(sum, "broadcast").items, (std::vector<std::string>{"a", "b"}));
        EXPECT_EQ(sum.watermark, from == to ? 100 + subtask : 100) << "the least of all";
      }
      EXPECT_EQ(groups.size(), 85u);
      EXPECT_EQ(split.size(), 2 * from);
      EXPECT_EQ(std::set<std::string>(split.begin(), split.end()).size(), 2 * from);
    }
  }
}

TEST_F(TaskSnapshotsTest, ADamagedOrMissingFileIsAnErrorThatNamesIt) {
  proto::JobRestore restore = Write(2);
  proto::JobRestore longer = restore;
  longer.mutable_files(0)->set_bytes(restore.files(0).bytes() + 1);
  absl::Status status = Read(longer, 2).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/checkpoints/job/chk-7/1-0-0.state"));

  ASSERT_TRUE(files().Delete("/checkpoints/job/shared/1-0-1.state").ok());
  status = Read(restore, 2).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/checkpoints/job/shared/1-0-1.state"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("is its folder mounted here"));
  // The checkpoint is there, and the file is not.
  ASSERT_TRUE(WriteFileAtomically(files(), "/checkpoints/job/chk-7/_metadata", "").ok());
  status = Read(restore, 2).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("1-0-1.state' is missing"));

  restore.mutable_operators(0)->mutable_checkpoint()->set_uid("other");
  EXPECT_EQ(Read(restore, 2).status().code(), absl::StatusCode::kFailedPrecondition);
}

// The task meets it when it takes its key groups up.
TEST_F(TaskSnapshotsTest, ADamagedKeyGroupIsAnErrorThatNamesItsFile) {
  const proto::JobRestore restore = Write(2);
  const std::string path = "/checkpoints/job/chk-7/1-0-0.state";
  std::string content = *ReadFile(files(), path, 1 << 20);
  content[content.find(GroupBytes(61))] ^= 1;
  ASSERT_TRUE(WriteFileAtomically(files(), path, content).ok());
  const auto tasks = Read(restore, 2);
  ASSERT_TRUE(tasks.ok()) << tasks.status();
  std::vector<uint32_t> groups;
  const absl::Status status = tasks->at({0, 0})->at(1).keyed.at(0).ForEachKeyGroup(
      [&](uint32_t group, std::string_view, bool) {
        groups.push_back(group);
        return absl::OkStatus();
      });
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr(path));
  ASSERT_FALSE(groups.empty());
  EXPECT_EQ(groups.back(), 59u) << "those before it are good";
}

TEST_F(TaskSnapshotsTest, AFileIsNeverOverwritten) {  // failures rule 4
  Write(1);
  TaskCheckpoint task;
  task.barrier.id = 7;
  task.state.emplace_back().lists.push_back({"l", "string", Redistribution::kSplit, {"x"}});
  EXPECT_EQ(WriteTaskSnapshot(files(), {"/checkpoints/job", 1}, GraphOf(1), task).status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(WriteTaskSnapshot(files(), {"/checkpoints/job", 2}, GraphOf(1), task).ok());
}

TEST_F(TaskSnapshotsTest, ATaskWithoutStateWritesNoFile) {
  TaskCheckpoint task;
  task.barrier.id = 7;
  task.state.emplace_back().watermark = 5;
  const auto told = WriteTaskSnapshot(files(), {"/checkpoints/job", 1}, GraphOf(1), task);
  ASSERT_TRUE(told.ok()) << told.status();
  EXPECT_EQ(told->files_size(), 0);
  EXPECT_EQ(told->operators(0).watermark(), 5);
  EXPECT_TRUE(files().List("/checkpoints/job/chk-7")->empty());
}

}  // namespace
}  // namespace weir

#include <limits>

#include "jobmanager/checkpoint/testing/coordinator_fixture.h"

namespace weir::jobmanager {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

using Snapshots = std::vector<std::shared_ptr<const proto::TaskSnapshot>>;

// Of all four tasks of TestGraph, without state.
std::vector<proto::TaskSnapshot> EmptySnapshots() {
  std::vector<proto::TaskSnapshot> snapshots(4);
  for (uint32_t i = 0; i < 4; ++i) {
    snapshots[i].set_vertex(i / 2);
    snapshots[i].set_subtask(i % 2);
  }
  return snapshots;
}

absl::StatusOr<std::shared_ptr<const proto::CheckpointMetadata>> Build(
    const std::vector<proto::TaskSnapshot>& snapshots) {
  Snapshots shared;
  for (const auto& snapshot : snapshots) {
    shared.push_back(std::make_shared<const proto::TaskSnapshot>(snapshot));
  }
  return BuildMetadata(*TestGraph(),
                       {.job_id = std::string(16, 'j'),
                        .job_name = "words",
                        .checkpoint_id = 4,
                        .kind = CheckpointKind::kStopWithSavepoint,
                        .triggered_unix_micros = 10,
                        .completed_unix_micros = 20},
                       shared);
}

void AddFile(proto::TaskSnapshot& snapshot, const std::string& name, uint64_t bytes) {
  snapshot.add_files()->set_name(name);
  snapshot.mutable_files(snapshot.files_size() - 1)->set_bytes(bytes);
}

TEST(BuildMetadataTest, HasTheOperatorsOfAllNodesInOrderAndEverySubtask) {
  const auto metadata = Build(EmptySnapshots());
  ASSERT_TRUE(metadata.ok()) << metadata.status();
  EXPECT_EQ((*metadata)->job_id(), std::string(16, 'j'));
  EXPECT_EQ((*metadata)->job_name(), "words");
  EXPECT_EQ((*metadata)->checkpoint_id(), 4u);
  EXPECT_EQ((*metadata)->kind(), proto::SAVEPOINT);
  EXPECT_EQ((*metadata)->triggered_unix_micros(), 10);
  EXPECT_EQ((*metadata)->completed_unix_micros(), 20);
  EXPECT_EQ((*metadata)->max_parallelism(), 128u);
  EXPECT_FALSE((*metadata)->weir_version().empty());
  ASSERT_EQ((*metadata)->operators_size(), 3);
  EXPECT_EQ((*metadata)->operators(0).uid(), "count");
  EXPECT_EQ((*metadata)->operators(1).uid(), "out");
  EXPECT_EQ((*metadata)->operators(2).uid(), "words");
  for (const auto& operator_state : (*metadata)->operators()) {
    EXPECT_EQ(operator_state.operator_id().size(), 16u);
    EXPECT_EQ(operator_state.parallelism(), 2u);
    ASSERT_EQ(operator_state.subtasks_size(), 2);
    EXPECT_EQ(operator_state.subtasks(1).subtask(), 1u);
    EXPECT_EQ(operator_state.subtasks(1).watermark(), std::numeric_limits<int64_t>::min());
  }
}

TEST(BuildMetadataTest, MapsTheFilesOfEachTaskIntoOneTable) {
  auto snapshots = EmptySnapshots();
  // Subtask 0 of the second vertex: its nodes share a file; one file is nobody's.
  AddFile(snapshots[2], "z", 1);
  AddFile(snapshots[2], "unused", 2);
  AddFile(snapshots[2], "shared/s", 3);
  auto* count = snapshots[2].add_operators();
  count->set_node(1);
  count->add_files(2);
  count->add_files(0);
  count->set_bytes(77);
  count->set_watermark(5);
  snapshots[2].add_operators()->set_node(2);
  snapshots[2].mutable_operators(1)->add_files(0);
  // Subtask 1 refers to the same shared file, by another index.
  AddFile(snapshots[3], "shared/s", 3);
  auto* other = snapshots[3].add_operators();
  other->set_node(1);
  other->add_files(0);
  snapshots[3].set_final(true);

  const auto metadata = Build(snapshots);
  ASSERT_TRUE(metadata.ok()) << metadata.status();
  ASSERT_EQ((*metadata)->files_size(), 2);
  EXPECT_EQ((*metadata)->files(0).name(), "shared-s.state") << "a savepoint has copies";
  EXPECT_EQ((*metadata)->files(0).bytes(), 3u);
  EXPECT_EQ((*metadata)->files(1).name(), "z");
  const auto& first = (*metadata)->operators(0).subtasks(0);
  ASSERT_EQ(first.files_size(), 2);
  EXPECT_EQ(first.files(0), 0u);
  EXPECT_EQ(first.files(1), 1u);
  EXPECT_EQ(first.bytes(), 77u);
  EXPECT_EQ(first.watermark(), 5);
  EXPECT_FALSE(first.finished());
  const auto& second = (*metadata)->operators(0).subtasks(1);
  ASSERT_EQ(second.files_size(), 1);
  EXPECT_EQ(second.files(0), 0u);
  EXPECT_TRUE(second.finished());
  ASSERT_EQ((*metadata)->operators(1).subtasks(0).files_size(), 1);
  EXPECT_EQ((*metadata)->operators(1).subtasks(0).files(0), 1u);
}

TEST(BuildMetadataTest, JoinsTheDescriptorsOfState) {
  auto snapshots = EmptySnapshots();
  const auto add_state = [](proto::TaskSnapshot& snapshot, const std::string& name,
                            const std::string& type) {
    if (snapshot.operators_size() == 0) snapshot.add_operators()->set_node(1);
    auto* state = snapshot.mutable_operators(0)->add_states();
    state->set_name(name);
    state->set_type(type);
    state->set_division(proto::UNION_LIST);
  };
  add_state(snapshots[2], "b", "int");
  add_state(snapshots[3], "a", "string");
  add_state(snapshots[3], "b", "int");
  const auto metadata = Build(snapshots);
  ASSERT_TRUE(metadata.ok()) << metadata.status();
  ASSERT_EQ((*metadata)->operators(0).states_size(), 2);
  EXPECT_EQ((*metadata)->operators(0).states(0).name(), "a");
  EXPECT_EQ((*metadata)->operators(0).states(1).type(), "int");
  EXPECT_EQ((*metadata)->operators(0).states(1).division(), proto::UNION_LIST);

  snapshots[3].mutable_operators(0)->mutable_states(1)->set_type("double");
  const absl::Status status = Build(snapshots).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("'b'"), HasSubstr("'count'")));
  snapshots[3].mutable_operators(0)->mutable_states(1)->set_type("int");
  EXPECT_TRUE(Build(snapshots).ok());
  snapshots[3].mutable_operators(0)->mutable_states(1)->set_division(proto::SPLIT_LIST);
  EXPECT_EQ(Build(snapshots).status().code(), absl::StatusCode::kDataLoss);
}

TEST(BuildMetadataTest, RefusesTwoFilesOfOneName) {
  auto snapshots = EmptySnapshots();
  for (int i : {2, 3}) {
    AddFile(snapshots[i], "x", 100 + i);
    snapshots[i].add_operators()->set_node(1);
    snapshots[i].mutable_operators(0)->add_files(0);
  }
  const absl::Status status = Build(snapshots).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("'x'"));
}

}  // namespace
}  // namespace weir::jobmanager

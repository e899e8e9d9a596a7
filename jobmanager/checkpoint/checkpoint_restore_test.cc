#include "jobmanager/checkpoint/checkpoint_restore.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/checkpoint.pb.h"

namespace weir::jobmanager {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string IdOf(const std::string& uid) {
  std::string id = uid;
  id.resize(16, '#');
  return id;
}

void AddNode(proto::JobGraph& graph, const std::string& uid, uint32_t parallelism) {
  proto::Node* node = graph.add_nodes();
  node->set_id(static_cast<uint32_t>(graph.nodes_size() - 1));
  node->set_uid(uid);
  node->set_operator_id(IdOf(uid));
  node->set_parallelism(parallelism);
}

proto::OperatorCheckpoint* AddOperator(proto::CheckpointMetadata& metadata, const std::string& uid,
                                       uint32_t parallelism) {
  proto::OperatorCheckpoint* result = metadata.add_operators();
  result->set_uid(uid);
  result->set_operator_id(IdOf(uid));
  result->set_parallelism(parallelism);
  for (uint32_t i = 0; i < parallelism; ++i) result->add_subtasks()->set_subtask(i);
  return result;
}

// Operators a (2 subtasks, with state) and b (1, without).
proto::CheckpointMetadata Metadata() {
  proto::CheckpointMetadata metadata;
  metadata.set_job_id("the old job's id");
  metadata.set_kind(proto::CHECKPOINT);
  metadata.set_checkpoint_id(9);
  metadata.set_max_parallelism(128);
  for (const std::string name : {"a-0.state", "shared/a-1"}) metadata.add_files()->set_name(name);
  proto::OperatorCheckpoint* a = AddOperator(metadata, "a", 2);
  a->mutable_subtasks(0)->add_files(0);
  a->mutable_subtasks(1)->add_files(1);
  AddOperator(metadata, "b", 1);
  return metadata;
}

proto::JobGraph Graph(uint32_t parallelism_of_a) {
  proto::JobGraph graph;
  graph.set_max_parallelism(128);
  AddNode(graph, "new", 1);
  AddNode(graph, "b", 1);
  AddNode(graph, "a", parallelism_of_a);
  return graph;
}

// Rule 49: the subtasks of old are dealt out by each new one.
TEST(MakeRestoreTest, FindsNodesByOperatorIdWhateverTheirPlaceAndParallelism) {
  const auto restore = MakeRestore(Metadata(), "/checkpoints/9", Graph(5));
  ASSERT_TRUE(restore.ok()) << restore.status();
  EXPECT_EQ((*restore)->checkpoint_id(), 9u);
  EXPECT_EQ((*restore)->directory(), "/checkpoints/9");
  ASSERT_EQ((*restore)->files_size(), 2);
  EXPECT_EQ((*restore)->files(1).name(), "shared/a-1");
  // Node 0 is new and begins without state.
  ASSERT_EQ((*restore)->operators_size(), 2);
  EXPECT_EQ((*restore)->operators(0).node(), 1u);
  EXPECT_EQ((*restore)->operators(0).checkpoint().uid(), "b");
  EXPECT_EQ((*restore)->operators(1).node(), 2u);
  EXPECT_EQ((*restore)->operators(1).checkpoint().subtasks_size(), 2);
  EXPECT_EQ((*restore)->operators(1).checkpoint().subtasks(1).files(0), 1u);
}

TEST(MakeRestoreTest, NamesAnOperatorWhoseStateTheGraphDoesNotHave) {
  proto::JobGraph graph = Graph(2);
  graph.mutable_nodes(2)->set_uid("renamed");
  graph.mutable_nodes(2)->set_operator_id(IdOf("renamed"));
  const absl::Status status = MakeRestore(Metadata(), "/c", graph).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("'a'"), HasSubstr("checkpoint 9")));

  const auto allowed = MakeRestore(Metadata(), "/c", graph, {.allow_dropped_state = true});
  ASSERT_TRUE(allowed.ok()) << allowed.status();
  EXPECT_EQ((*allowed)->operators_size(), 1);
}

TEST(MakeRestoreTest, DoesWithoutAnOperatorThatHadNoState) {
  proto::JobGraph graph = Graph(2);
  graph.mutable_nodes()->DeleteSubrange(1, 1);
  graph.mutable_nodes(1)->set_id(1);
  EXPECT_TRUE(MakeRestore(Metadata(), "/c", graph).ok());
}

TEST(MakeRestoreTest, RefusesAnotherMaximumParallelism) {
  proto::JobGraph graph = Graph(2);
  graph.set_max_parallelism(256);
  const absl::Status status = MakeRestore(Metadata(), "/c", graph).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("128"), HasSubstr("256"), HasSubstr("pipeline.max-parallelism")));
}

TEST(MakeRestoreTest, RefusesAParallelismAboveTheMaximum) {
  EXPECT_TRUE(MakeRestore(Metadata(), "/c", Graph(128)).ok());
  const absl::Status status = MakeRestore(Metadata(), "/c", Graph(129)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("'a'"), HasSubstr("129")));
}

TEST(MakeRestoreTest, RefusesMetadataThatContradictsItself) {
  proto::CheckpointMetadata metadata = Metadata();
  metadata.mutable_operators(0)->mutable_subtasks(0)->set_files(0, 2);
  const absl::Status status = MakeRestore(metadata, "/c", Graph(2)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("checkpoint 9 in /c"), HasSubstr("file 2 of 2")));
}

TEST(HoldsCommittables, SaysWhetherASinkHasSomethingPrepared) {
  proto::CheckpointMetadata metadata;
  EXPECT_FALSE(HoldsCommittables(metadata));
  proto::OperatorCheckpoint& other = *metadata.add_operators();
  other.add_states()->set_name("waiting");
  other.add_subtasks()->set_bytes(7);
  proto::OperatorCheckpoint& sink = *metadata.add_operators();
  sink.add_states()->set_name("committables");
  sink.add_subtasks()->add_files(0);
  EXPECT_FALSE(HoldsCommittables(metadata)) << "an empty list";
  sink.add_subtasks()->set_bytes(1);
  EXPECT_TRUE(HoldsCommittables(metadata));
}

}  // namespace
}  // namespace weir::jobmanager

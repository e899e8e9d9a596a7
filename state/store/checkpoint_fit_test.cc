#include "state/store/checkpoint_fit.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/checkpoint.pb.h"
#include "proto/job_graph.pb.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using Kind = StateFit::Kind;

std::string IdOf(const std::string& uid) {
  std::string id = uid;
  id.resize(16, '#');
  return id;
}

proto::OperatorCheckpoint& AddOperator(proto::CheckpointMetadata& metadata, const std::string& uid,
                                       uint32_t parallelism) {
  proto::OperatorCheckpoint& result = *metadata.add_operators();
  result.set_uid(uid);
  result.set_operator_id(IdOf(uid));
  result.set_parallelism(parallelism);
  for (uint32_t i = 0; i < parallelism; ++i) {
    result.add_subtasks()->set_subtask(i);
    result.mutable_subtasks(static_cast<int>(i))->set_bytes(1);
  }
  return result;
}

proto::Node& AddNode(proto::JobGraph& graph, const std::string& uid, proto::NodeKind kind,
                     uint32_t parallelism) {
  proto::Node& node = *graph.add_nodes();
  node.set_id(static_cast<uint32_t>(graph.nodes_size() - 1));
  node.set_uid(uid);
  node.set_operator_id(IdOf(uid));
  node.set_kind(kind);
  node.set_parallelism(parallelism);
  return node;
}

template <class Message>
void AddState(Message& message, const std::string& name, const std::string& type,
              proto::StateDivision division = proto::BY_KEY_GROUP) {
  auto& state = *message.add_states();
  state.set_name(name);
  state.set_type(type);
  state.set_division(division);
}

// "uid/state kind" of each.
std::vector<std::string> Fits(const proto::CheckpointMetadata& metadata,
                              const proto::JobGraph& graph) {
  std::vector<std::string> lines;
  for (const StateFit& fit : FitState(metadata, graph)) {
    const char* kinds[] = {"fits", "new", "dropped", "refused"};
    lines.push_back(fit.uid + "/" + fit.state + " " + kinds[static_cast<int>(fit.kind)]);
  }
  return lines;
}

class CheckpointFitTest : public ::testing::Test {
 protected:
  CheckpointFitTest() {
    metadata_.set_max_parallelism(128);
    graph_.set_max_parallelism(128);
  }
  proto::CheckpointMetadata metadata_;
  proto::JobGraph graph_;
};

TEST_F(CheckpointFitTest, SaysOfEachStateWhetherItFits) {
  auto& count = AddOperator(metadata_, "count", 2);
  AddState(count, "same", "int64");
  AddState(count, "typed", "int64");
  AddState(count, "divided", "string", proto::SPLIT_LIST);
  AddState(count, "gone", "int64");
  AddState(count, "list", "string", proto::SPLIT_LIST);
  auto& node = AddNode(graph_, "count", proto::OPERATOR, 5);
  AddState(node, "same", "int64");
  AddState(node, "typed", "string");
  AddState(node, "divided", "union<string>");
  AddState(node, "list", "split<string>");
  AddState(node, "fresh", "int64");
  EXPECT_THAT(Fits(metadata_, graph_),
              ElementsAre("count/divided refused", "count/gone dropped", "count/list fits",
                          "count/same fits", "count/typed refused", "count/fresh new"));
}

TEST_F(CheckpointFitTest, FindsOperatorsByTheirUidAndMissesThoseThatHadState) {
  AddState(AddOperator(metadata_, "left", 1), "s", "int64");
  AddOperator(metadata_, "empty", 1).mutable_subtasks(0)->clear_bytes();
  AddState(AddNode(graph_, "right", proto::OPERATOR, 1), "s", "int64");
  EXPECT_THAT(Fits(metadata_, graph_), ElementsAre("left/ dropped", "right/s new"));
}

TEST_F(CheckpointFitTest, WantsTheSameMaximumParallelismAndNoneAboveIt) {
  graph_.set_max_parallelism(256);
  AddNode(graph_, "wide", proto::OPERATOR, 129);
  EXPECT_THAT(Fits(metadata_, graph_), ElementsAre("/ refused", "wide/ refused"));
}

// Rule 49
TEST_F(CheckpointFitTest, AnyParallelismFitsUpToTheMaximum) {
  AddState(AddOperator(metadata_, "numbers", 2), "position", "string", proto::SPLIT_LIST);
  AddState(AddOperator(metadata_, "count", 2), "s", "int64");
  proto::Node& count = AddNode(graph_, "count", proto::OPERATOR, 3);
  AddState(count, "s", "int64");
  proto::Node& source = AddNode(graph_, "numbers", proto::SOURCE, 2);
  EXPECT_THAT(Fits(metadata_, graph_), ElementsAre("count/s fits", "numbers/position fits"));
  source.set_parallelism(128);
  count.set_parallelism(1);
  EXPECT_THAT(Fits(metadata_, graph_), ElementsAre("count/s fits", "numbers/position fits"));
  source.set_parallelism(129);
  EXPECT_THAT(Fits(metadata_, graph_),
              ElementsAre("count/s fits", "numbers/ refused", "numbers/position fits"));
}

}  // namespace
}  // namespace weir

#include "state/store/in_flight_edges.h"

#include "gmock/gmock.h"
#include "proto/checkpoint.pb.h"
#include "proto/job_graph.pb.h"
#include "state/store/checkpoint_metadata.h"
#include "state/testing/example_checkpoint.h"

namespace weir {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

proto::JobGraph Graph() {
  proto::JobGraph graph;
  for (const char* uid : {"source", "count"}) {
    proto::Node& node = *graph.add_nodes();
    node.set_id(static_cast<uint32_t>(graph.nodes_size() - 1));
    node.set_uid(uid);
    node.set_parallelism(2);
    node.add_outputs()->mutable_schema()->set_type_name("Event");
    auto* field = node.mutable_outputs(0)->mutable_schema()->add_fields();
    field->set_name("key");
    field->set_type("i64");
  }
  proto::Edge& edge = *graph.add_edges();
  edge.set_to_node(1);
  edge.set_partitioning(proto::HASH);
  return graph;
}

proto::CheckpointMetadata Metadata() {
  proto::CheckpointMetadata metadata = ExampleMetadata(3);
  for (auto& op : *metadata.mutable_operators()) *op.add_in_flight() = DescribeInFlight(Graph(), 0);
  return metadata;
}

std::string Refused(const proto::JobGraph& graph) {
  const absl::Status status = CheckInFlightFits(Metadata(), graph);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("from operator 'source' to 'count'"), HasSubstr("savepoint")));
  return std::string(status.message());
}

TEST(InFlightEdgesTest, RecordsInFlightFitTheGraphThatTheyComeFrom) {
  EXPECT_TRUE(CheckInFlightFits(Metadata(), Graph()).ok());
  EXPECT_TRUE(CheckInFlightFits(ExampleMetadata(3), proto::JobGraph()).ok()) << "it has none";
}

// Flink 38483: an unaligned checkpoint that is restored at another parallelism.
TEST(InFlightEdgesTest, TheyFitAnotherParallelismAndAnEdgeThatBecameACall) {
  for (const int node : {0, 1}) {
    proto::JobGraph graph = Graph();
    graph.mutable_nodes(node)->set_parallelism(3);
    EXPECT_TRUE(CheckInFlightFits(Metadata(), graph).ok());
  }
  proto::JobGraph graph = Graph();
  graph.mutable_edges(0)->set_chained(true);
  EXPECT_TRUE(CheckInFlightFits(Metadata(), graph).ok());
}

TEST(InFlightEdgesTest, WithoutAKeyOneToOneAndInTurnsAreTheSame) {
  proto::JobGraph before = Graph();
  before.mutable_edges(0)->set_partitioning(proto::FORWARD);
  proto::CheckpointMetadata metadata = ExampleMetadata(3);
  for (auto& op : *metadata.mutable_operators()) *op.add_in_flight() = DescribeInFlight(before, 0);
  proto::JobGraph graph = Graph();
  graph.mutable_edges(0)->set_partitioning(proto::REBALANCE);
  EXPECT_TRUE(CheckInFlightFits(metadata, graph).ok());
  graph.mutable_edges(0)->set_partitioning(proto::BROADCAST);
  EXPECT_FALSE(CheckInFlightFits(metadata, graph).ok());
}

TEST(InFlightEdgesTest, AnEdgeThatIsGoneOrCarriesOtherRecordsIsRefused) {
  proto::JobGraph graph = Graph();
  graph.mutable_edges(0)->set_to_input(1);
  EXPECT_THAT(Refused(graph), HasSubstr("does not have"));
  graph = Graph();
  graph.mutable_nodes(0)->mutable_outputs(0)->mutable_schema()->mutable_fields(0)->set_type("i32");
  EXPECT_THAT(Refused(graph), AllOf(HasSubstr("Event{key:i64}"), HasSubstr("Event{key:i32}")));
  graph = Graph();
  graph.mutable_edges(0)->set_partitioning(proto::REBALANCE);
  EXPECT_THAT(Refused(graph), HasSubstr("dealt out in another way"));
}

TEST(InFlightEdgesTest, EdgesWithTheSameEndsHaveNamesOfTheirOwn) {
  proto::JobGraph graph = Graph();
  *graph.add_edges() = graph.edges(0);
  graph.mutable_edges(1)->set_id(1);
  EXPECT_NE(InFlightStateName(DescribeInFlight(graph, 0), true),
            InFlightStateName(DescribeInFlight(graph, 1), true));
}

TEST(InFlightEdgesTest, MetadataWithRecordsInFlightIsOfVersion2AndOtherOfVersion1) {
  const std::string with = EncodeCheckpointMetadata(Metadata()).value();
  const std::string without = EncodeCheckpointMetadata(ExampleMetadata(3)).value();
  EXPECT_EQ(with[8], 2);
  EXPECT_EQ(without[8], 1);
  proto::CheckpointMetadata read;
  ASSERT_TRUE(DecodeCheckpointMetadata(with, &read).ok());
  EXPECT_TRUE(HasInFlight(read));
}

TEST(InFlightEdgesTest, ASavepointHasNoRecordsInFlight) {
  proto::CheckpointMetadata metadata = Metadata();
  metadata.set_kind(proto::SAVEPOINT);
  EXPECT_FALSE(ValidateCheckpointMetadata(metadata).ok());
  metadata = Metadata();
  metadata.mutable_operators(0)->mutable_in_flight(0)->set_from_uid("other");
  metadata.mutable_operators(0)->mutable_in_flight(0)->set_to_uid("others");
  EXPECT_FALSE(ValidateCheckpointMetadata(metadata).ok());
}

}  // namespace
}  // namespace weir

#include "proto/validate/job_graph.h"

#include <functional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/job_graph.pb.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

void AddNode(proto::JobGraph& graph, const std::string& uid, proto::NodeKind kind,
             uint32_t parallelism) {
  proto::Node* node = graph.add_nodes();
  node->set_id(static_cast<uint32_t>(graph.nodes_size() - 1));
  node->set_uid(uid);
  std::string id = uid;
  id.resize(16, '.');
  node->set_operator_id(id);
  node->set_kind(kind);
  node->set_parallelism(parallelism);
  node->set_inputs(kind == proto::SOURCE ? 0 : 1);
  if (kind != proto::SINK) node->add_outputs();
}

void AddEdge(proto::JobGraph& graph, uint32_t from, uint32_t to, proto::Partitioning partitioning,
             bool chained) {
  proto::Edge* edge = graph.add_edges();
  edge->set_id(static_cast<uint32_t>(graph.edges_size() - 1));
  edge->set_from_node(from);
  edge->set_to_node(to);
  edge->set_partitioning(partitioning);
  edge->set_chained(chained);
}

void AddVertex(proto::JobGraph& graph, std::vector<uint32_t> nodes) {
  const proto::Node& head = graph.nodes(static_cast<int>(nodes[0]));
  proto::Vertex* vertex = graph.add_vertices();
  vertex->set_id(static_cast<uint32_t>(graph.vertices_size() - 1));
  vertex->set_vertex_id(head.operator_id());
  vertex->set_name(head.uid());
  vertex->set_parallelism(head.parallelism());
  for (uint32_t node : nodes) vertex->add_nodes(node);
}

// source -> map (chained) -> [hash] count -> sink (chained)
proto::JobGraph GoodGraph() {
  proto::JobGraph graph;
  graph.set_job_name("words");
  graph.set_max_parallelism(128);
  AddNode(graph, "source", proto::SOURCE, 2);
  AddNode(graph, "map", proto::OPERATOR, 2);
  AddNode(graph, "count", proto::OPERATOR, 4);
  AddNode(graph, "sink", proto::SINK, 4);
  AddEdge(graph, 0, 1, proto::FORWARD, true);
  AddEdge(graph, 1, 2, proto::HASH, false);
  AddEdge(graph, 2, 3, proto::FORWARD, true);
  AddVertex(graph, {0, 1});
  AddVertex(graph, {2, 3});
  return graph;
}

TEST(ValidateJobGraphTest, AcceptsAGraphWithChainsAndAShuffle) {
  EXPECT_EQ(ValidateJobGraph(GoodGraph()), absl::OkStatus());
}

struct BadCase {
  std::string name;
  std::function<void(proto::JobGraph&)> spoil;
  std::string expected;
};

class BadGraphTest : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadGraphTest, IsRefusedWithTheReason) {
  proto::JobGraph graph = GoodGraph();
  GetParam().spoil(graph);
  const absl::Status status = ValidateJobGraph(graph);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().expected));
}

using G = proto::JobGraph;
INSTANTIATE_TEST_SUITE_P(
    Faults, BadGraphTest,
    ::testing::Values(
        BadCase{"Empty", [](G& g) { g.Clear(); }, "the job's name is empty"},
        BadCase{"NoNodes",
                [](G& g) {
                  g.Clear();
                  g.set_job_name("x");
                },
                "no operators"},
        BadCase{"NameWithControlCharacters", [](G& g) { g.set_job_name("a\nb"); },
                "control characters"},
        BadCase{"LongUid", [](G& g) { g.mutable_nodes(1)->set_uid(std::string(1025, 'x')); },
                "1025 bytes"},
        BadCase{"NoUid", [](G& g) { g.mutable_nodes(1)->clear_uid(); },
                "uid of operator 1 is empty"},
        BadCase{"SameUid", [](G& g) { g.mutable_nodes(1)->set_uid("source"); },
                "two operators have the uid 'source'"},
        BadCase{"ShortOperatorId", [](G& g) { g.mutable_nodes(1)->set_operator_id("x"); },
                "must have 16"},
        BadCase{"SameOperatorId",
                [](G& g) { g.mutable_nodes(1)->set_operator_id(g.nodes(0).operator_id()); },
                "operator id of another"},
        BadCase{"WrongNodeId", [](G& g) { g.mutable_nodes(1)->set_id(7); }, "has id 7 at place 1"},
        BadCase{"UnknownKind",
                [](G& g) { g.mutable_nodes(1)->set_kind(static_cast<proto::NodeKind>(9)); },
                "unknown kind"},
        BadCase{"SourceWithInput", [](G& g) { g.mutable_nodes(0)->set_inputs(1); },
                "is a source and has inputs"},
        BadCase{"OperatorWithoutInput", [](G& g) { g.mutable_nodes(2)->set_inputs(0); },
                "no input and is no source"},
        BadCase{"ParallelismZero", [](G& g) { g.mutable_nodes(2)->set_parallelism(0); },
                "parallelism 0"},
        BadCase{"ParallelismAboveLimit",
                [](G& g) {
                  g.set_max_parallelism(32768);
                  g.mutable_nodes(2)->set_parallelism(4097);
                },
                "at most 4096"},
        BadCase{"ParallelismAboveMaximum", [](G& g) { g.set_max_parallelism(3); },
                "above the job's maximum"},
        BadCase{"MaxParallelismZero", [](G& g) { g.set_max_parallelism(0); },
                "maximum parallelism is 0"},
        BadCase{"MaxParallelismAboveLimit", [](G& g) { g.set_max_parallelism(32769); },
                "from 1 to 32768"},
        BadCase{"EdgeFromNowhere", [](G& g) { g.mutable_edges(1)->set_from_node(4); },
                "there are 4"},
        BadCase{"EdgeToNowhere", [](G& g) { g.mutable_edges(1)->set_to_node(UINT32_MAX); },
                "there are 4"},
        BadCase{"EdgeFromUnknownPort", [](G& g) { g.mutable_edges(1)->set_from_port(1); },
                "begins at output 1"},
        BadCase{"EdgeToUnknownInput", [](G& g) { g.mutable_edges(1)->set_to_input(1); },
                "ends at input 1"},
        BadCase{"EdgeId", [](G& g) { g.mutable_edges(1)->set_id(0); }, "edge 1 has id 0"},
        BadCase{"UnknownPartitioning", [](G& g) { g.mutable_edges(1)->clear_partitioning(); },
                "unknown partitioning"},
        BadCase{"ForwardBetweenParallelisms",
                [](G& g) { g.mutable_edges(1)->set_partitioning(proto::FORWARD); },
                "add Rebalance()"},
        BadCase{"ChainedHash", [](G& g) { g.mutable_edges(1)->set_chained(true); },
                "not joined one to one"},
        BadCase{"UnfedInput", [](G& g) { g.mutable_nodes(2)->set_inputs(2); },
                "input 1 of operator 'count' has no edge"},
        BadCase{"Cycle", [](G& g) { AddEdge(g, 2, 1, proto::HASH, false); },
                "cycle at or before operator 'map'"},
        BadCase{"SelfLoop", [](G& g) { AddEdge(g, 2, 2, proto::HASH, false); }, "cycle"},
        BadCase{"VertexId", [](G& g) { g.mutable_vertices(1)->set_id(0); }, "vertex 1 has id 0"},
        BadCase{"EmptyVertex", [](G& g) { g.mutable_vertices(1)->clear_nodes(); },
                "vertex 1 has no operators"},
        BadCase{"VertexOfUnknownNode", [](G& g) { g.mutable_vertices(1)->add_nodes(4); },
                "names operator 4"},
        BadCase{"NodeInTwoVertices", [](G& g) { g.mutable_vertices(1)->add_nodes(1); },
                "in two vertices"},
        BadCase{"NodeInNoVertex",
                [](G& g) { g.mutable_vertices(1)->mutable_nodes()->RemoveLast(); }, "in no vertex"},
        BadCase{"VertexParallelism", [](G& g) { g.mutable_vertices(1)->set_parallelism(3); },
                "in a vertex with 3"},
        BadCase{"VertexIdNotOfHead",
                [](G& g) { g.mutable_vertices(1)->set_vertex_id(g.nodes(3).operator_id()); },
                "not the operator id of its head"},
        BadCase{"ChainedAcrossVertices",
                [](G& g) {
                  g.mutable_vertices(1)->mutable_nodes()->RemoveLast();
                  AddVertex(g, {3});
                },
                "chained and in different vertices"},
        BadCase{"ChainBackwards",
                [](G& g) {
                  g.mutable_vertices(1)->set_nodes(0, 3);
                  g.mutable_vertices(1)->set_nodes(1, 2);
                  g.mutable_vertices(1)->set_vertex_id(g.nodes(3).operator_id());
                },
                "comes before what it is chained to"},
        BadCase{"NotChainedWithinVertex", [](G& g) { g.mutable_edges(2)->set_chained(false); },
                "topological order"},
        BadCase{"SecondEdgeIntoChain", [](G& g) { AddEdge(g, 1, 3, proto::HASH, false); },
                "not a tree at operator 'sink'"},
        BadCase{"VerticesOutOfOrder",
                [](G& g) {
                  g.mutable_vertices()->SwapElements(0, 1);
                  g.mutable_vertices(0)->set_id(0);
                  g.mutable_vertices(1)->set_id(1);
                },
                "topological order"}),
    [](const auto& bad_case) { return bad_case.param.name; });

proto::JobGraph WideGraph(int vertices, uint32_t parallelism) {
  proto::JobGraph graph;
  graph.set_job_name("wide");
  graph.set_max_parallelism(4096);
  for (int i = 0; i < vertices; ++i) {
    AddNode(graph, "s" + std::to_string(i), proto::SOURCE, parallelism);
    AddVertex(graph, {static_cast<uint32_t>(i)});
  }
  return graph;
}

TEST(ValidateJobGraphTest, AcceptsAsManyVerticesAsAllowedAndNoneMore) {
  EXPECT_EQ(ValidateJobGraph(WideGraph(10'000, 1)), absl::OkStatus());
  EXPECT_THAT(std::string(ValidateJobGraph(WideGraph(10'001, 1)).message()),
              HasSubstr("at most 10000"));
}

TEST(ValidateJobGraphTest, BoundsTheSubtasksOfAllVerticesTogether) {
  EXPECT_THAT(std::string(ValidateJobGraph(WideGraph(30, 4096)).message()),
              HasSubstr("122880 subtasks"));
}

TEST(ValidateJobGraphTest, ShowsTextFromOutsideEscapedAndCut) {
  proto::JobGraph graph = GoodGraph();
  graph.mutable_nodes(1)->set_uid("\x1b[31m" + std::string(500, 'x'));
  const std::string message(ValidateJobGraph(graph).message());
  EXPECT_THAT(message,
              HasSubstr("'\\033[31m" + std::string(123, 'x') + "...' contains control characters"));
}

TEST(GraphHashTest, IsTheSameForTheSameGraphAndChangesWithAnyField) {
  const proto::JobGraph graph = GoodGraph();
  EXPECT_EQ(GraphHash(graph).size(), 64u);
  EXPECT_EQ(GraphHash(graph), GraphHash(GoodGraph()));
  proto::JobGraph other = graph;
  other.mutable_nodes(2)->set_description("x");
  EXPECT_NE(GraphHash(graph), GraphHash(other));
}

}  // namespace
}  // namespace weir

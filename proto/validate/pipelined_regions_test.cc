#include "proto/validate/pipelined_regions.h"

#include <vector>

#include "gtest/gtest.h"
#include "proto/job_graph.pb.h"

namespace weir {
namespace {

// Vertices of one node each.
proto::JobGraph Graph(const std::vector<uint32_t>& parallelisms) {
  proto::JobGraph graph;
  for (uint32_t i = 0; i < parallelisms.size(); ++i) {
    graph.add_nodes()->set_id(i);
    proto::Vertex* vertex = graph.add_vertices();
    vertex->set_id(i);
    vertex->set_parallelism(parallelisms[i]);
    vertex->add_nodes(i);
  }
  return graph;
}

void Connect(proto::JobGraph& graph, uint32_t from, uint32_t to, proto::Partitioning partitioning) {
  proto::Edge* edge = graph.add_edges();
  edge->set_id(static_cast<uint32_t>(graph.edges_size() - 1));
  edge->set_from_node(from);
  edge->set_to_node(to);
  edge->set_partitioning(partitioning);
}

std::vector<uint32_t> Of(const PipelinedRegions& regions, uint32_t vertex, uint32_t parallelism) {
  std::vector<uint32_t> all;
  for (uint32_t i = 0; i < parallelism; ++i) all.push_back(regions.Of(vertex, i));
  return all;
}

TEST(PipelinedRegionsTest, ForwardEdgesLeaveTheSubtasksApart) {
  proto::JobGraph graph = Graph({3, 3});
  Connect(graph, 0, 1, proto::FORWARD);
  const PipelinedRegions regions(graph);
  EXPECT_EQ(regions.count(), 3u);
  EXPECT_EQ(Of(regions, 0, 3), (std::vector<uint32_t>{0, 1, 2}));
  EXPECT_EQ(Of(regions, 1, 3), (std::vector<uint32_t>{0, 1, 2}));
}

TEST(PipelinedRegionsTest, AnyOtherEdgeJoinsAll) {
  for (const proto::Partitioning partitioning : {proto::HASH, proto::REBALANCE, proto::BROADCAST}) {
    proto::JobGraph graph = Graph({3, 2});
    Connect(graph, 0, 1, partitioning);
    EXPECT_EQ(PipelinedRegions(graph).count(), 1u);
  }
}

TEST(PipelinedRegionsTest, WhatIsNotConnectedIsApart) {
  // 0 -> 2 keyed, 1 -> 3 forward, and 4 alone.
  proto::JobGraph graph = Graph({2, 2, 3, 2, 1});
  Connect(graph, 0, 2, proto::HASH);
  Connect(graph, 1, 3, proto::FORWARD);
  const PipelinedRegions regions(graph);
  EXPECT_EQ(regions.count(), 4u);
  EXPECT_EQ(Of(regions, 0, 2), (std::vector<uint32_t>{0, 0}));
  EXPECT_EQ(Of(regions, 1, 2), (std::vector<uint32_t>{1, 2}));
  EXPECT_EQ(Of(regions, 2, 3), (std::vector<uint32_t>{0, 0, 0}));
  EXPECT_EQ(Of(regions, 3, 2), (std::vector<uint32_t>{1, 2}));
  EXPECT_EQ(regions.Of(4, 0), 3u);
}

TEST(PipelinedRegionsTest, ALaterExchangeJoinsWhatForwardEdgesLeftApart) {
  proto::JobGraph graph = Graph({2, 2, 1});
  Connect(graph, 0, 1, proto::FORWARD);
  Connect(graph, 1, 2, proto::REBALANCE);
  EXPECT_EQ(PipelinedRegions(graph).count(), 1u);
}

}  // namespace
}  // namespace weir

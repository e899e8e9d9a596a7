#include <memory>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/job_graph.pb.h"
#include "sdk/host/plugin_host.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class NoHash : public KeyHasher {
 public:
  void Hash(BatchBase&) const override {}
};

uint32_t Add(JobDefinition& job, NodeKind kind, std::string uid, uint32_t parallelism = 0,
             uint32_t inputs = 1) {
  NodeDefinition node;
  node.uid = std::move(uid);
  node.description = "Map";
  node.kind = kind;
  node.parallelism = parallelism;
  node.inputs = kind == NodeKind::kSource ? 0 : inputs;
  if (kind != NodeKind::kSink) node.outputs.resize(1);
  node.location = "job.cc:" + std::to_string(job.nodes.size() + 1);
  job.nodes.push_back(std::move(node));
  return static_cast<uint32_t>(job.nodes.size() - 1);
}

void Connect(JobDefinition& job, uint32_t from, uint32_t to,
             Partitioning partitioning = Partitioning::kForward, uint32_t input = 0) {
  EdgeDefinition edge;
  edge.from_node = from;
  edge.to_node = to;
  edge.to_input = input;
  edge.partitioning = partitioning;
  if (partitioning == Partitioning::kHash) edge.hasher = std::make_shared<NoHash>();
  job.edges.push_back(std::move(edge));
}

// clicks -> (unnamed map) =hash=> count -> out
JobDefinition WordCount() {
  JobDefinition job;
  job.name = "word count";
  const uint32_t source = Add(job, NodeKind::kSource, "clicks");
  const uint32_t map = Add(job, NodeKind::kOperator, "");
  const uint32_t count = Add(job, NodeKind::kOperator, "count");
  const uint32_t sink = Add(job, NodeKind::kSink, "out");
  job.nodes[count].states.push_back({"counts", "map<string,int64>"});
  Connect(job, source, map);
  Connect(job, map, count, Partitioning::kHash);
  Connect(job, count, sink);
  return job;
}

std::string ErrorOf(const JobDefinition& job, GraphOptions options = {}) {
  auto graph = BuildJobGraph(job, options);
  if (graph.ok()) return "OK";
  EXPECT_EQ(graph.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(graph.status().message());
}

TEST(JobGraphBuilderTest, ForwardEdgesOfEqualParallelismAreChainedAndHashEdgesAreNot) {
  auto graph = BuildJobGraph(WordCount(), {.parallelism = 4});
  ASSERT_TRUE(graph.ok()) << graph.status();
  ASSERT_EQ(graph->vertices_size(), 2);
  EXPECT_EQ(graph->vertices(0).name(), "clicks -> Map");
  EXPECT_THAT(graph->vertices(0).nodes(), ElementsAre(0, 1));
  EXPECT_EQ(graph->vertices(1).name(), "count -> out");
  EXPECT_THAT(graph->vertices(1).nodes(), ElementsAre(2, 3));
  EXPECT_EQ(graph->vertices(1).parallelism(), 4);
  EXPECT_EQ(graph->vertices(1).vertex_id(), graph->nodes(2).operator_id());
  EXPECT_FALSE(graph->edges(1).chained());
  EXPECT_EQ(graph->edges(1).partitioning(), proto::HASH);
  EXPECT_EQ(graph->nodes(1).uid(), "Map#1");
  EXPECT_EQ(graph->job_name(), "word count");
}

TEST(JobGraphBuilderTest, AtParallelismOneHashEdgesAreChainedToo) {
  auto graph = BuildJobGraph(WordCount(), {.job_name = "other", .parallelism = 1});
  ASSERT_TRUE(graph.ok()) << graph.status();
  ASSERT_EQ(graph->vertices_size(), 1);
  EXPECT_EQ(graph->vertices(0).name(), "clicks -> Map -> count -> out");
  EXPECT_TRUE(graph->edges(1).chained());
  EXPECT_EQ(graph->job_name(), "other");
}

TEST(JobGraphBuilderTest, ForwardBetweenDifferentParallelismBecomesRebalance) {
  JobDefinition job = WordCount();
  job.nodes[3].parallelism = 1;
  auto graph = BuildJobGraph(job, {.parallelism = 2});
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(graph->edges(2).partitioning(), proto::REBALANCE);
  EXPECT_FALSE(graph->edges(2).chained());
  EXPECT_EQ(graph->vertices_size(), 3);
}

TEST(JobGraphBuilderTest, ASingleNodeHasOneSubtask) {
  JobDefinition job = WordCount();
  job.nodes[0].single = true;
  auto graph = BuildJobGraph(job, {.parallelism = 3});
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(graph->nodes(0).parallelism(), 1);
  EXPECT_EQ(graph->nodes(1).parallelism(), 3);
  job.nodes[0].parallelism = 2;
  EXPECT_EQ(ErrorOf(job),
            "source 'clicks' (job.cc:1) has parallelism 2, but can run as one subtask only");
}

TEST(JobGraphBuilderTest, AChainBranchesAndAUnionStartsANewVertex) {
  JobDefinition job;
  const uint32_t a = Add(job, NodeKind::kSource, "a");
  const uint32_t join = Add(job, NodeKind::kOperator, "join", 0, 1);
  const uint32_t left = Add(job, NodeKind::kOperator, "left");
  const uint32_t right = Add(job, NodeKind::kOperator, "right");
  const uint32_t out = Add(job, NodeKind::kSink, "out");
  Connect(job, a, left);
  Connect(job, a, right);
  Connect(job, left, join);
  Connect(job, right, join);
  Connect(job, join, out);
  auto graph = BuildJobGraph(job, {.parallelism = 1});
  ASSERT_TRUE(graph.ok()) << graph.status();
  ASSERT_EQ(graph->vertices_size(), 2);
  EXPECT_EQ(graph->vertices(0).name(), "a -> (left, right)");
  EXPECT_THAT(graph->vertices(0).nodes(), ElementsAre(a, left, right));
  EXPECT_EQ(graph->vertices(1).name(), "join -> out");
  EXPECT_FALSE(graph->edges(2).chained());
}

TEST(JobGraphBuilderTest, TheSameDefinitionGivesTheSameBytes) {
  const JobDefinition job = WordCount();
  auto a = BuildJobGraph(job, {.parallelism = 2});
  auto b = BuildJobGraph(job, {.parallelism = 2});
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_EQ(a->SerializeAsString(), b->SerializeAsString());
}

TEST(JobGraphBuilderTest, AnOperatorsIdIsAFixedHashOfItsUid) {
  // printf 'weir operator\0count' | sha256sum | head -c 32
  EXPECT_EQ(OperatorIdOf("count").ToString(), "d9b9d0bc5456b207bb77b3b327ff6bc9");
  auto graph = BuildJobGraph(WordCount(), {.parallelism = 2});
  ASSERT_TRUE(graph.ok());
  const OperatorId id = OperatorIdOf("count");
  EXPECT_EQ(graph->nodes(2).operator_id(), std::string(id.bytes().begin(), id.bytes().end()));
}

TEST(JobGraphBuilderTest, TwoOperatorsWithOneUidAreRefusedWithBothPlaces) {
  JobDefinition job = WordCount();
  job.nodes[3].uid = "count";
  EXPECT_EQ(ErrorOf(job),
            "two operators have the uid 'count': operator 'count' (job.cc:3) and sink 'count' "
            "(job.cc:4); give each a "
            "uid of its own");
}

TEST(JobGraphBuilderTest, WhateverHoldsStateNeedsAUid) {
  JobDefinition job = WordCount();
  job.nodes[2].uid = "";
  EXPECT_THAT(ErrorOf(job), HasSubstr("operator Map (job.cc:3) has no uid"));
  job = WordCount();
  job.nodes[0].uid = "";
  EXPECT_THAT(ErrorOf(job), HasSubstr("source Map (job.cc:1) has no uid"));
}

TEST(JobGraphBuilderTest, AUidMustBePrintableAndShort) {
  JobDefinition job = WordCount();
  job.nodes[2].uid = "a\nb";
  EXPECT_THAT(ErrorOf(job),
              HasSubstr("operator 'a?b' (job.cc:3): the uid is not printable UTF-8 text"));
  job.nodes[2].uid = "\xc3\x28";
  EXPECT_THAT(ErrorOf(job), HasSubstr("the uid is not printable UTF-8 text"));
  job.nodes[2].uid = "Zähler ≥ 1";
  EXPECT_EQ(ErrorOf(job), "OK");
  job.nodes[2].uid = std::string(256, 'x');
  EXPECT_THAT(ErrorOf(job), HasSubstr("the uid has 256 bytes; at most 255 are allowed"));
}

TEST(JobGraphBuilderTest, ParallelismOutsideItsBoundsIsRefused) {
  EXPECT_EQ(ErrorOf(WordCount(), {.parallelism = 0}),
            "the job's parallelism is 0: it must be between 1 and 128 (pipeline.max-parallelism)");
  EXPECT_THAT(ErrorOf(WordCount(), {.parallelism = 129}), HasSubstr("parallelism is 129"));
  EXPECT_THAT(ErrorOf(WordCount(), {.max_parallelism = 32769}), HasSubstr("between 1 and 32768"));
  JobDefinition job = WordCount();
  job.nodes[2].parallelism = 200;
  EXPECT_EQ(ErrorOf(job),
            "operator 'count' (job.cc:3) has parallelism 200: it must be between 1 and 128 "
            "(pipeline.max-parallelism)");
}

TEST(JobGraphBuilderTest, AJobWithoutANameIsCalledAfterItsFile) {
  EXPECT_EQ(JobNameOfFile("/jobs/word_count.so"), "word_count");
  EXPECT_EQ(JobNameOfFile("word_count"), "word_count");
  EXPECT_EQ(JobNameOfFile("/jobs/.so"), ".so");
}

TEST(JobGraphBuilderTest, ACycleIsNamed) {
  JobDefinition job;
  const uint32_t source = Add(job, NodeKind::kSource, "source");
  const uint32_t a = Add(job, NodeKind::kOperator, "a", 0, 2);
  const uint32_t b = Add(job, NodeKind::kOperator, "b");
  const uint32_t out = Add(job, NodeKind::kSink, "out");
  Connect(job, source, a);
  Connect(job, a, b);
  Connect(job, b, a, Partitioning::kForward, 1);
  Connect(job, b, out);
  EXPECT_THAT(
      ErrorOf(job),
      HasSubstr("the graph has a cycle: operator 'a' (job.cc:2) -> operator 'b' (job.cc:3) -> "
                "operator 'a' (job.cc:2)"));
}

TEST(JobGraphBuilderTest, AnEmptyJobAndOneWithoutSinkAreRefused) {
  EXPECT_THAT(ErrorOf(JobDefinition()), HasSubstr("the job is empty"));
  JobDefinition job;
  Add(job, NodeKind::kSource, "a");
  EXPECT_THAT(ErrorOf(job), HasSubstr("the job has no sink"));
}

TEST(JobGraphBuilderTest, ReferencesToWhatIsNotThereAreRefused) {
  JobDefinition job = WordCount();
  Connect(job, 0, 9);
  EXPECT_THAT(ErrorOf(job), HasSubstr("edge 3 joins operators 0 and 9, but there are only 4"));
  job = WordCount();
  job.edges[1].from_port = 1;
  EXPECT_THAT(ErrorOf(job),
              HasSubstr("operator 'count' (job.cc:3) reads output 1 of operator Map (job.cc:2)"));
  job = WordCount();
  job.edges[2].to_input = 1;
  EXPECT_THAT(ErrorOf(job), HasSubstr("feeds input 1 of sink 'out' (job.cc:4), which has 1"));
  job = WordCount();
  job.edges.pop_back();
  EXPECT_EQ(ErrorOf(job), "input 0 of sink 'out' (job.cc:4) is not connected");
  job = WordCount();
  job.edges[1].hasher = nullptr;
  EXPECT_THAT(ErrorOf(job), HasSubstr("is partitioned by key, but has no key"));
}

TEST(JobGraphBuilderTest, AllErrorsAreReportedTogetherBeginningWithThoseOfTheDefinition) {
  JobDefinition job = WordCount();
  job.errors = {"job.cc:7: the window's size is 0"};
  job.nodes[0].parallelism = 500;
  job.nodes[3].parallelism = 600;
  EXPECT_EQ(ErrorOf(job), "job.cc:7: the window's size is 0");
  job.errors.clear();
  EXPECT_THAT(ErrorOf(job),
              testing::AllOf(HasSubstr("source 'clicks' (job.cc:1) has parallelism 500"),
                             HasSubstr("\nsink 'out' (job.cc:4) has parallelism 600")));
}

TEST(GuardUserCodeTest, AnExceptionBecomesAStatusThatNamesTheOperator) {
  EXPECT_EQ(GuardUserCode("count", []() -> absl::Status { throw std::runtime_error("no luck"); }),
            absl::InternalError("operator 'count' threw std::runtime_error: no luck"));
  EXPECT_EQ(GuardUserCode("count", []() -> absl::Status { throw 7; }),
            absl::InternalError("operator 'count' threw int"));
  EXPECT_EQ(GuardUserCode("count", [] { return absl::DataLossError("x"); }),
            absl::DataLossError("x"));
}

}  // namespace
}  // namespace weir

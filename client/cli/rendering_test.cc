// What people and programs see: text, tables, JSON and DOT.
#include <limits>
#include <string>

#include "client/cli/checkpoint_text.h"
#include "client/cli/graph_text.h"
#include "client/cli/job_text.h"
#include "client/cli/json_writer.h"
#include "client/cli/text_format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/control.pb.h"

namespace weir {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kSubmitted = 1'767'225'600'000'000;  // 2026-01-01T00:00:00Z

// clicks -> (Map, late-out); Map =hash=> count -> out
proto::JobGraph Graph() {
  proto::JobGraph graph;
  graph.set_job_name("clicks");
  graph.set_default_parallelism(2);
  graph.set_max_parallelism(128);
  const auto add_node = [&](const char* uid, proto::NodeKind kind, const char* description) {
    proto::Node& node = *graph.add_nodes();
    node.set_id(static_cast<uint32_t>(graph.nodes_size() - 1));
    node.set_uid(uid);
    node.set_operator_id(std::string(15, '\0') + static_cast<char>(graph.nodes_size()));
    node.set_description(description);
    node.set_kind(kind);
    node.set_parallelism(2);
    node.set_inputs(kind == proto::SOURCE ? 0 : 1);
    if (kind != proto::SINK) node.add_outputs();
  };
  add_node("clicks", proto::SOURCE, "Files(in)");
  graph.mutable_nodes(0)->add_outputs()->set_tag("malformed");
  add_node("Map#1", proto::OPERATOR, "Map");
  add_node("count", proto::OPERATOR, "TumblingWindow(1min)");
  graph.mutable_nodes(2)->add_states()->set_name("counts");
  add_node("out", proto::SINK, "Print");
  add_node("bad-out", proto::SINK, "Print");
  const auto add_edge = [&](uint32_t from, uint32_t port, uint32_t to,
                            proto::Partitioning partitioning, bool chained) {
    proto::Edge& edge = *graph.add_edges();
    edge.set_id(static_cast<uint32_t>(graph.edges_size() - 1));
    edge.set_from_node(from);
    edge.set_from_port(port);
    edge.set_to_node(to);
    edge.set_partitioning(partitioning);
    edge.set_chained(chained);
  };
  add_edge(0, 0, 1, proto::FORWARD, true);
  add_edge(1, 0, 2, proto::HASH, false);
  add_edge(2, 0, 3, proto::FORWARD, true);
  add_edge(0, 1, 4, proto::FORWARD, true);
  const auto add_vertex = [&](const char* name, std::initializer_list<uint32_t> nodes) {
    proto::Vertex& vertex = *graph.add_vertices();
    vertex.set_id(static_cast<uint32_t>(graph.vertices_size() - 1));
    vertex.set_name(name);
    vertex.set_parallelism(2);
    for (uint32_t node : nodes) vertex.add_nodes(node);
  };
  add_vertex("clicks -> (Map, bad-out)", {0, 1, 4});
  add_vertex("count -> out", {2, 3});
  return graph;
}

proto::JobStatusResponse Status() {
  proto::JobStatusResponse status;
  *status.mutable_graph() = Graph();
  proto::JobSummary& job = *status.mutable_summary();
  job.set_job_id(std::string(15, '\0') + '\x2a');
  job.set_name("clicks");
  job.set_state(proto::RUNNING);
  job.set_submitted_unix_micros(kSubmitted);
  status.set_attempt(1);
  for (uint32_t subtask = 0; subtask < 2; ++subtask) {
    proto::TaskReport& task = *status.add_tasks();
    task.set_vertex(0);
    task.set_subtask(subtask);
    task.set_state(subtask == 0 ? proto::TASK_RUNNING : proto::TASK_FINISHED);
    task.set_busy_micros(60);
    task.set_idle_micros(30);
    task.set_backpressured_micros(10);
    proto::OperatorMetrics& source = *task.add_operators();
    source.set_node(0);
    source.set_records_out(1'000'000);
    source.set_watermark(subtask == 0 ? kSubmitted : std::numeric_limits<int64_t>::max());
    (*source.mutable_counters())["retries"] = 2;
    proto::OperatorMetrics& map = *task.add_operators();
    map.set_node(1);
    map.set_records_in(1'000'000);
    map.set_records_out(617'283);
    map.set_bytes_out(12'902'000);
    map.set_late_records_dropped(3);
  }
  return status;
}

TEST(TextFormatTest, NumbersTimesAndSpansAreReadable) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(1'234'567), "1,234,567");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes(uint64_t{3} << 40), "3.0 TiB");
  EXPECT_EQ(FormatBytes(std::numeric_limits<uint64_t>::max()), "16.0 EiB");
  EXPECT_EQ(FormatRate(0), "0/s");
  EXPECT_EQ(FormatRate(1234), "1.2 k/s");
  EXPECT_EQ(FormatRate(2.5e6), "2.5 M/s");
  EXPECT_EQ(FormatSpan(-5), "0 ms");
  EXPECT_EQ(FormatSpan(12'340'000), "12.3 s");
  EXPECT_EQ(FormatSpan(3'723'000'000), "1 h 2 min");
  EXPECT_EQ(FormatTime(kSubmitted + 250'000), "2026-01-01T00:00:00.25Z");
  EXPECT_EQ(FormatWatermark(std::numeric_limits<int64_t>::min()), "-");
  EXPECT_EQ(FormatWatermark(std::numeric_limits<int64_t>::max()), "end");
}

TEST(TextFormatTest, TablesAlignByWhatIsSeen) {
  TextTable table;
  table.AddColumn("NAME");
  table.AddColumn("N", TextTable::Align::kRight);
  table.AddRow({"Zähler", "1"});
  table.AddRow({"x", "1000"});
  EXPECT_EQ(table.Render(),
            "NAME       N\n"
            "Zähler     1\n"
            "x       1000\n");
}

TEST(TextFormatTest, EscapeSequencesOfOthersDoNotReachTheTerminal) {
  EXPECT_EQ(Harmless("a\x1b[31mb\nc"), "a?[31mb\nc");
}

TEST(JsonWriterTest, NestsAndEscapes) {
  JsonWriter json;
  json.BeginObject()
      .Key("a\"b")
      .String("x\n\x01")
      .Key("n")
      .BeginArray()
      .Uint(18446744073709551615u)
      .Int(-1)
      .Null();
  json.EndArray()
      .Key("e")
      .BeginArray()
      .EndArray()
      .Key("t")
      .Bool(true)
      .Key("d")
      .Decimal(12.34)
      .EndObject();
  EXPECT_EQ(json.Finish(),
            "{\n  \"a\\\"b\": \"x\\n\\u0001\",\n  \"n\": [\n    18446744073709551615,\n    -1,\n   "
            " null\n  ],\n"
            "  \"e\": [],\n  \"t\": true,\n  \"d\": 12.3\n}\n");
}

TEST(GraphTextTest, ChainsAreTreesAndEdgesSayHowRecordsAreSpread) {
  EXPECT_EQ(GraphText(Graph()),
            "1  clicks -> (Map, bad-out)  x2\n"
            "  clicks  Files(in)\n"
            "  |-> Map#1  Map\n"
            "  |      => hash => 2 count\n"
            "  `-> bad-out  Print (side output 'malformed')\n"
            "2  count -> out  x2\n"
            "  count  TumblingWindow(1min)  state counts\n"
            "  -> out  Print\n");
}

TEST(GraphTextTest, DotQuotesWhatOthersWrote) {
  proto::JobGraph graph = Graph();
  graph.mutable_nodes(3)->set_uid("o\"ut\\");
  const std::string dot = GraphDot(graph);
  EXPECT_THAT(dot,
              AllOf(HasSubstr("n3 [label=\"o\\\"ut\\\\\\nPrint\", shape=folder];"),
                    HasSubstr("n1 -> n2 [label=\"hash\"];"), HasSubstr("n0 -> n1;"),
                    HasSubstr("n0 -> n4 [label=\"malformed\"];"), HasSubstr("subgraph cluster_1")));
}

TEST(JobTextTest, AStatusSumsSubtasksAndTakesTheLowestWatermark) {
  const std::string text = JobStatusText(Status(), kSubmitted + 72'000'000, false);
  EXPECT_THAT(text, HasSubstr("job      0000000000000000000000000000002a  clicks\n"));
  EXPECT_THAT(text, HasSubstr("state    RUNNING for 1 min 12 s, submitted 2026-01-01T00:00:00Z\n"));
  EXPECT_THAT(text,
              testing::ContainsRegex(
                  "clicks +2 +- +2,000,000 +- +0 B +0  2026-01-01T00:00:00Z +60 % +30 % +10 %  "
                  "1 RUNNING, 1 FINISHED"));
  EXPECT_THAT(text, testing::ContainsRegex("  > Map#1 +2,000,000 +1,234,566 +0 B +24.6 MiB +6 "));
  EXPECT_THAT(text, testing::ContainsRegex("\ncount +2 +0 +0 +0 B +0 B +0  - "));
  EXPECT_THAT(text, testing::ContainsRegex("clicks +retries +4\n"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

TEST(JobTextTest, AFailureShowsWhereAndTheStack) {
  proto::JobStatusResponse status = Status();
  status.mutable_summary()->set_state(proto::FAILED);
  status.mutable_summary()->set_ended_unix_micros(kSubmitted + 3'000'000);
  proto::Failure& failure = *status.mutable_failure();
  failure.set_code(13);
  failure.set_message("the worker ended by SIGSEGV");
  failure.set_operator_uid("count");
  failure.set_subtask(1);
  failure.set_task_manager("tm-1");
  failure.set_signal(11);
  failure.add_stack("Count::Add()");
  const std::string text = JobStatusText(status, kSubmitted + 99'000'000, true);
  EXPECT_THAT(text, HasSubstr("\x1b[31mFAILED\x1b[0m after 3.0 s"));
  EXPECT_THAT(text, HasSubstr("failed: the worker ended by SIGSEGV\n  in operator 'count', subtask "
                              "1, on task manager tm-1\n"
                              "  signal SIGSEGV\n    at Count::Add()\n"));
  EXPECT_THAT(JobStatusJson(status),
              AllOf(HasSubstr("\"signal\": \"SIGSEGV\""), HasSubstr("\"code\": \"INTERNAL\""),
                    HasSubstr("\"state\": \"FAILED\"")));
}

TEST(JobTextTest, AFailureOutsideAnOperatorShowsTheTaskManagerAlone) {
  proto::Failure failure;
  failure.set_message("lost");
  failure.set_task_manager("tm-1");
  EXPECT_EQ(FailureText(failure), "failed: lost\n  on task manager tm-1\n");
}

TEST(JobTextTest, ProgressShowsRatesSinceTheLastLook) {
  const proto::JobStatusResponse before = Status();
  proto::JobStatusResponse now = Status();
  now.mutable_tasks(0)->mutable_operators(0)->set_records_out(3'400'000);
  const std::string line =
      ProgressLine(now, JobProgress::Of(before, 1'000'000'000), JobProgress::Of(now, 3'000'000'000),
                   kSubmitted + 3'000'000, 0);
  EXPECT_EQ(line,
            "RUNNING 3.0 s  clicks out 1.2 M/s | Map#1 in 0/s out 0/s | bad-out in 0/s | count in "
            "0/s out 0/s | out in 0/s");
  EXPECT_EQ(ProgressLine(now, {}, JobProgress::Of(now, 1), kSubmitted + 3'000'000, 0),
            "RUNNING 3.0 s");
  EXPECT_EQ(ProgressLine(now, JobProgress::Of(before, 0), JobProgress::Of(now, 1), kSubmitted, 10),
            "RUNNING 0 ");
}

TEST(JobTextTest, WhatIsOutOfRangeInAnAnswerIsLeftOut) {
  proto::JobStatusResponse status = Status();
  status.mutable_tasks(0)->set_vertex(99);
  status.mutable_tasks(1)->mutable_operators(0)->set_node(99);
  status.mutable_tasks(1)->set_state(static_cast<proto::TaskState>(77));
  EXPECT_THAT(JobStatusText(status, kSubmitted, false), HasSubstr("1 state 77"));
}

TEST(JobTextTest, AListShowsJobsAndFreeSlots) {
  proto::ListJobsResponse jobs;
  proto::ClusterInfoResponse cluster;
  EXPECT_EQ(JobListText(jobs, cluster, 0), "no jobs\n0 task managers, 0 of 0 slots free\n");
  *jobs.add_jobs() = Status().summary();
  cluster.add_task_managers()->set_slots_total(4);
  cluster.mutable_task_managers(0)->set_slots_free(1);
  EXPECT_THAT(
      JobListText(jobs, cluster, kSubmitted + 1'000'000),
      AllOf(HasSubstr("0000000000000000000000000000002a  clicks  RUNNING  2026-01-01T00:00:00Z"),
            HasSubstr("1 task manager, 1 of 4 slots free\n")));
}

proto::JobCheckpointsResponse Checkpoints() {
  proto::JobCheckpointsResponse checkpoints;
  checkpoints.set_completed(1);
  checkpoints.set_failed(1);
  checkpoints.set_interval_nanos(1'000'000'000);
  checkpoints.set_restored_id(3);
  checkpoints.set_restored_directory("/ckpt/chk-3");
  checkpoints.set_restored_unix_micros(kSubmitted);
  checkpoints.add_vertices("clicks");
  checkpoints.add_vertices("count > out");
  proto::JobCheckpoint& failed = *checkpoints.add_checkpoints();
  failed.set_id(5);
  failed.set_state(proto::JobCheckpoint::FAILED);
  failed.set_failure("timeout: 1 of 2\x1b[31m");
  failed.set_triggered_unix_micros(kSubmitted + 2'000'000);
  failed.set_duration_nanos(600'000'000'000);
  failed.set_acknowledged(1);
  failed.set_total(2);
  proto::JobCheckpoint& completed = *checkpoints.add_checkpoints();
  completed.set_id(4);
  completed.set_state(proto::JobCheckpoint::COMPLETED);
  completed.set_savepoint(true);
  completed.set_directory("/sp/savepoint-4");
  completed.set_attempt(1);
  completed.set_triggered_unix_micros(kSubmitted + 1'000'000);
  completed.set_duration_nanos(12'345'678);
  completed.set_alignment_nanos(1'500'000);
  completed.set_sync_nanos(140'000);
  completed.set_new_bytes(2048);
  completed.set_full_bytes(4096);
  completed.set_persisted_bytes(512);
  completed.set_acknowledged(2);
  completed.set_total(2);
  for (uint32_t vertex : {1u, 0u}) {
    auto& subtask = *completed.add_subtasks();
    subtask.set_vertex(vertex);
    subtask.set_acknowledged_nanos(10'000'000);
    subtask.set_full_bytes(2048);
    subtask.set_final(vertex == 0);
  }
  return checkpoints;
}

TEST(CheckpointTextTest, IsATableWithTheFailuresBelow) {
  EXPECT_EQ(CheckpointsText(Checkpoints()), R"(completed 1, failed 1, aborted 0
started from 3 at 2026-01-01T00:00:00Z: /ckpt/chk-3

ID  KIND        STATE      TRIGGERED               DURATION  SUBTASKS      NEW    WHOLE  IN FLIGHT  ALIGNMENT   PAUSE
 5  checkpoint  FAILED     2026-01-01T00:00:02Z  10 min 0 s       1/2      0 B      0 B        0 B       0 µs    0 µs
 4  savepoint   COMPLETED  2026-01-01T00:00:01Z     12.3 ms       2/2  2.0 KiB  4.0 KiB      512 B     1.5 ms  140 µs

5: timeout: 1 of 2?[31m
)");
}

TEST(CheckpointTextTest, OfOneHasItsSubtasksInOrder) {
  proto::JobCheckpointsResponse one = Checkpoints();
  one.mutable_checkpoints()->DeleteSubrange(0, 1);
  const std::string text = CheckpointText(one);
  EXPECT_THAT(text, HasSubstr("savepoint 4: COMPLETED\ntriggered 2026-01-01T00:00:01Z in attempt "
                              "1, over after 12.3 ms\n2 of 2 subtasks; 2.0 KiB written, 4.0 KiB "
                              "whole, 512 B of them in flight\n/sp/savepoint-4\n"));
  EXPECT_LT(text.find("\nclicks "), text.find("\ncount > out "));
  EXPECT_THAT(text, HasSubstr("had ended"));
}

TEST(CheckpointTextTest, SaysThatThereAreOnlySavepointsWithoutAnInterval) {
  EXPECT_THAT(CheckpointsText({}), HasSubstr("execution.checkpointing.interval is not set"));
  EXPECT_EQ(CheckpointText({}), "");
}

TEST(CheckpointTextTest, IsJsonForPrograms) {
  const std::string json = CheckpointsJson(Checkpoints());
  EXPECT_THAT(json,
              AllOf(HasSubstr("\"kind\": \"savepoint\""), HasSubstr("\"in_flight_bytes\": 512"),
                    HasSubstr("\"duration_ms\": 12.3"), HasSubstr("\"vertex\": \"clicks\""),
                    HasSubstr("\"restored\": {"), HasSubstr("\"interval_ms\": 1000.0")));
  EXPECT_THAT(CheckpointsJson({}), HasSubstr("\"restored\": null"));
}

}  // namespace
}  // namespace weir

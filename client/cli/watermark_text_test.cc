#include "client/cli/watermark_text.h"

#include <limits>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/control.pb.h"

namespace weir {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kSecond = 1'000'000;
// 2026-01-01T00:01:40Z.
constexpr int64_t kNow = 1'767'225'700 * kSecond;
constexpr int64_t kStart = kNow - 100 * kSecond;
constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

// Two subtasks of "clicks" into "count" > "out" by key.
class WatermarkTextTest : public ::testing::Test {
 protected:
  WatermarkTextTest() {
    job_.set_at_unix_micros(kNow);
    for (const char* uid : {"clicks", "count", "out"}) {
      proto::Node& node = *job_.mutable_graph()->add_nodes();
      node.set_id(static_cast<uint32_t>(job_.graph().nodes_size() - 1));
      node.set_uid(uid);
      node.set_parallelism(2);
    }
    AddEdge(0, 1, false);
    AddEdge(1, 2, true);
    AddVertex("clicks", {0});
    AddVertex("count > out", {1, 2});
    for (uint32_t i = 0; i < 2; ++i) {
      proto::TaskInspection& source = AddTask(0, i, {0}, kStart + (5 + 90 * i) * kSecond);
      for (uint32_t split = 0; split < 2; ++split) {
        auto& of = *source.mutable_watermarks()->add_splits();
        of.set_split(split);
        of.set_watermark(kStart + (5 + 90 * i + (1 - split)) * kSecond);
      }
    }
    for (uint32_t i = 0; i < 2; ++i) {
      proto::TaskInspection& count = AddTask(1, i, {1, 2}, kStart + 5 * kSecond);
      for (uint32_t from = 0; from < 2; ++from) {
        auto& channel = *count.mutable_watermarks()->add_channels();
        channel.set_from_subtask(from);
        channel.set_watermark(kStart + (5 + 90 * from) * kSecond);
      }
    }
  }
  void AddEdge(uint32_t from, uint32_t to, bool chained) {
    proto::Edge& edge = *job_.mutable_graph()->add_edges();
    edge.set_id(static_cast<uint32_t>(job_.graph().edges_size() - 1));
    edge.set_from_node(from);
    edge.set_to_node(to);
    edge.set_chained(chained);
  }
  void AddVertex(const char* name, std::initializer_list<uint32_t> nodes) {
    proto::Vertex& vertex = *job_.mutable_graph()->add_vertices();
    vertex.set_id(static_cast<uint32_t>(job_.graph().vertices_size() - 1));
    vertex.set_name(name);
    vertex.set_parallelism(2);
    for (const uint32_t node : nodes) vertex.add_nodes(node);
  }
  proto::TaskInspection& AddTask(uint32_t vertex, uint32_t subtask,
                                 std::initializer_list<uint32_t> nodes, int64_t watermark) {
    proto::TaskInspection& task = *job_.add_tasks();
    task.set_vertex(vertex);
    task.set_subtask(subtask);
    task.set_task_manager("tm-1");
    for (const uint32_t node : nodes) {
      auto& op = *task.mutable_watermarks()->add_operators();
      op.set_node(node);
      op.set_watermark(watermark);
    }
    return task;
  }
  proto::TaskWatermarks& Of(int task) { return *job_.mutable_tasks(task)->mutable_watermarks(); }

  proto::InspectJobResponse job_;
};

TEST_F(WatermarkTextTest, TheSlowestChannelLeadsBackToTheSplitOfASource) {
  EXPECT_EQ(
      WatermarksText(job_),
      "OPERATOR  PAR  WATERMARK                    LAG      SPREAD  SUBTASKS  HELD BACK BY\n"
      "clicks      2  2026-01-01T00:00:05Z  1 min 35 s  1 min 30 s  -         clicks 0, split "
      "1\n"
      "count       2  2026-01-01T00:00:05Z  1 min 35 s        0 ms  -         clicks 0, split "
      "1\n"
      "  > out     2  2026-01-01T00:00:05Z  1 min 35 s        0 ms  -         clicks 0, split "
      "1\n");
}

TEST_F(WatermarkTextTest, WhatIsIdleOrHasEndedHoldsNobodyBack) {
  for (const int count : {2, 3}) {
    Of(count).mutable_channels(0)->set_idle(true);
    Of(count).mutable_operators(0)->set_watermark(kStart + 95 * kSecond);
  }
  Of(0).set_idle(true);
  EXPECT_THAT(WatermarksText(job_),
              AllOf(HasSubstr("1 idle"), HasSubstr("count       2  2026-01-01T00:01:35Z"),
                    HasSubstr("clicks 1, split 1"), Not(HasSubstr("clicks 0"))));
  Of(2).mutable_channels(1)->set_finished(true);
  EXPECT_THAT(OperatorWatermarksText(job_, "count"),
              AllOf(HasSubstr("all is idle"), HasSubstr("ended")));
  Of(2).mutable_channels(1)->set_finished(false);
  Of(2).mutable_channels(0)->set_idle(false);
  Of(2).mutable_channels(0)->set_catching_up(true);
  EXPECT_THAT(OperatorWatermarksText(job_, "count"),
              AllOf(HasSubstr("clicks 1, split 1"), HasSubstr("catching up")));
  for (int task = 0; task < 4; ++task) {
    for (auto& op : *Of(task).mutable_operators()) op.set_watermark(kMax);
  }
  EXPECT_THAT(WatermarksText(job_), AllOf(HasSubstr("end"), Not(HasSubstr("split"))));
}

TEST_F(WatermarkTextTest, AStepThatAssignsTimestampsIsWhereItBegins) {
  Of(2).mutable_operators(0)->set_assigns(true);
  Of(3).mutable_operators(0)->set_assigns(true);
  EXPECT_THAT(
      WatermarksText(job_),
      HasSubstr(
          "count       2  2026-01-01T00:00:05Z  1 min 35 s        0 ms  -         count 0\n"));
}

TEST_F(WatermarkTextTest, ASplitThatAlignmentHoldsBackAndATaskThatIsSilentAreNamed) {
  Of(0).mutable_splits(1)->set_held_back(true);
  job_.mutable_tasks(3)->clear_watermarks();
  job_.mutable_tasks(3)->set_missing("it did not answer within 2s");
  EXPECT_THAT(WatermarksText(job_),
              AllOf(HasSubstr("clicks 0, split 1, by alignment"), HasSubstr("1 silent"),
                    HasSubstr("count > out, subtask 1 on tm-1: it did not answer within 2s")));
  job_.mutable_tasks(0)->clear_watermarks();
  job_.mutable_tasks(0)->set_missing("its worker is gone");
  EXPECT_THAT(WatermarksText(job_), HasSubstr("subtask 0 of clicks, which has not answered"));
}

TEST_F(WatermarkTextTest, OfManyChannelsTheSlowestAreShown) {
  auto& task = Of(2);
  for (uint32_t from = 2; from < 100; ++from) {
    auto& channel = *task.add_channels();
    channel.set_from_subtask(from);
    channel.set_watermark(kStart + (200 - from) * kSecond);
  }
  const std::string text = OperatorWatermarksText(job_, "count");
  EXPECT_THAT(text, AllOf(HasSubstr("channels of subtask 0, which is the furthest behind"),
                          HasSubstr("clicks 99"), Not(HasSubstr("clicks 50 ")),
                          HasSubstr("and 80 that are further ahead")));
  EXPECT_THAT(WatermarksJson(job_, "count"), HasSubstr("\"from_subtask\": 50"));
  EXPECT_EQ(OperatorWatermarksText(job_, "nobody"), "");
}

TEST_F(WatermarkTextTest, ProgressSaysByHowMuchEventTimeGoesOnForEachSecond) {
  WatermarkProgress progress("clicks");
  EXPECT_THAT(progress.Next(job_), AllOf(HasSubstr("lag 1 min 35 s"), HasSubstr("  -  ")));
  job_.set_at_unix_micros(kNow + 2 * kSecond);
  Of(0).mutable_operators(0)->set_watermark(kStart + 10 * kSecond);
  EXPECT_THAT(progress.Next(job_),
              AllOf(HasSubstr("2026-01-01T00:01:42Z  clicks  2026-01-01T00:00:10Z  lag 1 min 32 s"),
                    HasSubstr("x2.5"), HasSubstr("held back by clicks 0, split 1")));
}

TEST_F(WatermarkTextTest, JsonSaysAllThatTheTasksSaid) {
  Of(1).mutable_operators(0)->set_watermark(kMin);
  const std::string json = WatermarksJson(job_, "");
  EXPECT_THAT(json, AllOf(HasSubstr("\"uid\": \"clicks\""), HasSubstr("\"watermark\": null"),
                          HasSubstr("\"lag_ms\": 95000.0"), HasSubstr("\"splits\": ["),
                          HasSubstr("\"operator\": \"clicks\"")));
}

}  // namespace
}  // namespace weir

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "client/cli/late_text.h"
#include "client/cli/windows_text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/control.pb.h"

namespace weir {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kSecond = 1'000'000;
constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

// "clicks" (two subtasks), by key into "users" > "times", by key into "count" > "out".
class InspectionTextTest : public ::testing::Test {
 protected:
  InspectionTextTest() {
    uint32_t id = 0;
    for (const char* uid : {"clicks", "users", "times", "count", "out"}) {
      proto::Node& node = *job_.mutable_graph()->add_nodes();
      node.set_id(id++);
      node.set_uid(uid);
    }
    AddEdge(0, 1, false);
    AddEdge(1, 2, true);
    AddEdge(2, 3, false);
    AddEdge(3, 4, true);
    const std::vector<std::vector<uint32_t>> vertices = {{0}, {1, 2}, {3, 4}};
    for (uint32_t i = 0; i < vertices.size(); ++i) {
      proto::Vertex& vertex = *job_.mutable_graph()->add_vertices();
      vertex.set_id(i);
      vertex.set_name("vertex");
      for (const uint32_t node : vertices[i]) vertex.add_nodes(node);
      for (uint32_t subtask = 0; subtask < 2; ++subtask) {
        proto::TaskInspection& task = *job_.add_tasks();
        task.set_vertex(i);
        task.set_subtask(subtask);
        task.set_task_manager("tm-1");
        for (const uint32_t node : vertices[i]) {
          auto& op = *task.mutable_watermarks()->add_operators();
          op.set_node(node);
          op.set_watermark(60 * kSecond);
        }
        for (uint32_t from = 0; i > 0 && from < 2; ++from) {
          auto& channel = *task.mutable_watermarks()->add_channels();
          channel.set_edge(i == 1 ? 0 : 2);
          channel.set_from_subtask(from);
        }
        if (i > 0) continue;
        for (uint32_t split = 0; split < 2; ++split) {
          auto& of = *task.mutable_watermarks()->add_splits();
          of.set_split(split);
          of.set_name(split == 0 ? "" : "/in/b.jsonl");
        }
      }
    }
  }
  void AddEdge(uint32_t from, uint32_t to, bool chained) {
    proto::Edge& edge = *job_.mutable_graph()->add_edges();
    edge.set_from_node(from);
    edge.set_to_node(to);
    edge.set_chained(chained);
  }
  proto::TaskInspection& Task(uint32_t vertex, uint32_t subtask) {
    return *job_.mutable_tasks(static_cast<int>(2 * vertex + subtask));
  }
  static void Fill(uint32_t index, uint64_t steps, proto::WatermarkMove& move) {
    move.set_watermark(50 * kSecond);
    move.set_index(index);
    move.set_own_watermark(55 * kSecond);
    move.set_first_unix_micros(100 * kSecond);
    move.set_last_unix_micros((steps > 1 ? 110 : 100) * kSecond);
    move.set_steps(steps);
  }
  // Of subtask 1 of "count": the record of time 40 s, late from 45 s on, which the given channel
  // moved past.
  proto::TaskLateRecords::Record& AddLate(uint32_t index, uint64_t steps = 1) {
    auto& late = *Task(2, 1).mutable_late();
    if (late.operators().empty()) late.add_operators()->set_node(3);
    proto::TaskLateRecords::Operator& op = *late.mutable_operators(0);
    op.set_dropped(op.dropped() + 1);
    auto& record = *op.add_records();
    record.set_time(40 * kSecond);
    record.set_watermark(52 * kSecond);
    record.set_late_from(45 * kSecond);
    record.set_key("\"ann\"");
    record.set_at_unix_micros(120 * kSecond);
    Fill(index, steps, *record.mutable_move());
    return record;
  }
  void AddMove(uint32_t vertex, uint32_t subtask, uint32_t index, uint64_t steps = 1) {
    Fill(index, steps, *Task(vertex, subtask).mutable_late()->add_moves());
  }
  std::string Text() { return LateRecordsText(job_, ""); }

  proto::InspectJobResponse job_;
};

TEST_F(InspectionTextTest, ALateRecordIsFollowedBackToItsSourceAndSplit) {
  AddLate(0);
  AddMove(1, 0, 1);
  AddMove(0, 1, 1);
  EXPECT_EQ(
      Text(),
      "OPERATOR  SUBTASK  DROPPED  SIDE OUTPUT  JOINED  WINDOWS SKIPPED  LATEST\n"
      "count           1        1            0       0                0  1970-01-01T00:02:00Z\n"
      "\n"
      "count, subtask 1: 1 of 1 late records\n"
      "TIME                  KEY    BEHIND  TOO LATE BY  FATE     WATERMARK             MOVED "
      "BY\n"
      "1970-01-01T00:00:40Z  \"ann\"  12.0 s        7.0 s  dropped  1970-01-01T00:00:52Z  clicks "
      "1, split 1 (/in/b.jsonl), to 1970-01-01T00:00:55Z, at 1970-01-01T00:01:40Z, by way of "
      "times 0\n");
  EXPECT_THAT(LateRecordsJson(job_, "count"),
              AllOf(HasSubstr("\"behind_ms\": 12000"), HasSubstr("\"too_late_by_ms\": 7000"),
                    HasSubstr("\"split\": 1"), HasSubstr("\"split_name\": \"/in/b.jsonl\""),
                    HasSubstr("\"through\": \"times 0\"")));
  EXPECT_EQ(LateRecordsText(job_, "users"), "no record was late for users\n");
}

TEST_F(InspectionTextTest, WhatIsNotKnownIsNotSaid) {
  // Which of several channels it was is known of single steps only.
  AddLate(0, 7);
  EXPECT_THAT(Text(), AllOf(HasSubstr("  count 1, to 1970-01-01T00:00:55Z, between "
                                      "1970-01-01T00:01:40Z and 1970-01-01T00:01:50Z\n"),
                            Not(HasSubstr("times"))));
  Task(2, 1).clear_late();
  AddLate(0);
  EXPECT_THAT(Text(), HasSubstr("  times 0, to 1970-01-01T00:00:55Z, at 1970-01-01T00:01:40Z\n"));
  AddMove(1, 0, 1);
  AddMove(0, 1, 1, 7);
  EXPECT_THAT(Text(), AllOf(HasSubstr("  clicks 1, to "), Not(HasSubstr("split"))));
  Task(1, 0).set_missing("its worker is gone");
  EXPECT_THAT(Text(), AllOf(HasSubstr("  times 0, to "), Not(HasSubstr("clicks")),
                            HasSubstr("\nvertex, subtask 0 on tm-1: its worker is gone\n")));
}

TEST_F(InspectionTextTest, WhoStoppedHoldingBackIsNamed) {
  AddLate(1).mutable_move()->set_what(proto::WatermarkMove::BECAME_IDLE);
  AddMove(1, 1, 0);
  EXPECT_THAT(Text(), HasSubstr("  times 1 became idle, at 1970-01-01T00:01:40Z\n"));
  Task(2, 1).clear_late();
  AddLate(1).mutable_move()->set_what(proto::WatermarkMove::ENDED);
  EXPECT_THAT(Text(), HasSubstr("  times 1 ended, at 1970-01-01T00:01:40Z\n"));
  Task(2, 1).clear_late();
  AddLate(1).clear_move();
  EXPECT_THAT(Text(), HasSubstr("  before the job was restored\n"));
  EXPECT_THAT(LateRecordsJson(job_, ""), HasSubstr("\"moved_by\": null"));
}

TEST_F(InspectionTextTest, AStepThatAssignsTimestampsIsWhereTheWayEnds) {
  Task(1, 0).mutable_watermarks()->mutable_operators(1)->set_assigns(true);
  AddLate(0);
  AddMove(1, 0, 1);
  EXPECT_THAT(Text(), AllOf(HasSubstr("  times 0, to "), Not(HasSubstr("clicks"))));
  // In the operator's own task.
  Task(2, 1).mutable_late()->mutable_operators(0)->set_assigned_by(4);
  EXPECT_THAT(Text(), HasSubstr("  out 1, to "));
}

TEST_F(InspectionTextTest, WindowsOfAllSubtasksAreInTheOrderInWhichTheyFire) {
  for (uint32_t subtask = 0; subtask < 2; ++subtask) {
    auto& windows = *Task(2, subtask).mutable_windows();
    windows.set_now_unix_micros(100 * kSecond);
    auto& op = *windows.add_operators();
    op.set_node(3);
    op.set_by_key(true);
    op.set_looked_at(10'000);
    op.set_there_are(subtask == 0 ? 10'000 : 2'000'000);
    op.set_seen(10'000);
    auto& window = *op.add_windows();
    window.set_key("\"ann\"");
    window.set_start((62 - subtask) * kSecond);
    window.set_end((64 - subtask) * kSecond);
    window.set_at((64 - subtask) * kSecond - 1);
    window.set_gone_at(window.at());
    window.set_entries(1234);
    window.set_bytes(2048);
  }
  auto& global = *Task(2, 0).mutable_windows()->mutable_operators(0)->add_windows();
  global.set_start(kMin);
  global.set_end(kMax);
  global.set_fires(proto::TaskWindows::BY_TRIGGER);
  global.set_at(kMax);
  global.set_gone_at(kMax);
  EXPECT_EQ(WindowsText(job_, "count", 20),
            "SUBTASK  KEY    START                 END                   ENTRIES    BYTES  FIRES\n"
            "      1  \"ann\"  1970-01-01T00:01:01Z  1970-01-01T00:01:03Z    1,234  2.0 KiB  at "
            "watermark 1970-01-01T00:01:02.999999Z, in 3.0 s\n"
            "      0  \"ann\"  1970-01-01T00:01:02Z  1970-01-01T00:01:04Z    1,234  2.0 KiB  at "
            "watermark 1970-01-01T00:01:03.999999Z, in 4.0 s\n"
            "      0  -      -                     -                           -        -  by its "
            "trigger\n"
            "and 19,997 more that fire later\n"
            "looked at 20,000 of 2,010,000 keys; those of the others may fire earlier\n");
  EXPECT_THAT(WindowsText(job_, "count", 1), HasSubstr("and 19,999 more that fire later\n"));
  EXPECT_EQ(OperatorsWithWindows(job_), "count");
  EXPECT_TRUE(MayHaveWindows(job_, "count"));
  EXPECT_FALSE(MayHaveWindows(job_, "users"));
  // It may.
  Task(1, 0).set_missing("a function of the job takes its time");
  EXPECT_TRUE(MayHaveWindows(job_, "users"));
  EXPECT_EQ(
      WindowsText(job_, "users", 20),
      "no window is open\n\nvertex, subtask 0 on tm-1: a function of the job takes its time\n");
}

TEST_F(InspectionTextTest, AWindowSaysHowItFires) {
  auto& windows = *Task(2, 0).mutable_windows();
  windows.set_now_unix_micros(100 * kSecond);
  auto& op = *windows.add_operators();
  op.set_node(3);
  const auto add = [&](proto::TaskWindows::Fires fires, int64_t at, uint64_t keys) {
    auto& window = *op.add_windows();
    window.set_fires(fires);
    window.set_at(at);
    window.set_gone_at(70 * kSecond);
    window.set_keys(keys);
    window.set_entries(keys);
  };
  add(proto::TaskWindows::HAS_FIRED, 50 * kSecond, 3);
  add(proto::TaskWindows::AT_WATERMARK, 55 * kSecond, 3);
  add(proto::TaskWindows::AT_CLOCK, 130 * kSecond, 0);
  add(proto::TaskWindows::AT_WATERMARK, kMax, 3);
  EXPECT_THAT(WindowsText(job_, "count", 20),
              AllOf(HasSubstr("has fired; late records until watermark 1970-01-01T00:01:10Z\n"),
                    HasSubstr("  at watermark 1970-01-01T00:00:55Z, now\n"),
                    HasSubstr("     -        -      -  at 1970-01-01T00:02:10Z, in 30.0 s\n"),
                    HasSubstr("  at the end of the input\n"), Not(HasSubstr("more"))));
}

}  // namespace
}  // namespace weir

// What a running job says of itself: late records with who had moved the watermark, and open
// windows; through the job manager and the workers of several hosts.
#include <cstdint>
#include <string>

#include "client/cli/late_text.h"
#include "client/cli/windows_text.h"
#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/control.pb.h"
#include "tests/sim/sim_cluster.h"
#include "weir/sdk.h"

namespace weir::sim {
namespace {

using namespace std::chrono_literals;  // NOLINT
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

struct Click {
  std::string user;
  EventTime at;
};

// By tick, in turns for two subtasks: time goes on by 10 ms a record, in the second one by 20 ms.
// Every 50th record of both is 10 s behind.
Click MakeClick(std::uint64_t i) {
  const auto tick = static_cast<std::int64_t>(i / 2);
  const std::int64_t millis = tick * (i % 2 == 0 ? 10 : 20) + 100'000;
  const bool behind = tick % 50 == 49;
  return {"user" + std::to_string(tick % 3), EventTime::FromMillis(millis - (behind ? 10'000 : 0))};
}

struct Sizes : WindowProcess<std::string, Click, std::int64_t> {
  void OnWindow(const WindowElements<Click>& clicks, Context& context) override {
    context.Emit(static_cast<std::int64_t>(clicks.size()));
  }
};

void Describe(Job& job) {
  auto clicks = job.From<Click>("clicks", Generator{.make = MakeClick, .rate = 200},
                                {.timestamp = &Click::at})
                    .Map("same", [](const Click& click) { return click; });
  auto users = clicks.KeyBy(&Click::user);
  users.Window(Tumbling{1s}).AllowLateness(2s).Aggregate("count", Count{}).To("out", Blackhole{});
  users.Window(Session{5s}).Process<Sizes>("sessions").To("out2", Blackhole{});
}

class InspectionSimTest : public ::testing::Test {
 protected:
  InspectionSimTest() : cluster_(SimCluster::Options{}) {
    cluster_.StartJobManager();
    cluster_.StartTaskManager("tm-a", 1);
    cluster_.StartTaskManager("tm-b", 1);
    EXPECT_TRUE(cluster_.AwaitTaskManagers(2));
    const auto job = cluster_.Submit("clicks", Describe, 2);
    EXPECT_TRUE(job.ok()) << job.status();
    job_ = job.value_or(JobId());
    EXPECT_TRUE(cluster_.AwaitState(job_, proto::RUNNING, absl::Seconds(20)));
    cluster_.world().RunFor(absl::Seconds(20));
  }
  SimCluster cluster_;
  JobId job_;
};

TEST_F(InspectionSimTest, ALateRecordNamesTheSourceThatHadMovedTheWatermark) {
  const auto late = cluster_.LateRecords(job_);
  ASSERT_TRUE(late.ok()) << late.status();
  uint64_t dropped = 0;
  int kept = 0;
  for (const proto::TaskInspection& task : late->tasks()) {
    EXPECT_EQ(task.missing(), "");
    for (const auto& op : task.late().operators()) {
      if (late->graph().nodes(static_cast<int>(op.node())).uid() != "count") continue;
      dropped += op.dropped();
      kept += op.records_size();
      for (const auto& record : op.records()) {
        EXPECT_THAT(record.key(), ContainsRegex("^\"user[012]\"$"));
        // That of the slower one, 10 s ahead of the record or, in the faster one, not that much.
        EXPECT_GT(record.watermark(), record.time());
        EXPECT_GE(record.watermark(), record.late_from());
        // The end of its second, and two more.
        EXPECT_EQ(record.late_from(), record.time() / 1'000'000 * 1'000'000 + 2'999'999);
        ASSERT_TRUE(record.has_move());
        EXPECT_GE(record.move().watermark(), record.late_from());
        EXPECT_LE(record.move().last_unix_micros(), record.at_unix_micros());
        const auto& by = task.watermarks().channels(static_cast<int>(record.move().index()));
        // At first it may be whoever spoke last.
        if (record.late_from() > 101'000'000) {
          EXPECT_EQ(by.from_subtask(), 0u);
        }
      }
    }
  }
  // Of each 50 of the slower source; those of the faster one are behind the watermark at the
  // beginning only.
  EXPECT_GE(dropped, 20u);
  EXPECT_GE(kept, 20);
  const std::string text = LateRecordsText(*late, "");
  EXPECT_THAT(text,
              AllOf(ContainsRegex("count +[01] +[0-9]+ +0 +0 +0 "), HasSubstr("WATERMARK"),
                    ContainsRegex("\"user[012]\" +[0-9.]+ s +[0-9.]+ s +dropped +1970-01-01T[^ ]+ +"
                                  "clicks 0, split 0, to 1970-01-01T[^ ]+, (at|between) ")))
      << text;
  EXPECT_EQ(LateRecordsText(*late, "same"), "no record was late for same\n");
  EXPECT_THAT(LateRecordsJson(*late, "count"),
              AllOf(HasSubstr("\"fate\": \"dropped\""), HasSubstr("\"operator\": \"clicks\"")));
}

TEST_F(InspectionSimTest, OpenWindowsSayWhenTheyFire) {
  const auto panes = cluster_.Windows(job_, "count", 3);
  ASSERT_TRUE(panes.ok()) << panes.status();
  const std::string text = WindowsText(*panes, "count", 3);
  EXPECT_THAT(text, AllOf(ContainsRegex("SUBTASK +START +END +KEYS +ENTRIES +BYTES +FIRES"),
                          ContainsRegex(" [01] +1970-01-01T[^ ]+ +1970-01-01T[^ ]+ +[123] +[123] "),
                          HasSubstr("has fired; late records until watermark 1970"),
                          ContainsRegex("and [0-9]+ more that fire later")))
      << text;
  EXPECT_THAT(WindowsText(*panes, "count", 1000), HasSubstr("more that fire later"));

  const auto sessions = cluster_.Windows(job_, "sessions", 20);
  ASSERT_TRUE(sessions.ok()) << sessions.status();
  EXPECT_THAT(WindowsText(*sessions, "sessions", 20),
              AllOf(ContainsRegex("SUBTASK +KEY +START +END +ENTRIES +BYTES +FIRES"),
                    HasSubstr("\"user0\""), HasSubstr("\"user1\""), HasSubstr("\"user2\""),
                    ContainsRegex("at watermark 1970-01-01T[^ ]+, in [0-9.]+ ")));
  EXPECT_THAT(WindowsJson(*sessions, "sessions", 20),
              AllOf(HasSubstr("\"fires\": \"watermark\""), HasSubstr("\"by_key\": true")));
}

TEST_F(InspectionSimTest, WhoHasNoWindowsSaysSo) {
  const auto all = cluster_.Windows(job_, "", 1);
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(OperatorsWithWindows(*all), "count, sessions");
  EXPECT_TRUE(MayHaveWindows(*all, "count"));
  EXPECT_FALSE(MayHaveWindows(*all, "same"));
  EXPECT_EQ(cluster_.Windows(job_, "nobody", 1).status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(cluster_.Cancel(job_).ok());
  cluster_.world().RunFor(absl::Seconds(5));
  EXPECT_EQ(cluster_.Windows(job_, "count", 1).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace weir::sim

#include "weir/late_records.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "weir/connectors.h"
#include "weir/interval_join.h"
#include "weir/job.h"
#include "weir/pattern_stream.h"
#include "weir/temporal_join.h"
#include "weir/testing.h"
#include "weir/window_stream.h"

namespace weir {

struct Ping {
  std::string key;
  std::int64_t value = 0;
};

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::OperatorHarness;

constexpr SideOutput<Ping> kLate{"late"};

struct Pings : WindowProcess<std::string, Ping, std::string> {
  void OnWindow(const WindowElements<Ping>&, Context&) override {}
};

// The operator that `define` adds to two sources of pings, under a harness.
class Operating {
 public:
  template <class Define>
  explicit Operating(Define&& define) {
    const DefineInput input;
    internal::GraphBuilder graph(input, job_);
    Job job(graph);
    const auto stream = job.From<Ping>("left", Files{.path = "x"});
    const auto right = job.From<Ping>("right", Files{.path = "y"}).KeyBy(&Ping::key);
    define(stream.KeyBy(&Ping::key), right, stream);
    EXPECT_THAT(job_.errors, IsEmpty());
    harness_ = std::make_unique<OperatorHarness>(job_.nodes[2].make_operator);
    harness_->AddOutput<std::string>();
    harness_->AddOutput<Ping>();
    EXPECT_TRUE(harness_->Open().ok());
  }
  void Add(Ticks time, std::size_t input = 0) {
    const absl::Status status = harness_->Process<Ping>({{{"k", time}, time}}, input);
    EXPECT_TRUE(status.ok()) << status;
  }
  void Watermark(Ticks time) { EXPECT_TRUE(harness_->Watermark(time).ok()); }
  // Of each late record: key, time, watermark, the first watermark that made it late, what became
  // of it.
  std::vector<std::string> Late() {
    static const char* const kFates[] = {"dropped", "side", "joined"};
    std::vector<std::string> texts;
    for (const testing::LateExample& late : harness_->late_records()) {
      texts.push_back(late.key + " " + std::to_string(late.record.time) + " at " +
                      std::to_string(late.record.watermark) + " from " +
                      std::to_string(late.record.late_from) + " " +
                      kFates[static_cast<int>(late.record.fate)]);
    }
    return texts;
  }
  OperatorHarness& harness() { return *harness_; }

 private:
  JobDefinition job_;
  std::unique_ptr<OperatorHarness> harness_;
};

struct AllPings : WindowProcess<AllRecords, Ping, std::string> {
  void OnWindow(const WindowElements<Ping>&, Context&) override {}
};
std::string Nothing(const std::string&, const TimeWindow&, std::uint64_t) { return ""; }

// Rule 7.
TEST(LateRecordsTest, OfWindowsAreLateSinceTheirLastWindowIsGone) {
  const auto run = [](auto&& windows) {
    Operating op([&](auto left, auto&, auto&) { windows(left).To("out", Print{}); });
    op.Add(30);
    op.Watermark(16);
    op.Add(3);
    op.Add(8);
    op.Add(13);
    EXPECT_EQ(op.harness().late_records_dropped(), op.Late().size());
    return op.Late();
  };
  const auto tumbling = [](auto& keyed) {
    return keyed.Window(Tumbling{Duration(10)}).AllowLateness(Duration(2));
  };
  const auto expected =
      ElementsAre("\"k\" 3 at 16 from 11 dropped", "\"k\" 8 at 16 from 11 dropped");
  EXPECT_THAT(run([&](auto& keyed) { return tumbling(keyed).Aggregate("w", Count{}, Nothing); }),
              expected);
  EXPECT_THAT(run([&](auto& keyed) {
                return keyed.Window(Tumbling{Duration(10)})
                    .AllowLateness(Duration(2))
                    .Trigger(EventTimeTrigger{})
                    .template Process<Pings>("w");
              }),
              expected);
  // 8 is in [5, 15), too.
  EXPECT_THAT(
      run([](auto& keyed) {
        return keyed.Window(Sliding{Duration(10), Duration(5)}).Aggregate("w", Count{}, Nothing);
      }),
      ElementsAre("\"k\" 3 at 16 from 9 dropped", "\"k\" 8 at 16 from 14 dropped"));
  // 8 and 13 are in no window.
  EXPECT_THAT(
      run([](auto& keyed) {
        return keyed.Window(Sliding{Duration(3), Duration(20)}).Aggregate("w", Count{}, Nothing);
      }),
      ElementsAre("\"k\" 3 at 16 from 3 dropped", "\"k\" 8 at 16 from 8 dropped",
                  "\"k\" 13 at 16 from 13 dropped"));
}

TEST(LateRecordsTest, GoToTheSideOutputThatIsRead) {
  const auto windows = [](auto& left) {
    return left.Window(Tumbling{Duration(10)}).SideOutputLate(kLate);
  };
  const auto feed = [](Operating& op) {
    op.Watermark(16);
    op.Add(3);
    EXPECT_THAT(op.Late(), ElementsAre("\"k\" 3 at 16 from 9 side"));
    EXPECT_EQ(op.harness().late_records_dropped(), 0u);
    const auto late = op.harness().Take<Ping>(1);
    ASSERT_EQ(late.size(), 1u);
    EXPECT_EQ(late[0].value.value, 3);
    EXPECT_EQ(late[0].timestamp, 3);
  };
  Operating aggregated([&](auto left, auto&, auto&) {
    windows(left).Aggregate("w", Count{}, Nothing).Side(kLate).To("late", Print{});
  });
  feed(aggregated);
  Operating listed([&](auto left, auto&, auto&) {
    left.Window(Tumbling{Duration(10)})
        .SideOutputLate(kLate)
        .template Process<Pings>("w")
        .Side(kLate)
        .To("late", Print{});
  });
  feed(listed);
  // Nobody reads it: they are dropped, and counted.
  Operating unread([&](auto left, auto&, auto&) {
    left.Window(Tumbling{Duration(10)})
        .SideOutputLate(kLate)
        .template Process<Pings>("w")
        .To("out", Print{});
  });
  unread.Watermark(16);
  unread.Add(3);
  EXPECT_THAT(unread.Late(), ElementsAre("\"k\" 3 at 16 from 9 dropped"));
  EXPECT_EQ(unread.harness().late_records_dropped(), 1u);
}

// Rule 32: before the watermark, not at it.
TEST(LateRecordsTest, OfAnIntervalJoinAreBeforeTheWatermark) {
  Operating op([](auto left, auto& right, auto&) {
    left.IntervalJoin(right, Between{Duration(-5), Duration(5)})
        .SideOutputLateRight(kLate)
        .Join("j", [](const Ping& a, const Ping&) { return a.key; })
        .Side(kLate)
        .To("late", Print{});
  });
  op.Watermark(16);
  op.Add(16);
  op.Add(15);
  op.Add(14, 1);
  EXPECT_THAT(op.Late(),
              ElementsAre("\"k\" 15 at 16 from 16 dropped", "\"k\" 14 at 16 from 15 side"));
}

// Rule 34.
TEST(LateRecordsTest, OfATemporalJoinAreJoinedAllTheSame) {
  Operating op([](auto left, auto& right, auto&) {
    left.TemporalJoin(right)
        .Join("j", [](const Ping& a, const Ping&) { return a.key; })
        .To("out", Print{});
  });
  op.Watermark(16);
  op.Add(17);
  op.Add(16);
  EXPECT_THAT(op.Late(), ElementsAre("\"k\" 16 at 16 from 16 joined"));
  EXPECT_EQ(op.harness().counter("numLateRecordsJoined"), 1u);
}

// Rule 36.
TEST(LateRecordsTest, OfAPatternAreAtTheWatermarkOrBefore) {
  Operating op([](auto left, auto&, auto&) {
    left.Match(Pattern<Ping>::Begin("a"))
        .Select("p", [](const std::string& key, const Match<Ping>&) { return key; })
        .To("out", Print{});
  });
  op.Watermark(16);
  op.Add(17);
  op.Add(16);
  EXPECT_THAT(op.Late(), ElementsAre("\"k\" 16 at 16 from 16 dropped"));
}

TEST(LateRecordsTest, OfAllRecordsHaveNoKey) {
  Operating op([](auto, auto&, auto& stream) {
    stream.WindowAll(Session{Duration(10)}).template Process<AllPings>("w").To("out", Print{});
  });
  op.Watermark(16);
  op.Add(3);
  EXPECT_THAT(op.Late(), ElementsAre(" 3 at 16 from 12 dropped"));
}

}  // namespace
}  // namespace weir

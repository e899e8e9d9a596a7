#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "weir/aggregates.h"
#include "weir/connectors.h"
#include "weir/job.h"
#include "weir/testing.h"
#include "weir/window_listing.h"
#include "weir/window_stream.h"

namespace weir {

struct Visit {
  std::string key;
  std::int64_t value = 0;
};

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::OperatorHarness;
using Fires = ListedWindow::Fires;

struct Visits : WindowProcess<std::string, Visit, std::int64_t> {
  void OnWindow(const WindowElements<Visit>& elements, Context& context) override {
    context.Emit(static_cast<std::int64_t>(elements.size()));
  }
};

// The operator of windows over Visits by key, under a harness.
template <class Out>
class Opened {
 public:
  template <class Windows>
  explicit Opened(Windows&& windows, const testing::HarnessMode& mode = {}) {
    const DefineInput input;
    internal::GraphBuilder graph(input, job_);
    Job job(graph);
    windows(job.From<Visit>("in", Files{.path = "x"}).KeyBy(&Visit::key)).To("out", Print{});
    EXPECT_THAT(job_.errors, IsEmpty());
    testing::HarnessOptions options;
    options.mode = mode;
    harness_ = std::make_unique<OperatorHarness>(job_.nodes[1].make_operator, options);
    harness_->AddOutput<Out>();
    EXPECT_TRUE(harness_->Open().ok());
  }
  void Add(std::string key, Ticks time) {
    const absl::Status status = harness_->template Process<Visit>({{{std::move(key), 1}, time}});
    EXPECT_TRUE(status.ok()) << status;
  }
  OperatorHarness& harness() { return *harness_; }
  WindowListing List(std::size_t most_windows = 20, std::size_t most_looks = 10'000) {
    WindowListing listing;
    listing.most_windows = most_windows;
    listing.most_looks = most_looks;
    EXPECT_TRUE(harness_->op().ListWindows(listing));
    listing.Finish();
    return listing;
  }
  // key [start, end) fires at, or how; gone at; keys; entries.
  std::vector<std::string> Rows(std::size_t most_windows = 20) {
    std::vector<std::string> rows;
    for (const ListedWindow& window : List(most_windows).windows) rows.push_back(Row(window));
    return rows;
  }

 private:
  static std::string Row(const ListedWindow& window) {
    static const char* const kFires[] = {"watermark ", "clock ", "trigger", "fired"};
    const bool timed = window.fires == Fires::kAtWatermark || window.fires == Fires::kAtClock;
    const auto time = [](Ticks at) {
      return at == kMaxTicks ? "max" : at == kMinTicks ? "min" : std::to_string(at);
    };
    return window.key + " [" + time(window.start) + ", " + time(window.end) + ") " +
           kFires[static_cast<int>(window.fires)] + (timed ? time(window.at) : "") + ", gone " +
           time(window.gone_at) + ", " + std::to_string(window.keys) + "/" +
           std::to_string(window.entries);
  }

  JobDefinition job_;
  std::unique_ptr<OperatorHarness> harness_;
};

using Counted = WindowResult<std::string, std::int64_t>;

TEST(OpenWindowsTest, ThoseOfAnAggregationAreOneForAllKeys) {
  Opened<Counted> w([](auto keyed) {
    return keyed.Window(Tumbling{Duration(10)}).AllowLateness(Duration(5)).Aggregate("w", Count{});
  });
  EXPECT_THAT(w.Rows(), IsEmpty());
  w.Add("a", 3);
  w.Add("b", 4);
  w.Add("a", 5);
  w.Add("a", 12);
  EXPECT_THAT(w.Rows(), ElementsAre(" [0, 10) watermark 9, gone 14, 2/2",
                                    " [10, 20) watermark 19, gone 24, 1/1"));
  ASSERT_TRUE(w.harness().Watermark(9).ok());
  EXPECT_THAT(w.Rows(),
              ElementsAre(" [0, 10) fired, gone 14, 2/2", " [10, 20) watermark 19, gone 24, 1/1"));
  EXPECT_GT(w.List().windows[0].bytes, 0u);
  ASSERT_TRUE(w.harness().Watermark(14).ok());
  EXPECT_THAT(w.Rows(), ElementsAre(" [10, 20) watermark 19, gone 24, 1/1"));
}

TEST(OpenWindowsTest, SlidingOnesHaveWhatIsInTheirSlices) {
  Opened<Counted> w([](auto keyed) {
    return keyed.Window(Sliding{Duration(10), Duration(5)}).Aggregate("w", Count{});
  });
  w.Add("a", 7);
  w.Add("a", 11);
  w.Add("b", 11);
  EXPECT_THAT(w.Rows(), ElementsAre(" [0, 10) watermark 9, gone 9, 0/1",
                                    " [5, 15) watermark 14, gone 14, 0/3",
                                    " [10, 20) watermark 19, gone 19, 0/2"));
  ASSERT_TRUE(w.harness().Watermark(14).ok());
  EXPECT_THAT(w.Rows(), ElementsAre(" [10, 20) watermark 19, gone 19, 0/2"));
}

TEST(OpenWindowsTest, SessionsAreListedByKeyTheFirstToFireFirst) {
  for (const testing::HarnessMode& mode : testing::AllHarnessModes()) {
    SCOPED_TRACE(mode.name);
    Opened<std::int64_t> w(
        [](auto keyed) {
          return keyed.Window(Session{Duration(10)}).template Process<Visits>("w");
        },
        mode);
    w.Add("late", 100);
    w.Add("soon", 1);
    w.Add("soon", 6);
    w.Add("soon", 40);
    EXPECT_THAT(w.Rows(), ElementsAre("\"soon\" [1, 16) watermark 15, gone 15, 1/2",
                                      "\"soon\" [40, 50) watermark 49, gone 49, 1/1",
                                      "\"late\" [100, 110) watermark 109, gone 109, 1/1"));
    EXPECT_THAT(w.Rows(1), ElementsAre("\"soon\" [1, 16) watermark 15, gone 15, 1/2"));
    const WindowListing listing = w.List(1);
    EXPECT_TRUE(listing.by_key);
    EXPECT_EQ(listing.seen, 3u);
    EXPECT_EQ(listing.looked, 2u);
    EXPECT_GT(listing.windows[0].bytes, 0u);
  }
}

TEST(OpenWindowsTest, OneThatWaitsForItsTriggerSaysSo) {
  Opened<std::int64_t> w([](auto keyed) {
    return keyed.Window(Tumbling{Duration(10)})
        .AllowLateness(Duration(2))
        .Trigger(CountTrigger{3})
        .template Process<Visits>("w");
  });
  w.Add("a", 1);
  EXPECT_THAT(w.Rows(), ElementsAre("\"a\" [0, 10) trigger, gone 11, 1/1"));
  Opened<std::int64_t> global([](auto keyed) {
    return keyed.Window(Global{}).Trigger(CountTrigger{3}).template Process<Visits>("w");
  });
  global.Add("a", 1);
  EXPECT_THAT(global.Rows(), ElementsAre("\"a\" [min, max) trigger, gone max, 1/1"));
}

TEST(OpenWindowsTest, OneThatHasFiredWaitsForLateRecords) {
  Opened<std::int64_t> w([](auto keyed) {
    return keyed.Window(Tumbling{Duration(10)})
        .AllowLateness(Duration(5))
        .template Process<Visits>("w");
  });
  w.Add("a", 1);
  EXPECT_THAT(w.Rows(), ElementsAre("\"a\" [0, 10) watermark 9, gone 14, 1/1"));
  ASSERT_TRUE(w.harness().Watermark(9).ok());
  EXPECT_THAT(w.Rows(), ElementsAre("\"a\" [0, 10) fired, gone 14, 1/1"));
}

TEST(OpenWindowsTest, ThoseThatShareRecordsAreListedEach) {
  for (const testing::HarnessMode& mode : testing::AllHarnessModes()) {
    SCOPED_TRACE(mode.name);
    Opened<std::int64_t> w(
        [](auto keyed) {
          return keyed.Window(Sliding{Duration(10), Duration(5)})
              .AllowLateness(Duration(5))
              .template Process<Visits>("w");
        },
        mode);
    w.Add("a", 7);
    w.Add("a", 12);
    w.Add("a", 120);
    EXPECT_THAT(w.Rows(), ElementsAre("\"a\" [0, 10) watermark 9, gone 14, 1/1",
                                      "\"a\" [5, 15) watermark 14, gone 19, 1/2",
                                      "\"a\" [10, 20) watermark 19, gone 24, 1/1",
                                      "\"a\" [115, 125) watermark 124, gone 129, 1/1",
                                      "\"a\" [120, 130) watermark 129, gone 134, 1/1"));
    EXPECT_GT(w.List().windows[1].bytes, w.List().windows[0].bytes);
    ASSERT_TRUE(w.harness().Watermark(9).ok());
    EXPECT_THAT(w.Rows(), ElementsAre("\"a\" [5, 15) watermark 14, gone 19, 1/2",
                                      "\"a\" [10, 20) watermark 19, gone 24, 1/1",
                                      "\"a\" [115, 125) watermark 124, gone 129, 1/1",
                                      "\"a\" [120, 130) watermark 129, gone 134, 1/1",
                                      "\"a\" [0, 10) fired, gone 14, 1/1"));
  }
}

TEST(OpenWindowsTest, OnTheClockTheyFireThere) {
  Opened<std::int64_t> w([](auto keyed) {
    return keyed.Window(OnProcessingTime{Tumbling{Duration(10)}}).template Process<Visits>("w");
  });
  ASSERT_TRUE(w.harness().SetProcessingTime(3).ok());
  w.Add("a", kMinTicks);
  EXPECT_THAT(w.Rows(), ElementsAre("\"a\" [0, 10) clock 9, gone 9, 1/1"));
  EXPECT_TRUE(w.List().windows[0].on_clock);
}

TEST(OpenWindowsTest, HowManyAreLookedAtIsBounded) {
  for (const bool in_store : {false, true}) {
    testing::HarnessMode mode;
    mode.in_store = in_store;
    Opened<std::int64_t> w(
        [](auto keyed) {
          return keyed.Window(Session{Duration(10)}).template Process<Visits>("w");
        },
        mode);
    constexpr std::size_t kKeys = 5000;
    for (std::size_t i = 0; i < kKeys; ++i) w.Add("key " + std::to_string(i), 1);
    const WindowListing listing = w.List(10, 100);
    EXPECT_EQ(listing.looked, 100u);
    EXPECT_EQ(listing.seen, 100u);
    EXPECT_EQ(listing.windows.size(), 10u);
    EXPECT_EQ(w.List(10, 2 * kKeys).looked, kKeys);
    if (!in_store) {
      EXPECT_EQ(listing.there_are, kKeys);
    }
  }
  Opened<Counted> panes(
      [](auto keyed) { return keyed.Window(Tumbling{Duration(10)}).Aggregate("w", Count{}); });
  for (Ticks time = 0; time < 1000; time += 10) panes.Add("a", time);
  const WindowListing listing = panes.List(3, 50);
  EXPECT_EQ(listing.looked, 50u);
  EXPECT_EQ(listing.there_are, 100u);
  EXPECT_EQ(listing.windows.size(), 3u);
}

TEST(OpenWindowsTest, AnOperatorOfAnotherKindHasNone) {
  struct Nothing : KeyedProcess<std::string, Visit, Visit> {
    void Process(const Visit&, Context&) override {}
  };
  JobDefinition job;
  const DefineInput input;
  internal::GraphBuilder graph(input, job);
  Job(graph)
      .From<Visit>("in", Files{.path = "x"})
      .KeyBy(&Visit::key)
      .Process<Nothing>("p")
      .To("out", Print{});
  OperatorHarness harness(job.nodes[1].make_operator);
  harness.AddOutput<Visit>();
  ASSERT_TRUE(harness.Open().ok());
  WindowListing listing;
  EXPECT_FALSE(harness.op().ListWindows(listing));
}

}  // namespace
}  // namespace weir

// Overlapping windows that share their records against the same ones that each keep their own.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "weir/aggregates.h"
#include "weir/connectors.h"
#include "weir/job.h"
#include "weir/testing.h"
#include "weir/window_stream.h"

namespace weir {

struct Pageview {
  std::string key;
  std::int64_t value = 0;
};
struct Times {
  std::int64_t fired = 0;
};

namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::HarnessSnapshot;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::OperatorHarness;

// Triggers that do what windows do by themselves, but are not known to.
struct AtWatermark : EventTimeTrigger {};
struct AtClock : ProcessingTimeTrigger {};

struct Tells : WindowProcess<std::string, Pageview, std::string, Times> {
  void OnWindow(const WindowElements<Pageview>& elements, Context& context) override {
    std::string text = Name(context) + " #" + std::to_string(++context.window_state().fired) + ":";
    for (std::size_t i = 0; i < elements.size(); ++i) {
      text += " " + std::to_string(elements[i].value);
      if (elements.time(i) != EventTime::Min())
        text += "@" + std::to_string(elements.time(i).ticks());
    }
    context.Emit(text);
  }
  void Clear(WindowContext& context) override {
    context.Emit(Name(context) + " gone after " + std::to_string(context.window_state().fired));
  }

 private:
  static std::string Name(const WindowContext& context) {
    return context.key() + std::to_string(context.window().start.ticks());
  }
};

struct EvenOnly : Evictor<Pageview> {
  void Before(Elements& elements, const TimeWindow&) const override {
    std::erase_if(elements, [](const auto& element) { return element.record.value % 2 != 0; });
  }
};

struct Case {
  Sliding window;
  Ticks lateness = 0;
  bool on_clock = false;
  int evictor = 0;
};
constexpr int kEvictors = 11;

double Difference(const Pageview& a, const Pageview& b) {
  return static_cast<double>(a.value - b.value);
}

template <class Windows>
Windows Evicting(const Windows& windows, int evictor) {
  switch (evictor) {
    case 1:
      return windows.Evict(CountEvictor{3});
    case 2:
      return windows.Evict(CountEvictor{0});
    case 3:
      return windows.Evict(CountEvictor{.count = 2, .after = true});
    case 4:
      return windows.Evict(TimeEvictor{Duration(4)});
    case 5:
      return windows.Evict(TimeEvictor{Duration(0)});
    case 6:
      return windows.Evict(TimeEvictor{.size = Duration(3), .after = true});
    case 7:
      return windows.Evict(DeltaEvictor{2.0, &Difference});
    case 8:
      return windows.Evict(DeltaEvictor{1.0, &Difference, true});
    case 9:
      return windows.Evict(EvenOnly());
    case 10:
      return windows.Evict(CountEvictor{1});
    default:
      return windows;
  }
}

// The operator of a case. `shares`: as windows are by themselves.
JobDefinition Define(const Case& c, bool shares, std::size_t limit = 1'000) {
  JobDefinition job;
  const DefineInput input;
  internal::GraphBuilder graph(input, job);
  const auto keyed = Job(graph).From<Pageview>("in", Files{.path = "x"}).KeyBy(&Pageview::key);
  const auto add = [&](const auto& windows) {
    Evicting(windows.AllowLateness(Duration(c.lateness)).LimitElements(limit), c.evictor)
        .template Process<Tells>("w")
        .To("out", Print{});
  };
  if (c.on_clock) {
    const auto windows = keyed.Window(OnProcessingTime{c.window});
    shares ? add(windows.Trigger(ProcessingTimeTrigger())) : add(windows.Trigger(AtClock()));
  } else {
    const auto windows = keyed.Window(c.window);
    shares ? add(windows.Trigger(EventTimeTrigger())) : add(windows.Trigger(AtWatermark()));
  }
  EXPECT_THAT(job.errors, IsEmpty());
  return job;
}

class Running {
 public:
  Running(const JobDefinition& job, const testing::HarnessMode& mode) {
    testing::HarnessOptions options;
    options.mode = mode;
    harness_ = std::make_unique<OperatorHarness>(job.nodes[1].make_operator, options);
    harness_->AddOutput<std::string>();
    EXPECT_TRUE(harness_->Open().ok());
  }
  OperatorHarness& operator*() { return *harness_; }
  OperatorHarness* operator->() { return harness_.get(); }
  absl::Status Add(std::string key, std::int64_t value, Ticks time) {
    return harness_->Process<Pageview>({{{std::move(key), value}, time}});
  }
  // And what it has counted.
  std::vector<std::string> Take() {
    std::vector<std::string> texts;
    for (const auto& out : harness_->Take<std::string>())
      texts.push_back(out.value + " (" + std::to_string(out.timestamp) + ")");
    texts.push_back(std::to_string(harness_->late_records_dropped()) + " late, " +
                    std::to_string(harness_->counter("numLateWindowsSkipped")) + " skipped");
    return texts;
  }

 private:
  std::unique_ptr<OperatorHarness> harness_;
};

std::size_t BytesOf(const HarnessSnapshot& snapshot) {
  std::size_t bytes = 0;
  for (const auto& [name, table] : snapshot.tables) {
    for (const auto& [group, text] : table.key_groups) bytes += text.size();
  }
  return bytes;
}

class RandomSteps {
 public:
  RandomSteps(const Case& c, const testing::HarnessMode& mode, std::uint64_t seed)
      : case_(c), random_(seed), shared_(Define(c, true), mode), own_(Define(c, false), mode) {}

  void Run() {
    for (int step = 0; step < 80 && !::testing::Test::HasFailure(); ++step) {
      SCOPED_TRACE("step " + std::to_string(step));
      Step();
      EXPECT_EQ(shared_.Take(), own_.Take());
    }
    Both([](OperatorHarness& harness) { return harness.Finish(); });
    EXPECT_EQ(shared_.Take(), own_.Take());
  }

 private:
  Ticks Draw(Ticks below) {
    return static_cast<Ticks>(random_() % static_cast<std::uint64_t>(below));
  }
  void Both(const std::function<absl::Status(OperatorHarness&)>& what) {
    EXPECT_TRUE(what(*shared_).ok());
    EXPECT_TRUE(what(*own_).ok());
  }
  void Step() {
    const Ticks size = case_.window.size.count();
    const Ticks what = Draw(20);
    if (what < 14) {
      const std::string key(1, static_cast<char>('a' + Draw(3)));
      // Some are late.
      const Ticks time = now_ + Draw(2 * size) - (Draw(4) == 0 ? 2 * size : 0);
      const std::int64_t value = Draw(10);
      Both([&](OperatorHarness& harness) {
        return harness.Process<Pageview>({{{key, value}, time}});
      });
    } else if (what < 17) {
      now_ += Draw(size);
      Both([&](OperatorHarness& harness) {
        return case_.on_clock ? harness.SetProcessingTime(now_) : harness.Watermark(now_);
      });
    } else if (what == 17) {
      Both([](OperatorHarness& harness) { return harness.SnapshotAndRestore(); });
    } else if (what == 18) {
      // Into a subtask whose watermark is elsewhere.
      const Ticks watermark = now_ + Draw(2 * size) - size;
      Both([&](OperatorHarness& harness) {
        HarnessSnapshot snapshot = harness.Snapshot();
        snapshot.watermark = watermark;
        return harness.Restore(snapshot);
      });
      if (!case_.on_clock) now_ = watermark;
    } else {
      // From state in which each window has its own.
      Both([snapshot = own_->Snapshot()](OperatorHarness& harness) {
        return harness.Restore(snapshot);
      });
    }
  }

  const Case case_;
  std::mt19937_64 random_;
  Running shared_;
  Running own_;
  Ticks now_ = 0;
};

TEST(SharedWindowsTest, GiveWhatWindowsWithTheirOwnRecordsGive) {
  const std::vector<Sliding> windows = {{Duration(10), Duration(5)},
                                        {Duration(10), Duration(3), Duration(1)},
                                        {Duration(30), Duration(1)},
                                        {Duration(7), Duration(2), Duration(-1)}};
  std::uint64_t seed = 0;
  for (const Sliding& window : windows) {
    for (const Ticks lateness : {0, 4, 25}) {
      for (int evictor = 0; evictor < kEvictors; ++evictor) {
        for (const bool on_clock : {false, true}) {
          testing::HarnessMode mode;
          mode.in_store = ++seed % 3 == 0;
          mode.refuse_outputs = seed % 5 == 0;
          SCOPED_TRACE("seed " + std::to_string(seed) + ", slide " +
                       std::to_string(window.slide.count()) + ", lateness " +
                       std::to_string(lateness) + ", evictor " + std::to_string(evictor) +
                       (on_clock ? ", on the clock" : ""));
          RandomSteps({window, lateness, on_clock, evictor}, mode, seed).Run();
          if (HasFailure()) return;
        }
      }
    }
  }
}

const Case kOverlapping{{Duration(100), Duration(1)}};

TEST(SharedWindowsTest, KeepEachRecordOnce) {
  std::vector<std::size_t> bytes;
  for (const bool shares : {true, false}) {
    Running running(Define(kOverlapping, shares), {});
    for (Ticks time = 0; time < 100; ++time) ASSERT_TRUE(running.Add("a", time, time).ok());
    bytes.push_back(BytesOf(running->Snapshot()));
  }
  EXPECT_LT(bytes[0], 100u * 60);
  EXPECT_GT(bytes[1], 100u * 1000);
}

TEST(SharedWindowsTest, LetGoOfRecordsAndKeysThatAreOver) {
  Running running(Define(kOverlapping, true), {});
  ASSERT_TRUE(running.Add("a", 1, 10).ok());
  ASSERT_TRUE(running.Add("a", 2, 60).ok());
  const std::size_t two = BytesOf(running->Snapshot());
  ASSERT_TRUE(running->Watermark(10 + 99).ok());
  EXPECT_LT(BytesOf(running->Snapshot()), two);
  ASSERT_TRUE(running->Watermark(60 + 99).ok());
  EXPECT_EQ(BytesOf(running->Snapshot()), 0u);
}

TEST(SharedWindowsTest, HoldNoMoreThanTheyMay) {
  const Case c{{Duration(10), Duration(5)}};
  std::vector<std::string> messages;
  for (const bool shares : {true, false}) {
    Running running(Define(c, shares, 2), {});
    // Two in each window, of four in all.
    ASSERT_TRUE(running.Add("a", 1, 3).ok());
    ASSERT_TRUE(running.Add("a", 1, 8).ok());
    ASSERT_TRUE(running.Add("a", 1, 13).ok());
    ASSERT_TRUE(running.Add("a", 1, 18).ok());
    const absl::Status status = running.Add("a", 1, 9);
    messages.emplace_back(status.message());
  }
  EXPECT_THAT(messages[0], AllOf(HasSubstr("a window of key \"a\" holds more than 2 records"),
                                 HasSubstr("starts at 1970-01-01T00:00:00.000005Z")));
  EXPECT_EQ(messages[0], messages[1]);
}

TEST(SharedWindowsTest, LookAtWhatTheirEvictorNeedsAlone) {
  struct Reaches : Evictor<Pageview> {
    explicit Reaches(std::size_t& given_in) : given(given_in) {}
    std::size_t& given;
    void Before(Elements& elements, const TimeWindow&) const override {
      given = std::max(given, elements.size());
      elements.erase(elements.begin(), elements.end() - 1);
    }
    EvictorReach Reach() const override { return {.last = 1}; }
  };
  std::size_t given = 0;
  JobDefinition job;
  const DefineInput input;
  internal::GraphBuilder graph(input, job);
  Job(graph)
      .From<Pageview>("in", Files{.path = "x"})
      .KeyBy(&Pageview::key)
      .Window(kOverlapping.window)
      .Evict(Reaches(given))
      .Process<Tells>("w")
      .To("out", Print{});
  Running running(job, {});
  for (Ticks time = 0; time < 100; ++time) ASSERT_TRUE(running.Add("a", time, time).ok());
  ASSERT_TRUE(running->Watermark(99).ok());
  EXPECT_EQ(given, 1u);
  EXPECT_EQ(running.Take().back(), "0 late, 0 skipped");
}

TEST(SharedWindowsTest, RefuseStateOfOtherSlices) {
  Running running(Define({{Duration(20), Duration(5)}}, true), {});
  ASSERT_TRUE(running.Add("a", 1, 5).ok());
  ASSERT_TRUE(running->Watermark(19).ok());
  for (const Sliding& window : {Sliding{Duration(20), Duration(7)}, {Duration(10), Duration(5)}}) {
    Running other(Define({window}, true), {});
    EXPECT_THAT(std::string(other->Restore(running->Snapshot()).message()),
                HasSubstr("slices that windows of this size and slide do not have"));
  }
}

}  // namespace
}  // namespace weir

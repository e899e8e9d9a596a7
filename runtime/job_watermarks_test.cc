// Watermarks of a job's own and timestamps assigned in the middle of a stream, in a running job.
#include <map>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "runtime/testing/sim_cluster_internal.h"
#include "runtime/time/source_alignment.h"
#include "weir/sdk.h"

namespace weir {
namespace {

using namespace weir::testing;  // NOLINT: the jobs of this test
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Reading {
  int64_t value = 0;
  bool marker = false;
};

// Says the watermark with each record.
struct WithWatermark : ProcessFunction<Reading, std::string> {
  void Process(const Reading& reading, Context& context) override {
    const EventTime watermark = context.watermark();
    context.Emit(std::to_string(reading.value) + "@" +
                 (watermark == EventTime::Min() ? "none" : std::to_string(watermark.ticks())));
  }
};

struct Counts : KeyedProcess<int64_t, Reading, std::string> {
  ValueState<int64_t> count{this, "count"};
  EventTimer at{this, "at"};
  void Process(const Reading& reading, Context&) override {
    count.Set(count.Get() + 1);
    at.Set(EventTime::FromTicks(reading.value / 10 * 10 + 9));
  }
  void OnTimer(const EventTimer&, Context& context) override {
    context.Emit(std::to_string(context.timestamp().ticks()) + ":" + std::to_string(count.Get()));
    count.Clear();
  }
};

class WatermarksTest : public ::testing::Test {
 protected:
  void Define(const std::function<void(Job&)>& define) {
    static const std::function<void(Job&)>* current = nullptr;
    current = &define;
    JobDefinition definition;
    DefineJob([](Job& job) { (*current)(job); }, {}, definition);
    ASSERT_TRUE(definition.errors.empty()) << definition.errors[0];
    cluster_.Deploy(definition);
  }
  void Run(const std::function<void(Job&)>& define) {
    Define(define);
    cluster_.Start();
    ASSERT_TRUE(cluster_.RunToEnd()) << "it stands still";
  }
  // What a sink was given.
  auto Into(std::vector<std::string>& said) {
    return ForEach{[&said](const std::string& text) { said.push_back(text); }};
  }
  static Collection<Reading> Readings() {
    return {.records = {{3}, {9, true}, {5}, {14, true}, {16}, {12}, {30, true}, {27}}};
  }
  static Watermarks<Reading> ByMarkers() {
    return {.timestamp = [](const Reading& r) { return EventTime::FromTicks(r.value); },
            .generator = Punctuated{&Reading::marker}};
  }

  SourceAlignment alignment_;
  SimCluster cluster_{1, 1};
};

const std::vector<std::string> kByMarkers = {"3@none", "9@none", "5@9",   "14@9",
                                             "16@14",  "12@14",  "30@14", "27@30"};

TEST_F(WatermarksTest, APunctuatedSourcesWatermarkIsRightBehindItsMarkerAlsoWithinABatch) {
  std::vector<std::string> said;
  Run([&](Job& job) {
    job.From<Reading>("in", Readings(), ByMarkers())
        .Parallelism(1)
        .Process<WithWatermark>("look")
        .To("out", Into(said));
  });
  EXPECT_EQ(cluster_.Failures(), "");
  EXPECT_EQ(said, kByMarkers);
}

TEST_F(WatermarksTest, TimestampsInTheMiddleOfAStreamHoldWithinAChain) {
  std::vector<std::string> said;
  Run([&](Job& job) {
    // What the source says of time is forgotten, but for the end.
    job.From<Reading>("in", Readings(),
                      {.timestamp = [](const Reading&) { return EventTime::FromTicks(1000); },
                       .every_record = true})
        .Parallelism(1)
        .AssignTimestamps("times", ByMarkers())
        .Process<WithWatermark>("look")
        .To("out", Into(said));
  });
  EXPECT_EQ(cluster_.Failures(), "");
  EXPECT_EQ(said, kByMarkers);
}

TEST_F(WatermarksTest, TimestampsInTheMiddleOfAStreamGoToTheStepsBehindIt) {
  std::vector<std::string> fired;
  Run([&](Job& job) {
    auto in = job.From<Reading>("in", Readings()).Parallelism(1);
    auto times = in.AssignTimestamps("times", ByMarkers());
    times.KeyBy([](const Reading&) { return int64_t{0}; })
        .Process<Counts>("counts")
        .To("out", Into(fired));
    // Not behind it: without watermarks the timer waits for the end, and is moved by each record.
    std::vector<std::string>& all = fired;
    in.KeyBy([](const Reading&) { return int64_t{0}; })
        .Process<Counts>("other")
        .Map([](const std::string& text) { return "other " + text; })
        .To("out2", Into(all));
  });
  EXPECT_EQ(cluster_.Failures(), "");
  // 3 and 9 at the marker 9; 30 moves the timer before its watermark comes, and 27 moves it back.
  EXPECT_THAT(fired, ::testing::UnorderedElementsAre("9:2", "29:6", "other 29:8"));
}

TEST_F(WatermarksTest, AWatermarkThatGoesThroughTwoAssignmentsIsThatOfTheLast) {
  std::vector<std::string> said;
  Run([&](Job& job) {
    job.From<Reading>("in", Readings())
        .Parallelism(1)
        .AssignTimestamps(
            "first",
            {.timestamp = [](const Reading& r) { return EventTime::FromTicks(r.value * 100); },
             .every_record = true})
        .AssignTimestamps("second", ByMarkers())
        .Process<WithWatermark>("look")
        .To("out", Into(said));
  });
  EXPECT_EQ(cluster_.Failures(), "");
  EXPECT_EQ(said, kByMarkers);
}

// Two splits of 50 readings, whose times are 10 and 1000 ticks apart; a reading a poll, of each in
// turns.
class TwoSplits {
 public:
  using Record = Reading;
  // How far the second was ahead at most when it was read while the first was not at its end.
  struct Seen {
    int64_t greatest_lead = 0;
    int pauses = 0;
  };
  TwoSplits(Seen& seen, bool can_pause) : seen_(&seen), can_pause_(can_pause) {}

  SourceFactory MakeFactory() const {
    return [seen = seen_, can_pause = can_pause_] {
      return std::make_unique<Reader>(*seen, can_pause);
    };
  }

 private:
  class Reader final : public SourceReader {
   public:
    Reader(Seen& seen, bool can_pause) : seen_(seen), can_pause_(can_pause) {}
    absl::Status Open(SourceContext&) override { return absl::OkStatus(); }
    uint32_t splits() const override { return 2; }
    bool SetPaused(uint32_t split, bool paused) override {
      paused_[split] = can_pause_ && paused;
      seen_.pauses += paused_[split] ? 1 : 0;
      return can_pause_;
    }
    absl::StatusOr<PollResult> Poll(BatchBase& batch, size_t) override {
      for (int tried = 0; tried < 2; ++tried) {
        const uint32_t split = turn_++ % 2;
        if (paused_[split] || next_[split] == 50) continue;
        const int64_t time = next_[split]++ * (split == 0 ? 10 : 1000);
        static_cast<Batch<Reading>&>(batch).records.emplace_back(Reading{time});
        if (split == 1 && next_[0] < 50) {
          seen_.greatest_lead = std::max(seen_.greatest_lead, time - (next_[0] - 1) * 10);
        }
        const bool end = next_[0] == 50 && next_[1] == 50;
        return PollResult{end ? PollState::kEnd : PollState::kMore, split, next_[split] == 50};
      }
      return PollResult{PollState::kWait};
    }
    std::string SnapshotPosition() const override { return ""; }
    absl::Status RestorePosition(std::string_view) override { return absl::OkStatus(); }

   private:
    Seen& seen_;
    const bool can_pause_;
    bool paused_[2] = {false, false};
    int64_t next_[2] = {0, 0};
    uint32_t turn_ = 0;
  };
  Seen* seen_;
  bool can_pause_;
};

class AlignedSplitsTest : public WatermarksTest {
 protected:
  TwoSplits::Seen RunAligned(bool can_pause) {
    TwoSplits::Seen seen;
    std::vector<std::string> said;
    cluster_.configure = [this](RuntimeOptions& options) { options.alignment = &alignment_; };
    Define([&](Job& job) {
      job.From<Reading>(
             "in", TwoSplits(seen, can_pause),
             {.timestamp = [](const Reading& r) { return EventTime::FromTicks(r.value); },
              .align = {.group = "all", .max_drift = Duration(100)}})
          .Parallelism(1)
          .Process<WithWatermark>("look")
          .To("out", Into(said));
    });
    cluster_.Start();
    for (int i = 0; i < 1000 && !cluster_.AllTerminal(); ++i) {
      alignment_.Apply(alignment_.Report());
      cluster_.world().RunFor(absl::Milliseconds(10));
    }
    EXPECT_TRUE(cluster_.AllTerminal()) << "it stands still";
    EXPECT_EQ(said.size(), 100u);
    return seen;
  }
};

TEST_F(AlignedSplitsTest, ASplitIsHeldBackByItselfWhereTheReaderCanDoThat) {  // Rule 29
  const TwoSplits::Seen seen = RunAligned(true);
  EXPECT_GT(seen.pauses, 1);
  // A record more than allowed may be read before its split is held back.
  EXPECT_LE(seen.greatest_lead, 100 + 1000);
}

TEST_F(AlignedSplitsTest, AReaderThatCannotHoldBackASplitCountsWithItsSlowestOne) {  // Rule 29
  const TwoSplits::Seen seen = RunAligned(false);
  EXPECT_EQ(seen.pauses, 0);
  EXPECT_GT(seen.greatest_lead, 40'000);
}

struct Throws final : WatermarkGenerator<Reading> {
  std::optional<EventTime> OnEvent(const Reading& reading, EventTime) override {
    if (reading.value == 14) throw std::runtime_error("no such watermark");
    return std::nullopt;
  }
};

TEST_F(WatermarksTest, AGeneratorThatThrowsFailsTheJobWithOperatorAndRecord) {
  std::vector<std::string> said;
  Run([&](Job& job) {
    job.From<Reading>("in", Readings())
        .Parallelism(1)
        .AssignTimestamps(
            "times", {.timestamp = [](const Reading& r) { return EventTime::FromTicks(r.value); },
                      .generator = Throws{}})
        .Process<WithWatermark>("look")
        .To("out", Into(said));
  });
  EXPECT_THAT(cluster_.Failures(),
              AllOf(HasSubstr("operator 'times' threw std::runtime_error: no such watermark"),
                    HasSubstr(R"(on the record {"value":14,"marker":true})")));
}

}  // namespace
}  // namespace weir

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "weir/connectors.h"
#include "weir/job.h"
#include "weir/list_state.h"
#include "weir/map_state.h"
#include "weir/testing.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using testing::OperatorHarness;

template <class P, class In, class Key, class... Args>
OperatorHarness::Factory MakerOf(Key key, Args... args) {
  JobDefinition job;
  const DefineInput input;
  internal::GraphBuilder graph(input, job);
  Job(graph)
      .From<In>("in", Files{.path = "x"})
      .KeyBy(key)
      .template Process<P>("state", args...)
      .To("out", Print{});
  return job.nodes[1].make_operator;
}

// A value of which the living ones are counted.
struct Counted {
  static inline std::int64_t alive = 0;
  Counted() { ++alive; }
  explicit Counted(std::int64_t n) : number(n) { ++alive; }
  Counted(const Counted& other) : number(other.number) { ++alive; }
  Counted& operator=(const Counted&) = default;
  ~Counted() { --alive; }
  std::int64_t number = 0;
};

}  // namespace

template <>
struct Codec<Counted> {
  static constexpr std::string_view kTypeName = "counted";
  static void Encode(const Counted& value, Encoder& out) { out.Fixed(value.number); }
  static bool Decode(Decoder& in, Counted& value) { return in.Fixed(value.number); }
};

namespace {

// "value", "list" and "map" hold one thing for each of many keys, "long list" and "large map" many
// for one.
struct Holder : KeyedProcess<std::int64_t, std::int64_t, std::int64_t> {
  Holder(std::string kind, Ttl ttl_in) : what(std::move(kind)), ttl(ttl_in) {}
  const std::string what;
  const Ttl ttl;
  ValueState<Counted> value{this, "value", ttl};
  ListState<Counted> list{this, "list", ttl};
  MapState<std::int64_t, Counted> map{this, "map", ttl};
  void Process(const std::int64_t& n, Context&) override {
    if (what == "value") value.Set(Counted(n));
    if (what.ends_with("list")) list.Add(Counted(n));
    if (what.ends_with("map")) map.Put(n, Counted(n));
  }
};

class StateCleanupTest : public ::testing::TestWithParam<std::tuple<std::string, TtlTime>> {};
INSTANTIATE_TEST_SUITE_P(
    Kinds, StateCleanupTest,
    ::testing::Combine(::testing::Values("value", "list", "map", "long list", "large map"),
                       ::testing::Values(TtlTime::kProcessing, TtlTime::kEvent)));

// Rule 50: 20,000 things are kept, each for as long as it takes to keep 100.
TEST_P(StateCleanupTest, WhatHasExpiredIsGivenBackWithoutBeingAskedFor) {
  const auto& [kind, time] = GetParam();
  const bool one_key = kind.find(' ') != std::string::npos;
  const Ttl ttl{.after = Duration(100), .time = time};
  OperatorHarness harness(MakerOf<Holder, std::int64_t>(
      [one_key](const std::int64_t& n) { return one_key ? std::int64_t{0} : n; }, kind, ttl));
  harness.AddOutput<std::int64_t>();
  ASSERT_TRUE(harness.Open().ok());
  const std::int64_t before = Counted::alive;
  std::int64_t most = 0;
  for (std::int64_t i = 0; i < 20'000; ++i) {
    ASSERT_TRUE(harness.SetProcessingTime(i).ok());
    ASSERT_TRUE(harness.Watermark(i).ok());
    ASSERT_TRUE(harness.Process<std::int64_t>({{i}}).ok());
    most = std::max(most, Counted::alive - before);
  }
  EXPECT_GE(most, 100);
  EXPECT_LT(most, 1000);
}

struct Reader : KeyedProcess<std::int64_t, std::int64_t, std::string> {
  ValueState<std::int64_t> last{this, "last", {.after = Duration(10), .time = TtlTime::kEvent}};
  EventTimer timer{this, "timer"};
  void Process(const std::int64_t& n, Context& context) override {
    context.Emit(last.Exists() ? std::to_string(last.Get()) : "null");
    if (n > 0) last.Set(n);
    if (n > 0) timer.Set(EventTime::FromTicks(1'000'000));
  }
  void OnTimer(const EventTimer&, Context& context) override {
    context.Emit("timer " + std::string(last.Exists() ? std::to_string(last.Get()) : "null"));
  }
};

class EventTtlTest : public ::testing::TestWithParam<testing::HarnessMode> {
 protected:
  void SetUp() override {
    testing::HarnessOptions options;
    options.mode = GetParam();
    harness_ = std::make_unique<OperatorHarness>(
        MakerOf<Reader, std::int64_t>([](const std::int64_t&) { return std::int64_t{1}; }),
        options);
    harness_->AddOutput<std::string>();
    ASSERT_TRUE(harness_->Open().ok());
  }
  // What is there when n comes; n > 0 is written.
  std::string Ask(std::int64_t n) {
    EXPECT_TRUE(harness_->Process<std::int64_t>({{n, 3}}).ok());
    const auto results = harness_->Take<std::string>();
    return results.size() == 1 ? results[0].value : "not one result";
  }
  std::unique_ptr<OperatorHarness> harness_;
};
INSTANTIATE_TEST_SUITE_P(Modes, EventTtlTest, ::testing::ValuesIn(testing::AllHarnessModes()),
                         [](const auto& param) { return "mode" + std::to_string(param.index); });

// Rule 50.
TEST_P(EventTtlTest, ExpiresByTheWatermark) {
  ASSERT_TRUE(harness_->Watermark(100).ok());
  Ask(7);
  ASSERT_TRUE(harness_->SetProcessingTime(1'000'000'000).ok());
  ASSERT_TRUE(harness_->Watermark(109).ok());
  EXPECT_EQ(Ask(0), "7");
  ASSERT_TRUE(harness_->Watermark(110).ok());
  EXPECT_EQ(Ask(0), "null");
}

TEST_P(EventTtlTest, WhatIsWrittenBeforeTheFirstWatermarkCountsFromIt) {
  EXPECT_EQ(Ask(7), "null");
  EXPECT_EQ(Ask(0), "7");
  ASSERT_TRUE(harness_->Watermark(100).ok());
  EXPECT_EQ(Ask(0), "7");
  ASSERT_TRUE(harness_->Watermark(109).ok());
  EXPECT_EQ(Ask(0), "7");
  ASSERT_TRUE(harness_->Watermark(110).ok());
  EXPECT_EQ(Ask(0), "null");
}

TEST_P(EventTtlTest, NothingExpiresAtTheEndOfTheInput) {
  ASSERT_TRUE(harness_->Watermark(100).ok());
  Ask(7);
  ASSERT_TRUE(harness_->Finish().ok());
  EXPECT_THAT(harness_->Take<std::string>(),
              ElementsAre(testing::Timed<std::string>{"timer 7", 1'000'000}));
}

}  // namespace
}  // namespace weir

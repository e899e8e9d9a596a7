// What operators tell ahead of what they look up, while entries of a restore are still in files.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "weir/connectors.h"
#include "weir/hash.h"
#include "weir/job.h"
#include "weir/operator.h"
#include "weir/process.h"
#include "weir/testing.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::OperatorHarness;
using ::testing::StartsWith;

// Files with nothing in them; says what it is asked.
class NotedParts final : public KeyedStateParts {
 public:
  explicit NotedParts(std::vector<std::string>& notes) : notes_(notes) {}
  Part Take(std::uint32_t key_group, std::uint64_t hash) override {
    notes_.push_back("take " + Text(key_group, hash));
    return {};
  }
  void WillTake(std::span<const Place> places) override {
    for (const Place& place : places)
      notes_.push_back("will take " + Text(place.key_group, place.hash));
  }
  Part TakeNext() override {
    left_ = false;
    return {};
  }
  void Drop(std::uint32_t) override {}
  bool all_taken() const override { return !left_; }
  [[noreturn]] void Fail(absl::Status why) override {
    throw StateError(std::string(why.message()));
  }

  static std::string Text(std::uint32_t key_group, std::uint64_t hash) {
    return std::to_string(key_group) + " " + std::to_string(hash);
  }

 private:
  std::vector<std::string>& notes_;
  bool left_ = true;
};

template <class K>
struct Keyed {
  K key{};
  Ticks timer = 0;
};

template <class K>
struct Counts : KeyedProcess<K, Keyed<K>, std::int64_t> {
  ValueState<std::int64_t> count{this, "count"};
  EventTimer timer{this, "timer"};
  void Process(const Keyed<K>& record, typename Counts::Context& ctx) override {
    count.Set(count.Get() + 1);
    if (record.timer > 0) timer.Set(EventTime::FromTicks(record.timer));
    ctx.Emit(count.Get());
  }
  void OnTimer(const EventTimer&, typename Counts::Context& ctx) override {
    ctx.Emit(-count.Get());
  }
};

template <class K>
class LateLoadTest : public ::testing::Test {
 protected:
  template <class Out, class Define>
  void Make(Define define) {
    const DefineInput input;
    internal::GraphBuilder graph(input, job_);
    Job job(graph);
    define(job.From<Keyed<K>>("in", Files{.path = "x"}).KeyBy(&Keyed<K>::key)).To("out", Print{});
    harness_ = std::make_unique<OperatorHarness>(job_.nodes[1].make_operator);
    harness_->AddOutput<Out>();
    ASSERT_TRUE(harness_->Open().ok());
    ASSERT_FALSE(harness_->op().keyed_state().empty());
    table_ = harness_->op().keyed_state().front();
    ASSERT_TRUE(table_->LoadLater(std::make_shared<NotedParts>(notes_)));
    ASSERT_TRUE(table_->loading());
  }
  static K KeyOf(int n) {
    if constexpr (std::is_integral_v<K>) {
      return n;
    } else {
      return "key " + std::to_string(n);
    }
  }
  static std::string PlaceOf(int n) {
    const std::uint64_t hash = KeyHash(KeyOf(n));
    return NotedParts::Text(KeyGroupOf(hash, 128), hash);
  }
  void Process(const std::vector<int>& keys, Ticks timer = 0) {
    std::vector<testing::Timed<Keyed<K>>> records;
    for (const int key : keys) records.push_back({{KeyOf(key), timer}, 1});
    const absl::Status status = harness_->template Process<Keyed<K>>(records);
    ASSERT_TRUE(status.ok()) << status;
  }
  std::vector<std::int64_t> Out() {
    std::vector<std::int64_t> values;
    for (const auto& result : harness_->template Take<std::int64_t>())
      values.push_back(result.value);
    return values;
  }
  // A batch of which the disk is told before anything is asked of it; and none when all is there.
  void ExpectToldBeforeATake() {
    Process({5, 6, 7});
    // Who finds nothing asks again.
    notes_.erase(std::unique(notes_.begin(), notes_.end()), notes_.end());
    EXPECT_THAT(
        std::exchange(notes_, {}),
        ElementsAre("will take " + PlaceOf(5), "will take " + PlaceOf(6), "will take " + PlaceOf(7),
                    "take " + PlaceOf(5), "take " + PlaceOf(6), "take " + PlaceOf(7)));
    ASSERT_TRUE(table_->LoadSome(1));
    EXPECT_FALSE(table_->loading());
    Process({5, 8});
    EXPECT_THAT(notes_, IsEmpty());
  }

  JobDefinition job_;
  std::unique_ptr<OperatorHarness> harness_;
  KeyedStateTable* table_ = nullptr;
  std::vector<std::string> notes_;
};
using Keys = ::testing::Types<std::int64_t, std::string>;
TYPED_TEST_SUITE(LateLoadTest, Keys);

TYPED_TEST(LateLoadTest, AProcessFunctionTellsOfABatchBeforeItNeedsIt) {
  this->template Make<std::int64_t>(
      [](auto keyed) { return keyed.template Process<Counts<TypeParam>>("op"); });
  this->ExpectToldBeforeATake();
  EXPECT_THAT(this->Out(), ElementsAre(1, 1, 1, 2, 1));
}

TYPED_TEST(LateLoadTest, ARunningReductionTellsOfABatchBeforeItNeedsIt) {
  this->template Make<Keyed<TypeParam>>([](auto keyed) {
    return keyed.Reduce("op", [](const Keyed<TypeParam>& a, const Keyed<TypeParam>&) { return a; });
  });
  this->ExpectToldBeforeATake();
}

TYPED_TEST(LateLoadTest, TimersThatAreDueTellOfTheirKeysBeforeTheyFire) {
  this->template Make<std::int64_t>(
      [](auto keyed) { return keyed.template Process<Counts<TypeParam>>("op"); });
  this->Process({1, 2, 3}, /*timer=*/20);
  this->notes_.clear();
  ASSERT_TRUE(this->harness_->Watermark(19).ok());
  EXPECT_THAT(this->notes_, IsEmpty());
  ASSERT_TRUE(this->harness_->Watermark(20).ok());
  ASSERT_GE(this->notes_.size(), 3u);
  for (int i = 0; i < 3; ++i) EXPECT_THAT(this->notes_[i], StartsWith("will take "));
  EXPECT_THAT(this->Out(), ElementsAre(1, 1, 1, -1, -1, -1));
}

}  // namespace
}  // namespace weir

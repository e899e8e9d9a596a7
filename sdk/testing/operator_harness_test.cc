#include <cstring>
#include <stdexcept>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "weir/testing.h"

namespace weir::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Counts numbers by value; at a watermark emits "value * 100 + count" for every value counted since
// the last, in order. A number that is negative is thrown. 7 asks for a wakeup at 50, on which 7000
// + the clock is emitted.
class CountingOperator final : public Operator, public KeyedStateTable {
 public:
  absl::Status Open(OperatorContext& context) override {
    context_ = &context;
    return absl::OkStatus();
  }
  absl::Status ProcessBatch(std::size_t, BatchBase& batch) override {
    for (const int value : static_cast<Batch<int>&>(batch).records) {
      if (value < 0) throw std::runtime_error("negative");
      if (value == 7) context_->WakeAt(50);
      ++counts_[value];
    }
    return absl::OkStatus();
  }
  absl::StatusOr<bool> OnWatermark(Ticks watermark) override {
    while (!counts_.empty()) {
      if (context_->output(0).Blocked()) return false;
      const auto [value, count] = *counts_.begin();
      counts_.erase(counts_.begin());
      absl::Status status = Emit(value * 100 + count, watermark);
      if (!status.ok()) return status;
    }
    return true;
  }
  absl::StatusOr<bool> OnProcessingTime(Ticks now) override {
    if (counts_.contains(7) && now > 50) {
      absl::Status status = Emit(7000 + static_cast<int>(now), kMinTicks);
      if (!status.ok()) return status;
    } else if (counts_.contains(7)) {
      context_->WakeAt(50);
    }
    return true;
  }
  std::vector<KeyedStateTable*> keyed_state() override { return {this}; }

  const std::string& name() const override { return name_; }
  const std::string& type() const override { return type_; }
  struct Taken final : KeyedStateSnapshot {
    std::map<int, int> counts;
    void WriteKeyGroup(std::uint32_t key_group, std::string& out) override {
      for (const auto& [value, count] : counts) {
        if (static_cast<std::uint32_t>(value) % 128 != key_group) continue;
        out.append(reinterpret_cast<const char*>(&value), sizeof(value));
        out.append(reinterpret_cast<const char*>(&count), sizeof(count));
      }
    }
  };
  std::unique_ptr<KeyedStateSnapshot> TakeSnapshot(SnapshotUse) override {
    auto taken = std::make_unique<Taken>();
    taken->counts = counts_;
    return taken;
  }
  absl::Status ReadKeyGroup(std::uint32_t, std::string_view bytes) override {
    for (; bytes.size() >= 8; bytes.remove_prefix(8)) {
      int pair[2];
      std::memcpy(pair, bytes.data(), 8);
      counts_[pair[0]] += forgets ? 1 : pair[1];
    }
    return absl::OkStatus();
  }
  void DropKeyGroup(std::uint32_t) override {}
  std::size_t entries() const override { return counts_.size(); }
  std::size_t memory_bytes() const override { return 0; }

  bool forgets = false;

 private:
  absl::Status Emit(int value, Ticks timestamp) {
    Batch<int> batch;
    batch.records.emplace_back(value);
    if (timestamp != kMinTicks) batch.timestamps.emplace_back(timestamp);
    return context_->output(0).Push(batch);
  }
  const std::string name_ = "counts";
  const std::string type_ = "map<int32,int32>";
  OperatorContext* context_ = nullptr;
  std::map<int, int> counts_;
};

std::unique_ptr<Operator> MakeCounting() { return std::make_unique<CountingOperator>(); }

TEST(OperatorHarness, GivesTheSameOutputInEveryMode) {
  for (const HarnessMode& mode : AllHarnessModes()) {
    SCOPED_TRACE(mode.name);
    HarnessOptions options;
    options.mode = mode;
    OperatorHarness harness(MakeCounting, options);
    harness.AddOutput<int>();
    ASSERT_TRUE(harness.Open().ok());
    ASSERT_TRUE(harness.Process<int>({{1, 5}, {2, 6}, {1, 7}, {3, 8}, {1, 9}}).ok());
    EXPECT_THAT(harness.Take<int>(), IsEmpty());
    const absl::Status status = harness.Watermark(10);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_THAT(harness.Take<int>(),
                ElementsAre(Timed<int>{103, 10}, Timed<int>{201, 10}, Timed<int>{301, 10}));
    ASSERT_TRUE(harness.Process<int>({{4}}).ok());
    ASSERT_TRUE(harness.Watermark(9).ok());
    EXPECT_THAT(harness.Take<int>(), IsEmpty()) << "a watermark that does not grow is ignored";
    ASSERT_TRUE(harness.Finish().ok());
    EXPECT_THAT(harness.Take<int>(), ElementsAre(Timed<int>{401, kMaxTicks}));
  }
}

TEST(OperatorHarness, WakesTheOperatorOnlyOnceTheClockIsPastItsTime) {  // Rule 20
  for (const HarnessMode& mode : AllHarnessModes()) {
    SCOPED_TRACE(mode.name);
    HarnessOptions options;
    options.mode = mode;
    OperatorHarness harness(MakeCounting, options);
    harness.AddOutput<int>();
    ASSERT_TRUE(harness.Open().ok());
    ASSERT_TRUE(harness.Process<int>({{7}}).ok());
    ASSERT_TRUE(harness.SetProcessingTime(50).ok());
    EXPECT_THAT(harness.Take<int>(), IsEmpty());
    ASSERT_TRUE(harness.SetProcessingTime(51).ok());
    EXPECT_THAT(harness.Take<int>(), ElementsAre(Timed<int>{7051}));
  }
}

TEST(OperatorHarness, TurnsWhatUserCodeThrowsIntoAStatusThatNamesTheOperator) {
  HarnessOptions options;
  options.uid = "counting";
  OperatorHarness harness(MakeCounting, options);
  harness.AddOutput<int>();
  ASSERT_TRUE(harness.Open().ok());
  const absl::Status status = harness.Process<int>({{-1}});
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("operator 'counting' threw"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("negative"));
}

TEST(OperatorHarness, FindsStateThatIsNotRestoredAsItWasWritten) {
  OperatorHarness harness([] {
    auto op = std::make_unique<CountingOperator>();
    op->forgets = true;
    return op;
  });
  harness.AddOutput<int>();
  ASSERT_TRUE(harness.Open().ok());
  ASSERT_TRUE(harness.Process<int>({{1}, {1}}).ok());
  EXPECT_THAT(std::string(harness.SnapshotAndRestore().message()), HasSubstr("other bytes"));
}

TEST(OperatorHarness, DealsOutASnapshotByKeyGroup) {  // Rule 48
  OperatorHarness whole(MakeCounting);
  whole.AddOutput<int>();
  ASSERT_TRUE(whole.Open().ok());
  ASSERT_TRUE(whole.Process<int>({{1}, {64}, {64}}).ok());
  std::vector<Timed<int>> results;
  for (const std::uint32_t subtask : {0u, 1u}) {
    HarnessOptions options;
    options.subtask = subtask;
    options.parallelism = 2;
    OperatorHarness half(MakeCounting, options);
    half.AddOutput<int>();
    ASSERT_TRUE(half.Restore(whole.Snapshot()).ok());
    ASSERT_TRUE(half.Finish().ok());
    results.push_back(half.Take<int>().at(0));
  }
  EXPECT_THAT(results, ElementsAre(Timed<int>{101, kMaxTicks}, Timed<int>{6402, kMaxTicks}));
}

}  // namespace
}  // namespace weir::testing

#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "weir/batch.h"
#include "weir/graph.h"
#include "weir/metrics.h"
#include "weir/operator.h"
#include "weir/state_store.h"
#include "weir/time.h"

namespace weir::testing {

// A record and its timestamp; kMinTicks stands for none.
template <class T>
struct Timed {
  T value{};
  Ticks timestamp = kMinTicks;

  friend bool operator==(const Timed&, const Timed&) = default;
};

// How an operator is driven. What it puts out must not depend on it.
struct HarnessMode {
  std::string name = "as given";
  // Records a call of ProcessBatch; 0: all that one call of OperatorHarness::Process was given.
  std::size_t batch_size = 0;
  // Not 0: batches of 1 to 7 records, drawn from this seed.
  std::uint64_t random_batches_seed = 0;
  // Outputs say that they are blocked every other time they are asked.
  bool refuse_outputs = false;
  // Before each input the state is written and read into a new instance, which goes on.
  bool restore_between_inputs = false;
  // Keyed state that can be is kept in a StateStore, behind a cache that is nearly always full.
  bool in_store = false;
};

// Every combination that is worth a run: one by one, all at once, random batches, refusing,
// restoring, state in memory or in a store.
std::vector<HarnessMode> AllHarnessModes();

// The state of one subtask as bytes: keyed state by table, then key group, and the lists that
// belong to no key.
struct HarnessSnapshot {
  struct Table {
    std::string type;
    std::map<std::uint32_t, std::string> key_groups;
  };
  struct List {
    std::string type;
    Redistribution redistribution = Redistribution::kSplit;
    std::vector<std::string> items;
  };
  std::map<std::string, Table> tables;
  std::map<std::string, List> lists;
  // What the operator had been told; a new instance is told it before its state is read.
  Ticks watermark = kMinTicks;
};

// What subtask `subtask` of `parallelism` starts from when the subtasks of an operator left these
// snapshots, in their order (semantics rule 49): the key groups of all, of which it reads its own,
// its part of each list, and the least of the watermarks. `snapshots` is not empty.
HarnessSnapshot Rescaled(const std::vector<HarnessSnapshot>& snapshots, std::uint32_t subtask,
                         std::uint32_t parallelism);

struct HarnessOptions {
  std::string uid = "operator";
  std::uint32_t subtask = 0;
  std::uint32_t parallelism = 1;
  std::uint32_t max_parallelism = 128;
  Ticks processing_time = 0;
  HarnessMode mode;
  // Makes the store of each instance of the operator, with nothing in it. Null: a MapStateStore in
  // modes with `in_store`, else none.
  std::function<std::unique_ptr<StateStore>()> make_store;
  // As in the operator's NodeDefinition: watermarks wait in it for results. Passed() says how far
  // they have come.
  bool answers_later = false;
  // By input: fills the hashes of its batches; null or absent for an input that is not keyed.
  std::vector<std::shared_ptr<const KeyHasher>> hashers;
};

// A late record, and its key as JSON.
struct LateExample {
  LateRecord record;
  std::string key;
};

namespace internal {

// Collects the batches pushed to one port.
class CollectingOutput : public Output {
 public:
  bool Blocked() const override {
    if (!refuse_) return false;
    refused_last_ = !refused_last_;
    return refused_last_;
  }
  void set_refuse(bool refuse) { refuse_ = refuse; }

 private:
  bool refuse_ = false;
  mutable bool refused_last_ = false;
};

template <class T>
class TypedCollectingOutput final : public CollectingOutput {
 public:
  absl::Status Push(BatchBase& batch) override {
    auto* typed = dynamic_cast<Batch<T>*>(&batch);
    if (typed == nullptr) {
      return absl::InternalError("a batch of another type than AddOutput was given was pushed");
    }
    if (!typed->timestamps.empty() && typed->timestamps.size() != typed->records.size()) {
      return absl::InternalError(
          "a batch was pushed whose timestamps are fewer or more than its records");
    }
    for (std::size_t i = 0; i < typed->records.size(); ++i) {
      collected.push_back({std::move(typed->records[i]), typed->TimestampAt(i)});
    }
    typed->Clear();
    return absl::OkStatus();
  }
  std::vector<Timed<T>> collected;
};

}  // namespace internal

// Runs one subtask of any operator by itself, on the caller's thread, under a clock that the caller
// moves. It keeps the rules that the runtime keeps: a call that stopped for a blocked output is
// made again before anything else, the watermark only grows, a processing-time wakeup for T comes
// once the clock is past T (semantics rule 20), and what user code throws becomes a status that
// names the operator.
//
//   OperatorHarness harness([] { return std::make_unique<MyOperator>(); }, options);
//   harness.AddOutput<Result>();                       // port 0, then the side outputs
//   ASSERT_TRUE(harness.Open().ok());
//   ASSERT_TRUE(harness.Process<Click>({{{"ann", "/"}, 10}}).ok());
//   ASSERT_TRUE(harness.Watermark(20).ok());
//   EXPECT_THAT(harness.Take<Result>(), ElementsAre(...));
class OperatorHarness {
 public:
  using Factory = std::function<std::unique_ptr<Operator>()>;

  explicit OperatorHarness(Factory make, HarnessOptions options = {});
  // Closes the operator.
  ~OperatorHarness();
  OperatorHarness(const OperatorHarness&) = delete;
  OperatorHarness& operator=(const OperatorHarness&) = delete;

  // The next output port, before Open.
  template <class T>
  void AddOutput() {
    AddPort(std::make_unique<internal::TypedCollectingOutput<T>>());
  }
  absl::Status Open();

  // Gives records to an input, in batches as the mode says. Wakeups that the operator asked for a
  // time already past come after each batch.
  template <class T>
  absl::Status Process(std::vector<Timed<T>> records, std::size_t input = 0) {
    std::size_t begin = 0;
    while (begin < records.size()) {
      const std::size_t end = begin + NextBatchSize(records.size() - begin);
      Batch<T> batch;
      bool timed = false;
      for (std::size_t i = begin; i < end; ++i) timed = timed || records[i].timestamp != kMinTicks;
      for (std::size_t i = begin; i < end; ++i) {
        batch.records.emplace_back(std::move(records[i].value));
        if (timed) batch.timestamps.emplace_back(records[i].timestamp);
      }
      absl::Status status = ProcessBatch(input, batch);
      if (!status.ok()) return status;
      begin = end;
    }
    return absl::OkStatus();
  }
  // One ProcessBatch with exactly this batch.
  absl::Status ProcessBatch(std::size_t input, BatchBase& batch);
  // The combined watermark of all inputs. One that is not above the last is ignored (semantics rule
  // 23).
  absl::Status Watermark(Ticks watermark);
  // Moves the clock, and wakes the operator if that was due.
  absl::Status SetProcessingTime(Ticks now);
  // End of all inputs: watermark MAX, then Finish (semantics rule 22).
  absl::Status Finish();
  // Of an operator that answers later: has OnWake called if the operator asked for it meanwhile.
  absl::Status Wake();
  // The greatest watermark that has left the operator.
  Ticks passed() const { return passed_; }

  // What port `port` has put out since the last Take, in order.
  template <class T>
  std::vector<Timed<T>> Take(std::size_t port = 0) {
    auto* output = dynamic_cast<internal::TypedCollectingOutput<T>*>(ports_.at(port).get());
    std::vector<Timed<T>> taken;
    if (output != nullptr) taken.swap(output->collected);
    return taken;
  }

  HarnessSnapshot Snapshot() const;
  // Replaces the operator by a new one with this state: of each table, the key groups that this
  // subtask owns, and all items of each list. Processing time wakeups that are overdue come at
  // once. Fails if the new instance does not write the same bytes again.
  absl::Status Restore(const HarnessSnapshot& snapshot);
  // The two above: the operator goes on in a new instance.
  absl::Status SnapshotAndRestore();

  Operator& op() { return *operator_; }
  Ticks watermark() const { return watermark_; }
  // What the operator last asked for with WakeAt; kMaxTicks: nothing.
  Ticks wake_at() const;
  // Counters live on when the operator is restored.
  std::uint64_t late_records_dropped() const;
  // Every one that the operator said was late.
  const std::vector<LateExample>& late_records() const;
  std::uint64_t counter(std::string_view name) const;
  std::int64_t gauge(std::string_view name) const;
  // Lines that the operator logged, "level: text".
  const std::vector<std::string>& log() const;

 private:
  class Context;

  void AddPort(std::unique_ptr<internal::CollectingOutput> port);
  std::size_t NextBatchSize(std::size_t left);
  absl::Status Guard(std::string_view call, const std::function<absl::Status()>& body);
  // Makes `call` until it returns true.
  absl::Status RunToEnd(std::string_view name, const std::function<absl::StatusOr<bool>()>& call);
  absl::Status RestoreTables(const HarnessSnapshot& snapshot);
  absl::Status RestoreLists(const HarnessSnapshot& snapshot);
  absl::Status RestoreIfAsked();
  absl::Status FireDue();
  absl::Status OpenNew(Ticks watermark);
  absl::Status TellWatermark(Ticks watermark);

  const Factory make_;
  const HarnessOptions options_;
  std::unique_ptr<Context> context_;
  std::vector<std::unique_ptr<internal::CollectingOutput>> ports_;
  // Of the operator, which it outlives.
  std::unique_ptr<StateStore> store_;
  std::unique_ptr<Operator> operator_;
  Ticks watermark_ = kMinTicks;
  Ticks passed_ = kMinTicks;
  // Wait in an operator that answers later.
  std::deque<Ticks> held_;
  std::uint64_t random_state_ = 0;
  bool opened_ = false;
};

}  // namespace weir::testing

#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "weir/results.h"
#include "weir/state_codec.h"
#include "weir/thrown.h"
#include "weir/window_batch.h"

namespace weir::internal {

template <class T>
struct Reduced {
  T value{};
  bool set = false;
};

// Reduce as an aggregation whose partial result is the reduced record.
template <class T, class F>
struct ReduceAggregator {
  F f;
  using Accumulator = Reduced<T>;
  void Add(Accumulator& acc, const T& record) const {
    if (acc.set) {
      acc.value = std::invoke(f, std::as_const(acc.value), record);
    } else {
      acc.value = record;
      acc.set = true;
    }
  }
  void Merge(Accumulator& into, const Accumulator& later) const {
    if (later.set) Add(into, later.value);
  }
  T Result(const Accumulator& acc) const { return acc.value; }
};

// An aggregation over all records of a key so far, with a result for each record.
template <class K, class T, class Out, class Key, class Aggregator, class MakeResult>
class RunningOperator final : public Operator {
 public:
  using Accumulator = typename Aggregator::Accumulator;

  RunningOperator(Key key, Aggregator aggregator, MakeResult make_result,
                  std::shared_ptr<const SidePorts> ports)
      : key_(std::move(key)),
        aggregator_(std::move(aggregator)),
        make_result_(std::move(make_result)),
        ports_(std::move(ports)) {}

  static StateDefinition DescribeState() {
    return NamedTable<K, Accumulator>::Describe("accumulators");
  }

  absl::Status Open(OperatorContext& context) override {
    context_ = &context;
    results_.Open(context, ports_);
    state_ =
        std::make_unique<Table>("accumulators", context.key_groups(), context.max_parallelism(),
                                RecordLayout<Accumulator>(), context.state_store());
    return absl::OkStatus();
  }

  absl::Status ProcessBatch(std::size_t, BatchBase& base) override {
    auto& batch = static_cast<Batch<T>&>(base);
    if (batch.hashes.empty()) HashBatch(batch, key_);
    if (auto* const stored = state_->in_store(); stored != nullptr) {
      keys_.Of(batch.records, key_);
      stored->Load(keys_.data(), batch.hashes.data(), batch.records.size());
      Add(batch, *stored);
    } else {
      state_->table.WillFind({batch.hashes.data(), batch.hashes.size()});
      Add(batch, state_->table);
    }
    return results_.Flush();
  }

  std::vector<KeyedStateTable*> keyed_state() override { return {state_.get()}; }

 private:
  using Table = NamedTable<K, Accumulator>;

  template <class Entries>
  void Add(Batch<T>& batch, Entries& entries) {
    const std::size_t n = batch.records.size();
    for (std::size_t i = 0; i < n; ++i) entries.Prefetch(batch.hashes[i]);
    std::size_t i = 0;
    try {
      for (; i < n; ++i) {
        const T& record = batch.records[i];
        const K& key = std::invoke(key_, record);
        Accumulator& acc = *entries.FindOrInsert(key, batch.hashes[i]).first;
        if constexpr (std::is_same_v<Entries, KeyedTable<K, Accumulator>>)
          entries.MarkChanged(&acc, batch.hashes[i]);
        aggregator_.Add(acc, record);
        results_.Emit(make_result_(key, aggregator_.Result(acc)), batch.TimestampAt(i));
      }
    } catch (...) {
      TellThrownOn(*context_, key_, batch.records[i]);
      throw;
    }
  }

  Key key_;
  Aggregator aggregator_;
  MakeResult make_result_;
  std::shared_ptr<const SidePorts> ports_;
  OperatorContext* context_ = nullptr;
  Results<Out> results_;
  std::unique_ptr<Table> state_;
  BatchKeys<K> keys_;
};

}  // namespace weir::internal

#pragma once

#include <utility>

#include "weir/batch.h"
#include "weir/functions.h"
#include "weir/operator.h"

namespace weir::internal {

// A whole chain of Map, Filter and FlatMap as one loop over a batch. Each result has the timestamp
// of the record it comes from.
template <class Out, class Stage>
class FusedOperator final : public Operator {
 public:
  using In = typename Stage::In;

  explicit FusedOperator(Stage stage) : stage_(std::move(stage)) {}

  absl::Status Open(OperatorContext& context) override {
    output_ = &context.output(0);
    FunctionContext function_context(context);
    opened_ = true;
    stage_.Open(function_context);
    return absl::OkStatus();
  }

  absl::Status ProcessBatch(std::size_t, BatchBase& base) override {
    auto& batch = static_cast<Batch<In>&>(base);
    out_.Clear();
    if constexpr (Stage::kMaxOne) {
      if (batch.timestamps.empty()) {
        RunReserved<false>(batch);
      } else {
        RunReserved<true>(batch);
      }
    } else {
      const bool stamped = !batch.timestamps.empty();
      for (std::size_t i = 0; i < batch.records.size(); ++i) {
        stage_.Apply(std::move(batch.records[i]), [&](Out&& result) {
          out_.records.emplace_back(std::move(result));
          if (stamped) out_.timestamps.emplace_back(batch.timestamps[i]);
        });
        if (out_.records.size() >= kBatchRecords) {
          WEIR_SDK_RETURN_IF_ERROR(output_->Push(out_));
          out_.Clear();
        }
      }
    }
    return out_.empty() ? absl::OkStatus() : output_->Push(out_);
  }

  void Close() override {
    if (opened_) stage_.Close();
    opened_ = false;
  }

 private:
  // Counts what has been constructed also when user code throws.
  struct SizeGuard {
    Batch<Out>& batch;
    std::size_t& records;
    std::size_t& timestamps;
    ~SizeGuard() {
      batch.records.set_size(records);
      batch.timestamps.set_size(timestamps);
    }
  };

  template <bool kStamped>
  void RunReserved(Batch<In>& batch) {
    const std::size_t n = batch.records.size();
    out_.records.reserve(n);
    if constexpr (kStamped) out_.timestamps.reserve(n);
    Out* const to = out_.records.data();
    Ticks* const times = out_.timestamps.data();
    In* const from = batch.records.data();
    const Ticks* const from_times = batch.timestamps.data();
    std::size_t m = 0;
    std::size_t stamped = 0;
    SizeGuard guard{out_, m, stamped};
    for (std::size_t i = 0; i < n; ++i) {
      stage_.Apply(std::move(from[i]), [&](Out&& result) __attribute__((always_inline)) {
        ::new (static_cast<void*>(to + m)) Out(std::move(result));
        if constexpr (kStamped) {
          times[m] = from_times[i];
          ++stamped;
        }
        ++m;
      });
    }
  }

  Stage stage_;
  Output* output_ = nullptr;
  bool opened_ = false;
  Batch<Out> out_;
};

}  // namespace weir::internal

#pragma once

#include <type_traits>
#include <utility>

#include "weir/batch.h"
#include "weir/operator.h"
#include "weir/stages.h"
#include "weir/thrown.h"

namespace weir::internal {

// Of a chain of steps; nothing if they may have taken the record's contents.
template <class Stage, class T>
void TellThrownIn(OperatorContext& context, const T& record) {
  if constexpr (Stage::kLeavesInput || std::is_trivially_copyable_v<T>)
    TellThrownOn(context, record);
}

// A whole chain of Map, Filter and FlatMap as one loop over a batch. Each result has the timestamp
// of the record it comes from.
template <class Out, class Stage>
class FusedOperator final : public Operator {
 public:
  using In = typename Stage::In;

  explicit FusedOperator(Stage stage) : stage_(std::move(stage)) {}

  absl::Status Open(OperatorContext& context) override {
    context_ = &context;
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
      std::size_t i = 0;
      try {
        for (; i < batch.records.size(); ++i) {
          stage_.Apply(std::move(batch.records[i]), [&](Out&& result) {
            out_.records.emplace_back(std::move(result));
            if (stamped) out_.timestamps.emplace_back(batch.timestamps[i]);
          });
          if (out_.records.size() >= kBatchRecords) {
            WEIR_SDK_RETURN_IF_ERROR(output_->Push(out_));
            out_.Clear();
          }
        }
      } catch (...) {
        TellThrownIn<Stage>(*context_, batch.records[i]);
        throw;
      }
    }
    return out_.empty() ? absl::OkStatus() : output_->Push(out_);
  }

  bool LeavesInput() const override {
    return Stage::kLeavesInput && (!Stage::kPassesInput || std::is_trivially_copyable_v<In>);
  }

  void Close() override {
    if (opened_) stage_.Close();
    opened_ = false;
  }

 private:
  template <bool kStamped>
  void RunReserved(Batch<In>& batch) {
    const std::size_t n = batch.records.size();
    out_.records.reserve(n);
    if constexpr (kStamped) out_.timestamps.reserve(n);
    if constexpr (std::is_trivially_destructible_v<Out>) {
      const std::size_t made = Run<kStamped>(batch, n, [](std::size_t) {});
      out_.records.set_size(made);
      if constexpr (kStamped) out_.timestamps.set_size(made);
    } else {
      // Counted one by one, so that what has been constructed is destroyed also when user code
      // throws.
      Run<kStamped>(batch, n, [this](std::size_t made) {
        out_.records.set_size(made);
        if constexpr (kStamped) out_.timestamps.set_size(made);
      });
    }
  }

  template <bool kStamped, class Counted>
  std::size_t Run(Batch<In>& batch, std::size_t n, Counted counted) {
    Out* const to = out_.records.data();
    Ticks* const times = out_.timestamps.data();
    In* const from = batch.records.data();
    const Ticks* const from_times = batch.timestamps.data();
    std::size_t made = 0;
    std::size_t i = 0;
    try {
      for (; i < n; ++i) {
        stage_.Apply(std::move(from[i]), [&](Out&& result) __attribute__((always_inline)) {
          ::new (static_cast<void*>(to + made)) Out(std::move(result));
          if constexpr (kStamped) times[made] = from_times[i];
          ++made;
          counted(made);
        });
      }
    } catch (...) {
      TellThrownIn<Stage>(*context_, from[i]);
      throw;
    }
    return made;
  }

  Stage stage_;
  OperatorContext* context_ = nullptr;
  Output* output_ = nullptr;
  bool opened_ = false;
  Batch<Out> out_;
};

}  // namespace weir::internal

#pragma once

#include <concepts>
#include <cstddef>
#include <functional>
#include <type_traits>
#include <utility>

#include "weir/batch.h"
#include "weir/functions.h"
#include "weir/fused_operator.h"
#include "weir/source.h"
#include "weir/stages.h"

namespace weir {

// A sink that is a function: stream.To("alarm", weir::ForEach{[](const Alert& a) { ... }}). f is
// called with each record, in the loop of the Map, Filter and FlatMap steps before it. It runs on
// the task's thread and must not block for long; an exception fails the job. After a restart
// records since the last checkpoint come again.
//
// Every subtask has a copy of f. A rich one has, all optional, `void Open(weir::FunctionContext&)`,
// `void Flush()` (nothing more to read for now, or the latency bound has passed), `void Finish()`
// (after the last record of a bounded input) and `void Close()` (last, also after a failure).
template <class F>
struct ForEach {
  F f;
};
template <class F>
ForEach(F) -> ForEach<F>;

namespace internal {

template <class C>
inline constexpr bool kIsForEach = false;
template <class F>
inline constexpr bool kIsForEach<ForEach<F>> = true;

template <class C, class T>
inline constexpr bool kTakesEach = false;
template <class F, class T>
inline constexpr bool kTakesEach<ForEach<F>, T> = UnaryFunction<F, T>;

// A chain of steps and the function at its end as one loop.
template <class Out, class Stage, class F>
class FusedSink final : public SinkWriter {
 public:
  using In = typename Stage::In;

  FusedSink(Stage stage, F f) : stage_(std::move(stage)), f_(std::move(f)) {}

  absl::Status Open(OperatorContext& context) override {
    context_ = &context;
    FunctionContext function_context(context);
    opened_ = true;
    stage_.Open(function_context);
    OpenFunction(f_, function_context);
    return absl::OkStatus();
  }

  absl::Status Write(BatchBase& base) override {
    auto& records = static_cast<Batch<In>&>(base).records;
    In* const from = records.data();
    const std::size_t n = records.size();
    std::size_t i = 0;
    try {
      for (; i < n; ++i) {
        stage_.Apply(std::move(from[i]), [this](Out&& result) __attribute__((always_inline)) {
          std::invoke(f_, std::move(result));
        });
      }
    } catch (...) {
      if constexpr (kLeaves<Stage, Out, F> || std::is_trivially_copyable_v<In>)
        TellThrownOn(*context_, from[i]);
      throw;
    }
    base.Clear();
    return absl::OkStatus();
  }

  bool Blocked() const override { return false; }

  absl::Status Flush() override {
    if constexpr (requires { f_.Flush(); }) f_.Flush();
    return absl::OkStatus();
  }

  absl::StatusOr<bool> Finish() override {
    if constexpr (requires { f_.Finish(); }) f_.Finish();
    return true;
  }

  void Close() override {
    if (!opened_) return;
    opened_ = false;
    stage_.Close();
    CloseFunction(f_);
  }

 private:
  Stage stage_;
  F f_;
  OperatorContext* context_ = nullptr;
  bool opened_ = false;
};

}  // namespace internal
}  // namespace weir

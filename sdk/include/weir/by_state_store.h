#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "weir/operator.h"

namespace weir::internal {

// One of two operators with the same results and the same states, as soon as it is known where
// state is kept.
class ByStateStore final : public Operator {
 public:
  // make(in_store) makes it.
  explicit ByStateStore(std::function<std::unique_ptr<Operator>(bool)> make)
      : make_(std::move(make)) {}

  absl::Status Open(OperatorContext& context) override {
    chosen_ = make_(context.state_store() != nullptr);
    return chosen_->Open(context);
  }
  absl::Status ProcessBatch(std::size_t input, BatchBase& batch) override {
    return chosen_->ProcessBatch(input, batch);
  }
  absl::StatusOr<bool> OnWatermark(Ticks watermark) override {
    return chosen_->OnWatermark(watermark);
  }
  absl::StatusOr<bool> OnProcessingTime(Ticks now) override {
    return chosen_->OnProcessingTime(now);
  }
  absl::StatusOr<bool> Finish() override { return chosen_->Finish(); }
  void Close() override {
    if (chosen_ != nullptr) chosen_->Close();
  }
  std::vector<KeyedStateTable*> keyed_state() override {
    return chosen_ != nullptr ? chosen_->keyed_state() : std::vector<KeyedStateTable*>();
  }
  bool ListWindows(WindowListing& listing) override { return chosen_->ListWindows(listing); }

 private:
  const std::function<std::unique_ptr<Operator>(bool)> make_;
  std::unique_ptr<Operator> chosen_;
};

}  // namespace weir::internal

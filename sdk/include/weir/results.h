#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/batch.h"
#include "weir/codec.h"
#include "weir/graph_builder.h"
#include "weir/operator.h"
#include "weir/side_output.h"

namespace weir::internal {

// Gathers what a stateful operator puts out, in batches, for the main and the side outputs. The
// first error of a Push is kept and returned by Flush, so that emitting needs no status for each
// record. Owned by the operator.
template <class Out>
class Results {
 public:
  void Open(OperatorContext& context, std::shared_ptr<const SidePorts> ports) {
    context_ = &context;
    main_ = &context.output(0);
    ports_ = std::move(ports);
    for (const OutputDefinition& side : ports_->sides) {
      sides_.push_back(
          {side.tag, side.type, &context.output(sides_.size() + 1), side.type->NewBatch()});
    }
  }

  void Emit(Out record, Ticks timestamp) {
    batch_.records.emplace_back(std::move(record));
    batch_.timestamps.emplace_back(timestamp);
    if (batch_.records.size() >= kBatchRecords) PushMain();
  }

  // Drops the record if nobody reads the side output.
  template <class U>
  void EmitSide(const SideOutput<U>& tag, U record, Ticks timestamp) {
    for (Side& side : sides_) {
      if (side.tag != tag.name) continue;
      if (side.type != &RecordTypeOf<U>()) {
        Keep(absl::FailedPreconditionError(
            "side output '" + side.tag + "' is written with another record type than it is read"));
        return;
      }
      auto& batch = static_cast<Batch<U>&>(*side.batch);
      batch.records.emplace_back(std::move(record));
      batch.timestamps.emplace_back(timestamp);
      if (batch.records.size() >= kBatchRecords) PushSide(side);
      return;
    }
  }
  bool HasSide(std::string_view tag) const { return ports_->PortOf(tag) != 0; }

  // Pushes what is gathered. Side outputs first: what was late stands before what came of the rest.
  absl::Status Flush() {
    for (Side& side : sides_) {
      if (!side.batch->empty()) PushSide(side);
    }
    if (!batch_.empty()) PushMain();
    return std::exchange(error_, absl::OkStatus());
  }

  bool Blocked() const {
    if (main_->Blocked()) return true;
    for (const Side& side : sides_) {
      if (side.output->Blocked()) return true;
    }
    return false;
  }

 private:
  struct Side {
    std::string tag;
    const RecordType* type;
    Output* output;
    std::unique_ptr<BatchBase> batch;
  };

  void Keep(absl::Status status) {
    if (error_.ok()) error_ = std::move(status);
  }
  void PushMain() {
    Keep(main_->Push(batch_));
    batch_.Clear();
  }
  void PushSide(Side& side) {
    Keep(side.output->Push(*side.batch));
    side.batch->Clear();
  }

  OperatorContext* context_ = nullptr;
  Output* main_ = nullptr;
  std::shared_ptr<const SidePorts> ports_;
  std::vector<Side> sides_;
  Batch<Out> batch_;
  absl::Status error_;
};

}  // namespace weir::internal

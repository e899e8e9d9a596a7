#include "runtime/task/restored_input.h"

#include <utility>

#include "common/base/status_macros.h"
#include "runtime/exchange/data_message.h"
#include "weir/hash.h"

namespace weir {

void RestoredInput::Add(const Channel& channel, std::string elements) {
  queues_.push_back({channel, InFlightReader(std::move(elements))});
}

absl::Status RestoredInput::Poll(Element& element, size_t& channel) {
  element = Element{};
  for (; at_ < queues_.size(); ++at_) {
    Queue& queue = queues_[at_];
    channel = queue.channel.index;
    InFlightReader::Element read;
    while (true) {
      WEIR_ASSIGN_OR_RETURN(const bool more, queue.reader.Next(read));
      if (!more) break;
      if (read.records > 0) return Decode(queue.channel, read, element);
      if (read.watermark == kMaxTicks) continue;
      element.kind = ElementKind::kWatermark;
      element.time = read.watermark;
      return absl::OkStatus();
    }
    queue.reader = InFlightReader("");
  }
  return absl::OkStatus();
}

absl::Status RestoredInput::Decode(const Channel& channel, const InFlightReader::Element& from,
                                   Element& to) {
  const RecordOwner& owner = channel.owner;
  to.batch = owner.type->NewBatch();
  WEIR_RETURN_IF_ERROR(DecodeMessage(*owner.type, from.message, from.records, *to.batch));
  if (owner.hasher != nullptr) {
    owner.hasher->Hash(*to.batch);
    for (const uint64_t hash : to.batch->hashes) {
      if (owner.key_groups.Contains(KeyGroupOf(hash, owner.max_parallelism))) continue;
      return absl::FailedPreconditionError(
          "records that were in flight at the checkpoint have another key now: start from a "
          "savepoint, which holds none");
    }
  }
  to.kind = ElementKind::kBatch;
  to.bytes = from.message.size();
  return absl::OkStatus();
}

std::vector<std::string> RestoredInput::Rest(size_t channels) const {
  std::vector<std::string> rest(channels);
  for (size_t i = at_; i < queues_.size(); ++i) {
    rest[queues_[i].channel.index] += queues_[i].reader.rest();
  }
  return rest;
}

}  // namespace weir

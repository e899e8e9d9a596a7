#include "runtime/task/rewired_records.h"

#include <vector>

#include "common/base/status_macros.h"
#include "runtime/exchange/data_message.h"
#include "runtime/exchange/in_flight.h"
#include "weir/hash.h"

namespace weir {
namespace {

// Appends what of one message is the owner's.
absl::Status AppendOwn(const InFlightReader::Element& element, KeyGroupRange former,
                       const RecordOwner& owner, std::string& own) {
  const std::unique_ptr<BatchBase> batch = owner.type->NewBatch();
  WEIR_RETURN_IF_ERROR(DecodeMessage(*owner.type, element.message, element.records, *batch));
  owner.hasher->Hash(*batch);
  std::vector<uint32_t> targets;
  size_t mine = 0;
  for (const uint64_t hash : batch->hashes) {
    const uint32_t group = KeyGroupOf(hash, owner.max_parallelism);
    if (!former.Contains(group)) {
      return absl::FailedPreconditionError(
          "records that were in flight at the checkpoint have another key now: start from a "
          "savepoint, which holds none");
    }
    const bool is_mine = owner.key_groups.Contains(group);
    targets.push_back(is_mine ? 0 : 1);
    mine += is_mine ? 1 : 0;
  }
  if (mine == 0) return absl::OkStatus();
  if (mine == targets.size()) {
    AppendInFlightData(own, false, element.records, element.message);
    return absl::OkStatus();
  }
  const std::unique_ptr<BatchBase> kept = owner.type->NewBatch();
  const std::unique_ptr<BatchBase> others = owner.type->NewBatch();
  BatchBase* const parts[] = {kept.get(), others.get()};
  owner.type->Scatter(*batch, targets.data(), parts);
  AppendInFlightBatch(own, *owner.type, *kept);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> OwnRecords(const OperatorState::Rewired& rewired,
                                       const RecordOwner& owner) {
  std::string own;
  for (const OperatorState::Rewired::Channel& channel : rewired.channels) {
    InFlightReader reader(channel.elements);
    InFlightReader::Element element;
    while (true) {
      WEIR_ASSIGN_OR_RETURN(const bool more, reader.Next(element));
      if (!more) break;
      if (element.records == 0) continue;
      if (owner.hasher == nullptr) {
        AppendInFlightData(own, false, element.records, element.message);
      } else {
        WEIR_RETURN_IF_ERROR(AppendOwn(element, channel.key_groups, owner, own));
      }
    }
  }
  return own;
}

}  // namespace weir

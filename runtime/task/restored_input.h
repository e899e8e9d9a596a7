#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/exchange/channel.h"
#include "runtime/exchange/in_flight.h"
#include "runtime/task/rewired_records.h"

namespace weir {

// What was on its way to a task at the unaligned barrier of the checkpoint that it starts from:
// read before anything that comes new, channel by channel, in order. Owned by the task's thread.
//
// Watermarks count as those of the channel, but for the last, MAX: like the news of idleness, which
// is not kept, it comes again from the restored sender. So no watermark is ahead of what it would
// have been.
class RestoredInput {
 public:
  struct Channel {
    // Its index in the gate.
    size_t index = 0;
    // All keyed records must be the owner's.
    RecordOwner owner;
  };

  // In the order in which they are read.
  void Add(const Channel& channel, std::string elements);
  bool empty() const { return at_ == queues_.size(); }
  // Takes the next batch or watermark, and says of which channel; kNone: nothing is left.
  // kDataLoss: it cannot be decoded; kFailedPrecondition: it belongs to another subtask.
  absl::Status Poll(Element& element, size_t& channel);
  // By channel of the gate, of which there are so many: what is to be read yet.
  std::vector<std::string> Rest(size_t channels) const;

 private:
  struct Queue {
    Channel channel;
    InFlightReader reader;
  };
  static absl::Status Decode(const Channel& channel, const InFlightReader::Element& from,
                             Element& to);

  std::vector<Queue> queues_;
  size_t at_ = 0;
};

}  // namespace weir

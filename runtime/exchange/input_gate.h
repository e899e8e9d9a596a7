#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "runtime/exchange/channel.h"
#include "runtime/exchange/ready_set.h"

namespace weir {

// All the channels that one task reads, taken in turns: one element from each that has some. Owned
// by the task's thread.
class InputGate {
 public:
  explicit InputGate(size_t channels) : ready_(channels) {}

  // In the order of the indices that they mark in ready(); as many as said. They outlive the gate's
  // use.
  void Add(InputChannel* channel) { channels_.push_back(channel); }
  ReadySet& ready() { return ready_; }

  // Takes the next element and says from which channel; kNone if all are empty.
  absl::Status Poll(Element& element, size_t& channel) {
    while (ready_.Next(next_, channel)) {
      next_ = channel + 1 == channels_.size() ? 0 : channel + 1;
      absl::Status status = channels_[channel]->Poll(element);
      if (!status.ok() || element.kind != ElementKind::kNone) return status;
    }
    element.kind = ElementKind::kNone;
    return absl::OkStatus();
  }
  size_t channels() const { return channels_.size(); }
  InputChannel& channel(size_t channel) { return *channels_[channel]; }
  void Recycle(size_t channel, std::unique_ptr<BatchBase> batch) {
    channels_[channel]->Recycle(std::move(batch));
  }

 private:
  ReadySet ready_;
  std::vector<InputChannel*> channels_;
  size_t next_ = 0;
};

}  // namespace weir

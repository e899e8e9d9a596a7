#include "runtime/exchange/partitioned_output.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "weir/hash.h"

namespace weir {

PartitionedOutput::PartitionedOutput(const RecordType& type, Options options,
                                     std::vector<OutputChannel*> channels, Counter& records_out)
    : type_(type),
      options_(std::move(options)),
      channels_(std::move(channels)),
      records_out_(records_out) {
  WEIR_CHECK(!channels_.empty());
  WEIR_CHECK((options_.partitioning == Partitioning::kHash) == (options_.hasher != nullptr));
  for (size_t i = 0; i < channels_.size(); ++i) {
    buffers_.push_back(type_.NewBatch());
    raw_buffers_.push_back(buffers_.back().get());
  }
  counts_.resize(channels_.size());
  if (options_.partitioning == Partitioning::kHash) {
    const auto parallelism = static_cast<uint32_t>(channels_.size());
    for (uint32_t group = 0; group < options_.max_parallelism; ++group) {
      subtask_of_key_group_.push_back(SubtaskOf(group, options_.max_parallelism, parallelism));
    }
  }
}

bool PartitionedOutput::Blocked() const {
  for (const OutputChannel* channel : channels_) {
    if (may_exceed_ ? channel->Overfull() : channel->Blocked()) return true;
  }
  return false;
}

absl::Status PartitionedOutput::Push(BatchBase& batch) {
  if (batch.empty()) return absl::OkStatus();
  records_out_.Add(batch.size());
  buffered_ = true;
  // Hashes are those of the key of this edge, or none.
  batch.hashes.clear();
  if (options_.hasher != nullptr) options_.hasher->Hash(batch);
  if (channels_.size() == 1) return PushToOne(batch, 0);
  switch (options_.partitioning) {
    case Partitioning::kForward:
      return PushToOne(batch, 0);
    case Partitioning::kHash:
      return PushByHash(batch);
    case Partitioning::kRebalance:
      return PushInTurns(batch);
    case Partitioning::kBroadcast:
      return PushToAll(batch);
  }
  return absl::InternalError("unknown partitioning");
}

absl::Status PartitionedOutput::PushToOne(BatchBase& batch, size_t channel) {
  BatchBase* buffer = raw_buffers_[channel];
  if (!buffer->empty() && buffer->size() + batch.size() > options_.batch_records) {
    WEIR_RETURN_IF_ERROR(SendBuffer(channel));
    buffer = raw_buffers_[channel];
  }
  type_.MoveAll(batch, *buffer);
  // Half full is enough: waiting for the rest would cost a move of every record.
  if (buffer->size() * 2 >= options_.batch_records) return SendBuffer(channel);
  return absl::OkStatus();
}

absl::Status PartitionedOutput::PushByHash(BatchBase& batch) {
  const size_t size = batch.size();
  targets_.resize(size);
  const uint64_t* hashes = batch.hashes.data();
  for (size_t i = 0; i < size; ++i) {
    targets_[i] = subtask_of_key_group_[KeyGroupOf(hashes[i], options_.max_parallelism)];
  }
  return Scatter(batch);
}

absl::Status PartitionedOutput::PushInTurns(BatchBase& batch) {
  const size_t size = batch.size();
  targets_.resize(size);
  const auto channels = static_cast<uint32_t>(channels_.size());
  for (size_t i = 0; i < size; ++i) {
    targets_[i] = next_channel_;
    if (++next_channel_ == channels) next_channel_ = 0;
  }
  return Scatter(batch);
}

absl::Status PartitionedOutput::Scatter(BatchBase& batch) {
  std::fill(counts_.begin(), counts_.end(), 0);
  for (const uint32_t target : targets_) ++counts_[target];
  for (size_t i = 0; i < counts_.size(); ++i) {
    if (!raw_buffers_[i]->empty() &&
        raw_buffers_[i]->size() + counts_[i] > options_.batch_records) {
      WEIR_RETURN_IF_ERROR(SendBuffer(i));
    }
  }
  type_.Scatter(batch, targets_.data(), raw_buffers_.data());
  for (size_t i = 0; i < counts_.size(); ++i) {
    if (raw_buffers_[i]->size() >= options_.batch_records) WEIR_RETURN_IF_ERROR(SendBuffer(i));
  }
  return absl::OkStatus();
}

absl::Status PartitionedOutput::PushToAll(BatchBase& batch) {
  const size_t size = batch.size();
  for (size_t i = 0; i + 1 < channels_.size(); ++i) {
    if (!raw_buffers_[i]->empty() && raw_buffers_[i]->size() + size > options_.batch_records) {
      WEIR_RETURN_IF_ERROR(SendBuffer(i));
    }
    type_.CopyRange(batch, 0, size, *raw_buffers_[i]);
    if (raw_buffers_[i]->size() * 2 >= options_.batch_records) WEIR_RETURN_IF_ERROR(SendBuffer(i));
  }
  return PushToOne(batch, channels_.size() - 1);
}

absl::Status PartitionedOutput::SendBuffer(size_t channel) {
  absl::Status status = channels_[channel]->SendBatch(buffers_[channel]);
  raw_buffers_[channel] = buffers_[channel].get();
  sent_ = true;
  return status;
}

absl::Status PartitionedOutput::Flush() {
  if (std::exchange(buffered_, false)) {
    for (size_t i = 0; i < buffers_.size(); ++i) {
      if (!buffers_[i]->empty()) WEIR_RETURN_IF_ERROR(SendBuffer(i));
    }
  }
  FlushSent();
  return absl::OkStatus();
}

void PartitionedOutput::FlushSent() {
  if (!std::exchange(sent_, false)) return;
  for (OutputChannel* channel : channels_) channel->Flush();
}

absl::Status PartitionedOutput::SendEvent(const Event& event) {
  WEIR_RETURN_IF_ERROR(Flush());
  for (OutputChannel* channel : channels_) channel->SendEvent(event);
  return absl::OkStatus();
}

bool PartitionedOutput::BarrierWaits() const {
  return std::any_of(channels_.begin(), channels_.end(),
                     [](const OutputChannel* channel) { return channel->BarrierWaits(); });
}

void PartitionedOutput::OvertakeWithBarrier(std::vector<OperatorState::InFlight>& in_flight) {
  for (size_t i = 0; i < channels_.size(); ++i) {
    std::string elements;
    channels_[i]->OvertakeWithBarrier(elements);
    if (elements.empty()) continue;
    const uint32_t to = options_.partitioning == Partitioning::kForward ? options_.subtask
                                                                        : static_cast<uint32_t>(i);
    in_flight.push_back({options_.edge, options_.subtask, to, true, std::move(elements)});
  }
}

}  // namespace weir

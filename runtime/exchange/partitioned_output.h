#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/exchange/channel.h"
#include "weir/graph.h"
#include "weir/metrics.h"
#include "weir/operator.h"
#include "weir/record_type.h"

namespace weir {

// Spreads the records of one edge over its channels, by way of one buffer a channel: full buffers
// leave at once, others at Flush, before an event, or when the next records would not fit. Owned by
// the producing task's thread.
class PartitionedOutput final : public Output {
 public:
  struct Options {
    Partitioning partitioning = Partitioning::kForward;
    // kHash: the key's hash chooses the channel. Null otherwise.
    std::shared_ptr<const KeyHasher> hasher;
    uint32_t max_parallelism = 128;
    // Records a buffer holds at most, unless one Push brings more.
    size_t batch_records = kBatchRecords;
    // Which edge of the graph it is, from which subtask.
    uint32_t edge = 0;
    uint32_t subtask = 0;
  };

  // `channels`: by subtask of the consumer; one for kForward. All outlive it.
  PartitionedOutput(const RecordType& type, Options options, std::vector<OutputChannel*> channels,
                    Counter& records_out);

  absl::Status Push(BatchBase& batch) override;
  // While any of the channels is: a record may go to each.
  bool Blocked() const override;

  // Sends what is buffered and has it leave.
  absl::Status Flush();
  // Has full buffers that were sent leave, and keeps the others.
  void FlushSent();
  // After all that was pushed before, to every channel.
  absl::Status SendEvent(const Event& event);

  // Whether the barrier that was sent last waits behind records at this end of some channel.
  bool BarrierWaits() const;
  // Has it overtake them; they are appended.
  void OvertakeWithBarrier(std::vector<OperatorState::InFlight>& in_flight);
  // While `may`, Blocked is what Overfull of the channels says: an operator may finish what it is
  // at, so that a barrier can be passed on.
  void SetMayExceed(bool may) { may_exceed_ = may; }

 private:
  absl::Status PushToOne(BatchBase& batch, size_t channel);
  absl::Status PushByHash(BatchBase& batch);
  absl::Status PushInTurns(BatchBase& batch);
  absl::Status PushToAll(BatchBase& batch);
  // Moves record i to the buffer of channel targets_[i].
  absl::Status Scatter(BatchBase& batch);
  absl::Status SendBuffer(size_t channel);

  const RecordType& type_;
  const Options options_;
  const std::vector<OutputChannel*> channels_;
  Counter& records_out_;
  std::vector<std::unique_ptr<BatchBase>> buffers_;
  std::vector<BatchBase*> raw_buffers_;
  std::vector<uint32_t> subtask_of_key_group_;
  std::vector<uint32_t> targets_;
  std::vector<uint32_t> counts_;
  uint32_t next_channel_ = 0;
  bool may_exceed_ = false;
  bool buffered_ = false;
  bool sent_ = false;
};

}  // namespace weir

#include "runtime/task/chain_node.h"

#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "weir/hash.h"

namespace weir {

ChainNode::ChainNode(uint32_t index, const NodeDefinition& definition, std::string uid,
                     SubtaskInfo info, TaskSignals& task, TaskClock& clock, const LogFunction& log)
    : index_(index),
      definition_(definition),
      uid_(std::move(uid)),
      info_(info),
      task_(task),
      clock_(clock),
      log_(log) {}

KeyGroupRange ChainNode::key_groups() const {
  return KeyGroupRangeOf(info_.subtask, info_.max_parallelism, info_.parallelism);
}

Output& ChainNode::output(size_t port) {
  WEIR_CHECK_LT(port, ports.size());
  return *ports[port];
}

void ChainNode::Log(std::string_view level, std::string_view text) {
  if (log_) log_(uid_, level, text);
}

absl::Status ChainedOutput::Push(BatchBase& batch) {
  const size_t records = batch.size();
  if (records == 0) return absl::OkStatus();
  records_out_.Add(records);
  to_.node_metrics.records_in.Add(records);
  const CrashContext former = to_.Enter();
  batch.hashes.clear();
  absl::Status status = to_.op->ProcessBatch(input_, batch);
  ThisThreadCrashContext() = former;
  if (!status.ok() && failed_in_ == nullptr) failed_in_ = &to_;
  batch.Clear();
  return status;
}

bool ChainedOutput::Blocked() const {
  if (to_.definition().kind == NodeKind::kSink)
    return static_cast<SinkOperator&>(*to_.op).Blocked();
  for (const auto& port : to_.ports) {
    if (port->Blocked()) return true;
  }
  return false;
}

TeeOutput::TeeOutput(const RecordType& type, std::vector<std::unique_ptr<Output>> outputs,
                     Counter& records_out)
    : type_(type),
      outputs_(std::move(outputs)),
      records_out_(records_out),
      copy_(type.NewBatch()) {}

absl::Status TeeOutput::Push(BatchBase& batch) {
  records_out_.Add(batch.size());
  for (size_t i = 0; i + 1 < outputs_.size(); ++i) {
    copy_->Clear();
    type_.CopyRange(batch, 0, batch.size(), *copy_);
    WEIR_RETURN_IF_ERROR(outputs_[i]->Push(*copy_));
  }
  return outputs_.back()->Push(batch);
}

bool TeeOutput::Blocked() const {
  for (const auto& output : outputs_) {
    if (output->Blocked()) return true;
  }
  return false;
}

}  // namespace weir

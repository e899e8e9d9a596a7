#include "runtime/task/chain_node.h"

#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "weir/hash.h"

namespace weir {

namespace {

class ExecutorThread final : public OperatorThread {
 public:
  explicit ExecutorThread(std::unique_ptr<Executor> executor) : executor_(std::move(executor)) {}
  ~ExecutorThread() override { executor_->Shutdown(); }
  void Post(std::function<void()> call) override { executor_->Post(std::move(call)); }

 private:
  const std::unique_ptr<Executor> executor_;
};

ElementKind ElementOf(TimeEventKind kind) {
  switch (kind) {
    case TimeEventKind::kWatermark:
      return ElementKind::kWatermark;
    case TimeEventKind::kIdle:
      return ElementKind::kIdle;
    case TimeEventKind::kActive:
      return ElementKind::kActive;
  }
  return ElementKind::kNone;
}

}  // namespace

ChainNode::ChainNode(Env& env, uint32_t index, const NodeDefinition& definition, std::string uid,
                     SubtaskInfo info, TaskSignals& task, TaskClock& clock, const LogFunction& log)
    : env_(env),
      index_(index),
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

void ChainNode::OnLateRecord(const LateRecord& record,
                             absl::FunctionRef<void(std::string&)> write_key) {
  if (record.fate == LateRecord::Fate::kDropped) node_metrics.late_records_dropped.Add();
  if (late == nullptr) late = std::make_unique<LateSample>();
  if (!late->Count(record)) return;
  LateSample::Example& example = late->Keep();
  example.record = record;
  example.at = clock_.Now();
  example.move = moves->ThatReached(record.late_from);
  std::string key;
  write_key(key);
  example.key = Shortened(key, LateSample::kMostKeyBytes);
}

void ChainNode::OnThrown(std::string_view key, std::string_view record) {
  // Not of one behind it: the operator passes that on, too.
  if (ThisThreadCrashContext().operator_uid != uid_.c_str()) return;
  FailedInput& failed = ThisThreadFailedInput();
  if (!failed.key.empty() || !failed.record.empty()) return;
  failed.key = Shortened(key, FailedInput::kMaxBytes);
  failed.record = Shortened(record, FailedInput::kMaxBytes);
}

std::unique_ptr<OperatorThread> ChainNode::NewThread() {
  return std::make_unique<ExecutorThread>(env_.NewExecutor("operator"));
}

void ChainNode::Hold(const TimeEvent& event) {
  held.push_back(event);
  op->OnMark();
}

absl::Status ChainNode::SendPassed() {
  for (size_t passed = op->TakePassed(); passed > 0; --passed) {
    WEIR_CHECK(!held.empty());
    const TimeEvent event = held.front();
    held.pop_front();
    WEIR_RETURN_IF_ERROR(SendTimeEvent(event));
  }
  return absl::OkStatus();
}

absl::Status ChainNode::SendTimeEvent(const TimeEvent& event) {
  if (event.kind == TimeEventKind::kWatermark) {
    watermark = event.time;
    node_metrics.watermark.Set(event.time);
  }
  for (PartitionedOutput* output : channel_outputs)
    WEIR_RETURN_IF_ERROR(output->SendEvent({ElementOf(event.kind), event.time}));
  return absl::OkStatus();
}

absl::Status ChainedOutput::Push(BatchBase& batch) {
  const absl::Status status = Lend(batch);
  batch.Clear();
  return status;
}

absl::Status ChainedOutput::Lend(BatchBase& batch) {
  const size_t records = batch.size();
  if (records == 0) return absl::OkStatus();
  records_out_.Add(records);
  to_.node_metrics.records_in.Add(records);
  const CrashContext former = to_.Enter();
  batch.hashes.clear();
  absl::Status status = to_.op->ProcessBatch(input_, batch);
  ThisThreadCrashContext() = former;
  if (!status.ok() && failed_in_ == nullptr) failed_in_ = &to_;
  return status;
}

bool ChainedOutput::Blocked() const {
  if (to_.definition().kind == NodeKind::kSink)
    return static_cast<SinkOperator&>(*to_.op).Blocked();
  if (to_.definition().answers_later) return to_.op->Full();
  for (const auto& port : to_.ports) {
    if (port->Blocked()) return true;
  }
  return false;
}

TeeOutput::TeeOutput(const RecordType& type, std::vector<Consumer> consumers, Counter& records_out)
    : type_(type),
      consumers_(std::move(consumers)),
      records_out_(records_out),
      copy_(type.NewBatch()) {}

absl::Status TeeOutput::Push(BatchBase& batch) {
  records_out_.Add(batch.size());
  Output* taker = nullptr;
  for (const Consumer& consumer : consumers_) {
    if (consumer.chained != nullptr && consumer.chained->LeavesBatch()) {
      WEIR_RETURN_IF_ERROR(consumer.chained->Lend(batch));
      continue;
    }
    if (taker != nullptr) {
      copy_->Clear();
      type_.CopyRange(batch, 0, batch.size(), *copy_);
      WEIR_RETURN_IF_ERROR(taker->Push(*copy_));
    }
    taker = consumer.output.get();
  }
  if (taker != nullptr) return taker->Push(batch);
  batch.Clear();
  return absl::OkStatus();
}

bool TeeOutput::Blocked() const {
  for (const Consumer& consumer : consumers_) {
    if (consumer.output->Blocked()) return true;
  }
  return false;
}

}  // namespace weir

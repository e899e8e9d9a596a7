#include "runtime/task/chain.h"

#include <algorithm>
#include <utility>

#include "common/base/status_macros.h"
#include "runtime/task/timestamp_operator.h"

namespace weir {
namespace {

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

void Chain::QueueTimeEvent(const TimeEvent& event) {
  switch (event.kind) {
    case TimeEventKind::kWatermark:
      if (event.time <= watermark_) return;
      watermark_ = event.time;
      walks_.push_back({WalkKind::kWatermark, event.time, 0});
      break;
    case TimeEventKind::kIdle:
      walks_.push_back({WalkKind::kIdle, 0, 0});
      break;
    case TimeEventKind::kActive:
      walks_.push_back({WalkKind::kActive, 0, 0});
      break;
  }
}

void Chain::QueueDrain() {
  QueueTimeEvent({TimeEventKind::kWatermark, kMaxTicks});
  walks_.push_back({WalkKind::kFinish, 0, 0});
}

void Chain::QueueEnd() {
  QueueDrain();
  walks_.push_back({WalkKind::kEnd, 0, 0});
}

void Chain::QueueWakeups() {
  clock->BeginCall();
  for (size_t i = 0; i < nodes.size(); ++i) {
    ChainNode& node = *nodes[i];
    if (node.op == nullptr) continue;
    if (node.wake_now.load(std::memory_order_relaxed) &&
        node.wake_now.exchange(false, std::memory_order_acquire)) {
      walks_.push_back({WalkKind::kWake, 0, i});
    }
    if (node.wake_at != kMaxTicks && clock->Now() > node.wake_at) {
      node.wake_at = kMaxTicks;
      walks_.push_back({WalkKind::kProcessingTime, clock->Now(), i});
    }
  }
}

ChainNode* Chain::TimestampsAtWork() const {
  for (size_t i = timestamps_.size(); i-- > 0;) {
    ChainNode& node = *nodes[timestamps_[i]];
    if (node.op != nullptr && node.timestamps->has_work()) return &node;
  }
  return nullptr;
}

absl::StatusOr<bool> Chain::AdvanceTimestamps(ChainNode& node) {
  if (!node.timestamps->has_event()) {
    const CrashContext former = node.Enter();
    clock->BeginCall();
    absl::StatusOr<bool> done = node.timestamps->Continue();
    ThisThreadCrashContext() = former;
    if (!done.ok() && failed_in == nullptr) failed_in = &node;
    return done;
  }
  const TimeEvent event = node.timestamps->TakeEvent();
  const size_t at = node.index_in_chain;
  const WalkKind kind = event.kind == TimeEventKind::kWatermark ? WalkKind::kWatermark
                        : event.kind == TimeEventKind::kIdle    ? WalkKind::kIdle
                                                                : WalkKind::kActive;
  // Before what waits, and before the rest of what is under way.
  walks_.push_front({kind, event.time, at, at});
  return true;
}

absl::StatusOr<bool> Chain::Advance() {
  while (true) {
    ChainNode* const timestamps = TimestampsAtWork();
    // What it has said goes all the way before it says more, and so does what it interrupts.
    if (timestamps != nullptr &&
        (walks_.empty() || walks_.front().from == ChainNode::kHeadTime ||
         timestamps->index_in_chain > nodes[walks_.front().from]->index_in_chain)) {
      WEIR_ASSIGN_OR_RETURN(const bool done, AdvanceTimestamps(*timestamps));
      if (!done) return false;
      continue;
    }
    if (walks_.empty()) return true;
    WEIR_ASSIGN_OR_RETURN(const bool done, Visit(walks_.front()));
    if (!done) return false;
    Walk& walk = walks_.front();
    const bool one_node = walk.kind == WalkKind::kProcessingTime || walk.kind == WalkKind::kWake;
    if (++walk.node == nodes.size() || one_node) walks_.pop_front();
  }
}

absl::StatusOr<bool> Chain::Visit(const Walk& walk) {
  ChainNode& node = *nodes[walk.node];
  const bool of_time = walk.kind == WalkKind::kWatermark || walk.kind == WalkKind::kIdle ||
                       walk.kind == WalkKind::kActive;
  const bool begins_here = walk.node == walk.from;
  if (of_time && !begins_here && node.time_from != walk.from) return true;
  // After a restore the nodes may differ.
  if (walk.kind == WalkKind::kWatermark && walk.time <= node.watermark) return true;
  if (of_time && !begins_here && node.timestamps != nullptr) {
    if (walk.kind != WalkKind::kWatermark || walk.time != kMaxTicks) return true;
    return node.timestamps->OnWatermark(walk.time);
  }
  if (node.op != nullptr && !begins_here) {
    clock->BeginCall();
    const CrashContext former = node.Enter();
    absl::StatusOr<bool> done = CallOperator(walk, node);
    ThisThreadCrashContext() = former;
    if (!done.ok() && failed_in == nullptr) failed_in = &node;
    if (!done.ok() || !*done) return done;
  }
  const auto send = [&](ElementKind kind, Ticks time) {
    for (PartitionedOutput* output : node.channel_outputs) {
      WEIR_RETURN_IF_ERROR(output->SendEvent({kind, time}));
    }
    return absl::OkStatus();
  };
  absl::Status status;
  switch (walk.kind) {
    case WalkKind::kWatermark:
      node.watermark = walk.time;
      node.node_metrics.watermark.Set(walk.time);
      status = send(ElementKind::kWatermark, walk.time);
      break;
    case WalkKind::kIdle:
      status = send(ElementOf(TimeEventKind::kIdle), 0);
      break;
    case WalkKind::kActive:
      status = send(ElementOf(TimeEventKind::kActive), 0);
      break;
    case WalkKind::kEnd:
      status = send(ElementKind::kEndOfInput, 0);
      break;
    case WalkKind::kProcessingTime:
    case WalkKind::kWake:
    case WalkKind::kFinish:
      break;
  }
  if (!status.ok()) {
    if (failed_in == nullptr) failed_in = &node;
    return status;
  }
  return true;
}

absl::StatusOr<bool> Chain::CallOperator(const Walk& walk, ChainNode& node) {
  switch (walk.kind) {
    case WalkKind::kWatermark:
      return node.op->OnWatermark(walk.time);
    case WalkKind::kProcessingTime:
      return node.op->OnProcessingTime(walk.time);
    case WalkKind::kWake:
      return node.op->OnWake();
    case WalkKind::kFinish:
      return node.op->Finish();
    case WalkKind::kIdle:
    case WalkKind::kActive:
    case WalkKind::kEnd:
      return true;
  }
  return true;
}

absl::Status Chain::ProcessIn(ChainNode& node, size_t input, BatchBase& batch) {
  node.node_metrics.records_in.Add(batch.size());
  clock->BeginCall();
  const CrashContext former = node.Enter();
  absl::Status status = node.op->ProcessBatch(input, batch);
  ThisThreadCrashContext() = former;
  if (!status.ok() && failed_in == nullptr) failed_in = &node;
  return status;
}

bool Chain::Blocked() const {
  for (const PartitionedOutput* output : channel_outputs) {
    if (output->Blocked()) return true;
  }
  for (const SinkOperator* sink : sinks_) {
    if (sink->Blocked()) return true;
  }
  return false;
}

absl::Status Chain::Flush() {
  for (const auto& node : nodes) {
    absl::Status status;
    if (node->definition().kind == NodeKind::kSink) {
      clock->BeginCall();
      const CrashContext former = node->Enter();
      status = static_cast<SinkOperator&>(*node->op).Flush();
      ThisThreadCrashContext() = former;
    }
    for (PartitionedOutput* output : node->channel_outputs) {
      if (status.ok()) status = output->Flush();
    }
    if (!status.ok()) {
      if (failed_in == nullptr) failed_in = node.get();
      return status;
    }
  }
  return absl::OkStatus();
}

void Chain::FlushSent() {
  for (PartitionedOutput* output : channel_outputs) output->FlushSent();
}

absl::Status Chain::OpenNode(ChainNode& node, const TaskState* restore) {
  if (state_backend != nullptr && node.definition().kind == NodeKind::kOperator) {
    const StoredParts* parts = nullptr;
    for (size_t i = 0; restore != nullptr && i < restore->size(); ++i) {
      if ((*restore)[i].node == node.index()) parts = (*restore)[i].stored.get();
    }
    WEIR_ASSIGN_OR_RETURN(node.store, state_backend->Open(node.index(), node.subtask(), parts));
  }
  return node.op->Open(node);
}

void Chain::OnBlocked(int64_t now_nanos) {
  for (const size_t i : timestamps_) {
    if (nodes[i]->op != nullptr) nodes[i]->timestamps->OnBlocked(now_nanos);
  }
}

absl::Status Chain::Open(const TaskState* restore) {
  for (size_t i = 0; i < nodes.size(); ++i) {
    nodes[i]->index_in_chain = i;
    if (nodes[i]->timestamps != nullptr) timestamps_.push_back(i);
  }
  for (const auto& node : nodes) {
    if (node->definition().kind == NodeKind::kSink)
      sinks_.push_back(&static_cast<SinkOperator&>(*node->op));
  }
  // From the tail, so that an operator may put out records when it is opened.
  for (size_t i = nodes.size(); i-- > 0;) {
    ChainNode& node = *nodes[i];
    if (node.op == nullptr) continue;
    clock->BeginCall();
    const CrashContext former = node.Enter();
    node.opened = true;
    absl::Status status = OpenNode(node, restore);
    ThisThreadCrashContext() = former;
    if (!status.ok()) {
      if (failed_in == nullptr) failed_in = &node;
      return status;
    }
    if (node.definition().kind == NodeKind::kSink &&
        static_cast<SinkOperator&>(*node.op).commits() != nullptr) {
      committing_.push_back(&node);
    }
  }
  return absl::OkStatus();
}

absl::Status Chain::SendBarrier(const Barrier& barrier) {
  for (PartitionedOutput* output : channel_outputs) {
    WEIR_RETURN_IF_ERROR(output->SendEvent(EventOf(barrier)));
  }
  return absl::OkStatus();
}

bool Chain::BarrierWaits() const {
  return std::any_of(channel_outputs.begin(), channel_outputs.end(),
                     [](const PartitionedOutput* output) { return output->BarrierWaits(); });
}

void Chain::OvertakeWithBarrier(TaskState& state) {
  for (size_t i = 0; i < nodes.size(); ++i) {
    for (PartitionedOutput* output : nodes[i]->channel_outputs) {
      output->OvertakeWithBarrier(state[i].in_flight);
    }
  }
}

void Chain::SetMayExceed(bool may) {
  for (PartitionedOutput* output : channel_outputs) output->SetMayExceed(may);
}

void Chain::Close() {
  sinks_.clear();
  committing_.clear();
  for (const auto& node : nodes) {
    if (node->op == nullptr) continue;
    const std::unique_ptr<OperatorStore> store = std::move(node->store);
    const std::unique_ptr<Operator> op = std::move(node->op);
    const CrashContext former = node->Enter();
    if (std::exchange(node->opened, false)) op->Close();
    ThisThreadCrashContext() = former;
  }
}

Ticks Chain::wake_at() const {
  Ticks earliest = kMaxTicks;
  for (const auto& node : nodes) earliest = std::min(earliest, node->wake_at);
  return earliest;
}

absl::Status Chain::MetricsError(const ChainNode*& where) const {
  for (const auto& node : nodes) {
    const absl::Status& error = node->node_metrics.user.error();
    if (!error.ok()) {
      where = node.get();
      return error;
    }
  }
  return absl::OkStatus();
}

}  // namespace weir

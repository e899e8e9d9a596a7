#include "runtime/task/chain.h"

#include <algorithm>
#include <utility>

#include "common/base/status_macros.h"
#include "runtime/task/timestamp_operator.h"

namespace weir {
void Chain::QueueTimeEvent(const TimeEvent& event, const WatermarkMover& mover, int64_t now) {
  if (event.kind == TimeEventKind::kWatermark) {
    if (event.time <= watermark_) return;
    watermark_ = event.time;
    moves_.Add(event.time, mover, now);
  }
  walks_.push_back({WalkKind::kTimeEvent, event, 0});
}

void Chain::QueueDrain() {
  if (watermark_ < kMaxTicks) {
    watermark_ = kMaxTicks;
    walks_.push_back({WalkKind::kTimeEvent, {TimeEventKind::kWatermark, kMaxTicks}, 0});
  }
  walks_.push_back({WalkKind::kFinish, {}, 0});
}

void Chain::QueueEnd() {
  QueueDrain();
  walks_.push_back({WalkKind::kEnd, {}, 0});
}

void Chain::QueueWakeups() {
  clock->BeginCall();
  for (size_t i = 0; i < nodes.size(); ++i) {
    ChainNode& node = *nodes[i];
    if (node.op == nullptr) continue;
    if (node.wake_now.load(std::memory_order_relaxed) &&
        node.wake_now.exchange(false, std::memory_order_acquire)) {
      walks_.push_back({WalkKind::kWake, {}, i});
    }
    if (node.wake_at != kMaxTicks && clock->Now() > node.wake_at) {
      node.wake_at = kMaxTicks;
      walks_.push_back({WalkKind::kProcessingTime, {TimeEventKind::kWatermark, clock->Now()}, i});
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
  if (event.kind == TimeEventKind::kWatermark && event.time > node.watermark)
    node.assigned_moves.Add(event.time, {.watermark = event.time}, clock->MonotonicNanos());
  // Before what waits, and before the rest of what is under way.
  walks_.push_front({WalkKind::kTimeEvent, event, at, at});
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
  const bool of_time = walk.kind == WalkKind::kTimeEvent;
  const bool begins_here = walk.node == walk.from;
  if (of_time && !begins_here && node.time_from != walk.from) return true;
  // After a restore the nodes may differ.
  if (walk.IsWatermark() && walk.event.time <= node.watermark) return true;
  if (of_time && !begins_here && node.timestamps != nullptr) {
    if (!walk.IsWatermark() || walk.event.time != kMaxTicks) return true;
    return node.timestamps->OnWatermark(walk.event.time);
  }
  absl::StatusOr<bool> done = true;
  const bool held = of_time && node.definition().answers_later;
  if (node.op != nullptr && !begins_here) {
    clock->BeginCall();
    const CrashContext former = node.Enter();
    if (held) {
      node.Hold(walk.event);
    } else {
      done = CallOperator(walk, node);
    }
    ThisThreadCrashContext() = former;
  }
  absl::Status status = done.status();
  if (status.ok() && node.definition().answers_later) status = node.SendPassed();
  if (status.ok() && *done && !held) status = SendOn(walk, node);
  if (!status.ok()) {
    if (failed_in == nullptr) failed_in = &node;
    return status;
  }
  return *done;
}

absl::Status Chain::SendOn(const Walk& walk, ChainNode& node) {
  if (walk.kind == WalkKind::kTimeEvent) return node.SendTimeEvent(walk.event);
  if (walk.kind != WalkKind::kEnd) return absl::OkStatus();
  for (PartitionedOutput* output : node.channel_outputs)
    WEIR_RETURN_IF_ERROR(output->SendEvent({ElementKind::kEndOfInput, 0}));
  return absl::OkStatus();
}

absl::StatusOr<bool> Chain::CallOperator(const Walk& walk, ChainNode& node) {
  switch (walk.kind) {
    case WalkKind::kTimeEvent:
      if (walk.IsWatermark()) return node.op->OnWatermark(walk.event.time);
      return true;
    case WalkKind::kProcessingTime:
      return node.op->OnProcessingTime(walk.event.time);
    case WalkKind::kWake:
      return node.op->OnWake();
    case WalkKind::kFinish:
      return node.op->Finish();
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
  return std::any_of(answering_later_.begin(), answering_later_.end(),
                     [](const ChainNode* node) { return node->op->Full(); });
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
    const size_t from = nodes[i]->time_from;
    nodes[i]->moves = from == ChainNode::kHeadTime ? &moves_ : &nodes[from]->assigned_moves;
  }
  for (const auto& node : nodes) {
    if (node->definition().kind == NodeKind::kSink)
      sinks_.push_back(&static_cast<SinkOperator&>(*node->op));
    if (node->definition().answers_later) answering_later_.push_back(node.get());
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
  answering_later_.clear();
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

Ticks Chain::answers_wake_at() const {
  Ticks earliest = kMaxTicks;
  for (const ChainNode* node : answering_later_) {
    const bool awaited = walks_.empty() || nodes[walks_.front().node].get() == node;
    if (awaited) earliest = std::min(earliest, node->wake_at);
  }
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

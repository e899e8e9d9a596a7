#include "runtime/task_inspection.h"

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "common/base/strings.h"
#include "proto/control.pb.h"
#include "runtime/task/task.h"
#include "weir/window_listing.h"

namespace weir {
namespace {

constexpr char kSkippedWindows[] = "numLateWindowsSkipped";
constexpr size_t kMostKeyBytes = 256;

// From the monotonic clock to the wall clock, as they are now.
class WallTime {
 public:
  explicit WallTime(TaskClock& clock) : nanos_(clock.MonotonicNanos()) {
    clock.BeginCall();
    micros_ = clock.Now();
  }
  int64_t Micros(int64_t nanos) const { return micros_ - (nanos_ - nanos) / 1000; }

 private:
  const int64_t nanos_;
  int64_t micros_;
};

proto::WatermarkMove::What ToProto(WatermarkMover::What what) {
  switch (what) {
    case WatermarkMover::What::kWatermark:
      return proto::WatermarkMove::SAID;
    case WatermarkMover::What::kIdle:
      return proto::WatermarkMove::BECAME_IDLE;
    case WatermarkMover::What::kEnded:
      return proto::WatermarkMove::ENDED;
  }
  return proto::WatermarkMove::SAID;
}
proto::TaskLateRecords::Fate ToProto(LateRecord::Fate fate) {
  switch (fate) {
    case LateRecord::Fate::kDropped:
      return proto::TaskLateRecords::DROPPED;
    case LateRecord::Fate::kSideOutput:
      return proto::TaskLateRecords::TO_SIDE_OUTPUT;
    case LateRecord::Fate::kJoinedLate:
      return proto::TaskLateRecords::JOINED_LATE;
  }
  return proto::TaskLateRecords::DROPPED;
}
proto::TaskWindows::Fires ToProto(ListedWindow::Fires fires) {
  switch (fires) {
    case ListedWindow::Fires::kAtWatermark:
      return proto::TaskWindows::AT_WATERMARK;
    case ListedWindow::Fires::kAtClock:
      return proto::TaskWindows::AT_CLOCK;
    case ListedWindow::Fires::kByTrigger:
      return proto::TaskWindows::BY_TRIGGER;
    case ListedWindow::Fires::kFired:
      return proto::TaskWindows::HAS_FIRED;
  }
  return proto::TaskWindows::BY_TRIGGER;
}

void Fill(const WatermarkMove& move, const WallTime& wall, proto::WatermarkMove& out) {
  out.set_watermark(move.watermark);
  out.set_what(ToProto(move.mover.what));
  out.set_index(move.mover.index);
  out.set_own_watermark(move.mover.watermark);
  out.set_first_unix_micros(wall.Micros(move.first_nanos));
  out.set_last_unix_micros(wall.Micros(move.last_nanos));
  out.set_steps(move.steps);
}

void Fill(const ListedWindow& window, proto::TaskWindows::Window& out) {
  out.set_key(Shortened(window.key, kMostKeyBytes));
  out.set_start(window.start);
  out.set_end(window.end);
  out.set_on_clock(window.on_clock);
  out.set_fires(ToProto(window.fires));
  out.set_at(window.at);
  out.set_gone_at(window.gone_at);
  out.set_keys(window.keys);
  out.set_entries(window.entries);
  out.set_bytes(window.bytes);
}

}  // namespace

std::optional<TaskInspection::Kind> TaskInspection::KindOf(int kind) {
  switch (kind) {
    case proto::INSPECT_WATERMARKS:
      return Kind::kWatermarks;
    case proto::INSPECT_LATE_RECORDS:
      return Kind::kLateRecords;
    case proto::INSPECT_WINDOWS:
      return Kind::kWindows;
    default:
      return std::nullopt;
  }
}

void Task::Inspect(TaskInspection inspection, std::function<void(proto::TaskInspection)> done) {
  {
    MutexLock lock(mutex_);
    inspections_.push_back({std::move(inspection), std::move(done)});
  }
  inspection_requested_.store(true, std::memory_order_release);
  Wake();
}

void Task::AnswerInspections() {
  if (!inspection_requested_.load(std::memory_order_relaxed) ||
      !inspection_requested_.exchange(false, std::memory_order_acquire)) {
    return;
  }
  std::vector<Asked> asked;
  {
    MutexLock lock(mutex_);
    asked.swap(inspections_);
  }
  for (const Asked& question : asked) question.done(Answer(question.inspection));
}

proto::TaskInspection Task::Answer(const TaskInspection& inspection) {
  proto::TaskInspection answer;
  answer.set_vertex(options_.vertex);
  answer.set_subtask(options_.subtask);
  proto::TaskWatermarks& watermarks = *answer.mutable_watermarks();
  if (!IsTerminal(state_.load(std::memory_order_relaxed))) input_->FillWatermarks(watermarks);
  for (const auto& node : chain_.nodes) {
    proto::TaskWatermarks::Operator& op = *watermarks.add_operators();
    op.set_node(node->index());
    op.set_watermark(node->watermark);
    op.set_assigns(node->timestamps != nullptr);
  }
  if (inspection.kind == TaskInspection::Kind::kLateRecords) {
    FillLateRecords(*answer.mutable_late());
  } else if (inspection.kind == TaskInspection::Kind::kWindows) {
    // Who asks is told if a codec of the job, or a store, fails here; the job goes on.
    const absl::Status status =
        Guarded([&] { return FillWindows(inspection, *answer.mutable_windows()); });
    if (!status.ok()) answer.set_missing(std::string(status.message()));
  }
  return answer;
}

void Task::FillLateRecords(proto::TaskLateRecords& late) {
  const WallTime wall(clock_);
  for (const WatermarkMove& move : chain_.moves().all()) Fill(move, wall, *late.add_moves());
  for (const auto& node : chain_.nodes) {
    proto::OperatorMetrics metrics;
    node->node_metrics.Fill(metrics);
    const auto skipped = metrics.counters().find(kSkippedWindows);
    const bool counts_skipped = skipped != metrics.counters().end();
    if (node->late == nullptr && (!counts_skipped || skipped->second == 0)) continue;
    proto::TaskLateRecords::Operator& op = *late.add_operators();
    op.set_node(node->index());
    if (counts_skipped) op.set_windows_skipped(skipped->second);
    if (node->time_from != ChainNode::kHeadTime)
      op.set_assigned_by(chain_.nodes[node->time_from]->index());
    if (node->late == nullptr) continue;
    op.set_dropped(node->late->count(LateRecord::Fate::kDropped));
    op.set_to_side_output(node->late->count(LateRecord::Fate::kSideOutput));
    op.set_joined_late(node->late->count(LateRecord::Fate::kJoinedLate));
    for (size_t i = 0; i < node->late->size(); ++i) {
      const LateSample::Example& example = node->late->example(i);
      proto::TaskLateRecords::Record& record = *op.add_records();
      record.set_time(example.record.time);
      record.set_watermark(example.record.watermark);
      record.set_late_from(example.record.late_from);
      record.set_fate(ToProto(example.record.fate));
      record.set_key(example.key);
      record.set_at_unix_micros(example.at);
      if (example.move.has_value()) Fill(*example.move, wall, *record.mutable_move());
    }
  }
}

absl::Status Task::FillWindows(const TaskInspection& inspection, proto::TaskWindows& windows) {
  clock_.BeginCall();
  windows.set_now_unix_micros(clock_.Now());
  for (const auto& node : chain_.nodes) {
    const std::string& uid = inspection.operator_uid;
    if (node->op == nullptr || !node->opened || (!uid.empty() && node->uid() != uid)) continue;
    WindowListing listing;
    listing.most_windows =
        std::min(inspection.limit == 0 ? TaskInspection::kUsualWindows : inspection.limit,
                 TaskInspection::kMostWindows);
    listing.most_looks = TaskInspection::kMostLooks;
    const CrashContext former = node->Enter();
    const bool has_windows = node->op->ListWindows(listing);
    ThisThreadCrashContext() = former;
    if (!has_windows) continue;
    listing.Finish();
    proto::TaskWindows::Operator& op = *windows.add_operators();
    op.set_node(node->index());
    op.set_by_key(listing.by_key);
    op.set_looked_at(listing.looked);
    op.set_there_are(listing.there_are);
    op.set_seen(listing.seen);
    for (const ListedWindow& window : listing.windows) Fill(window, *op.add_windows());
  }
  return absl::OkStatus();
}

}  // namespace weir

#include "client/cli/late_text.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "client/cli/inspected_job.h"
#include "client/cli/json_writer.h"
#include "client/cli/text_format.h"
#include "common/base/strings.h"
#include "proto/control.pb.h"

namespace weir {
namespace {

using proto::TaskLateRecords;
using proto::TaskWatermarks;
using proto::WatermarkMove;

// Who moved the watermark past a record: where the way back from the operator ends.
struct Mover {
  // Nobody since the task was restored.
  bool before_restore = false;
  std::string uid{};
  uint32_t subtask = 0;
  // Of a source.
  std::optional<uint32_t> split{};
  std::string split_name{};
  // It makes the watermarks of a stream, in the middle of it.
  bool assigns = false;
  WatermarkMove move{};
  // Subtasks on the way from it to the operator; empty: it comes from there at once.
  std::string through{};
};

class LateJob : public InspectedJob {
 public:
  explicit LateJob(const proto::InspectJobResponse& job) : InspectedJob(job) {}

  Mover WhoMoved(const proto::TaskInspection& task, const TaskLateRecords::Operator& op,
                 const TaskLateRecords::Record& record) const {
    Mover mover;
    mover.before_restore = !record.has_move();
    if (mover.before_restore) return mover;
    mover.move = record.move();
    mover.uid = UidOf(op.node());
    mover.subtask = task.subtask();
    if (op.has_assigned_by()) {
      mover.uid = UidOf(op.assigned_by());
      mover.assigns = true;
      return mover;
    }
    Follow(task, record.late_from(), mover);
    return mover;
  }

 private:
  // From the task whose watermark `mover.move` moved to who had it do so, as far as the tasks
  // before it still know.
  void Follow(const proto::TaskInspection& from, int64_t time, Mover& mover) const {
    const proto::TaskInspection* task = &from;
    WatermarkMove step = mover.move;
    std::set<const proto::TaskInspection*> seen;
    while (seen.insert(task).second) {
      const auto& channels = task->watermarks().channels();
      // Of several moves that are kept together only the last one's index is known.
      const bool known = step.steps() == 1;
      if (channels.empty()) return SetSplit(*task, known, step.index(), mover);
      if (!known && channels.size() > 1) return;
      if (step.index() >= static_cast<uint32_t>(channels.size())) return;
      const TaskWatermarks::Channel& channel = channels.Get(static_cast<int>(step.index()));
      const std::optional<uint32_t> node = FromNode(channel.edge());
      if (!node.has_value()) return;
      if (seen.size() > 1) {
        mover.through =
            StrCat(mover.uid, " ", mover.subtask, mover.through.empty() ? "" : ", ", mover.through);
      }
      mover.uid = UidOf(*node);
      mover.subtask = channel.from_subtask();
      if (step.what() != WatermarkMove::SAID) return;
      task = TaskOf(*node, channel.from_subtask());
      if (task == nullptr) return;
      for (std::optional<uint32_t> at = node; at.has_value(); at = ChainedBefore(*at)) {
        if (!Assigns(*task, *at)) continue;
        mover.uid = UidOf(*at);
        mover.assigns = true;
        return;
      }
      const auto& moves = task->late().moves();
      const auto move = std::find_if(moves.begin(), moves.end(), [&](const WatermarkMove& other) {
        return other.watermark() >= time;
      });
      if (move == moves.end()) return;
      step = *move;
    }
  }
  static bool Assigns(const proto::TaskInspection& task, uint32_t node) {
    const auto& operators = task.watermarks().operators();
    return std::any_of(operators.begin(), operators.end(),
                       [&](const auto& op) { return op.node() == node && op.assigns(); });
  }
  void SetSplit(const proto::TaskInspection& task, bool known, uint32_t index, Mover& mover) const {
    if (!task.watermarks().operators().empty())
      mover.uid = UidOf(task.watermarks().operators(0).node());
    const auto& splits = task.watermarks().splits();
    if (!known && splits.size() != 1) return;
    mover.split = known ? index : splits.Get(0).split();
    for (const TaskWatermarks::Split& split : splits) {
      if (split.split() == mover.split) mover.split_name = split.name();
    }
  }
};

std::string FateText(TaskLateRecords::Fate fate) {
  switch (fate) {
    case TaskLateRecords::TO_SIDE_OUTPUT:
      return "side output";
    case TaskLateRecords::JOINED_LATE:
      return "joined";
    default:
      return "dropped";
  }
}
std::string WhatText(WatermarkMove::What what) {
  switch (what) {
    case WatermarkMove::BECAME_IDLE:
      return "became idle";
    case WatermarkMove::ENDED:
      return "ended";
    default:
      return "moved on";
  }
}

std::string Difference(int64_t a, int64_t b) {
  int64_t difference = 0;
  if (__builtin_sub_overflow(a, b, &difference)) return "-";
  if (difference > 0 && difference < 1000) return StrCat(difference, " us");
  return FormatSpan(difference);
}
// By how much more lateness the record would have been in time.
std::string TooLateBy(const TaskLateRecords::Record& record) {
  return Difference(record.watermark(), record.late_from() - 1);
}

std::string MoverText(const Mover& mover) {
  if (mover.before_restore) return "before the job was restored";
  std::string text = StrCat(Harmless(mover.uid), " ", mover.subtask);
  if (mover.split.has_value()) {
    text += StrCat(", split ", *mover.split);
    if (!mover.split_name.empty()) text += StrCat(" (", Harmless(mover.split_name), ")");
  }
  if (mover.move.what() != WatermarkMove::SAID) text += " " + WhatText(mover.move.what());
  if (mover.move.what() == WatermarkMove::SAID)
    text += StrCat(", to ", FormatWatermark(mover.move.own_watermark()));
  text += mover.move.steps() > 1 ? StrCat(", between ", FormatTime(mover.move.first_unix_micros()),
                                          " and ", FormatTime(mover.move.last_unix_micros()))
                                 : StrCat(", at ", FormatTime(mover.move.last_unix_micros()));
  if (!mover.through.empty()) text += StrCat(", by way of ", Harmless(mover.through));
  return text;
}

// Operators with what they say, by their place in the graph, then subtask.
struct LateOperator {
  const proto::TaskInspection* task = nullptr;
  const TaskLateRecords::Operator* op = nullptr;
};
std::vector<LateOperator> OperatorsOf(const LateJob& job, const std::string& uid) {
  std::vector<LateOperator> operators;
  for (const auto& [key, task] : job.tasks()) {
    if (!task->missing().empty()) continue;
    for (const TaskLateRecords::Operator& op : task->late().operators()) {
      if (uid.empty() || job.UidOf(op.node()) == uid) operators.push_back({task, &op});
    }
  }
  std::stable_sort(operators.begin(), operators.end(), [](const auto& a, const auto& b) {
    return std::pair(a.op->node(), a.task->subtask()) < std::pair(b.op->node(), b.task->subtask());
  });
  return operators;
}

std::string CountsText(const LateJob& job, const std::vector<LateOperator>& operators) {
  TextTable table;
  using Align = TextTable::Align;
  table.AddColumn("OPERATOR");
  table.AddColumn("SUBTASK", Align::kRight);
  table.AddColumn("DROPPED", Align::kRight);
  table.AddColumn("SIDE OUTPUT", Align::kRight);
  table.AddColumn("JOINED", Align::kRight);
  table.AddColumn("WINDOWS SKIPPED", Align::kRight);
  table.AddColumn("LATEST");
  for (const auto& [task, op] : operators) {
    const int kept = op->records_size();
    table.AddRow({Harmless(job.UidOf(op->node())), StrCat(task->subtask()),
                  FormatCount(op->dropped()), FormatCount(op->to_side_output()),
                  FormatCount(op->joined_late()), FormatCount(op->windows_skipped()),
                  kept == 0 ? "-" : FormatTime(op->records(kept - 1).at_unix_micros())});
  }
  return table.Render();
}

std::string ExamplesText(const LateJob& job, const LateOperator& late) {
  TextTable table;
  using Align = TextTable::Align;
  table.AddColumn("TIME");
  table.AddColumn("KEY");
  table.AddColumn("BEHIND", Align::kRight);
  table.AddColumn("TOO LATE BY", Align::kRight);
  table.AddColumn("FATE");
  table.AddColumn("WATERMARK");
  table.AddColumn("MOVED BY");
  for (const TaskLateRecords::Record& record : late.op->records()) {
    table.AddRow({FormatTime(record.time()), record.key().empty() ? "-" : Harmless(record.key()),
                  Difference(record.watermark(), record.time()), TooLateBy(record),
                  FateText(record.fate()), FormatWatermark(record.watermark()),
                  MoverText(job.WhoMoved(*late.task, *late.op, record))});
  }
  const uint64_t all = late.op->dropped() + late.op->to_side_output() + late.op->joined_late();
  return StrCat("\n", Harmless(job.UidOf(late.op->node())), ", subtask ", late.task->subtask(),
                ": ", late.op->records_size(), " of ", FormatCount(all), " late records\n",
                table.Render());
}

void WriteSpan(const char* key, int64_t a, int64_t b, JsonWriter& json) {
  json.Key(key);
  int64_t micros = 0;
  if (__builtin_sub_overflow(a, b, &micros)) {
    json.Null();
  } else {
    json.Decimal(static_cast<double>(micros) / 1e3);
  }
}

void WriteMover(const Mover& mover, JsonWriter& json) {
  json.Key("moved_by");
  if (mover.before_restore) {
    json.Null();
    return;
  }
  json.BeginObject().Key("operator").String(mover.uid).Key("subtask").Uint(mover.subtask);
  json.Key("split");
  mover.split.has_value() ? json.Uint(*mover.split) : json.Null();
  json.Key("split_name").StringOrNull(mover.split_name);
  json.Key("assigns_timestamps").Bool(mover.assigns);
  json.Key("what").String(mover.move.what() == WatermarkMove::BECAME_IDLE ? "idle"
                          : mover.move.what() == WatermarkMove::ENDED     ? "ended"
                                                                          : "watermark");
  json.Key("own_watermark").String(FormatWatermark(mover.move.own_watermark()));
  json.Key("from").String(FormatTime(mover.move.first_unix_micros()));
  json.Key("until").String(FormatTime(mover.move.last_unix_micros()));
  json.Key("steps").Uint(mover.move.steps());
  json.Key("through").StringOrNull(mover.through).EndObject();
}

}  // namespace

std::string LateRecordsText(const proto::InspectJobResponse& response, const std::string& uid) {
  const LateJob job(response);
  const std::vector<LateOperator> operators = OperatorsOf(job, uid);
  std::string text =
      operators.empty()
          ? StrCat("no record was late", uid.empty() ? "" : StrCat(" for ", Harmless(uid)), "\n")
          : CountsText(job, operators);
  for (const LateOperator& late : operators) {
    if (late.op->records_size() > 0) text += ExamplesText(job, late);
  }
  return text + job.MissingText();
}

std::string LateRecordsJson(const proto::InspectJobResponse& response, const std::string& uid) {
  const LateJob job(response);
  JsonWriter json;
  json.BeginObject().Key("time").String(FormatTime(job.asked_at()));
  json.Key("operators").BeginArray();
  for (const LateOperator& late : OperatorsOf(job, uid)) {
    json.BeginObject();
    json.Key("uid").String(job.UidOf(late.op->node())).Key("subtask").Uint(late.task->subtask());
    json.Key("dropped").Uint(late.op->dropped());
    json.Key("side_output").Uint(late.op->to_side_output());
    json.Key("joined").Uint(late.op->joined_late());
    json.Key("windows_skipped").Uint(late.op->windows_skipped());
    json.Key("records").BeginArray();
    for (const TaskLateRecords::Record& record : late.op->records()) {
      json.BeginObject().Key("time").String(FormatTime(record.time()));
      json.Key("key").StringOrNull(record.key());
      json.Key("watermark").String(FormatWatermark(record.watermark()));
      WriteSpan("behind_ms", record.watermark(), record.time(), json);
      WriteSpan("too_late_by_ms", record.watermark(), record.late_from() - 1, json);
      json.Key("fate").String(FateText(record.fate()));
      json.Key("at").String(FormatTime(record.at_unix_micros()));
      WriteMover(job.WhoMoved(*late.task, *late.op, record), json);
      json.EndObject();
    }
    json.EndArray().EndObject();
  }
  json.EndArray();
  job.WriteMissing(json);
  json.EndObject();
  return json.Finish();
}

}  // namespace weir

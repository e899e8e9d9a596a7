#include "client/cli/windows_text.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <vector>

#include "client/cli/inspected_job.h"
#include "client/cli/json_writer.h"
#include "client/cli/text_format.h"
#include "common/base/strings.h"
#include "proto/control.pb.h"

namespace weir {
namespace {

using proto::TaskWindows;

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

// An operator in one subtask.
struct Subtask {
  uint32_t subtask = 0;
  const TaskWindows::Operator* op = nullptr;
  int64_t watermark = kMin;
  int64_t now = 0;
};
struct Row {
  const TaskWindows::Window* window = nullptr;
  const Subtask* of = nullptr;
};

std::vector<Subtask> SubtasksOf(const InspectedJob& job, const std::string& uid) {
  std::vector<Subtask> subtasks;
  for (const auto& [key, task] : job.tasks()) {
    if (!task->missing().empty()) continue;
    for (const TaskWindows::Operator& op : task->windows().operators()) {
      if (job.UidOf(op.node()) != uid) continue;
      Subtask subtask{task->subtask(), &op, kMin, task->windows().now_unix_micros()};
      for (const auto& of : task->watermarks().operators()) {
        if (of.node() == op.node()) subtask.watermark = of.watermark();
      }
      subtasks.push_back(subtask);
    }
  }
  return subtasks;
}

std::vector<Row> FirstRows(const std::vector<Subtask>& subtasks, uint32_t limit) {
  std::vector<Row> rows;
  for (const Subtask& subtask : subtasks) {
    for (const TaskWindows::Window& window : subtask.op->windows())
      rows.push_back({&window, &subtask});
  }
  const auto order = [](const Row& row) {
    return std::tuple(row.window->at(), row.window->start(), row.window->end(), row.of->subtask);
  };
  std::stable_sort(rows.begin(), rows.end(),
                   [&](const Row& a, const Row& b) { return order(a) < order(b); });
  if (rows.size() > limit) rows.resize(limit);
  return rows;
}

struct Totals {
  uint64_t seen = 0;
  uint64_t looked_at = 0;
  uint64_t there_are = 0;
  bool by_key = false;
};
Totals TotalsOf(const std::vector<Subtask>& subtasks) {
  Totals totals;
  for (const Subtask& subtask : subtasks) {
    totals.seen += subtask.op->seen();
    totals.looked_at += subtask.op->looked_at();
    totals.there_are += std::max(subtask.op->there_are(), subtask.op->looked_at());
    totals.by_key = totals.by_key || subtask.op->by_key();
  }
  return totals;
}

std::string In(int64_t at, int64_t now) {
  int64_t left = 0;
  if (now == kMin || __builtin_sub_overflow(at, now, &left)) return "";
  return left >= 0 ? StrCat(", in ", FormatSpan(left)) : ", now";
}

std::string FiresText(const Row& row) {
  const TaskWindows::Window& window = *row.window;
  switch (window.fires()) {
    case TaskWindows::AT_WATERMARK:
      if (window.at() == kMax) return "at the end of the input";
      return StrCat("at watermark ", FormatWatermark(window.at()),
                    In(window.at(), row.of->watermark));
    case TaskWindows::AT_CLOCK:
      return StrCat("at ", FormatTime(window.at()), In(window.at(), row.of->now));
    case TaskWindows::HAS_FIRED:
      return StrCat("has fired; late records until watermark ", FormatWatermark(window.gone_at()));
    default:
      return "by its trigger";
  }
}

const char* FiresWord(TaskWindows::Fires fires) {
  switch (fires) {
    case TaskWindows::AT_WATERMARK:
      return "watermark";
    case TaskWindows::AT_CLOCK:
      return "clock";
    case TaskWindows::HAS_FIRED:
      return "fired";
    default:
      return "trigger";
  }
}

std::string BoundText(int64_t time) {
  return time == kMin || time == kMax ? "-" : FormatTime(time);
}
void WriteBound(const char* key, int64_t time, JsonWriter& json) {
  json.Key(key);
  time == kMin || time == kMax ? json.Null() : json.String(FormatTime(time));
}

}  // namespace

std::string OperatorsWithWindows(const proto::InspectJobResponse& response) {
  const InspectedJob job(response);
  std::vector<uint32_t> nodes;
  for (const auto& [key, task] : job.tasks()) {
    for (const TaskWindows::Operator& op : task->windows().operators()) nodes.push_back(op.node());
  }
  std::sort(nodes.begin(), nodes.end());
  nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
  std::string names;
  for (const uint32_t node : nodes) names += (names.empty() ? "" : ", ") + job.UidOf(node);
  return names;
}

bool MayHaveWindows(const proto::InspectJobResponse& response, const std::string& uid) {
  const InspectedJob job(response);
  const std::optional<uint32_t> node = job.NodeWithUid(uid);
  return !SubtasksOf(job, uid).empty() || (node.has_value() && job.MissingOf(*node) > 0);
}

std::string WindowsText(const proto::InspectJobResponse& response, const std::string& uid,
                        uint32_t limit) {
  const InspectedJob job(response);
  const std::vector<Subtask> subtasks = SubtasksOf(job, uid);
  const std::vector<Row> rows = FirstRows(subtasks, limit);
  const Totals totals = TotalsOf(subtasks);
  TextTable table;
  using Align = TextTable::Align;
  table.AddColumn("SUBTASK", Align::kRight);
  if (totals.by_key) table.AddColumn("KEY");
  table.AddColumn("START");
  table.AddColumn("END");
  if (!totals.by_key) table.AddColumn("KEYS", Align::kRight);
  table.AddColumn("ENTRIES", Align::kRight);
  table.AddColumn("BYTES", Align::kRight);
  table.AddColumn("FIRES");
  for (const Row& row : rows) {
    const TaskWindows::Window& window = *row.window;
    std::vector<std::string> cells{StrCat(row.of->subtask)};
    if (totals.by_key) cells.push_back(window.key().empty() ? "-" : Harmless(window.key()));
    cells.push_back(BoundText(window.start()));
    cells.push_back(BoundText(window.end()));
    if (!totals.by_key) cells.push_back(window.keys() == 0 ? "-" : FormatCount(window.keys()));
    const bool unknown = window.keys() == 0 && window.entries() == 0;
    cells.push_back(unknown ? "-" : FormatCount(window.entries()));
    cells.push_back(window.bytes() == 0 ? "-" : FormatBytes(window.bytes()));
    cells.push_back(FiresText(row));
    table.AddRow(std::move(cells));
  }
  std::string text = rows.empty() ? "no window is open\n" : table.Render();
  if (totals.seen > rows.size()) {
    text += StrCat("and ", FormatCount(totals.seen - rows.size()), " more that fire later\n");
  }
  if (totals.looked_at < totals.there_are) {
    text += StrCat("looked at ", FormatCount(totals.looked_at), " of ",
                   FormatCount(totals.there_are), totals.by_key ? " keys" : " windows or slices",
                   "; those of the others may fire earlier\n");
  }
  return text + job.MissingText();
}

std::string WindowsJson(const proto::InspectJobResponse& response, const std::string& uid,
                        uint32_t limit) {
  const InspectedJob job(response);
  const std::vector<Subtask> subtasks = SubtasksOf(job, uid);
  JsonWriter json;
  json.BeginObject().Key("time").String(FormatTime(job.asked_at())).Key("operator").String(uid);
  json.Key("subtasks").BeginArray();
  for (const Subtask& subtask : subtasks) {
    json.BeginObject().Key("subtask").Uint(subtask.subtask);
    json.Key("watermark");
    subtask.watermark == kMin ? json.Null() : json.String(FormatWatermark(subtask.watermark));
    json.Key("by_key").Bool(subtask.op->by_key());
    json.Key("windows_seen").Uint(subtask.op->seen());
    json.Key("looked_at").Uint(subtask.op->looked_at());
    json.Key("there_are").Uint(subtask.op->there_are()).EndObject();
  }
  json.EndArray().Key("windows").BeginArray();
  for (const Row& row : FirstRows(subtasks, limit)) {
    const TaskWindows::Window& window = *row.window;
    json.BeginObject().Key("subtask").Uint(row.of->subtask);
    json.Key("key").StringOrNull(window.key());
    WriteBound("start", window.start(), json);
    WriteBound("end", window.end(), json);
    json.Key("on_clock").Bool(window.on_clock());
    json.Key("fires").String(FiresWord(window.fires()));
    WriteBound("at", window.at(), json);
    WriteBound("gone_at", window.gone_at(), json);
    json.Key("keys");
    window.keys() == 0 ? json.Null() : json.Uint(window.keys());
    json.Key("entries").Uint(window.entries());
    json.Key("bytes");
    window.bytes() == 0 ? json.Null() : json.Uint(window.bytes());
    json.EndObject();
  }
  json.EndArray();
  job.WriteMissing(json);
  json.EndObject();
  return json.Finish();
}

}  // namespace weir

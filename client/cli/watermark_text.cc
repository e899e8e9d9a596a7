#include "client/cli/watermark_text.h"

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

using proto::TaskWatermarks;

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr int kMaxChannelsShown = 20;

// Where the slowest way ends.
struct HeldBack {
  std::string uid;
  uint32_t subtask = 0;
  // Of a source with more than one.
  std::optional<uint32_t> split{};
  bool by_alignment = false;
  // Nobody: all before it is idle, or has ended; or it is not known.
  std::string nobody{};

  std::string Text() const {
    if (!nobody.empty()) return nobody;
    return StrCat(Harmless(uid), " ", subtask, split.has_value() ? StrCat(", split ", *split) : "",
                  by_alignment ? ", by alignment" : "");
  }
};

// One subtask of one operator.
struct OperatorSubtask {
  uint32_t subtask = 0;
  const proto::TaskInspection* task = nullptr;
  int64_t watermark = kMin;
  bool idle = false;
};

class JobTime : public InspectedJob {
 public:
  explicit JobTime(const proto::InspectJobResponse& job) : InspectedJob(job) {}

  // Of every subtask that has answered.
  std::vector<OperatorSubtask> SubtasksOf(uint32_t node) const {
    std::vector<OperatorSubtask> subtasks;
    for (const auto& [key, task] : tasks()) {
      if (key.first != VertexOf(node) || !task->missing().empty()) continue;
      for (const TaskWatermarks::Operator& op : task->watermarks().operators()) {
        if (op.node() != node) continue;
        subtasks.push_back({key.second, task, op.watermark(), task->watermarks().idle()});
      }
    }
    return subtasks;
  }

  // Follows the slowest channel of each step back to its beginning.
  HeldBack WhoHolds(uint32_t node, uint32_t subtask) const {
    std::set<std::pair<uint32_t, uint32_t>> seen;
    while (seen.emplace(node, subtask).second) {
      const proto::TaskInspection* const found = TaskOf(node, subtask);
      if (found == nullptr) {
        return Nobody(StrCat("subtask ", subtask, " of ", UidOf(node), ", which has not answered"));
      }
      const TaskWatermarks& task = found->watermarks();
      // Within its task: a step before it that assigns timestamps, or the head.
      for (std::optional<uint32_t> at = node; at.has_value(); at = ChainedBefore(*at)) {
        if (Assigns(task, *at)) return {.uid = UidOf(*at), .subtask = subtask};
        node = *at;
      }
      if (task.channels_size() == 0) return OfSource(task, node, subtask);
      const TaskWatermarks::Channel* slowest = nullptr;
      for (const TaskWatermarks::Channel& channel : task.channels()) {
        if (!Counts(channel)) continue;
        if (slowest == nullptr || channel.watermark() < slowest->watermark()) slowest = &channel;
      }
      if (slowest == nullptr) return Nobody(AllFinished(task) ? "-" : "all is idle");
      const std::optional<uint32_t> from = FromNode(slowest->edge());
      if (!from.has_value()) return Nobody("?");
      node = *from;
      subtask = slowest->from_subtask();
    }
    return Nobody("?");
  }

  static bool Counts(const TaskWatermarks::Channel& channel) {
    return !channel.idle() && !channel.finished() && !channel.catching_up();
  }

 private:
  static HeldBack Nobody(std::string text) {
    HeldBack held;
    held.nobody = std::move(text);
    return held;
  }
  static bool AllFinished(const TaskWatermarks& task) {
    return std::all_of(task.channels().begin(), task.channels().end(),
                       [](const auto& channel) { return channel.finished(); });
  }
  static bool Assigns(const TaskWatermarks& task, uint32_t node) {
    return std::any_of(task.operators().begin(), task.operators().end(),
                       [&](const auto& op) { return op.node() == node && op.assigns(); });
  }
  HeldBack OfSource(const TaskWatermarks& task, uint32_t node, uint32_t subtask) const {
    const TaskWatermarks::Split* slowest = nullptr;
    for (const TaskWatermarks::Split& split : task.splits()) {
      if (split.idle()) continue;
      if (slowest == nullptr || split.watermark() < slowest->watermark()) slowest = &split;
    }
    if (task.idle()) return Nobody("all is idle");
    HeldBack held{.uid = UidOf(node), .subtask = subtask};
    if (slowest != nullptr) {
      if (task.splits_size() > 1) held.split = slowest->split();
      held.by_alignment = slowest->held_back();
    }
    return held;
  }
};

// Behind the wall clock; nothing to say before the first watermark and after the last.
std::string Lag(int64_t watermark, int64_t now) {
  if (watermark == kMin || watermark == kMax) return "-";
  int64_t lag = 0;
  if (__builtin_sub_overflow(now, watermark, &lag)) return "-";
  return lag < 0 ? StrCat("-", FormatSpan(-lag)) : FormatSpan(lag);
}
// Behind who is ahead.
std::string Behind(int64_t watermark, int64_t leader) {
  if (watermark == leader) return "0 ms";
  if (watermark == kMin || leader == kMax) return "-";
  int64_t behind = 0;
  return __builtin_sub_overflow(leader, watermark, &behind) ? "-" : FormatSpan(behind);
}

struct Summary {
  int64_t least = kMax;
  int64_t leader = kMin;
  // Whose watermark is the least; null: nobody has answered.
  const OperatorSubtask* slowest = nullptr;
  size_t idle = 0;
  size_t ended = 0;
};
Summary SummaryOf(const std::vector<OperatorSubtask>& subtasks) {
  Summary summary;
  for (const OperatorSubtask& subtask : subtasks) {
    summary.idle += subtask.idle && subtask.watermark != kMax ? 1 : 0;
    summary.ended += subtask.watermark == kMax ? 1 : 0;
  }
  // The idle ones hold nobody back, unless there are no others.
  const bool only_idle = summary.idle + summary.ended == subtasks.size();
  for (const OperatorSubtask& subtask : subtasks) {
    if (subtask.watermark != kMax) summary.leader = std::max(summary.leader, subtask.watermark);
    if (subtask.idle && !only_idle) continue;
    if (summary.slowest != nullptr && subtask.watermark >= summary.least) continue;
    summary.least = subtask.watermark;
    summary.slowest = &subtask;
  }
  if (summary.least == kMax) summary.leader = kMax;
  return summary;
}

std::string StateText(const Summary& summary, size_t missing) {
  std::vector<std::string> parts;
  if (summary.idle > 0) parts.push_back(StrCat(summary.idle, " idle"));
  if (summary.ended > 0) parts.push_back(StrCat(summary.ended, " ended"));
  if (missing > 0) parts.push_back(StrCat(missing, " silent"));
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text.empty() ? "-" : text;
}

const proto::Node* FindNode(const proto::JobGraph& graph, const std::string& uid) {
  for (const proto::Node& node : graph.nodes()) {
    if (node.uid() == uid) return &node;
  }
  return nullptr;
}

std::string StateOf(const OperatorSubtask& subtask) {
  if (subtask.watermark == kMax) return "ended";
  return subtask.idle ? "idle" : "active";
}
std::string StateOf(const TaskWatermarks::Channel& channel) {
  if (channel.finished()) return "ended";
  if (channel.idle()) return "idle";
  return channel.catching_up() ? "catching up" : "active";
}
std::string StateOf(const TaskWatermarks::Split& split) {
  if (split.idle()) return "idle";
  return split.held_back() ? "held back by alignment" : "active";
}

// The channels of a task, the slowest first.
std::string ChannelsText(const JobTime& time, const TaskWatermarks& task) {
  std::vector<const TaskWatermarks::Channel*> channels;
  int64_t leader = kMin;
  for (const auto& channel : task.channels()) {
    channels.push_back(&channel);
    if (!channel.finished()) leader = std::max(leader, channel.watermark());
  }
  std::stable_sort(channels.begin(), channels.end(), [](const auto* a, const auto* b) {
    if (JobTime::Counts(*a) != JobTime::Counts(*b)) return JobTime::Counts(*a);
    return a->watermark() < b->watermark();
  });
  TextTable table;
  using Align = TextTable::Align;
  table.AddColumn("INPUT", Align::kRight);
  table.AddColumn("FROM");
  table.AddColumn("WATERMARK");
  table.AddColumn("LAG", Align::kRight);
  table.AddColumn("BEHIND", Align::kRight);
  table.AddColumn("STATE");
  for (size_t i = 0; i < channels.size() && i < kMaxChannelsShown; ++i) {
    const TaskWatermarks::Channel& channel = *channels[i];
    const auto& edges = time.graph().edges();
    const std::string from =
        channel.edge() < static_cast<uint32_t>(edges.size())
            ? time.UidOf(edges.Get(static_cast<int>(channel.edge())).from_node())
            : "?";
    table.AddRow({StrCat(channel.input()), StrCat(Harmless(from), " ", channel.from_subtask()),
                  FormatWatermark(channel.watermark()), Lag(channel.watermark(), time.asked_at()),
                  channel.finished() ? "-" : Behind(channel.watermark(), leader),
                  StateOf(channel)});
  }
  std::string text = table.Render();
  if (channels.size() > kMaxChannelsShown) {
    text += StrCat("and ", channels.size() - kMaxChannelsShown,
                   " that are further ahead, idle or have ended (--json has all)\n");
  }
  return text;
}

std::string SplitsText(const JobTime& time, const TaskWatermarks& task) {
  std::vector<const TaskWatermarks::Split*> splits;
  int64_t leader = kMin;
  for (const auto& split : task.splits()) {
    splits.push_back(&split);
    leader = std::max(leader, split.watermark());
  }
  std::stable_sort(splits.begin(), splits.end(), [](const auto* a, const auto* b) {
    if (a->idle() != b->idle()) return b->idle();
    return a->watermark() < b->watermark();
  });
  TextTable table;
  using Align = TextTable::Align;
  table.AddColumn("SPLIT", Align::kRight);
  table.AddColumn("WATERMARK");
  table.AddColumn("LAG", Align::kRight);
  table.AddColumn("BEHIND", Align::kRight);
  table.AddColumn("STATE");
  for (size_t i = 0; i < splits.size() && i < kMaxChannelsShown; ++i) {
    table.AddRow({StrCat(splits[i]->split()), FormatWatermark(splits[i]->watermark()),
                  Lag(splits[i]->watermark(), time.asked_at()),
                  Behind(splits[i]->watermark(), leader), StateOf(*splits[i])});
  }
  std::string text = table.Render();
  if (splits.size() > kMaxChannelsShown) {
    text += StrCat("and ", splits.size() - kMaxChannelsShown,
                   " that are further ahead or idle (--json has all)\n");
  }
  return text;
}

void WriteWatermark(int64_t watermark, int64_t now, JsonWriter& json) {
  json.Key("watermark");
  if (watermark == kMin) {
    json.Null();
  } else {
    json.String(FormatWatermark(watermark));
  }
  json.Key("lag_ms");
  int64_t lag = 0;
  if (watermark == kMin || watermark == kMax || __builtin_sub_overflow(now, watermark, &lag)) {
    json.Null();
  } else {
    json.Decimal(static_cast<double>(lag) / 1e3);
  }
}

void WriteSubtask(const JobTime& time, uint32_t node, bool is_head, const OperatorSubtask& subtask,
                  JsonWriter& json) {
  json.BeginObject();
  json.Key("subtask").Uint(subtask.subtask);
  json.Key("task_manager").StringOrNull(subtask.task->task_manager());
  WriteWatermark(subtask.watermark, time.asked_at(), json);
  json.Key("state").String(StateOf(subtask));
  const HeldBack held = time.WhoHolds(node, subtask.subtask);
  json.Key("held_back_by");
  if (!held.nobody.empty() || subtask.watermark == kMax) {
    json.Null();
  } else {
    json.BeginObject().Key("operator").String(held.uid).Key("subtask").Uint(held.subtask);
    json.Key("split");
    held.split.has_value() ? json.Uint(*held.split) : json.Null();
    json.Key("alignment").Bool(held.by_alignment).EndObject();
  }
  if (is_head) {
    const TaskWatermarks& task = subtask.task->watermarks();
    json.Key("channels").BeginArray();
    for (const auto& channel : task.channels()) {
      json.BeginObject();
      json.Key("input").Uint(channel.input());
      const auto& edges = time.graph().edges();
      json.Key("from").String(
          channel.edge() < static_cast<uint32_t>(edges.size())
              ? time.UidOf(edges.Get(static_cast<int>(channel.edge())).from_node())
              : "");
      json.Key("from_subtask").Uint(channel.from_subtask());
      WriteWatermark(channel.watermark(), time.asked_at(), json);
      json.Key("state").String(StateOf(channel)).EndObject();
    }
    json.EndArray();
    json.Key("splits").BeginArray();
    for (const auto& split : task.splits()) {
      json.BeginObject().Key("split").Uint(split.split());
      WriteWatermark(split.watermark(), time.asked_at(), json);
      json.Key("state").String(StateOf(split)).EndObject();
    }
    json.EndArray();
  }
  json.EndObject();
}

bool IsHead(const proto::JobGraph& graph, uint32_t node) {
  return std::any_of(graph.vertices().begin(), graph.vertices().end(), [&](const auto& vertex) {
    return vertex.nodes_size() > 0 && vertex.nodes(0) == node;
  });
}

}  // namespace

std::string WatermarksText(const proto::InspectJobResponse& job) {
  const JobTime time(job);
  TextTable table;
  using Align = TextTable::Align;
  table.AddColumn("OPERATOR");
  table.AddColumn("PAR", Align::kRight);
  table.AddColumn("WATERMARK");
  table.AddColumn("LAG", Align::kRight);
  table.AddColumn("SPREAD", Align::kRight);
  table.AddColumn("SUBTASKS");
  table.AddColumn("HELD BACK BY");
  for (const proto::Node& node : job.graph().nodes()) {
    const std::vector<OperatorSubtask> subtasks = time.SubtasksOf(node.id());
    const auto missing = static_cast<size_t>(time.MissingOf(node.id()));
    if (subtasks.empty() && missing == 0) continue;
    const Summary summary = SummaryOf(subtasks);
    const bool known = summary.slowest != nullptr;
    const std::string name = (IsHead(job.graph(), node.id()) ? "" : "  > ") + Harmless(node.uid());
    const bool over = summary.least == kMax;
    table.AddRow(
        {name, StrCat(node.parallelism()), known ? FormatWatermark(summary.least) : "?",
         known ? Lag(summary.least, time.asked_at()) : "?",
         known ? Behind(summary.least, summary.leader) : "?", StateText(summary, missing),
         over || !known ? "-" : time.WhoHolds(node.id(), summary.slowest->subtask).Text()});
  }
  return table.Render() + time.MissingText();
}

std::string OperatorWatermarksText(const proto::InspectJobResponse& job, const std::string& uid) {
  const proto::Node* node = FindNode(job.graph(), uid);
  if (node == nullptr) return "";
  const JobTime time(job);
  const std::vector<OperatorSubtask> subtasks = time.SubtasksOf(node->id());
  const Summary summary = SummaryOf(subtasks);
  TextTable table;
  using Align = TextTable::Align;
  table.AddColumn("SUBTASK", Align::kRight);
  table.AddColumn("ON");
  table.AddColumn("WATERMARK");
  table.AddColumn("LAG", Align::kRight);
  table.AddColumn("BEHIND", Align::kRight);
  table.AddColumn("STATE");
  table.AddColumn("HELD BACK BY");
  for (const OperatorSubtask& subtask : subtasks) {
    const bool over = subtask.watermark == kMax;
    table.AddRow({StrCat(subtask.subtask), Harmless(subtask.task->task_manager()),
                  FormatWatermark(subtask.watermark), Lag(subtask.watermark, time.asked_at()),
                  Behind(subtask.watermark, summary.leader), StateOf(subtask),
                  over ? "-" : time.WhoHolds(node->id(), subtask.subtask).Text()});
  }
  std::string text = table.Render() + time.MissingText();
  if (summary.slowest == nullptr || summary.least == kMax) return text;
  const TaskWatermarks& task = summary.slowest->task->watermarks();
  if (task.channels_size() > 0) {
    text += StrCat("\nchannels of subtask ", summary.slowest->subtask,
                   ", which is the furthest behind:\n", ChannelsText(time, task));
  } else if (task.splits_size() > 0) {
    text += StrCat("\nsplits of subtask ", summary.slowest->subtask,
                   ", which is the furthest behind:\n", SplitsText(time, task));
  }
  return text;
}

std::string WatermarksJson(const proto::InspectJobResponse& job, const std::string& uid) {
  const JobTime time(job);
  JsonWriter json;
  json.BeginObject().Key("time").String(FormatTime(job.at_unix_micros()));
  json.Key("operators").BeginArray();
  for (const proto::Node& node : job.graph().nodes()) {
    if (!uid.empty() && node.uid() != uid) continue;
    const std::vector<OperatorSubtask> subtasks = time.SubtasksOf(node.id());
    if (subtasks.empty() && time.MissingOf(node.id()) == 0) continue;
    const Summary summary = SummaryOf(subtasks);
    json.BeginObject().Key("uid").String(node.uid());
    json.Key("parallelism").Uint(node.parallelism());
    WriteWatermark(summary.slowest == nullptr ? kMin : summary.least, time.asked_at(), json);
    json.Key("idle").Uint(summary.idle).Key("ended").Uint(summary.ended);
    json.Key("subtasks").BeginArray();
    for (const OperatorSubtask& subtask : subtasks) {
      WriteSubtask(time, node.id(), IsHead(job.graph(), node.id()), subtask, json);
    }
    json.EndArray().EndObject();
  }
  json.EndArray();
  time.WriteMissing(json);
  json.EndObject();
  return json.Finish();
}

std::string WatermarkProgress::Next(const proto::InspectJobResponse& job) {
  const JobTime time(job);
  std::string text;
  for (const proto::Node& node : job.graph().nodes()) {
    if (!uid_.empty() && node.uid() != uid_) continue;
    if (uid_.empty() && !IsHead(job.graph(), node.id())) continue;
    const std::vector<OperatorSubtask> subtasks = time.SubtasksOf(node.id());
    const Summary summary = SummaryOf(subtasks);
    if (summary.slowest == nullptr) continue;
    const auto former = before_.find(node.uid());
    std::string speed = "-";
    int64_t went_on = 0;
    if (former != before_.end() && former->second.watermark != kMin && summary.least != kMax &&
        time.asked_at() > former->second.at_micros &&
        !__builtin_sub_overflow(summary.least, former->second.watermark, &went_on)) {
      const int64_t tenths = went_on * 10 / (time.asked_at() - former->second.at_micros);
      speed = StrCat("x", tenths / 10, ".", tenths % 10);
    }
    before_[node.uid()] = {time.asked_at(), summary.least};
    const std::string who =
        summary.least == kMax ? "-" : time.WhoHolds(node.id(), summary.slowest->subtask).Text();
    text +=
        StrCat(FormatTime(time.asked_at() / 1'000'000 * 1'000'000), "  ", Harmless(node.uid()),
               "  ", FormatWatermark(summary.least), "  lag ", Lag(summary.least, time.asked_at()),
               "  spread ", Behind(summary.least, summary.leader), "  ", speed, "  ",
               StateText(summary, static_cast<size_t>(time.MissingOf(node.id()))),
               "  held back by ", who, "\n");
  }
  return text;
}

}  // namespace weir

#include "tests/conformance/outputs.h"

#include <algorithm>
#include <utility>

namespace weir::conformance {
namespace {

std::string At(Ticks timestamp) {
  return timestamp == kMinTicks ? "" : " @" + std::to_string(timestamp);
}

std::string_view KeyOf(const std::string& line) {
  return std::string_view(line).substr(0, line.find('|'));
}

void Arrange(Case::Order order, std::vector<std::string>& lines) {
  if (order == Case::Order::kUnordered) {
    std::sort(lines.begin(), lines.end());
  } else if (order == Case::Order::kPerKey) {
    std::stable_sort(lines.begin(), lines.end(), [](const std::string& a, const std::string& b) {
      return KeyOf(a) < KeyOf(b);
    });
  }
}

}  // namespace

CaseRecord RecordOf(const CaseValue& record) {
  return {record.Text("key"), record.Number("value"), record.TextOr("text", ""),
          EventTime::FromTicks(TimeOf(record))};
}
Ticks TimeOf(const CaseValue& record) { return record.NumberOr("ts", kMinTicks); }

std::string Outputs::Main::Line() const { return text + At(timestamp); }

void Outputs::Result(const std::string& text, Ticks timestamp) {
  main_.push_back({text, timestamp, false});
}
void Outputs::Literal(std::string json) { main_.push_back({std::move(json), kMinTicks, false}); }
void Outputs::Watermark(Ticks watermark) {
  main_.push_back({"watermark " + std::to_string(watermark), kMinTicks, true});
}
void Outputs::Idle(bool idle) { main_.push_back({idle ? "idle" : "active", kMinTicks, true}); }
void Outputs::Side(const std::string& output, const std::string& text, Ticks timestamp) {
  sides_[output].push_back(text + At(timestamp));
}
void Outputs::SideRecord(const std::string& output, const CaseRecord& record, Ticks timestamp) {
  Side(output, record.key + "|" + std::to_string(record.value) + "|" + record.text, timestamp);
}

void Outputs::AddExpected(const CaseValue& step) {
  for (const CaseValue& out : step.AsList()) {
    bool known = false;
    if (out.Has("value")) {
      Result(out.Text("value"), TimeOf(out));
      known = true;
    } else if (out.Has("watermark")) {
      Watermark(out.Number("watermark"));
      known = true;
    } else if (out.Has("idle")) {
      Idle(out.Flag("idle"));
      known = true;
    } else if (out.Has("dropped")) {
      Dropped(static_cast<std::uint64_t>(out.Number("dropped")));
      known = true;
    } else if (out.Has("timed_out")) {
      const CaseValue& match = out.Object("timed_out");
      Side("timed_out", match.Text("value"), TimeOf(match));
      known = true;
    } else if (out.Flag("error")) {
      Error();
      known = true;
    }
    for (const char* side : {"late", "late_left", "late_right"}) {
      if (!out.Has(side)) continue;
      const CaseValue& record = out.Object(side);
      SideRecord(side, RecordOf(record), TimeOf(record));
      known = true;
    }
    if (!known) Literal(out.Json());
    for (const std::string& field : out.Unread())
      out.Problem("the field '" + field + "' of an output is not known");
  }
}

bool Outputs::HasLastWatermark() const {
  return std::any_of(main_.begin(), main_.end(), [](const Main& out) {
    return out.marker && out.text == "watermark " + std::to_string(kMaxTicks);
  });
}

void Outputs::ForgetTimes() {
  for (Main& out : main_) out.timestamp = kMinTicks;
}

std::vector<std::string> Outputs::Comparable(Case::Order order, std::string_view apart) const {
  std::vector<std::string> lines;
  std::vector<std::string> segment;
  const auto close = [&] {
    Arrange(order, segment);
    lines.insert(lines.end(), segment.begin(), segment.end());
    segment.clear();
  };
  for (const Main& out : main_) {
    if (out.marker) {
      close();
      lines.push_back(out.Line());
      continue;
    }
    const std::size_t at = apart.empty() || order != Case::Order::kUnordered ? std::string::npos
                                                                             : out.text.find(apart);
    if (at == std::string::npos) {
      segment.push_back(out.Line());
    } else {
      segment.push_back(out.text.substr(0, at) + At(out.timestamp));
      segment.push_back(std::string(KeyOf(out.text)) + out.text.substr(at));
    }
  }
  close();
  for (const auto& [name, results] : sides_) {
    segment = results;
    Arrange(order, segment);
    for (const std::string& line : segment) lines.push_back(name + ": " + line);
  }
  if (dropped_ > 0) lines.push_back("dropped " + std::to_string(dropped_));
  if (error_) lines.push_back("error");
  return lines;
}

std::vector<std::string> Outputs::Lines() const { return Comparable(Case::Order::kExact, ""); }

}  // namespace weir::conformance

#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tests/conformance/case_file.h"
#include "weir/time.h"

namespace weir::conformance {

// A record of a case, and the input of every operator that is built for one.
struct CaseRecord {
  std::string key;
  std::int64_t value = 0;
  std::string text;
  // The record's timestamp; Min if it has none.
  EventTime at;
};

CaseRecord RecordOf(const CaseValue& record);
// The timestamp; kMinTicks if it has none.
Ticks TimeOf(const CaseValue& record);

// What a step, or several, put out: results and what is said of time in their order, what went to
// side outputs, and how many records were dropped.
class Outputs {
 public:
  void Result(const std::string& text, Ticks timestamp);
  // Of kinds that put out neither results nor time: as the case file writes it.
  void Literal(std::string json);
  void Watermark(Ticks watermark);
  void Idle(bool idle);
  void Side(const std::string& output, const std::string& text, Ticks timestamp);
  void SideRecord(const std::string& output, const CaseRecord& record, Ticks timestamp);
  void Dropped(std::uint64_t records) { dropped_ += records; }
  void Error() { error_ = true; }

  // Adds what a case expects of a step.
  void AddExpected(const CaseValue& step);

  bool error() const { return error_; }
  bool HasLastWatermark() const;
  // The results lose their timestamps.
  void ForgetTimes();
  void ForgetDropped() { dropped_ = 0; }

  // As lines that are the same for outputs between which `order` makes no difference. `apart`: of a
  // result of Order::kUnordered, what follows this text is a result of its own, of the same key.
  std::vector<std::string> Comparable(Case::Order order, std::string_view apart) const;
  // As they came.
  std::vector<std::string> Lines() const;

 private:
  struct Main {
    std::string text;
    Ticks timestamp = kMinTicks;
    // A watermark or status: results do not go past it.
    bool marker = false;
    std::string Line() const;
  };
  std::vector<Main> main_;
  std::map<std::string, std::vector<std::string>> sides_;
  std::uint64_t dropped_ = 0;
  bool error_ = false;
};

}  // namespace weir::conformance

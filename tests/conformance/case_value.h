#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace weir::conformance {

// A value of a line of a case file. It notes what it was asked for: fields that nobody has asked
// for are ones that we do not know, and what was not as asked is a problem of the case. Either
// means that the case is not supported; so those who read need no errors of their own.
class CaseValue {
 public:
  // What is wrong with the values of one line, as sentences.
  using Problems = std::vector<std::string>;

  CaseValue() = default;
  // One JSON object. `problems` outlives the value.
  static absl::StatusOr<CaseValue> Parse(std::string_view json, Problems* problems);

  // Whether there is such a field and it is not null. It counts as asked for.
  bool Has(std::string_view field) const { return Find(field) != nullptr; }
  // Absent or of another type: a problem, and an empty text, 0, a list without values, or an object
  // without fields.
  std::string Text(std::string_view field) const;
  std::int64_t Number(std::string_view field) const;
  const CaseValue& Object(std::string_view field) const;
  const std::vector<CaseValue>& List(std::string_view field) const;
  // The same, but it may be absent.
  std::int64_t NumberOr(std::string_view field, std::int64_t otherwise) const;
  std::string TextOr(std::string_view field, std::string_view otherwise) const;
  bool Flag(std::string_view field) const;
  std::optional<std::int64_t> MaybeNumber(std::string_view field) const;

  // Of a value of a list.
  std::int64_t AsNumber() const;
  const std::vector<CaseValue>& AsList() const;

  // Says that the case is not supported.
  void Problem(std::string text) const;
  // The paths of the fields that were not asked for.
  std::vector<std::string> Unread() const;
  // As compact JSON, in the order of the file. Counts as asking for everything.
  std::string Json() const;

 private:
  enum class Kind { kNull, kFlag, kNumber, kText, kList, kObject };
  // Fills this from a parsed element of simdjson.
  template <class Element>
  bool Fill(const Element& element, Problems* problems);
  const CaseValue* Find(std::string_view field) const;
  const CaseValue* FindA(Kind kind, std::string_view name, std::string_view field) const;
  void AddUnread(const std::string& path, std::vector<std::string>& unread) const;
  void AppendJson(std::string& out) const;

  Kind kind_ = Kind::kNull;
  bool flag_ = false;
  mutable bool read_ = false;
  std::int64_t number_ = 0;
  std::string text_;
  // Of an object beside `names_`, or of a list.
  std::vector<CaseValue> values_;
  std::vector<std::string> names_;
  Problems* problems_ = nullptr;
};

}  // namespace weir::conformance

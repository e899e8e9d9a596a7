#include "tests/conformance/case_value.h"

#include "absl/strings/str_cat.h"
#include "simdjson.h"

namespace weir::conformance {
namespace {

const CaseValue& Nothing() {
  static const CaseValue nothing;
  return nothing;
}

std::string Quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

}  // namespace

template <class Element>
bool CaseValue::Fill(const Element& element, Problems* problems) {
  problems_ = problems;
  if (element.is_null()) return true;
  if (element.is_bool()) {
    kind_ = Kind::kFlag;
    return element.get(flag_) == simdjson::SUCCESS;
  }
  if (element.is_string()) {
    kind_ = Kind::kText;
    text_ = std::string(element.get_string().value());
    return true;
  }
  if (simdjson::dom::array list; element.get(list) == simdjson::SUCCESS) {
    kind_ = Kind::kList;
    for (const auto value : list) {
      if (!values_.emplace_back().Fill(value, problems)) return false;
    }
    return true;
  }
  if (simdjson::dom::object object; element.get(object) == simdjson::SUCCESS) {
    kind_ = Kind::kObject;
    for (const auto field : object) {
      names_.emplace_back(field.key);
      if (!values_.emplace_back().Fill(field.value, problems)) return false;
    }
    return true;
  }
  // Fractions and what is beyond 64 bits are no values of the format.
  kind_ = Kind::kNumber;
  return element.get(number_) == simdjson::SUCCESS;
}

absl::StatusOr<CaseValue> CaseValue::Parse(std::string_view json, Problems* problems) {
  simdjson::dom::parser parser;
  simdjson::dom::element element;
  const simdjson::error_code error = parser.parse(json.data(), json.size()).get(element);
  if (error != simdjson::SUCCESS)
    return absl::InvalidArgumentError(absl::StrCat("no JSON: ", simdjson::error_message(error)));
  CaseValue value;
  if (!value.Fill(element, problems))
    return absl::InvalidArgumentError("a number is no integer of 64 bits");
  if (value.kind_ != Kind::kObject) return absl::InvalidArgumentError("no JSON object");
  return value;
}

const CaseValue* CaseValue::Find(std::string_view field) const {
  for (std::size_t i = 0; i < names_.size(); ++i) {
    if (names_[i] != field) continue;
    values_[i].read_ = true;
    return values_[i].kind_ == Kind::kNull ? nullptr : &values_[i];
  }
  return nullptr;
}

const CaseValue* CaseValue::FindA(Kind kind, std::string_view name, std::string_view field) const {
  const CaseValue* const found = Find(field);
  if (found != nullptr && found->kind_ == kind) return found;
  Problem(absl::StrCat("'", std::string(field), "' is ", found == nullptr ? "missing" : "no ",
                       found == nullptr ? "" : std::string(name)));
  return nullptr;
}

std::string CaseValue::Text(std::string_view field) const {
  const CaseValue* const found = FindA(Kind::kText, "text", field);
  return found == nullptr ? "" : found->text_;
}
std::int64_t CaseValue::Number(std::string_view field) const {
  const CaseValue* const found = FindA(Kind::kNumber, "integer", field);
  return found == nullptr ? 0 : found->number_;
}
const CaseValue& CaseValue::Object(std::string_view field) const {
  const CaseValue* const found = FindA(Kind::kObject, "object", field);
  return found == nullptr ? Nothing() : *found;
}
const std::vector<CaseValue>& CaseValue::List(std::string_view field) const {
  const CaseValue* const found = FindA(Kind::kList, "list", field);
  return found == nullptr ? Nothing().values_ : found->values_;
}
std::int64_t CaseValue::NumberOr(std::string_view field, std::int64_t otherwise) const {
  return Has(field) ? Number(field) : otherwise;
}
std::string CaseValue::TextOr(std::string_view field, std::string_view otherwise) const {
  return Has(field) ? Text(field) : std::string(otherwise);
}
bool CaseValue::Flag(std::string_view field) const {
  if (!Has(field)) return false;
  const CaseValue* const found = FindA(Kind::kFlag, "true or false", field);
  return found != nullptr && found->flag_;
}
std::optional<std::int64_t> CaseValue::MaybeNumber(std::string_view field) const {
  return Has(field) ? std::optional(Number(field)) : std::nullopt;
}

std::int64_t CaseValue::AsNumber() const {
  read_ = true;
  if (kind_ != Kind::kNumber) Problem("a value of a list is no integer");
  return number_;
}
const std::vector<CaseValue>& CaseValue::AsList() const {
  read_ = true;
  if (kind_ != Kind::kList) Problem("a value of a list is no list");
  return values_;
}

void CaseValue::Problem(std::string text) const {
  if (problems_ != nullptr) problems_->push_back(std::move(text));
}

void CaseValue::AddUnread(const std::string& path, std::vector<std::string>& unread) const {
  for (std::size_t i = 0; i < values_.size(); ++i) {
    const bool list = kind_ == Kind::kList;
    const std::string name = list ? absl::StrCat(path, "[", i, "]")
                                  : (path.empty() ? names_[i] : absl::StrCat(path, ".", names_[i]));
    if (!list && !values_[i].read_) {
      unread.push_back(name);
    } else {
      values_[i].AddUnread(name, unread);
    }
  }
}

std::vector<std::string> CaseValue::Unread() const {
  std::vector<std::string> unread;
  AddUnread("", unread);
  return unread;
}

void CaseValue::AppendJson(std::string& out) const {
  read_ = true;
  const bool object = kind_ == Kind::kObject;
  switch (kind_) {
    case Kind::kNull:
      out += "null";
      break;
    case Kind::kFlag:
      out += flag_ ? "true" : "false";
      break;
    case Kind::kNumber:
      absl::StrAppend(&out, number_);
      break;
    case Kind::kText:
      out += Quoted(text_);
      break;
    case Kind::kList:
    case Kind::kObject:
      out += object ? "{" : "[";
      for (std::size_t i = 0; i < values_.size(); ++i) {
        if (i > 0) out += ",";
        if (object) out += Quoted(names_[i]) + ":";
        values_[i].AppendJson(out);
      }
      out += object ? "}" : "]";
  }
}

std::string CaseValue::Json() const {
  std::string out;
  AppendJson(out);
  return out;
}

}  // namespace weir::conformance

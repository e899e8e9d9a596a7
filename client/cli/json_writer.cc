#include "client/cli/json_writer.h"

#include <utility>

#include "absl/strings/str_format.h"
#include "common/obs/json_text.h"

namespace weir {

void JsonWriter::BeforeValue() {
  if (after_key_) {
    after_key_ = false;
    return;
  }
  if (depth_ == 0) return;
  if (!first_) text_ += ',';
  text_ += '\n';
  text_.append(static_cast<size_t>(2 * depth_), ' ');
  first_ = false;
}

void JsonWriter::Begin(char bracket) {
  BeforeValue();
  text_ += bracket;
  ++depth_;
  first_ = true;
}

void JsonWriter::End(char bracket) {
  --depth_;
  if (!first_) {
    text_ += '\n';
    text_.append(static_cast<size_t>(2 * depth_), ' ');
  }
  text_ += bracket;
  first_ = false;
}

JsonWriter& JsonWriter::BeginObject() {
  Begin('{');
  return *this;
}
JsonWriter& JsonWriter::EndObject() {
  End('}');
  return *this;
}
JsonWriter& JsonWriter::BeginArray() {
  Begin('[');
  return *this;
}
JsonWriter& JsonWriter::EndArray() {
  End(']');
  return *this;
}

JsonWriter& JsonWriter::Key(std::string_view key) {
  BeforeValue();
  Quote(key);
  text_ += ": ";
  after_key_ = true;
  return *this;
}

JsonWriter& JsonWriter::String(std::string_view value) {
  BeforeValue();
  Quote(value);
  return *this;
}
JsonWriter& JsonWriter::Uint(uint64_t value) {
  BeforeValue();
  text_ += std::to_string(value);
  return *this;
}
JsonWriter& JsonWriter::Int(int64_t value) {
  BeforeValue();
  text_ += std::to_string(value);
  return *this;
}
JsonWriter& JsonWriter::Decimal(double value) {
  BeforeValue();
  text_ += absl::StrFormat("%.1f", value);
  return *this;
}
JsonWriter& JsonWriter::Bool(bool value) {
  BeforeValue();
  text_ += value ? "true" : "false";
  return *this;
}
JsonWriter& JsonWriter::Null() {
  BeforeValue();
  text_ += "null";
  return *this;
}

std::string JsonWriter::Finish() { return std::move(text_) + "\n"; }

void JsonWriter::Quote(std::string_view text) { AppendJsonString(text_, text); }

}  // namespace weir

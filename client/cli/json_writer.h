#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace weir {

// Writes one JSON value, indented by two blanks. Calls come in the order of the text: inside an
// object a Key before each value. Numbers above 2^53 are written in full; readers that use doubles
// lose their last digits.
class JsonWriter {
 public:
  JsonWriter& BeginObject();
  JsonWriter& EndObject();
  JsonWriter& BeginArray();
  JsonWriter& EndArray();
  JsonWriter& Key(std::string_view key);
  JsonWriter& String(std::string_view value);
  JsonWriter& Uint(uint64_t value);
  JsonWriter& Int(int64_t value);
  // One digit after the point.
  JsonWriter& Decimal(double value);
  JsonWriter& Bool(bool value);
  JsonWriter& Null();

  // A null for an empty text.
  JsonWriter& StringOrNull(std::string_view value) {
    return value.empty() ? Null() : String(value);
  }

  // The whole text with a line end; last call.
  std::string Finish();

 private:
  void BeforeValue();
  void Begin(char bracket);
  void End(char bracket);
  void Quote(std::string_view text);

  std::string text_;
  int depth_ = 0;
  bool first_ = true;
  bool after_key_ = false;
};

}  // namespace weir

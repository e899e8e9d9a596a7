#include "connectors/json/json_line_reader.h"

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "simdjson.h"
#include "weir/time_format.h"

namespace weir {
namespace {

namespace ondemand = simdjson::ondemand;

// Up to 40 bytes of `text` on one line, cut between characters.
std::string Excerpt(std::string_view text) {
  constexpr size_t kMaxBytes = 40;
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r' ||
                           text.back() == '\n')) {
    text.remove_suffix(1);
  }
  if (text.size() <= kMaxBytes) return std::string(text);
  size_t end = kMaxBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return StrCat(text.substr(0, end), "...");
}

absl::Status Malformed(simdjson::error_code error) {
  switch (error) {
    case simdjson::UTF8_ERROR:
      return absl::InvalidArgumentError("malformed JSON: not valid UTF-8");
    case simdjson::EMPTY:
      return absl::InvalidArgumentError("malformed JSON: the line is empty");
    case simdjson::UNCLOSED_STRING:
      return absl::InvalidArgumentError("malformed JSON: a string is not closed");
    case simdjson::INCOMPLETE_ARRAY_OR_OBJECT:
      return absl::InvalidArgumentError("malformed JSON: an object or array is not closed");
    case simdjson::STRING_ERROR:
      return absl::InvalidArgumentError("malformed JSON: a string has an invalid escape");
    case simdjson::CAPACITY:
    case simdjson::MEMALLOC:
      return absl::ResourceExhaustedError("not enough memory to read the line");
    default:
      return absl::InvalidArgumentError(
          StrCat("malformed JSON: ", std::string_view(simdjson::error_message(error))));
  }
}

class SimdjsonLineReader final : public JsonLineReader {
 public:
  explicit SimdjsonLineReader(TimeUnit unit) : unit_(unit) {}

  absl::Status Start(std::string_view line) override {
    depth_ = 0;
    state_ = State::kRoot;
    const auto error =
        parser_.iterate(line.data(), line.size(), line.size() + kJsonPaddingBytes).get(document_);
    return error == simdjson::SUCCESS ? absl::OkStatus() : Malformed(error);
  }

  absl::Status Finish() override {
    WEIR_RETURN_IF_ERROR(Skip());
    WEIR_CHECK_EQ(depth_, 0u);
    const char* rest = nullptr;
    // No location means that everything was read.
    if (document_.current_location().get(rest) == simdjson::SUCCESS) {
      return absl::InvalidArgumentError("malformed JSON: something follows the value");
    }
    return absl::OkStatus();
  }

  JsonKind NextKind() override {
    switch (Type()) {
      case ondemand::json_type::boolean:
        return JsonKind::kBool;
      case ondemand::json_type::number:
        return JsonKind::kNumber;
      case ondemand::json_type::string:
        return JsonKind::kString;
      case ondemand::json_type::array:
        return JsonKind::kArray;
      case ondemand::json_type::object:
        return JsonKind::kObject;
      case ondemand::json_type::null:
        break;
    }
    return JsonKind::kNull;
  }

  bool IsNull() override {
    if (state_ == State::kDone) return false;
    bool is_null = false;
    const auto error = OnCurrent([](auto& v) { return v.is_null(); }).get(is_null);
    if (error != simdjson::SUCCESS || !is_null) return false;
    // The null is read: Skip is allowed after it and does nothing.
    state_ = State::kDone;
    return true;
  }

  absl::Status ReadBool(bool& value) override {
    const auto error = OnCurrent([](auto& v) { return v.get_bool(); }).get(value);
    if (error != simdjson::SUCCESS) return Unexpected("true or false", error);
    state_ = State::kDone;
    return absl::OkStatus();
  }

  absl::Status ReadInt(int64_t& value) override {
    const auto error = OnCurrent([](auto& v) { return v.get_int64(); }).get(value);
    if (error != simdjson::SUCCESS) return Unexpected("an integer", error);
    state_ = State::kDone;
    return absl::OkStatus();
  }

  absl::Status ReadUint(uint64_t& value) override {
    const auto error = OnCurrent([](auto& v) { return v.get_uint64(); }).get(value);
    if (error != simdjson::SUCCESS) return Unexpected("an integer that is not negative", error);
    state_ = State::kDone;
    return absl::OkStatus();
  }

  absl::Status ReadDouble(double& value) override {
    const auto error = OnCurrent([](auto& v) { return v.get_double(); }).get(value);
    if (error != simdjson::SUCCESS) return Unexpected("a number", error);
    state_ = State::kDone;
    return absl::OkStatus();
  }

  absl::Status ReadString(std::string_view& value) override {
    const auto error = OnCurrent([](auto& v) { return v.get_string(); }).get(value);
    if (error != simdjson::SUCCESS) return Unexpected("a string", error);
    state_ = State::kDone;
    return absl::OkStatus();
  }

  absl::Status ReadTime(EventTime& value) override {
    if (Type() == ondemand::json_type::number) {
      Ticks ticks = 0;
      WEIR_RETURN_IF_ERROR(ReadTicks("a time", ticks));
      value = EventTime::FromTicks(ticks);
      return absl::OkStatus();
    }
    std::string_view text;
    const auto error = OnCurrent([](auto& v) { return v.get_string(); }).get(text);
    if (error != simdjson::SUCCESS) return Unexpected("a time (ISO-8601 text or a number)", error);
    WEIR_RETURN_IF_ERROR(ParseTime(text, value));
    state_ = State::kDone;
    return absl::OkStatus();
  }

  absl::Status ReadDuration(Duration& value) override {
    if (Type() == ondemand::json_type::number) {
      Ticks ticks = 0;
      WEIR_RETURN_IF_ERROR(ReadTicks("a duration", ticks));
      value = Duration(ticks);
      return absl::OkStatus();
    }
    std::string_view text;
    const auto error = OnCurrent([](auto& v) { return v.get_string(); }).get(text);
    if (error != simdjson::SUCCESS)
      return Unexpected("a duration (text such as \"1h30m\", or a number)", error);
    WEIR_RETURN_IF_ERROR(ParseDuration(text, value));
    state_ = State::kDone;
    return absl::OkStatus();
  }

  absl::Status BeginObject() override {
    WEIR_RETURN_IF_ERROR(CheckDepth());
    ondemand::object object;
    const auto error = OnCurrent([](auto& v) { return v.get_object(); }).get(object);
    if (error != simdjson::SUCCESS) return Unexpected("an object", error);
    Level& level = levels_[depth_];
    level.first = true;
    const auto begin_error = object.begin().get(level.fields);
    if (begin_error != simdjson::SUCCESS) return Malformed(begin_error);
    ++depth_;
    state_ = State::kDone;
    return absl::OkStatus();
  }

  absl::StatusOr<bool> NextField(std::string_view& name) override {
    WEIR_CHECK_GT(depth_, 0u);
    Level& level = levels_[depth_ - 1];
    if (!level.first) ++level.fields;
    level.first = false;
    if (!(level.fields != ondemand::object_iterator())) {
      --depth_;
      state_ = State::kDone;
      return false;
    }
    ondemand::field field;
    auto error = (*level.fields).get(field);
    if (error == simdjson::SUCCESS) error = ReadKey(field, name);
    if (error != simdjson::SUCCESS) return Malformed(error);
    value_ = field.value();
    state_ = State::kValue;
    return true;
  }

  absl::Status BeginArray() override {
    WEIR_RETURN_IF_ERROR(CheckDepth());
    ondemand::array array;
    const auto error = OnCurrent([](auto& v) { return v.get_array(); }).get(array);
    if (error != simdjson::SUCCESS) return Unexpected("an array", error);
    Level& level = levels_[depth_];
    level.first = true;
    const auto begin_error = array.begin().get(level.elements);
    if (begin_error != simdjson::SUCCESS) return Malformed(begin_error);
    ++depth_;
    state_ = State::kDone;
    return absl::OkStatus();
  }

  absl::StatusOr<bool> NextElement() override {
    WEIR_CHECK_GT(depth_, 0u);
    Level& level = levels_[depth_ - 1];
    if (!level.first) ++level.elements;
    level.first = false;
    if (!(level.elements != ondemand::array_iterator())) {
      --depth_;
      state_ = State::kDone;
      return false;
    }
    const auto error = (*level.elements).get(value_);
    if (error != simdjson::SUCCESS) return Malformed(error);
    state_ = State::kValue;
    return true;
  }

  absl::Status Skip() override {
    if (state_ == State::kDone) return absl::OkStatus();
    if (state_ == State::kRoot) {
      // Going through a root by hand finds an unbalanced one; a scalar has to be read to be passed.
      std::string_view raw;
      const auto error = document_.raw_json().get(raw);
      if (error != simdjson::SUCCESS && error != simdjson::INCORRECT_TYPE) return Malformed(error);
    }
    // The iterator of the enclosing object or array passes over what was not read.
    state_ = State::kDone;
    return absl::OkStatus();
  }

 private:
  enum class State {
    kRoot,   // the current value is the line
    kValue,  // the current value is value_
    kDone,   // the current value was read
  };
  struct Level {
    bool first = true;
    ondemand::object_iterator fields;
    ondemand::array_iterator elements;
  };

  template <class F>
  auto OnCurrent(F f) -> decltype(f(std::declval<ondemand::value&>())) {
    if (state_ == State::kRoot) return f(document_);
    if (state_ == State::kDone) return simdjson::INCORRECT_TYPE;
    return f(value_);
  }

  // A name without escapes, as nearly all are, is taken as it stands in the line.
  static simdjson::error_code ReadKey(ondemand::field& field, std::string_view& name) {
    const char* const begin = field.key().raw();
    const char* end = begin;
    while (*end != '"' && *end != '\\') ++end;
    if (*end == '"') [[likely]] {
      name = std::string_view(begin, static_cast<size_t>(end - begin));
      return simdjson::SUCCESS;
    }
    return field.unescaped_key().get(name);
  }

  ondemand::json_type Type() {
    ondemand::json_type type = ondemand::json_type::null;
    const auto error = OnCurrent([](auto& v) { return v.type(); }).get(type);
    return error == simdjson::SUCCESS ? type : ondemand::json_type::null;
  }

  // The current value is a number: reads it as a count of units. Exact for integers, rounded to a
  // tick for others.
  absl::Status ReadTicks(std::string_view what, Ticks& ticks) {
    int64_t integer = 0;
    if (OnCurrent([](auto& v) { return v.get_int64(); }).get(integer) == simdjson::SUCCESS) {
      if (unit_ == TimeUnit::kNanos) {
        ticks = integer >= 0 ? integer / 1000 : -((999 - integer) / 1000);
      } else if (__builtin_mul_overflow(integer, TicksPerUnit(), &ticks)) {
        return absl::InvalidArgumentError(StrCat(what, " is out of range: ", integer, " ",
                                                 UnitName(), "; is another time unit meant?"));
      }
      state_ = State::kDone;
      return absl::OkStatus();
    }
    double number = 0;
    const auto error = OnCurrent([](auto& v) { return v.get_double(); }).get(number);
    if (error != simdjson::SUCCESS) return Unexpected(what, error);
    const double in_ticks =
        unit_ == TimeUnit::kNanos ? number / 1000 : number * static_cast<double>(TicksPerUnit());
    if (!(std::fabs(in_ticks) < 9.2e18)) {
      return absl::InvalidArgumentError(StrCat(what, " is out of range: ", number, " ", UnitName(),
                                               "; is another time unit meant?"));
    }
    ticks = std::llround(in_ticks);
    state_ = State::kDone;
    return absl::OkStatus();
  }

  int64_t TicksPerUnit() const {
    return unit_ == TimeUnit::kSeconds ? 1000000 : unit_ == TimeUnit::kMillis ? 1000 : 1;
  }
  std::string_view UnitName() const {
    switch (unit_) {
      case TimeUnit::kSeconds:
        return "s";
      case TimeUnit::kMillis:
        return "ms";
      case TimeUnit::kMicros:
        return "us";
      case TimeUnit::kNanos:
        break;
    }
    return "ns";
  }

  absl::Status CheckDepth() const {
    if (depth_ < kMaxJsonDepth) return absl::OkStatus();
    return absl::InvalidArgumentError(
        StrCat("objects and arrays lie more than ", kMaxJsonDepth, " deep within each other"));
  }

  // What stands at the current value, for an error: `a string "abc"`.
  std::string Found() {
    ondemand::json_type type = ondemand::json_type::null;
    if (OnCurrent([](auto& v) { return v.type(); }).get(type) != simdjson::SUCCESS)
      return "nothing readable";
    std::string_view token;
    if (state_ == State::kRoot) {
      if (document_.raw_json_token().get(token) != simdjson::SUCCESS) token = {};
    } else {
      token = value_.raw_json_token();
    }
    switch (type) {
      case ondemand::json_type::array:
        return "an array";
      case ondemand::json_type::object:
        return "an object";
      case ondemand::json_type::null:
        return Excerpt(token) == "null" ? "null" : Excerpt(token);
      case ondemand::json_type::boolean:
        return Excerpt(token);
      case ondemand::json_type::number:
        return StrCat("the number ", Excerpt(token));
      case ondemand::json_type::string:
        break;
    }
    return StrCat("a string ", Excerpt(token));
  }

  absl::Status Unexpected(std::string_view expected, simdjson::error_code error) {
    switch (error) {
      case simdjson::INCORRECT_TYPE:
      case simdjson::NUMBER_ERROR:
      case simdjson::NUMBER_OUT_OF_RANGE:
      case simdjson::N_ATOM_ERROR:
      case simdjson::T_ATOM_ERROR:
      case simdjson::F_ATOM_ERROR:
        if (state_ == State::kDone)
          return absl::InternalError(StrCat("read ", expected, " where no value is left"));
        return absl::InvalidArgumentError(StrCat("expected ", expected, ", found ", Found()));
      default:
        return Malformed(error);
    }
  }

  const TimeUnit unit_;
  ondemand::parser parser_;
  ondemand::document document_;
  ondemand::value value_;
  State state_ = State::kDone;
  size_t depth_ = 0;
  std::array<Level, kMaxJsonDepth> levels_;
};

}  // namespace

std::unique_ptr<JsonLineReader> JsonLineReader::Make(TimeUnit time_unit) {
  return std::make_unique<SimdjsonLineReader>(time_unit);
}

}  // namespace weir

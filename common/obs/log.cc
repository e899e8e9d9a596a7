#include "common/obs/log.h"

#include <array>
#include <charconv>

#include "common/base/strings.h"
#include "common/env/clock.h"
#include "common/obs/json_text.h"

namespace weir {
namespace {

constexpr std::array<std::string_view, 4> kLevelNames = {"debug", "info", "warning", "error"};
constexpr std::array<std::string_view, 4> kShoutedNames = {"DEBUG", "INFO", "WARNING", "ERROR"};

std::string FormatLogTime(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", time, absl::UTCTimeZone());
}

// A line stays one line whatever a value holds.
void AppendTextValue(std::string& line, std::string_view value) {
  bool plain = !value.empty();
  for (const char c : value) {
    plain &= c > ' ' && c != '"' && c != '=' && c != '\\' && c != '\x7f';
  }
  if (plain) {
    line += value;
  } else {
    AppendJsonString(line, value);
  }
}

void AppendField(std::string& line, LogFormat format, const LogField& field) {
  if (format == LogFormat::kText) {
    line += ' ';
    line += field.key;
    line += '=';
    AppendTextValue(line, field.value);
    return;
  }
  line += ',';
  AppendJsonString(line, field.key);
  line += ':';
  if (field.is_text) {
    AppendJsonString(line, field.value);
  } else {
    line += field.value;
  }
}

// Control characters would let a message forge lines.
void AppendMessage(std::string& line, std::string_view message) {
  for (const char c : message) line += c == '\n' || c == '\r' ? ' ' : c;
}

}  // namespace

std::string_view LogLevelName(LogLevel level) { return kLevelNames[static_cast<size_t>(level)]; }

absl::StatusOr<LogLevel> ParseLogLevel(std::string_view name) {
  for (size_t i = 0; i < kLevelNames.size(); ++i) {
    if (kLevelNames[i] == name) return static_cast<LogLevel>(i);
  }
  return absl::InvalidArgumentError(
      StrCat("'", name, "' is not a log level: debug, info, warning and error are"));
}

LogField::LogField(std::string_view name, const absl::Status& status)
    : key(name), value(status.ToString()) {}

LogField::LogField(std::string_view name, double number) : key(name) {
  std::array<char, 32> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
  value.assign(text.data(), end);
  is_text = !(number - number == 0);  // JSON has no infinity and no NaN.
}

Logger::Logger(std::shared_ptr<LogWriter> writer, const Clock& clock, LogOptions options)
    : writer_(std::move(writer)), clock_(&clock), options_(options) {}

Logger Logger::For(std::string_view component) const {
  Logger logger = *this;
  logger.component_ = component;
  return logger;
}

Logger Logger::With(Fields fields) const {
  Logger logger = *this;
  logger.common_fields_.insert(logger.common_fields_.end(), fields.begin(), fields.end());
  return logger;
}

void Logger::Debug(std::string_view message, Fields fields) const {
  Write(LogLevel::kDebug, message, fields);
}
void Logger::Info(std::string_view message, Fields fields) const {
  Write(LogLevel::kInfo, message, fields);
}
void Logger::Warning(std::string_view message, Fields fields) const {
  Write(LogLevel::kWarning, message, fields);
}
void Logger::Error(std::string_view message, Fields fields) const {
  Write(LogLevel::kError, message, fields);
}

void Logger::Write(LogLevel level, std::string_view message, Fields fields) const {
  if (!enabled(level)) return;
  const std::string time = FormatLogTime(clock_->Now());
  std::string line;
  if (options_.format == LogFormat::kText) {
    line = StrCat(time, " ", kShoutedNames[static_cast<size_t>(level)], " ", component_,
                  component_.empty() ? "" : ": ");
    AppendMessage(line, message);
  } else {
    line = StrCat("{\"time\":\"", time, "\",\"level\":\"", LogLevelName(level), "\"");
    if (!component_.empty()) AppendField(line, options_.format, {"component", component_});
    AppendField(line, options_.format, {"message", message});
  }
  for (const LogField& field : common_fields_) AppendField(line, options_.format, field);
  for (const LogField& field : fields) AppendField(line, options_.format, field);
  if (options_.format == LogFormat::kJsonLines) line += '}';
  writer_->Write(level, line);
}

void MemoryLogWriter::Write(LogLevel, std::string_view line) {
  MutexLock lock(mutex_);
  lines_.emplace_back(line);
}

std::vector<std::string> MemoryLogWriter::lines() const {
  MutexLock lock(mutex_);
  return lines_;
}

}  // namespace weir

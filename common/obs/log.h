#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"

namespace weir {

class Clock;

enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError };

std::string_view LogLevelName(LogLevel level);
// "debug", "info", "warning" or "error"; kInvalidArgument otherwise.
absl::StatusOr<LogLevel> ParseLogLevel(std::string_view name);

// Where finished lines go. Thread safe.
class LogWriter {
 public:
  virtual ~LogWriter() = default;
  // `line` has no end of line.
  virtual void Write(LogLevel level, std::string_view line) = 0;
};

// One thing worth knowing of an event: job=…, error=….
struct LogField {
  LogField(std::string_view name, std::string_view text) : key(name), value(text) {}
  LogField(std::string_view name, const char* text) : key(name), value(text) {}
  LogField(std::string_view name, const std::string& text) : key(name), value(text) {}
  LogField(std::string_view name, const absl::Status& status);
  LogField(std::string_view name, bool truth)
      : key(name), value(truth ? "true" : "false"), is_text(false) {}
  LogField(std::string_view name, double number);
  template <std::integral T>
  LogField(std::string_view name, T number)
      : key(name), value(std::to_string(number)), is_text(false) {}

  std::string key;
  std::string value;
  // False: a number or a truth value, which JSON writes without quotes.
  bool is_text = true;
};

enum class LogFormat : uint8_t {
  kText,       // 2026-01-01T00:00:00.000000Z INFO component: message key=value
  kJsonLines,  // {"time":"…","level":"info","component":"…","message":"…","key":"value"}
};

struct LogOptions {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kText;
};

// Writes structured log lines: level, component, message, fields. A message is a constant text;
// what varies is in fields, so that lines can be searched. Given to constructors by value, never
// global: copies write to the same place. One made by default drops everything. Thread safe.
//
// Never per record: what can happen for every record is counted instead.
class Logger {
 public:
  using Fields = std::initializer_list<LogField>;

  Logger() = default;
  // `clock` outlives it and its copies.
  Logger(std::shared_ptr<LogWriter> writer, const Clock& clock, LogOptions options);

  // The same for another component, and with fields that every line has.
  Logger For(std::string_view component) const;
  Logger With(Fields fields) const;

  bool enabled(LogLevel level) const { return writer_ != nullptr && level >= options_.level; }
  void Debug(std::string_view message, Fields fields = {}) const;
  void Info(std::string_view message, Fields fields = {}) const;
  void Warning(std::string_view message, Fields fields = {}) const;
  void Error(std::string_view message, Fields fields = {}) const;
  void Write(LogLevel level, std::string_view message, Fields fields = {}) const;

 private:
  std::shared_ptr<LogWriter> writer_;
  const Clock* clock_ = nullptr;
  LogOptions options_;
  std::string component_;
  std::vector<LogField> common_fields_;
};

std::shared_ptr<LogWriter> MakeStderrLogWriter();
// Appends to a file, each line at once. When it has `max_bytes`, it is renamed to path.1 and so on,
// of which `max_files` are kept. Fails if it cannot be opened, naming it.
absl::StatusOr<std::shared_ptr<LogWriter>> MakeFileLogWriter(const std::string& path,
                                                             size_t max_bytes = 100 << 20,
                                                             size_t max_files = 5);

// Keeps lines, for tests.
class MemoryLogWriter final : public LogWriter {
 public:
  void Write(LogLevel level, std::string_view line) override;
  std::vector<std::string> lines() const;

 private:
  mutable Mutex mutex_;
  std::vector<std::string> lines_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace weir

#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/config/options.h"

namespace weir {

class FileSystem;

// The settings of a process: what its file and its command line say, and the defaults for the rest.
// Every key and value is checked when it is set, so what Get returns is in range. A value type;
// immutable once the process has started.
class Settings {
 public:
  // All defaults.
  Settings() = default;

  // Takes keys over from YAML: nested ("rest:\n  port: 1"), dotted ("rest.port: 1") or mixed; a
  // list becomes values separated by commas. `source` names it in errors. kInvalidArgument, with
  // the line: not YAML, an unknown key (with the nearest known one), a key twice, a bad value (with
  // what is allowed). Nothing is taken over on an error.
  absl::Status LoadYaml(std::string_view yaml, std::string_view source);
  // "key=value", as given after -D. The last one counts.
  absl::Status Override(std::string_view assignment);
  absl::Status Set(std::string_view key, std::string_view value);

  std::string Get(const StringOption& option) const;
  int64_t Get(const IntOption& option) const;
  double Get(const DoubleOption& option) const;
  bool Get(const BoolOption& option) const;
  absl::Duration Get(const DurationOption& option) const;
  int64_t Get(const MemoryOption& option) const;
  bool IsSet(std::string_view key) const { return values_.contains(key); }

  // What has been set, as "key", "value as written", sorted.
  std::vector<std::pair<std::string, std::string>> SetValues() const;

 private:
  struct Value {
    std::string text;
    std::variant<std::string, int64_t, double, bool, absl::Duration> parsed;
  };

  template <class T>
  const T* Find(std::string_view key) const;

  std::map<std::string, Value, std::less<>> values_;
};

// Whether a setting is one of jobs: a job is submitted with its own, and those of the job manager
// hold for jobs that say nothing else.
bool IsOfJobs(std::string_view key);

// `path` (no file if empty), then `overrides` over it ("key=value"). Blocks.
absl::StatusOr<Settings> LoadSettings(FileSystem& files, const std::string& path,
                                      const std::vector<std::string>& overrides);

// One option as people read it.
struct OptionDescription {
  std::string key;
  std::string type;
  std::string default_value;
  // "1 to 65535", "one of text, json", or empty.
  std::string allowed;
  std::string help;
};

std::vector<OptionDescription> DescribeOptions();
// All of them, for --help.
std::string FormatOptionsForHelp();

}  // namespace weir

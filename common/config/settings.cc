#include "common/config/settings.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <optional>
#include <set>

#include "common/base/check.h"
#include "common/base/edit_distance.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/config/values.h"
#include "common/env/file_system.h"

namespace weir {
namespace {

constexpr uint64_t kMaxFileBytes = 1 << 20;
constexpr int kMaxDepth = 16;

std::string_view KeyOf(const AnyOption& option) {
  return std::visit([](const auto* known) { return known->key; }, option);
}

std::optional<AnyOption> FindOption(std::string_view key) {
  for (const AnyOption& option : KnownOptions()) {
    if (KeyOf(option) == key) return option;
  }
  return std::nullopt;
}

std::string FormatNumber(int64_t value) { return StrCat(value); }
std::string FormatNumber(double value) { return StrCat(value); }

// What an option takes, as people read it, and its type.
struct Describer {
  OptionDescription operator()(const StringOption* o) const {
    std::string allowed;
    if (!o->allowed.empty()) {
      allowed = "one of ";
      for (const char c : o->allowed) {
        allowed += c;
        if (c == ',') allowed += ' ';
      }
    }
    return Make(*o, "string", std::string(o->default_value), std::move(allowed));
  }
  OptionDescription operator()(const IntOption* o) const {
    return Make(*o, "int", FormatNumber(o->default_value), Range(o->min, o->max, FormatNumber));
  }
  OptionDescription operator()(const DoubleOption* o) const {
    return Make(*o, "double", FormatNumber(o->default_value),
                StrCat(FormatNumber(o->min), " to ", FormatNumber(o->max)));
  }
  OptionDescription operator()(const BoolOption* o) const {
    return Make(*o, "bool", o->default_value ? "true" : "false", "true or false");
  }
  OptionDescription operator()(const DurationOption* o) const {
    return Make(*o, "duration", FormatSettingDuration(o->default_value),
                StrCat(FormatSettingDuration(o->min), " to ", FormatSettingDuration(o->max)));
  }
  OptionDescription operator()(const MemoryOption* o) const {
    return Make(*o, "memory size", FormatMemorySize(o->default_value),
                StrCat(FormatMemorySize(o->min), " to ", FormatMemorySize(o->max)));
  }

 private:
  static std::string Range(int64_t min, int64_t max, std::string (*format)(int64_t)) {
    return StrCat(format(min), " to ", format(max));
  }
  template <class Option>
  static OptionDescription Make(const Option& option, std::string type, std::string default_value,
                                std::string allowed) {
    return OptionDescription{.key = std::string(option.key),
                             .type = std::move(type),
                             .default_value = std::move(default_value),
                             .allowed = std::move(allowed),
                             .help = std::string(option.help)};
  }
};

OptionDescription Describe(const AnyOption& option) { return std::visit(Describer(), option); }

using Parsed = std::variant<std::string, int64_t, double, bool, absl::Duration>;

template <class Option, class T>
absl::StatusOr<Parsed> InRange(const Option& option, absl::StatusOr<T> value) {
  if (!value.ok()) return value.status();
  if (*value < option.min || *value > option.max) {
    return absl::InvalidArgumentError("is out of range");
  }
  return Parsed(*value);
}

// Reads the text of a value as its option's type; an error does not name the key yet.
struct Parser {
  std::string_view text;

  absl::StatusOr<Parsed> operator()(const StringOption* o) const {
    if (!o->allowed.empty()) {
      const std::string listed = StrCat(",", o->allowed, ",");
      if (text.find(',') != std::string_view::npos || text.empty() ||
          listed.find(StrCat(",", text, ",")) == std::string::npos) {
        return absl::InvalidArgumentError("is not one of them");
      }
    }
    return Parsed(std::string(text));
  }
  absl::StatusOr<Parsed> operator()(const IntOption* o) const {
    return InRange(*o, ParseInt(text));
  }
  absl::StatusOr<Parsed> operator()(const DoubleOption* o) const {
    return InRange(*o, ParseDouble(text));
  }
  absl::StatusOr<Parsed> operator()(const BoolOption*) const {
    WEIR_ASSIGN_OR_RETURN(const bool value, ParseBool(text));
    return Parsed(value);
  }
  absl::StatusOr<Parsed> operator()(const DurationOption* o) const {
    return InRange(*o, ParseDuration(text));
  }
  absl::StatusOr<Parsed> operator()(const MemoryOption* o) const {
    return InRange(*o, ParseMemorySize(text));
  }
};

absl::Status UnknownKey(std::string_view key) {
  std::vector<std::string> keys;
  for (const AnyOption& option : KnownOptions()) keys.emplace_back(KeyOf(option));
  const std::string nearest = Nearest(key, keys);
  return absl::InvalidArgumentError(StrCat("unknown setting '", key, "'",
                                           nearest.empty()
                                               ? std::string(": --help lists all that there are")
                                               : StrCat(": did you mean '", nearest, "'?")));
}

struct Entry {
  std::string key;
  std::string value;
  int line;  // From 1.
};

absl::Status AtLine(std::string_view source, int line, const absl::Status& status) {
  return absl::InvalidArgumentError(StrCat(source, ":", line, ": ", ToStd(status.message())));
}

// The leaves of a YAML tree, by dotted key.
absl::Status Flatten(const YAML::Node& node, const std::string& prefix, int depth,
                     std::string_view source, std::vector<Entry>& out) {
  const int line = node.Mark().line + 1;
  const auto wrong = [&](const std::string& message) {
    return AtLine(source, line, absl::InvalidArgumentError(message));
  };
  if (depth > kMaxDepth) return wrong("keys are nested too deeply");
  switch (node.Type()) {
    case YAML::NodeType::Map:
      for (const auto& child : node) {
        if (!child.first.IsScalar()) {
          return AtLine(source, child.first.Mark().line + 1,
                        absl::InvalidArgumentError("a key must be plain text"));
        }
        const std::string key = child.first.Scalar();
        WEIR_RETURN_IF_ERROR(Flatten(child.second, prefix.empty() ? key : StrCat(prefix, ".", key),
                                     depth + 1, source, out));
      }
      return absl::OkStatus();
    case YAML::NodeType::Sequence: {
      std::string joined;
      for (const auto& element : node) {
        if (!element.IsScalar()) return wrong(StrCat("'", prefix, "' must be a list of values"));
        if (!joined.empty()) joined += ',';
        joined += element.Scalar();
      }
      out.push_back({prefix, std::move(joined), line});
      return absl::OkStatus();
    }
    case YAML::NodeType::Scalar:
      if (prefix.empty()) return wrong("settings are lines of the form 'key: value'");
      out.push_back({prefix, node.Scalar(), line});
      return absl::OkStatus();
    case YAML::NodeType::Null:
    case YAML::NodeType::Undefined:
      if (prefix.empty()) return absl::OkStatus();  // An empty file.
      return wrong(StrCat("'", prefix, "' has no value (write \"\" for an empty one)"));
  }
  return wrong("not understood");
}

// yaml-cpp throws; nothing of that leaves here.
absl::Status ParseYaml(std::string_view yaml, std::string_view source, std::vector<Entry>& out) {
  try {
    return Flatten(YAML::Load(std::string(yaml)), "", 0, source, out);
  } catch (const YAML::Exception& error) {
    return AtLine(source, error.mark.line + 1,
                  absl::InvalidArgumentError(StrCat("not valid YAML: ", error.msg)));
  }
}

}  // namespace

absl::Status Settings::Set(std::string_view key, std::string_view value) {
  const std::optional<AnyOption> option = FindOption(key);
  if (!option) return UnknownKey(key);
  absl::StatusOr<Parsed> parsed = std::visit(Parser{value}, *option);
  if (!parsed.ok()) {
    const OptionDescription description = Describe(*option);
    return absl::InvalidArgumentError(
        StrCat("setting '", key, "': the value '", value, "' is refused: allowed is a ",
               description.type, description.allowed.empty() ? "" : ", ", description.allowed, " (",
               ToStd(parsed.status().message()), ")"));
  }
  values_[std::string(key)] = Value{std::string(value), *std::move(parsed)};
  return absl::OkStatus();
}

absl::Status Settings::Override(std::string_view assignment) {
  const size_t equals = assignment.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    return absl::InvalidArgumentError(
        StrCat("-D ", assignment, ": write -D key=value, such as -D rest.port=8082"));
  }
  return Set(assignment.substr(0, equals), assignment.substr(equals + 1));
}

absl::Status Settings::LoadYaml(std::string_view yaml, std::string_view source) {
  std::vector<Entry> entries;
  WEIR_RETURN_IF_ERROR(ParseYaml(yaml, source, entries));
  Settings loaded = *this;
  std::map<std::string, int> first_lines;
  for (const Entry& entry : entries) {
    const auto [first, is_new] = first_lines.emplace(entry.key, entry.line);
    if (!is_new) {
      return AtLine(source, entry.line,
                    absl::InvalidArgumentError(
                        StrCat("'", entry.key, "' is set twice, first in line ", first->second)));
    }
    const absl::Status status = loaded.Set(entry.key, entry.value);
    if (!status.ok()) return AtLine(source, entry.line, status);
  }
  *this = std::move(loaded);
  return absl::OkStatus();
}

template <class T>
const T* Settings::Find(std::string_view key) const {
  WEIR_CHECK(
      FindOption(key).has_value());  // An option that is not in KnownOptions() cannot be set.
  const auto found = values_.find(key);
  return found == values_.end() ? nullptr : &std::get<T>(found->second.parsed);
}

std::string Settings::Get(const StringOption& option) const {
  const auto* value = Find<std::string>(option.key);
  return value != nullptr ? *value : std::string(option.default_value);
}
int64_t Settings::Get(const IntOption& option) const {
  const auto* value = Find<int64_t>(option.key);
  return value != nullptr ? *value : option.default_value;
}
double Settings::Get(const DoubleOption& option) const {
  const auto* value = Find<double>(option.key);
  return value != nullptr ? *value : option.default_value;
}
bool Settings::Get(const BoolOption& option) const {
  const auto* value = Find<bool>(option.key);
  return value != nullptr ? *value : option.default_value;
}
absl::Duration Settings::Get(const DurationOption& option) const {
  const auto* value = Find<absl::Duration>(option.key);
  return value != nullptr ? *value : option.default_value;
}
int64_t Settings::Get(const MemoryOption& option) const {
  const auto* value = Find<int64_t>(option.key);
  return value != nullptr ? *value : option.default_value;
}

std::vector<std::pair<std::string, std::string>> Settings::SetValues() const {
  std::vector<std::pair<std::string, std::string>> all;
  all.reserve(values_.size());
  for (const auto& [key, value] : values_) all.emplace_back(key, value.text);
  return all;
}

bool IsOfJobs(std::string_view key) {
  return key.starts_with("execution.") || key.starts_with("pipeline.") ||
         key.starts_with("restart-strategy.") || key.starts_with("state.");
}

absl::StatusOr<Settings> LoadSettings(FileSystem& files, const std::string& path,
                                      const std::vector<std::string>& overrides) {
  Settings settings;
  if (!path.empty()) {
    WEIR_ASSIGN_OR_RETURN(const std::string yaml, ReadFile(files, path, kMaxFileBytes));
    WEIR_RETURN_IF_ERROR(settings.LoadYaml(yaml, path));
  }
  for (const std::string& assignment : overrides) {
    WEIR_RETURN_IF_ERROR(settings.Override(assignment));
  }
  return settings;
}

std::vector<OptionDescription> DescribeOptions() {
  std::vector<OptionDescription> all;
  for (const AnyOption& option : KnownOptions()) all.push_back(Describe(option));
  return all;
}

std::string FormatOptionsForHelp() {
  std::string text;
  for (const OptionDescription& option : DescribeOptions()) {
    text +=
        StrCat("  ", option.key, " (", option.type, ", default ",
               option.default_value.empty() ? "empty" : option.default_value,
               option.allowed.empty() ? "" : "; ", option.allowed, ")\n      ", option.help, "\n");
  }
  return text;
}

}  // namespace weir

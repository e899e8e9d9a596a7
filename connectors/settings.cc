#include "connectors/settings.h"

#include <algorithm>
#include <variant>

#include "common/base/edit_distance.h"
#include "common/base/strings.h"

namespace weir {
namespace {

template <class Names>
std::string Join(const Names& names) {
  std::string text;
  for (const std::string_view name : names) {
    if (!text.empty()) text += ", ";
    text += name;
  }
  return text;
}

}  // namespace

const SettingValue* SettingsReader::Find(std::string_view name) {
  known_.emplace(name);
  const auto found = spec_.settings.find(std::string(name));
  return found == spec_.settings.end() ? nullptr : &found->second;
}

std::string SettingsReader::Text(std::string_view name, std::string_view default_value) {
  const SettingValue* const value = Find(name);
  if (value == nullptr) return std::string(default_value);
  if (const auto* text = std::get_if<std::string>(value)) return *text;
  Fail(StrCat("setting '", name, "' must be text"));
  return std::string(default_value);
}

bool SettingsReader::Flag(std::string_view name, bool default_value) {
  const SettingValue* const value = Find(name);
  if (value == nullptr) return default_value;
  if (const auto* flag = std::get_if<bool>(value)) return *flag;
  Fail(StrCat("setting '", name, "' must be true or false"));
  return default_value;
}

int64_t SettingsReader::Number(std::string_view name, int64_t default_value) {
  const SettingValue* const value = Find(name);
  if (value == nullptr) return default_value;
  if (const auto* number = std::get_if<std::int64_t>(value); number != nullptr && *number >= 0) {
    return *number;
  }
  Fail(StrCat("setting '", name, "' must be a whole number, 0 or more"));
  return default_value;
}

size_t SettingsReader::Choice(std::string_view name, const std::vector<std::string_view>& choices,
                              size_t default_index) {
  const SettingValue* const value = Find(name);
  if (value == nullptr) return default_index;
  if (const auto* text = std::get_if<std::string>(value)) {
    const auto found = std::find(choices.begin(), choices.end(), std::string_view(*text));
    if (found != choices.end()) return static_cast<size_t>(found - choices.begin());
    Fail(StrCat("setting '", name, "' is '", *text, "'; it must be one of: ", Join(choices)));
  } else {
    Fail(StrCat("setting '", name, "' must be one of: ", Join(choices)));
  }
  return default_index;
}

void SettingsReader::Refuse(std::string_view name, std::string_view reason) {
  if (Find(name) != nullptr) Fail(StrCat("setting '", name, "' ", reason));
}

void SettingsReader::Fail(std::string_view text) {
  if (status_.ok())
    status_ = absl::InvalidArgumentError(StrCat("connector '", spec_.connector, "': ", text));
}

absl::Status SettingsReader::Finish() {
  for (const auto& [name, value] : spec_.settings) {
    if (known_.contains(name)) continue;
    const std::vector<std::string> names(known_.begin(), known_.end());
    const std::string nearest = Nearest(name, names);
    Fail(nearest.empty() ? StrCat("unknown setting '", name, "'; it has: ", Join(names))
                         : StrCat("unknown setting '", name, "'; is '", nearest,
                                  "' meant? It has: ", Join(names)));
  }
  return status_;
}

}  // namespace weir

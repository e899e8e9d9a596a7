#include "connectors/settings.h"

#include <algorithm>
#include <numeric>
#include <variant>

#include "common/base/strings.h"

namespace weir {
namespace {

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

std::string Join(const std::vector<std::string_view>& names) {
  std::string text;
  for (const std::string_view name : names) {
    if (!text.empty()) text += ", ";
    text += name;
  }
  return text;
}

}  // namespace

std::string_view NearestName(std::string_view name, const std::vector<std::string_view>& names) {
  std::string_view nearest;
  size_t least = std::max<size_t>(2, name.size() / 3) + 1;
  if (name.size() > 128) return nearest;
  for (const std::string_view candidate : names) {
    const size_t distance = EditDistance(name, candidate);
    if (distance < least) {
      least = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

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
    const std::vector<std::string_view> names(known_.begin(), known_.end());
    const std::string_view nearest = NearestName(name, names);
    Fail(nearest.empty() ? StrCat("unknown setting '", name, "'; it has: ", Join(names))
                         : StrCat("unknown setting '", name, "'; is '", nearest,
                                  "' meant? It has: ", Join(names)));
  }
  return status_;
}

}  // namespace weir

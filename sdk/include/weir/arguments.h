#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "weir/graph.h"
#include "weir/plugin.h"
#include "weir/time.h"
#include "weir/time_format.h"

namespace weir::internal {

template <class T>
concept ArgumentType =
    std::is_same_v<T, std::string> || std::is_arithmetic_v<T> || std::is_same_v<T, Duration>;

template <class T>
constexpr const char* ArgumentTypeName() {
  if constexpr (std::is_same_v<T, std::string>) {
    return "string";
  } else if constexpr (std::is_same_v<T, bool>) {
    return "bool";
  } else if constexpr (std::is_integral_v<T>) {
    return "int";
  } else if constexpr (std::is_floating_point_v<T>) {
    return "double";
  } else {
    return "duration";
  }
}

template <class T>
std::string FormatArgument(const T& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    return value;
  } else if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "false";
  } else if constexpr (std::is_same_v<T, Duration>) {
    return FormatDuration(value);
  } else {
    char buffer[64];
    const auto result = std::to_chars(buffer, buffer + sizeof(buffer), value);
    return std::string(buffer, result.ptr);
  }
}

template <class T>
bool ParseArgument(std::string_view text, T& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    value = std::string(text);
    return true;
  } else if constexpr (std::is_same_v<T, bool>) {
    if (text != "true" && text != "false") return false;
    value = text == "true";
    return true;
  } else if constexpr (std::is_same_v<T, Duration>) {
    return ParseDuration(text, value).ok();
  } else {
    const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
    return result.ec == std::errc() && result.ptr == text.data() + text.size();
  }
}

// Levenshtein distance; for "did you mean".
inline std::size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

// An argument that the job does not declare is an error that names those it does.
inline void CheckArguments(const DefineInput& input, JobDefinition& definition) {
  for (const auto& [name, value] : input.arguments) {
    const ArgumentDefinition* nearest = nullptr;
    bool known = false;
    std::string names;
    for (const ArgumentDefinition& argument : definition.arguments) {
      known = known || argument.name == name;
      names += (names.empty() ? "--" : ", --") + argument.name;
      if (nearest == nullptr ||
          EditDistance(name, argument.name) < EditDistance(name, nearest->name))
        nearest = &argument;
    }
    if (known) continue;
    std::string error = "unknown argument --" + name;
    if (nearest == nullptr) {
      error += ": the job takes none";
    } else {
      if (EditDistance(name, nearest->name) <= 3)
        error += ": did you mean --" + nearest->name + "?";
      error += " (the job takes " + names + ")";
    }
    definition.errors.push_back(std::move(error));
  }
}

}  // namespace weir::internal

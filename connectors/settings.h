#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "weir/source.h"

namespace weir {

// Reads the settings of a connector. The first error is kept; Finish also refuses settings that
// were not asked for, naming the nearest that exists. `connector` and `spec` outlive it.
class SettingsReader {
 public:
  explicit SettingsReader(const ConnectorSpec& spec) : spec_(spec) {}

  // Each returns the default if the setting is absent and after an error.
  std::string Text(std::string_view name, std::string_view default_value);
  bool Flag(std::string_view name, bool default_value);
  // Not negative.
  int64_t Number(std::string_view name, int64_t default_value);
  // The index of the text in `choices`.
  size_t Choice(std::string_view name, const std::vector<std::string_view>& choices,
                size_t default_index);
  // The setting has no meaning here: an error, with the reason, if it is there.
  void Refuse(std::string_view name, std::string_view reason);
  void Fail(std::string_view text);

  absl::Status Finish();

 private:
  const SettingValue* Find(std::string_view name);

  const ConnectorSpec& spec_;
  std::set<std::string, std::less<>> known_;
  absl::Status status_;
};

}  // namespace weir

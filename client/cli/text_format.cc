#include "client/cli/text_format.h"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "common/base/check.h"
#include "common/base/strings.h"

namespace weir {

std::string FormatCount(uint64_t count) {
  std::string text = std::to_string(count);
  for (size_t i = text.size(); i > 3; i -= 3) text.insert(i - 3, 1, ',');
  return text;
}

std::string FormatBytes(uint64_t bytes) {
  if (bytes < 1024) return StrCat(bytes, " B");
  constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return absl::StrFormat("%.1f %s", value, kUnits[unit]);
}

std::string FormatRate(double per_second) {
  if (per_second < 0.5) return "0/s";
  if (per_second < 1000) return absl::StrFormat("%.0f/s", per_second);
  if (per_second < 1e6) return absl::StrFormat("%.1f k/s", per_second / 1e3);
  return absl::StrFormat("%.1f M/s", per_second / 1e6);
}

std::string FormatSpan(int64_t micros) {
  micros = std::max<int64_t>(micros, 0);
  const int64_t seconds = micros / 1'000'000;
  if (seconds == 0) return StrCat(micros / 1000, " ms");
  if (seconds < 60) return absl::StrFormat("%.1f s", static_cast<double>(micros) / 1e6);
  if (seconds < 3600) return StrCat(seconds / 60, " min ", seconds % 60, " s");
  if (seconds < 86400) return StrCat(seconds / 3600, " h ", seconds % 3600 / 60, " min");
  return StrCat(seconds / 86400, " d ", seconds % 86400 / 3600, " h");
}

std::string FormatTime(int64_t unix_micros) {
  return absl::FormatTime("%E4Y-%m-%dT%H:%M:%E*SZ", absl::FromUnixMicros(unix_micros),
                          absl::UTCTimeZone());
}

std::string FormatWatermark(int64_t ticks) {
  if (ticks == std::numeric_limits<int64_t>::min()) return "-";
  if (ticks == std::numeric_limits<int64_t>::max()) return "end";
  return FormatTime(ticks);
}

size_t DisplayWidth(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::string Harmless(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7F) c = '?';
  }
  return result;
}

void TextTable::AddColumn(std::string header, Align align) {
  columns_.push_back({std::move(header), align});
}

void TextTable::AddRow(std::vector<std::string> cells) {
  WEIR_CHECK_EQ(cells.size(), columns_.size());
  rows_.push_back(std::move(cells));
}

std::string TextTable::Render() const {
  std::vector<size_t> widths;
  for (size_t c = 0; c < columns_.size(); ++c) {
    size_t width = DisplayWidth(columns_[c].header);
    for (const auto& row : rows_) width = std::max(width, DisplayWidth(row[c]));
    widths.push_back(width);
  }
  std::string text;
  const auto add_line = [&](const auto& cell_of) {
    std::string line;
    for (size_t c = 0; c < columns_.size(); ++c) {
      const std::string& cell = cell_of(c);
      const std::string padding(widths[c] - DisplayWidth(cell), ' ');
      if (c > 0) line += "  ";
      line += columns_[c].align == Align::kRight ? padding + cell : cell + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  };
  add_line([&](size_t c) -> const std::string& { return columns_[c].header; });
  for (const auto& row : rows_) add_line([&](size_t c) -> const std::string& { return row[c]; });
  return text;
}

}  // namespace weir

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir {

// Numbers, times and tables as people read them. All pure.

// "1,234,567".
std::string FormatCount(uint64_t count);
// "999 B", "12.3 MiB".
std::string FormatBytes(uint64_t bytes);
// "0/s", "820/s", "1.2 M/s".
std::string FormatRate(double per_second);
// "850 ms", "12.3 s", "4 min 5 s", "2 h 3 min".
std::string FormatSpan(int64_t micros);
// "2026-01-01T00:00:00Z", with a fraction where there is one.
std::string FormatTime(int64_t unix_micros);
// As FormatTime; "-" for none yet, "end" after the last record.
std::string FormatWatermark(int64_t ticks);

// Columns on screen that UTF-8 text takes, a code point each.
size_t DisplayWidth(std::string_view text);

// Text for a terminal: control characters of what others wrote (names, messages) become '?'. Line
// ends are kept.
std::string Harmless(std::string_view text);

// A table with aligned columns, two blanks between them, no blanks at line ends.
class TextTable {
 public:
  enum class Align { kLeft, kRight };
  void AddColumn(std::string header, Align align = Align::kLeft);
  // As many cells as there are columns.
  void AddRow(std::vector<std::string> cells);
  std::string Render() const;

 private:
  struct Column {
    std::string header;
    Align align;
  };
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace weir

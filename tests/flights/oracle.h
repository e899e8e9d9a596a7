#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

// What the flights job must put out, found without the engine and by another method: all records
// are read, the watermark that each one meets is looked up in a running maximum, and every window
// is folded on its own. Nothing of the engine is included.
namespace flights_oracle {

// The job's settings: 30 minutes of disorder, windows of an hour that stay open for another.
inline constexpr std::int64_t kMaxDelaySeconds = 30 * 60;
inline constexpr std::int64_t kWindowSeconds = 60 * 60;
inline constexpr std::int64_t kLatenessSeconds = 60 * 60;

struct Flight {
  std::int64_t scheduled = 0;  // seconds since 1970
  std::int64_t delay_minutes = 0;
  std::string origin;
  std::string destination;
  auto operator<=>(const Flight&) const = default;
};

struct Row {
  std::string origin;
  std::int64_t hour = 0;  // seconds since 1970
  std::int64_t flights = 0;
  double mean_delay_minutes = 0;
  std::int64_t max_delay_minutes = 0;
  auto operator<=>(const Row&) const = default;
};

// In the order in which one reader reads them.
using Reader = std::vector<Flight>;

struct Outcome {
  std::vector<Row> rows;
  std::vector<Flight> late;
};

// Exactly what comes out with one reader and a watermark after every record, sorted.
Outcome Expect(const Reader& reader);

// What differs between two outcomes, in whatever order: at most `limit` lines, none if nothing.
std::vector<std::string> Compare(const Outcome& expected, const Outcome& actual,
                                 std::size_t limit = 20);

// What is wrong with an outcome of a run in which it depends on timing what is late: every record
// is a result or late and not both, no record is late that is within the bounds of what its own
// reader had seen, and each window's last result is the fold over its records that were not late,
// after one result for each of them since the first firing.
std::vector<std::string> Verify(const std::vector<Reader>& readers, const Outcome& actual,
                                std::size_t limit = 20);

// Reads lines as the data has them and as the job writes them. Empty `error` unless a line cannot
// be read.
std::vector<Flight> ReadFlights(const std::vector<std::string>& files, std::string& error);
std::vector<Row> ReadRows(const std::vector<std::string>& files, std::string& error);

// The file itself, or the files in a folder that are not hidden, sorted.
std::vector<std::string> FilesOf(const std::string& path);

}  // namespace flights_oracle

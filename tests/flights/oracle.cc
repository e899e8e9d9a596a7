#include "tests/flights/oracle.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <utility>

namespace flights_oracle {
namespace {

using Window = std::pair<std::string, std::int64_t>;  // origin, hour

std::int64_t HourOf(const Flight& flight) {
  return flight.scheduled - flight.scheduled % kWindowSeconds;
}

// In microseconds, as the engine counts: a watermark t says that nothing at or before t follows.
std::int64_t LastTickOfWindow(const Flight& flight) {
  return (HourOf(flight) + kWindowSeconds) * 1000000 - 1;
}
std::int64_t ClosedAt(const Flight& flight) {
  return LastTickOfWindow(flight) + kLatenessSeconds * 1000000;
}

// The watermark after each record: element i is what record i + 1 meets.
std::vector<std::int64_t> WatermarksAfter(const Reader& reader) {
  std::vector<std::int64_t> watermarks;
  std::int64_t newest = INT64_MIN;
  for (const Flight& flight : reader) {
    newest = std::max(newest, flight.scheduled);
    watermarks.push_back((newest - kMaxDelaySeconds) * 1000000 - 1);
  }
  return watermarks;
}

Row Fold(const Window& window, std::vector<Flight>::const_iterator begin,
         std::vector<Flight>::const_iterator end) {
  Row row{.origin = window.first,
          .hour = window.second,
          .flights = end - begin,
          .max_delay_minutes = INT64_MIN};
  std::int64_t sum = 0;
  for (auto flight = begin; flight != end; ++flight) {
    sum += flight->delay_minutes;
    row.max_delay_minutes = std::max(row.max_delay_minutes, flight->delay_minutes);
  }
  row.mean_delay_minutes = static_cast<double>(sum) / static_cast<double>(row.flights);
  return row;
}

std::string TimeText(std::int64_t seconds) {
  const std::time_t time = seconds;
  std::tm parts{};
  gmtime_r(&time, &parts);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

std::string Text(const Flight& f) {
  return "flight " + f.origin + " to " + f.destination + " of " + TimeText(f.scheduled) +
         ", delay " + std::to_string(f.delay_minutes);
}

std::string Text(const Row& r) {
  return "row " + r.origin + " " + TimeText(r.hour) + ": " + std::to_string(r.flights) +
         " flights, mean " + std::to_string(r.mean_delay_minutes) + ", max " +
         std::to_string(r.max_delay_minutes);
}

void Report(std::vector<std::string>& problems, std::size_t limit, std::string problem) {
  if (problems.size() < limit) problems.push_back(std::move(problem));
}

template <class T>
void CompareSorted(std::vector<T> expected, std::vector<T> actual, std::size_t limit,
                   std::vector<std::string>& problems) {
  std::sort(expected.begin(), expected.end());
  std::sort(actual.begin(), actual.end());
  std::vector<T> only;
  std::set_difference(expected.begin(), expected.end(), actual.begin(), actual.end(),
                      std::back_inserter(only));
  for (const T& item : only) Report(problems, limit, "missing: " + Text(item));
  only.clear();
  std::set_difference(actual.begin(), actual.end(), expected.begin(), expected.end(),
                      std::back_inserter(only));
  for (const T& item : only) Report(problems, limit, "not expected: " + Text(item));
}

// The text of a field of a flat JSON object, without quotes.
bool Field(const std::string& line, const std::string& name, std::string& value) {
  const std::string marker = "\"" + name + "\":";
  std::size_t begin = line.find(marker);
  if (begin == std::string::npos) return false;
  begin += marker.size();
  const bool quoted = begin < line.size() && line[begin] == '"';
  if (quoted) ++begin;
  const std::size_t end = quoted ? line.find('"', begin) : line.find_first_of(",}", begin);
  if (end == std::string::npos) return false;
  value = line.substr(begin, end - begin);
  return true;
}

bool TimeField(const std::string& line, const std::string& name, std::int64_t& seconds) {
  std::string text;
  std::tm parts{};
  int used = 0;
  if (!Field(line, name, text) ||
      std::sscanf(text.c_str(), "%d-%d-%dT%d:%d:%dZ%n", &parts.tm_year, &parts.tm_mon,
                  &parts.tm_mday, &parts.tm_hour, &parts.tm_min, &parts.tm_sec, &used) != 6 ||
      static_cast<std::size_t>(used) != text.size()) {
    return false;
  }
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  seconds = timegm(&parts);
  return true;
}

bool IntField(const std::string& line, const std::string& name, std::int64_t& value) {
  std::string text;
  if (!Field(line, name, text) || text.empty()) return false;
  char* end = nullptr;
  value = std::strtoll(text.c_str(), &end, 10);
  return *end == '\0';
}

bool DoubleField(const std::string& line, const std::string& name, double& value) {
  std::string text;
  if (!Field(line, name, text) || text.empty()) return false;
  char* end = nullptr;
  value = std::strtod(text.c_str(), &end);
  return *end == '\0';
}

template <class Read>
void ForEachLine(const std::vector<std::string>& files, std::string& error, Read read) {
  for (const std::string& file : files) {
    std::ifstream in(file);
    if (!in) error = file + ": cannot be opened";
    std::string line;
    for (int number = 1; std::getline(in, line); ++number) {
      if (!read(line)) error = file + ":" + std::to_string(number) + ": cannot be read: " + line;
    }
  }
}

}  // namespace

Outcome Expect(const Reader& reader) {
  const std::vector<std::int64_t> watermarks = WatermarksAfter(reader);
  Outcome outcome;
  // The records of each window that are not late, and at which position of the input they came.
  std::map<Window, std::pair<std::vector<Flight>, std::vector<std::size_t>>> windows;
  for (std::size_t i = 0; i < reader.size(); ++i) {
    if (i > 0 && ClosedAt(reader[i]) <= watermarks[i - 1]) {
      outcome.late.push_back(reader[i]);
      continue;
    }
    auto& [flights, positions] = windows[{reader[i].origin, HourOf(reader[i])}];
    flights.push_back(reader[i]);
    positions.push_back(i);
  }
  for (const auto& [window, content] : windows) {
    const auto& [flights, positions] = content;
    // The record after which the window fires for the first time; the end of the input fires the
    // rest.
    const auto fired_after = static_cast<std::size_t>(
        std::lower_bound(watermarks.begin(), watermarks.end(), LastTickOfWindow(flights.front())) -
        watermarks.begin());
    const auto on_time =
        std::upper_bound(positions.begin(), positions.end(), fired_after) - positions.begin();
    if (on_time > 0)
      outcome.rows.push_back(Fold(window, flights.begin(), flights.begin() + on_time));
    for (auto count = on_time + 1; count <= static_cast<std::ptrdiff_t>(flights.size()); ++count) {
      outcome.rows.push_back(Fold(window, flights.begin(), flights.begin() + count));
    }
  }
  std::sort(outcome.rows.begin(), outcome.rows.end());
  std::sort(outcome.late.begin(), outcome.late.end());
  return outcome;
}

std::vector<std::string> Compare(const Outcome& expected, const Outcome& actual,
                                 std::size_t limit) {
  std::vector<std::string> problems;
  CompareSorted(expected.rows, actual.rows, limit, problems);
  CompareSorted(expected.late, actual.late, limit, problems);
  return problems;
}

std::vector<std::string> Verify(const std::vector<Reader>& readers, const Outcome& actual,
                                std::size_t limit) {
  std::vector<std::string> problems;
  // How often each record is in the input, and how many of these may be late.
  struct Copies {
    std::int64_t all = 0;
    std::int64_t may_be_late = 0;
  };
  std::map<Flight, Copies> input;
  for (const Reader& reader : readers) {
    const std::vector<std::int64_t> watermarks = WatermarksAfter(reader);
    for (std::size_t i = 0; i < reader.size(); ++i) {
      Copies& copies = input[reader[i]];
      ++copies.all;
      // No watermark that it meets is past that of its own reader.
      copies.may_be_late += i > 0 && ClosedAt(reader[i]) <= watermarks[i - 1] ? 1 : 0;
    }
  }
  for (const Flight& flight : actual.late) {
    const auto found = input.find(flight);
    if (found == input.end() || found->second.all == 0) {
      Report(problems, limit, "late, but not in the input (so often): " + Text(flight));
      continue;
    }
    --found->second.all;
    if (--found->second.may_be_late < 0)
      Report(problems, limit, "late within the bounds: " + Text(flight));
  }
  std::map<Window, std::vector<Flight>> windows;
  for (const auto& [flight, copies] : input) {
    auto& flights = windows[{flight.origin, HourOf(flight)}];
    flights.insert(flights.end(), static_cast<std::size_t>(copies.all), flight);
  }
  std::erase_if(windows, [](const auto& entry) { return entry.second.empty(); });

  std::map<Window, std::vector<Row>> results;
  for (const Row& row : actual.rows) results[{row.origin, row.hour}].push_back(row);
  for (auto& [window, rows] : results) {
    if (!windows.contains(window))
      Report(problems, limit, "a result without records: " + Text(rows.front()));
  }
  for (const auto& [window, flights] : windows) {
    const auto found = results.find(window);
    const Row fold = Fold(window, flights.begin(), flights.end());
    if (found == results.end()) {
      Report(problems, limit, "no result for: " + Text(fold));
      continue;
    }
    std::vector<Row>& rows = found->second;
    std::sort(rows.begin(), rows.end(),
              [](const Row& a, const Row& b) { return a.flights < b.flights; });
    if (rows.back() != fold)
      Report(problems, limit, "expected at last: " + Text(fold) + "; found: " + Text(rows.back()));
    for (std::size_t i = 1; i < rows.size(); ++i) {
      if (rows[i].flights != rows[i - 1].flights + 1) {
        Report(problems, limit,
               "no result between: " + Text(rows[i - 1]) + "; and: " + Text(rows[i]));
      }
    }
  }
  return problems;
}

std::vector<Flight> ReadFlights(const std::vector<std::string>& files, std::string& error) {
  std::vector<Flight> flights;
  ForEachLine(files, error, [&](const std::string& line) {
    Flight& f = flights.emplace_back();
    return TimeField(line, "scheduled", f.scheduled) &&
           IntField(line, "delay_minutes", f.delay_minutes) && Field(line, "origin", f.origin) &&
           Field(line, "destination", f.destination);
  });
  return flights;
}

std::vector<Row> ReadRows(const std::vector<std::string>& files, std::string& error) {
  std::vector<Row> rows;
  ForEachLine(files, error, [&](const std::string& line) {
    Row& r = rows.emplace_back();
    return Field(line, "origin", r.origin) && TimeField(line, "hour", r.hour) &&
           IntField(line, "flights", r.flights) &&
           DoubleField(line, "mean_delay_minutes", r.mean_delay_minutes) &&
           IntField(line, "max_delay_minutes", r.max_delay_minutes);
  });
  return rows;
}

std::vector<std::string> FilesOf(const std::string& path) {
  if (!std::filesystem::is_directory(path)) return {path};
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    if (entry.path().filename().string().front() != '.') files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace flights_oracle

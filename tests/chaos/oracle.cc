#include "tests/chaos/oracle.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <tuple>

namespace weir::chaos {
namespace {

constexpr size_t kMostComplaints = 20;

struct Record {
  std::int64_t source;
  std::int64_t n;
  std::int64_t key;
  std::int64_t at_millis;
};

struct Fold {
  std::int64_t count = 0;
  std::int64_t sum = 0;
  std::int64_t mixed = 0;
};

std::vector<Record> AllRecords(const Expectation& expectation) {
  std::vector<Record> records;
  for (std::int64_t source = 0; source < 2; ++source) {
    for (std::int64_t n = 0; n < expectation.count; ++n) {
      records.push_back({source, n, (n * 7 + source * 3) % expectation.keys, n + 13 * source});
    }
  }
  return records;
}

std::int64_t Mixed(const Record& record) {
  std::uint64_t x =
      static_cast<std::uint64_t>(record.n * 2 + record.source) + 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return static_cast<std::int64_t>((x ^ (x >> 31)) >> 1);
}

// The whole number after "name":, or -999999 if there is none.
std::int64_t Number(const std::string& line, const std::string& name) {
  const size_t at = line.find("\"" + name + "\":");
  if (at == std::string::npos) return -999'999;
  return std::atoll(line.c_str() + at + name.size() + 3);
}

// Lines of the visible files below a folder.
std::vector<std::string> Lines(const std::filesystem::path& folder) {
  std::vector<std::string> lines;
  std::error_code none;
  for (auto entry = std::filesystem::recursive_directory_iterator(folder, none);
       entry != std::filesystem::recursive_directory_iterator(); ++entry) {
    if (entry->path().filename().string().front() == '.') {
      entry.disable_recursion_pending();
      continue;
    }
    if (!entry->is_regular_file()) continue;
    std::ifstream file(entry->path());
    for (std::string line; std::getline(file, line);) lines.push_back(line);
  }
  return lines;
}

class Complaints {
 public:
  void Add(const std::string& complaint) {
    ++all_;
    if (list_.size() < kMostComplaints) list_.push_back(complaint);
  }
  // Compares multisets of results.
  template <class Result>
  void Compare(const std::string& what, const std::map<Result, int>& expected,
               const std::map<Result, int>& found) {
    for (const auto& [result, times] : expected) {
      const auto it = found.find(result);
      const int there = it == found.end() ? 0 : it->second;
      if (there < times) Add("lost: " + what + " " + Text(result));
      if (there > times) {
        Add("repeated: " + what + " " + Text(result) + ", " + std::to_string(there) + " times");
      }
    }
    for (const auto& [result, times] : found) {
      if (expected.count(result) == 0) Add("wrong: " + what + " " + Text(result));
    }
  }
  std::vector<std::string> Take() {
    if (all_ > list_.size())
      list_.push_back("and " + std::to_string(all_ - list_.size()) + " more");
    return list_;
  }

 private:
  template <class... T>
  static std::string Text(const std::tuple<T...>& numbers) {
    return std::apply([](auto... number) { return (("/" + std::to_string(number)) + ...); },
                      numbers);
  }
  std::vector<std::string> list_;
  size_t all_ = 0;
};

}  // namespace

std::vector<std::string> Verify(const std::string& out, const Expectation& expectation) {
  using Pair = std::tuple<std::int64_t, std::int64_t>;
  using Whole = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t>;
  std::map<std::tuple<std::int64_t, std::int64_t>, Fold> seconds;
  std::map<Pair, int> all;
  std::map<Pair, int> copies;
  for (const Record& record : AllRecords(expectation)) {
    for (const std::int64_t second : {record.at_millis / 1000, std::int64_t{-1}}) {
      Fold& fold = seconds[{record.key, second}];
      ++fold.count;
      fold.sum += record.n;
      fold.mixed ^= Mixed(record);
    }
    ++all[{record.source, record.n}];
    if (record.source == 1 && record.n % 50 == 0) {
      copies[{record.source, record.n}] += std::max(expectation.copies, 1);
    }
  }
  std::map<Whole, int> totals;
  std::map<Pair, int> sums;
  for (const auto& [key_and_second, fold] : seconds) {
    const auto [key, second] = key_and_second;
    ++totals[{key, second, fold.count, fold.sum, fold.mixed}];
    if (second >= 0) ++sums[{key, fold.sum}];
  }

  Complaints complaints;
  std::map<Whole, int> found_totals;
  for (const std::string& line : Lines(out + "/totals")) {
    ++found_totals[{Number(line, "key"), Number(line, "second"), Number(line, "count"),
                    Number(line, "sum"), Number(line, "mixed")}];
  }
  complaints.Compare("total (key/second/count/sum/mixed)", totals, found_totals);
  std::map<Pair, int> found_sums;
  for (const std::string& line : Lines(out + "/sums")) {
    ++found_sums[{Number(line, "key"), Number(line, "value")}];
  }
  complaints.Compare("window (key/sum)", sums, found_sums);
  std::map<Pair, int> found_all;
  for (const std::string& line : Lines(out + "/all")) {
    ++found_all[{Number(line, "source"), Number(line, "n")}];
  }
  complaints.Compare("record (source/n)", all, found_all);
  std::map<Pair, int> found_copies;
  for (const std::string& line : Lines(out + "/copies")) {
    int& times = found_copies[{Number(line, "source"), Number(line, "n")}];
    times = expectation.copies == 0 ? 1 : times + 1;
  }
  complaints.Compare("copy (source/n)", copies, found_copies);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(out)) {
    if (entry.path().filename() == ".inprogress") {
      complaints.Add("left behind: " + entry.path().string());
    }
  }
  return complaints.Take();
}

}  // namespace weir::chaos

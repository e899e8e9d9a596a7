// flights_oracle exact INPUT RESULTS LATE
//   What the flights job put out with one reader and --every-record, compared with what must come
//   out, to the row.
// flights_oracle verify RESULTS LATE INPUT...
//   What it put out in any other run; each INPUT (a file, or several joined by commas in their
//   order) had one reader.
// RESULTS and LATE are files or folders. Prints what is wrong. Exit status: 0 nothing, 1 something,
// 2 wrong usage or unreadable.
#include <cstdio>
#include <string>
#include <vector>

#include "tests/flights/oracle.h"

namespace {

std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  const bool exact = args.size() == 4 && args[0] == "exact";
  if (!exact && !(args.size() >= 4 && args[0] == "verify")) {
    std::fprintf(stderr,
                 "usage: flights_oracle exact INPUT RESULTS LATE\n"
                 "       flights_oracle verify RESULTS LATE INPUT...\n");
    return 2;
  }
  std::string error;
  flights_oracle::Outcome actual;
  actual.rows = flights_oracle::ReadRows(flights_oracle::FilesOf(args[exact ? 2 : 1]), error);
  actual.late = flights_oracle::ReadFlights(flights_oracle::FilesOf(args[exact ? 3 : 2]), error);
  std::vector<flights_oracle::Reader> readers;
  for (std::size_t i = exact ? 1 : 3; i < (exact ? 2 : args.size()); ++i) {
    readers.push_back(flights_oracle::ReadFlights(Split(args[i]), error));
  }
  if (!error.empty()) {
    std::fprintf(stderr, "%s\n", error.c_str());
    return 2;
  }
  const std::vector<std::string> problems =
      exact ? flights_oracle::Compare(flights_oracle::Expect(readers[0]), actual)
            : flights_oracle::Verify(readers, actual);
  for (const std::string& problem : problems) std::printf("%s\n", problem.c_str());
  std::printf("%zu rows, %zu late flights: %s\n", actual.rows.size(), actual.late.size(),
              problems.empty() ? "right" : "WRONG");
  return problems.empty() ? 0 : 1;
}

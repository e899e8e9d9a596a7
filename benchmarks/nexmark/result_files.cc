#include "benchmarks/nexmark/result_files.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>

#include "gtest/gtest.h"

namespace nexmark {

ResultDigest DigestOfFiles(const std::string& folder) {
  ResultDigest digest;
  for (auto entry = std::filesystem::recursive_directory_iterator(folder);
       entry != std::filesystem::recursive_directory_iterator(); ++entry) {
    if (entry->path().filename().string().front() == '.') {
      entry.disable_recursion_pending();
      continue;
    }
    if (!entry->is_regular_file()) continue;
    std::ifstream file(entry->path());
    for (std::string line; std::getline(file, line);) {
      if (line.size() < 2 || line.front() != '"' || line.back() != '"' ||
          line.find('\\') != std::string::npos) {
        ADD_FAILURE() << entry->path() << ": no plain JSON string: " << line;
        return digest;
      }
      digest.Add(std::string_view(line).substr(1, line.size() - 2));
    }
  }
  return digest;
}

std::map<std::string, ResultDigest> ExpectedDigests(const std::string& set) {
  std::map<std::string, ResultDigest> digests;
  std::ifstream file(NEXMARK_TESTDATA "/expected/" + set + "/digests.txt");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string query;
    ResultDigest digest;
    if (words >> query >> digest.rows >> std::hex >> digest.sum) digests[query] = digest;
  }
  EXPECT_FALSE(digests.empty()) << "no expected results of " << set;
  return digests;
}

}  // namespace nexmark

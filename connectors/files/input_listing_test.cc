#include "connectors/files/input_listing.h"

#include <algorithm>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

TEST(GlobTest, MatchesAsAShellDoes) {
  EXPECT_TRUE(MatchesGlob("*.jsonl", "a.jsonl"));
  EXPECT_TRUE(MatchesGlob("*", "anything"));
  EXPECT_TRUE(MatchesGlob("a*b*c", "aXXbYbc"));
  EXPECT_TRUE(MatchesGlob("a?c", "abc"));
  EXPECT_TRUE(MatchesGlob("part-[0-9]", "part-7"));
  EXPECT_TRUE(MatchesGlob("part-[!0-9]", "part-x"));
  EXPECT_TRUE(MatchesGlob("[abc]x", "bx"));
  EXPECT_TRUE(MatchesGlob("a**", "a"));
  EXPECT_TRUE(MatchesGlob("a[", "a["));
  EXPECT_TRUE(MatchesGlob("", ""));
  EXPECT_FALSE(MatchesGlob("*.jsonl", "a.json"));
  EXPECT_FALSE(MatchesGlob("a?c", "ac"));
  EXPECT_FALSE(MatchesGlob("part-[0-9]", "part-x"));
  EXPECT_FALSE(MatchesGlob("part-[!0-9]", "part-7"));
  EXPECT_FALSE(MatchesGlob("", "a"));
  EXPECT_FALSE(MatchesGlob("a", ""));
}

TEST(GlobTest, HiddenNamesAreMatchedByADotOnly) {
  EXPECT_FALSE(MatchesGlob("*", ".part-0"));
  EXPECT_FALSE(MatchesGlob("?part", ".part"));
  EXPECT_TRUE(MatchesGlob(".*", ".part-0"));
}

TEST(GlobTest, AWorstCasePatternEnds) {
  EXPECT_FALSE(MatchesGlob("*a*a*a*a*a*a*a*a*b", std::string(2000, 'a')));
}

std::vector<InputFile> SomeFiles(size_t n) {
  std::vector<InputFile> files;
  for (size_t i = 0; i < n; ++i) {
    files.push_back({.path = "f" + std::to_string(100 + i), .size_bytes = (i * 7919) % 5000000});
  }
  return files;
}

TEST(AssignInputsTest, EachFileGoesToOneSubtaskInOrderOfNames) {
  for (const uint32_t parallelism : {1u, 2u, 3u, 7u}) {
    const std::vector<InputFile> files = SomeFiles(50);
    std::vector<std::string> all;
    for (uint32_t subtask = 0; subtask < parallelism; ++subtask) {
      const std::vector<InputFile> mine = AssignInputs(files, subtask, parallelism);
      EXPECT_TRUE(std::is_sorted(mine.begin(), mine.end(),
                                 [](auto& a, auto& b) { return a.path < b.path; }));
      for (const InputFile& file : mine) all.push_back(file.path);
    }
    std::sort(all.begin(), all.end());
    ASSERT_EQ(all.size(), files.size());
    for (size_t i = 0; i < files.size(); ++i) EXPECT_EQ(all[i], files[i].path);
  }
}

TEST(AssignInputsTest, SubtasksReadAboutTheSameNumberOfBytes) {
  const std::vector<InputFile> files = SomeFiles(200);
  uint64_t least = UINT64_MAX;
  uint64_t most = 0;
  for (uint32_t subtask = 0; subtask < 4; ++subtask) {
    uint64_t bytes = 0;
    for (const InputFile& file : AssignInputs(files, subtask, 4)) bytes += file.size_bytes;
    least = std::min(least, bytes);
    most = std::max(most, bytes);
  }
  EXPECT_LT(most - least, most / 20);
}

TEST(AssignInputsTest, OneFileGoesToTheFirstSubtask) {
  EXPECT_EQ(AssignInputs(SomeFiles(1), 0, 4).size(), 1u);
  for (uint32_t subtask = 1; subtask < 4; ++subtask)
    EXPECT_TRUE(AssignInputs(SomeFiles(1), subtask, 4).empty());
}

}  // namespace
}  // namespace weir

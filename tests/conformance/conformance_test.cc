// Replays the recorded cases of testdata; the rules that each exercises are named in it.
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/conformance/case_file.h"
#include "tests/conformance/replay.h"
#include "tests/conformance/rocksdb_stores.h"

namespace weir::conformance {
namespace {

constexpr std::uint64_t kSeed = 20260117;
// Making and restoring a store of RocksDB takes milliseconds: weir-conformance does it for all.
constexpr int kCasesToOneInRocksDb = 40;

std::set<std::string> BelievedWrong() {
  std::ifstream file(WEIR_CONFORMANCE_TESTDATA "/believed_wrong.txt");
  std::set<std::string> names;
  std::string line;
  while (std::getline(file, line)) {
    if (!line.empty() && line[0] != '#') names.insert(line);
  }
  return names;
}

struct Family {
  std::string name;
  int cases = 0;
  int not_supported = 0;
};

class ConformanceTest : public ::testing::TestWithParam<Family> {};
INSTANTIATE_TEST_SUITE_P(Families, ConformanceTest,
                         ::testing::Values(Family{"assigners", 273}, Family{"count_windows", 94},
                                           Family{"event_windows", 671}, Family{"joins", 415},
                                           Family{"keys", 41}, Family{"patterns", 328},
                                           Family{"processing_windows", 300},
                                           Family{"state_ttl", 117}, Family{"timers", 183},
                                           Family{"watermarks", 603}),
                         [](const auto& param) { return param.param.name; });

// In memory, in a store behind a cache that is always full, and some in RocksDB.
TEST_P(ConformanceTest, GivesWhatTheRecordedCasesGive) {
  const auto cases = ReadCaseFile(WEIR_CONFORMANCE_TESTDATA "/" + GetParam().name + ".jsonl");
  ASSERT_TRUE(cases.ok()) << cases.status();
  std::vector<ReplayMode> modes = ModesOf("memory", nullptr, kSeed);
  for (ReplayMode mode : ModesOf("store", nullptr, kSeed)) {
    mode.harness.in_store = true;
    modes.push_back(mode);
  }
  RocksDbStores stores;
  const std::vector<ReplayMode> rocksdb = StoreModesOf("rocksdb", stores.Maker(), kSeed);
  const std::set<std::string> wrong = BelievedWrong();
  int not_supported = 0;
  int number = 0;
  for (const auto& test : *cases) {
    SCOPED_TRACE(test->name());
    CaseResult result = RunCase(*test, modes);
    if (result.verdict == Verdict::kPassed && ++number % kCasesToOneInRocksDb == 0)
      result = RunCase(*test, rocksdb);
    if (result.verdict == Verdict::kNotSupported) {
      ++not_supported;
    } else if (wrong.contains(test->name())) {
      EXPECT_EQ(result.verdict, Verdict::kFailed) << "take it from believed_wrong.txt";
    } else {
      EXPECT_EQ(result.verdict, Verdict::kPassed) << result.detail;
    }
  }
  EXPECT_EQ(cases->size(), static_cast<std::size_t>(GetParam().cases));
  EXPECT_EQ(not_supported, GetParam().not_supported);
}

}  // namespace
}  // namespace weir::conformance

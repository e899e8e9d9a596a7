#include "jobmanager/schedule/source_groups.h"

#include <limits>

#include "gtest/gtest.h"

namespace weir::jobmanager {
namespace {

using Progress = SourceGroups::Progress;
constexpr int64_t kMs = 1'000'000;
constexpr int64_t kNone = std::numeric_limits<int64_t>::max();

TEST(SourceGroups, SaysNothingUntilEveryWorkerHasHadTheTimeToReport) {  // Rule 29
  SourceGroups groups(1000 * kMs);
  EXPECT_EQ(groups.Report(1, 0, {{"a", 500}}, 0), Progress());
  EXPECT_EQ(groups.Report(1, 1, {{"a", 20}}, 100 * kMs), Progress());
  EXPECT_EQ(groups.Report(1, 0, {{"a", 510}}, 300 * kMs), (Progress{{"a", 20}}));
}

TEST(SourceGroups, TheLeastOfAllWorkersCountsInEachGroupByItself) {  // Rule 29
  SourceGroups groups(1000 * kMs);
  groups.Report(1, 0, {{"a", 500}, {"b", 7}}, 0);
  groups.Report(1, 1, {{"a", 20}}, 0);
  EXPECT_EQ(groups.Report(1, 0, {{"a", 500}, {"b", 7}}, 300 * kMs),
            (Progress{{"a", 20}, {"b", 7}}));
  // What has ended or is idle holds nothing back.
  groups.Report(1, 1, {{"a", kNone}}, 310 * kMs);
  EXPECT_EQ(groups.Report(1, 0, {{"a", 500}}, 320 * kMs), (Progress{{"a", 500}}));
  EXPECT_EQ(groups.Report(1, 0, {{"a", kNone}}, 330 * kMs), (Progress{{"a", kNone}}));
}

TEST(SourceGroups, AWorkerThatIsGoneAndAnAttemptThatIsOverHoldNothingBack) {  // Rule 29
  SourceGroups groups(1000 * kMs);
  groups.Report(1, 0, {{"a", 500}}, 0);
  groups.Report(1, 1, {{"a", 20}}, 0);
  EXPECT_EQ(groups.Report(1, 0, {{"a", 500}}, 1000 * kMs), (Progress{{"a", 20}}));
  EXPECT_EQ(groups.Report(1, 0, {{"a", 500}}, 1001 * kMs), (Progress{{"a", 500}}));
  groups.Report(1, 1, {{"a", 30}}, 1002 * kMs);
  EXPECT_EQ(groups.Report(2, 0, {{"a", 600}}, 1003 * kMs), Progress());
  EXPECT_EQ(groups.Report(2, 0, {{"a", 600}}, 1400 * kMs), (Progress{{"a", 600}}));
}

}  // namespace
}  // namespace weir::jobmanager

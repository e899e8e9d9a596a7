// The flights job on real clusters of one, two and three task managers, against the oracle.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <tuple>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cluster/cluster.h"
#include "tests/examples/embedded_job.h"
#include "tests/flights/oracle.h"

namespace weir::cluster {
namespace {

using ::testing::IsEmpty;

// Clusters by their number of task managers, the job's parallelism, and whether one subtask reads
// with a watermark after every record.
class FlightsClusterTest : public ::testing::TestWithParam<std::tuple<uint32_t, uint32_t, bool>> {};

TEST_P(FlightsClusterTest, TheOutcomeIsWhatTheOracleSays) {
  const auto [task_managers, parallelism, exact] = GetParam();
  const TestFolder folder;
  std::filesystem::create_directories(folder / "in");
  std::vector<std::string> inputs;
  for (uint32_t i = 0; i < (exact ? 1 : parallelism); ++i) {
    inputs.push_back(folder / ("in/" + std::to_string(i) + ".jsonl"));
  }
  {
    std::ifstream in(WEIR_FLIGHTS_DATA);
    std::vector<std::ofstream> out(inputs.begin(), inputs.end());
    size_t number = 0;
    for (std::string line; std::getline(in, line); ++number) {
      out[number % out.size()] << line << "\n";
    }
    ASSERT_EQ(number, 20000u);
  }

  Cluster cluster;
  cluster.StartJobManager();
  // As few slots as the job needs, so that it runs on all task managers.
  for (uint32_t i = 0; i < task_managers; ++i) {
    cluster.StartTaskManager(
        std::max(1u, parallelism / task_managers + (i < parallelism % task_managers ? 1 : 0)));
  }
  ASSERT_TRUE(cluster.AwaitTaskManagers(static_cast<int>(task_managers)));
  const auto job = cluster.Submit(WEIR_FLIGHTS_JOB, parallelism,
                                  {{"input", folder / "in"},
                                   {"output", folder / "results"},
                                   {"late", folder / "late"},
                                   {"every-record", exact ? "true" : "false"}});
  ASSERT_TRUE(job.ok()) << job.status();
  if (!cluster.AwaitState(*job, proto::FINISHED)) {
    cluster.PrintLogs();
    FAIL() << cluster.Status(*job)->failure().message();
  }

  std::string error;
  std::vector<flights_oracle::Reader> readers;
  for (const std::string& input : inputs) {
    readers.push_back(flights_oracle::ReadFlights({input}, error));
  }
  flights_oracle::Outcome outcome;
  outcome.rows = flights_oracle::ReadRows(flights_oracle::FilesOf(folder / "results"), error);
  outcome.late = flights_oracle::ReadFlights(flights_oracle::FilesOf(folder / "late"), error);
  ASSERT_EQ(error, "");
  if (exact) {
    EXPECT_THAT(flights_oracle::Compare(flights_oracle::Expect(readers[0]), outcome), IsEmpty());
  } else {
    EXPECT_THAT(flights_oracle::Verify(readers, outcome), IsEmpty());
  }
}

INSTANTIATE_TEST_SUITE_P(Clusters, FlightsClusterTest,
                         ::testing::Combine(::testing::Values(1u, 2u, 3u),
                                            ::testing::Values(1u, 2u, 4u), ::testing::Bool()));

}  // namespace
}  // namespace weir::cluster

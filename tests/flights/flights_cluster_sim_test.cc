// The flights job on a simulated cluster of one, two and three task managers, against the oracle.

#include <filesystem>
#include <fstream>
#include <string>
#include <tuple>
#include <vector>

#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/examples/embedded_job.h"
#include "tests/flights/oracle.h"
#include "tests/sim/sim_cluster.h"
// The job itself: a simulated cluster runs a function, not a plugin.
#include "examples/flights/flights.cc"  // NOLINT

namespace weir::sim {
namespace {

using ::testing::IsEmpty;

constexpr uint32_t kParallelism = 4;

// Task managers, and whether one subtask reads with a watermark after every record.
class FlightsClusterSimTest : public ::testing::TestWithParam<std::tuple<uint32_t, bool>> {
 protected:
  FlightsClusterSimTest() : cluster_(Options()) {
    std::ifstream in(WEIR_FLIGHTS_DATA);
    size_t number = 0;
    for (std::string line; std::getline(in, line); ++number) {
      texts_[exact_ ? 0 : number % kParallelism] += line + "\n";
    }
    cluster_.StartJobManager();
    for (uint32_t i = 0; i < task_managers_; ++i) {
      const std::string name = StrCat("tm-", i);
      // As few slots as the job needs, so that it runs on all task managers.
      cluster_.StartTaskManager(
          name, kParallelism / task_managers_ + (i < kParallelism % task_managers_ ? 1 : 0));
      // Each host has the whole input; which subtask reads what is the same everywhere.
      SimEnv& host = cluster_.world().StartProcess(StrCat("writer-", i), name);
      EXPECT_TRUE(host.files().CreateDirectories("/in").ok());
      for (const auto& [file, text] : texts_) {
        EXPECT_TRUE(WriteFileAtomically(host.files(), InputName(file), text).ok());
      }
      hosts_.push_back(&host);
    }
  }

  SimCluster::Options Options() const {
    SimCluster::Options options;
    options.world.seed = 100 + task_managers_;
    options.world.max_link_delay = absl::Milliseconds(5);
    return options;
  }
  static std::string InputName(size_t file) { return StrCat("/in/", file, ".jsonl"); }

  // Copies the files of a folder of all hosts to a real one, and checks that they are parts.
  std::string Collect(const std::string& folder) {
    const std::string to = real_ / folder;
    std::filesystem::create_directories(to);
    size_t parts = 0;
    for (SimEnv* host : hosts_) {
      const auto entries = host->files().List("/" + folder);
      if (absl::IsNotFound(entries.status())) continue;  // no subtask of the sink ran there
      EXPECT_TRUE(entries.ok()) << entries.status();
      for (const FileInfo& entry : *entries) {
        const auto content = ReadFile(host->files(), entry.path, 100 << 20);
        EXPECT_TRUE(content.ok()) << content.status();
        std::ofstream(to + entry.path.substr(entry.path.rfind('/'))) << *content;
        ++parts;
      }
    }
    EXPECT_EQ(parts, kParallelism);
    return to;
  }
  flights_oracle::Reader Read(const std::string& text) {
    const std::string path = real_ / "input.jsonl";
    std::ofstream(path) << text;
    std::string error;
    flights_oracle::Reader reader = flights_oracle::ReadFlights({path}, error);
    EXPECT_EQ(error, "");
    return reader;
  }

  const uint32_t task_managers_ = std::get<0>(GetParam());
  const bool exact_ = std::get<1>(GetParam());
  const TestFolder real_;
  std::map<size_t, std::string> texts_;
  SimCluster cluster_;
  std::vector<SimEnv*> hosts_;
};

TEST_P(FlightsClusterSimTest, TheOutcomeIsWhatTheOracleSays) {
  ASSERT_TRUE(cluster_.AwaitTaskManagers(static_cast<int>(task_managers_)));
  const auto job = cluster_.Submit("flights", WeirDescribeJob, kParallelism,
                                   {{"input", "/in"},
                                    {"output", "/results"},
                                    {"late", "/late"},
                                    {"every-record", exact_ ? "true" : "false"}});
  ASSERT_TRUE(job.ok()) << job.status();
  ASSERT_TRUE(cluster_.AwaitState(*job, proto::FINISHED, absl::Minutes(5)))
      << cluster_.Status(*job)->failure().message();

  std::vector<flights_oracle::Reader> readers;
  for (const auto& [file, text] : texts_) readers.push_back(Read(text));
  std::string error;
  flights_oracle::Outcome outcome;
  outcome.rows = flights_oracle::ReadRows(flights_oracle::FilesOf(Collect("results")), error);
  outcome.late = flights_oracle::ReadFlights(flights_oracle::FilesOf(Collect("late")), error);
  ASSERT_EQ(error, "");
  if (exact_) {
    EXPECT_THAT(flights_oracle::Compare(flights_oracle::Expect(readers[0]), outcome), IsEmpty());
  } else {
    EXPECT_THAT(flights_oracle::Verify(readers, outcome), IsEmpty());
  }
}

INSTANTIATE_TEST_SUITE_P(TaskManagers, FlightsClusterSimTest,
                         ::testing::Combine(::testing::Values(1u, 2u, 3u), ::testing::Bool()));

}  // namespace
}  // namespace weir::sim

// The flights job in one process, against the oracle.

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/examples/embedded_job.h"
#include "tests/flights/oracle.h"

namespace weir {
namespace {

using ::testing::IsEmpty;

std::vector<std::string> Lines() {
  std::ifstream in(WEIR_FLIGHTS_DATA);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line + "\n");
  return lines;
}

// The lines dealt out to `parts` texts, each in its order.
std::vector<std::string> Deal(const std::vector<std::string>& lines, size_t parts) {
  std::vector<std::string> texts(parts);
  for (size_t i = 0; i < lines.size(); ++i) texts[i % parts] += lines[i];
  return texts;
}

void WriteText(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

flights_oracle::Outcome ReadOutcome(const std::string& results, const std::string& late) {
  std::string error;
  flights_oracle::Outcome outcome{
      .rows = flights_oracle::ReadRows(flights_oracle::FilesOf(results), error),
      .late = flights_oracle::ReadFlights(flights_oracle::FilesOf(late), error)};
  EXPECT_EQ(error, "");
  return outcome;
}

class FlightsExactTest : public ::testing::TestWithParam<uint32_t> {};

TEST_P(FlightsExactTest, OneReaderWithAWatermarkAfterEveryRecordGivesTheOraclesRowsAndLateRecords) {
  const TestFolder folder;
  const EmbeddedEnd end = RunEmbedded({.plugin = WEIR_FLIGHTS_JOB,
                                       .arguments = {{"input", WEIR_FLIGHTS_DATA},
                                                     {"output", folder / "results"},
                                                     {"late", folder / "late"},
                                                     {"every-record", "true"}},
                                       .parallelism = GetParam()});
  ASSERT_EQ(end.kind, EmbeddedEnd::Kind::kFinished) << end.message;
  std::string error;
  const flights_oracle::Reader input = flights_oracle::ReadFlights({WEIR_FLIGHTS_DATA}, error);
  ASSERT_EQ(input.size(), 20000u) << error;
  const flights_oracle::Outcome expected = flights_oracle::Expect(input);
  // The data must be able to show a mistake: there are late records, and windows that fire again.
  ASSERT_GT(expected.late.size(), 10u);
  ASSERT_GT(expected.rows.size(), 5000u);
  EXPECT_THAT(flights_oracle::Compare(expected, ReadOutcome(folder / "results", folder / "late")),
              IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Parallelism, FlightsExactTest, ::testing::Values(1u, 2u, 4u));

// Parallelism, and whether the input is one file or one for each reader.
class FlightsTimingTest : public ::testing::TestWithParam<std::tuple<uint32_t, bool>> {};

TEST_P(FlightsTimingTest, WithPeriodicWatermarksTheOutcomeIsOneThatTimingExplains) {
  const auto [parallelism, one_file] = GetParam();
  const TestFolder folder;
  std::vector<flights_oracle::Reader> readers;
  std::string error;
  std::filesystem::create_directories(folder / "in");
  const std::vector<std::string> texts = Deal(Lines(), one_file ? 1 : parallelism);
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string path = folder / ("in/" + std::to_string(i) + ".jsonl");
    WriteText(path, texts[i]);
    readers.push_back(flights_oracle::ReadFlights({path}, error));
  }
  const EmbeddedEnd end = RunEmbedded({.plugin = WEIR_FLIGHTS_JOB,
                                       .arguments = {{"input", folder / "in"},
                                                     {"output", folder / "results"},
                                                     {"late", folder / "late"}},
                                       .parallelism = parallelism});
  ASSERT_EQ(end.kind, EmbeddedEnd::Kind::kFinished) << end.message;
  EXPECT_THAT(flights_oracle::Verify(readers, ReadOutcome(folder / "results", folder / "late")),
              IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Parallelism, FlightsTimingTest,
                         ::testing::Combine(::testing::Values(1u, 2u, 4u), ::testing::Bool()));

// Under virtual time each seed is another timing, and some records are late only in some of them.
TEST(FlightsSimulatedTest, EveryTimingGivesAnOutcomeThatItExplains) {
  constexpr uint32_t kReaders = 4;
  const std::vector<std::string> texts = Deal(Lines(), kReaders);
  const TestFolder folder;
  std::string error;
  std::vector<flights_oracle::Reader> readers;
  for (uint32_t i = 0; i < kReaders; ++i) {
    const std::string path = folder / (std::to_string(i) + ".jsonl");
    WriteText(path, texts[i]);
    readers.push_back(flights_oracle::ReadFlights({path}, error));
  }
  size_t most_late = 0;
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(seed);
    SimOptions options;
    options.seed = seed;
    // Slow steps and small batches, so that watermarks come between the records.
    options.max_blocking_time = absl::Milliseconds(seed % 2 == 0 ? 50 : 1);
    options.closure_time = absl::Microseconds(seed % 3 == 0 ? 1000 : 100);
    RuntimeOptions runtime;
    runtime.batch_records = static_cast<uint32_t>(2 * seed);
    runtime.watermark_interval = absl::Microseconds(100);
    SimWorld world(options);
    SimEnv& env = world.StartProcess("job");
    ASSERT_TRUE(env.files().CreateDirectories("/in").ok());
    for (uint32_t i = 0; i < kReaders; ++i) {
      ASSERT_TRUE(
          WriteFileAtomically(env.files(), "/in/" + std::to_string(i) + ".jsonl", texts[i]).ok());
    }
    const EmbeddedEnd end =
        RunSimulated(world, env,
                     {.plugin = WEIR_FLIGHTS_JOB,
                      .arguments = {{"input", "/in"}, {"output", "/results"}, {"late", "/late"}},
                      .parallelism = kReaders,
                      .runtime = runtime});
    ASSERT_EQ(end.kind, EmbeddedEnd::Kind::kFinished) << end.message;
    const std::string results = folder / ("results" + std::to_string(seed));
    const std::string late = folder / ("late" + std::to_string(seed));
    for (const auto& [from, to] : {std::pair("/results", results), std::pair("/late", late)}) {
      std::filesystem::create_directories(to);
      const auto entries = env.files().List(from);
      ASSERT_TRUE(entries.ok()) << entries.status();
      ASSERT_EQ(entries->size(), kReaders);
      for (const FileInfo& entry : *entries) {
        const auto content = ReadFile(env.files(), entry.path, 100 << 20);
        ASSERT_TRUE(content.ok()) << content.status();
        WriteText(to + entry.path.substr(entry.path.rfind('/')), *content);
      }
    }
    const flights_oracle::Outcome outcome = ReadOutcome(results, late);
    EXPECT_THAT(flights_oracle::Verify(readers, outcome), IsEmpty());
    most_late = std::max(most_late, outcome.late.size());
  }
  EXPECT_GT(most_late, 0u) << "no seed makes a record late: this shows too little";
}

TEST(FlightsErrorTest, AnInputThatIsNotThereFailsTheJobWithThePath) {
  const TestFolder folder;
  const EmbeddedEnd end = RunEmbedded({.plugin = WEIR_FLIGHTS_JOB,
                                       .arguments = {{"input", folder / "missing.jsonl"},
                                                     {"output", folder / "results"},
                                                     {"late", folder / "late"}}});
  EXPECT_EQ(end.kind, EmbeddedEnd::Kind::kFailed);
  EXPECT_THAT(end.message, ::testing::HasSubstr("'flights'"));
  EXPECT_THAT(end.message,
              ::testing::HasSubstr("there is no file or folder '" + (folder / "missing.jsonl")));
}

TEST(FlightsErrorTest, AMalformedLineFailsTheJobWithFileAndLine) {
  const TestFolder folder;
  WriteText(
      folder / "in.jsonl",
      R"({"scheduled":"2001-01-01T01:24:00Z","delay_minutes":-5,"origin":"LAS","destination":"OAK"})"
      "\n"
      R"({"scheduled":"2001-01-01T01:39:00Z","delay_minutes":"four","origin":"LAS","destination":"PHX"})"
      "\n");
  const EmbeddedEnd end = RunEmbedded({.plugin = WEIR_FLIGHTS_JOB,
                                       .arguments = {{"input", folder / "in.jsonl"},
                                                     {"output", folder / "results"},
                                                     {"late", folder / "late"}}});
  EXPECT_EQ(end.kind, EmbeddedEnd::Kind::kFailed);
  EXPECT_THAT(end.message, ::testing::HasSubstr((folder / "in.jsonl") + ":2: "));
  EXPECT_THAT(end.message, ::testing::HasSubstr("delay_minutes"));
  EXPECT_THAT(end.message, ::testing::HasSubstr("found a string \"four\""));
  // A failed job leaves no result that could be taken for one.
  if (std::filesystem::exists(folder / "results")) {
    EXPECT_THAT(flights_oracle::FilesOf(folder / "results"), IsEmpty());
  }
}

TEST(FlightsErrorTest, AnUnknownArgumentIsRefusedWithTheRightOnes) {
  const EmbeddedEnd end = RunEmbedded(
      {.plugin = WEIR_FLIGHTS_JOB, .arguments = {{"inptu", "x"}, {"output", "y"}, {"late", "z"}}});
  EXPECT_EQ(end.kind, EmbeddedEnd::Kind::kWrongUsage);
  EXPECT_THAT(end.message, ::testing::HasSubstr("--inptu"));
  EXPECT_THAT(end.message, ::testing::HasSubstr("--input"));
}

}  // namespace
}  // namespace weir

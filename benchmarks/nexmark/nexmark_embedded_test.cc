// Each query in one process gives the expected result: at any parallelism, with state in memory and
// in RocksDB. The slow form of it takes ten times as many events, of which each or a hundred have a
// millisecond of their own.

#include <algorithm>
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "benchmarks/nexmark/result_files.h"
#include "gtest/gtest.h"
#include "state/rocksdb/rocksdb_backend.h"
#include "tests/examples/embedded_job.h"

namespace nexmark {
namespace {

using weir::EmbeddedEnd;

struct DataSet {
  const char* name;
  const char* rate;
  const char* events;
};
const std::vector<DataSet> kDataSets =
    NEXMARK_SLOW ? std::vector<DataSet>{{"seed1-rate1000-1M", "1000", "1000000"},
                                        {"seed1-rate100000-1M", "100000", "1000000"}}
                 : std::vector<DataSet>{{"seed1-rate1000-100k", "1000", "100000"}};

// Runs the query in a folder of the test's own.
class QueryRun {
 public:
  void Expect(const std::string& query, const DataSet& data, std::uint32_t parallelism,
              weir::StateBackend* backend) {
    const std::string output = folder_ / "out";
    weir::EmbeddedJob job{.plugin = NEXMARK_JOB,
                          .arguments = {{"query", query},
                                        {"events", data.events},
                                        {"rate", data.rate},
                                        {"output", output}},
                          .parallelism = parallelism};
    job.runtime.state_backend = backend;
    const EmbeddedEnd end = RunEmbedded(job);
    ASSERT_EQ(end.kind, EmbeddedEnd::Kind::kFinished) << end.message;
    const ResultDigest expected = ExpectedDigests(data.name).at(query);
    const ResultDigest digest = DigestOfFiles(output);
    EXPECT_EQ(digest.rows, expected.rows);
    EXPECT_EQ(digest.sum, expected.sum);
  }
  std::string operator/(const std::string& name) const { return folder_ / name; }

 private:
  const weir::TestFolder folder_;
};

using Parameter = std::tuple<const char*, std::uint32_t, DataSet>;
std::string NameOf(const ::testing::TestParamInfo<Parameter>& info) {
  std::string name = std::string(std::get<0>(info.param)) + "_" + std::get<2>(info.param).name +
                     "_parallelism_" + std::to_string(std::get<1>(info.param));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

class InMemory : public ::testing::TestWithParam<Parameter> {};
TEST_P(InMemory, GivesTheExpectedResult) {
  const auto& [query, parallelism, data] = GetParam();
  QueryRun().Expect(query, data, parallelism, nullptr);
}
INSTANTIATE_TEST_SUITE_P(
    Nexmark, InMemory,
    ::testing::Combine(::testing::Values("q0", "q1", "q2", "q3", "q5", "q7", "q8", "q11", "q17"),
                       ::testing::Values(1u, 2u, 4u), ::testing::ValuesIn(kDataSets)),
    NameOf);

// Those that have state.
class InRocksDb : public ::testing::TestWithParam<Parameter> {};
TEST_P(InRocksDb, GivesTheExpectedResult) {
  const auto& [query, parallelism, data] = GetParam();
  QueryRun run;
  weir::RocksDbBackend backend(
      {.directory = run / "state", .memory_bytes = 16 << 20, .decoded_bytes = 1 << 20});
  run.Expect(query, data, parallelism, &backend);
}
INSTANTIATE_TEST_SUITE_P(Nexmark, InRocksDb,
                         ::testing::Combine(::testing::Values("q3", "q5", "q7", "q8", "q11", "q17"),
                                            ::testing::Values(1u, 2u, 4u),
                                            ::testing::ValuesIn(kDataSets)),
                         NameOf);

}  // namespace
}  // namespace nexmark

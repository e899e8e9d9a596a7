// The smaller example jobs in one process, each against a plain computation over the same input.

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <ctime>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/examples/embedded_job.h"
#include "tests/flights/oracle.h"

namespace weir {
namespace {

using flights_oracle::FilesOf;

std::vector<std::string> LinesOf(const std::string& path) {
  std::vector<std::string> lines;
  for (const std::string& file : FilesOf(path)) {
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
  }
  return lines;
}

std::string Text(const std::string& line, const std::string& field) {
  std::smatch match;
  const std::regex pattern("\"" + field + "\":\\s*(\"((?:[^\"\\\\]|\\\\.)*)\"|[^,}]*)");
  if (!std::regex_search(line, match, pattern)) {
    ADD_FAILURE() << "no field '" << field << "' in " << line;
    return "";
  }
  return match[2].matched ? match[2].str() : match[1].str();
}

// Milliseconds since 1970 of "2024-03-01T12:00:00.123Z".
int64_t Millis(const std::string& text) {
  std::tm parts{};
  const char* rest = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (rest == nullptr) {
    ADD_FAILURE() << "no time: " << text;
    return 0;
  }
  return timegm(&parts) * 1000 + (*rest == '.' ? std::lround(std::stod(rest) * 1000) : 0);
}

class ExamplesTest : public ::testing::TestWithParam<uint32_t> {
 protected:
  // Runs a job with further arguments; the lines that it wrote.
  std::vector<std::string> Run(const std::string& plugin, const std::string& input,
                               std::map<std::string, std::string> arguments = {}) {
    arguments["input"] = input;
    arguments["output"] = folder_ / "out";
    const EmbeddedEnd end = RunEmbedded(
        {.plugin = plugin, .arguments = std::move(arguments), .parallelism = GetParam()});
    EXPECT_EQ(end.kind, EmbeddedEnd::Kind::kFinished) << end.message;
    return LinesOf(folder_ / "out");
  }

  const TestFolder folder_;
};

INSTANTIATE_TEST_SUITE_P(Parallelism, ExamplesTest, ::testing::Values(1u, 2u, 4u));

TEST_P(ExamplesTest, WordCountGivesEachWordItsRunningCount) {
  using Counts = std::map<std::string, std::multiset<int64_t>>;
  Counts expected;
  std::map<std::string, int64_t> totals;
  for (const std::string& line : LinesOf(WEIR_WORD_COUNT_DATA)) {
    std::string word;
    for (const char c : Text(line, "text") + " ") {
      if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
        word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      } else if (!word.empty()) {
        expected[word].insert(++totals[word]);
        word.clear();
      }
    }
  }
  ASSERT_GT(totals["the"], 5);
  Counts actual;
  for (const std::string& line : Run(WEIR_WORD_COUNT_JOB, WEIR_WORD_COUNT_DATA)) {
    actual[Text(line, "key")].insert(std::stoll(Text(line, "value")));
  }
  EXPECT_EQ(actual, expected);
}

TEST_P(ExamplesTest, FraudFindsTheCardsThatSpendTooMuchWithinAMinute) {
  using Alert = std::tuple<std::string, int64_t, int64_t>;  // card, end of the minute, cents
  struct Payment {
    int64_t at;
    int64_t cents;
  };
  std::map<std::string, std::vector<Payment>> payments;
  int64_t first = INT64_MAX;
  int64_t last = 0;
  for (const std::string& line : LinesOf(WEIR_FRAUD_DATA)) {
    const int64_t at = Millis(Text(line, "at"));
    payments[Text(line, "card")].push_back({at, std::stoll(Text(line, "cents"))});
    first = std::min(first, at);
    last = std::max(last, at);
  }
  // Every minute that ends at a multiple of ten seconds is looked at by itself.
  std::set<Alert> expected;
  for (int64_t until = first - first % 10000; until <= last + 60000; until += 10000) {
    for (const auto& [card, of_card] : payments) {
      int64_t cents = 0;
      for (const Payment& p : of_card) cents += until - 60000 <= p.at && p.at < until ? p.cents : 0;
      if (cents > 90000) expected.insert({card, until, cents});
    }
  }
  ASSERT_GT(expected.size(), 20u);
  std::set<Alert> actual;
  for (const std::string& line : Run(WEIR_FRAUD_JOB, WEIR_FRAUD_DATA, {{"limit-cents", "90000"}})) {
    EXPECT_EQ(Millis(Text(line, "until")) - Millis(Text(line, "from")), 60000);
    const Alert alert{Text(line, "card"), Millis(Text(line, "until")),
                      std::stoll(Text(line, "cents"))};
    EXPECT_TRUE(actual.insert(alert).second) << "twice: " << line;
  }
  EXPECT_EQ(actual, expected);
}

TEST_P(ExamplesTest, SensorAlertsTellsHeatAndSilence) {
  using Alert = std::tuple<std::string, int64_t, std::string>;  // sensor, at, what
  std::map<std::string, std::vector<std::pair<int64_t, double>>> readings;
  for (const std::string& line : LinesOf(WEIR_SENSOR_ALERTS_DATA)) {
    readings[Text(line, "sensor")].emplace_back(Millis(Text(line, "at")),
                                                std::stod(Text(line, "celsius")));
  }
  std::multiset<Alert> expected;
  constexpr int64_t kSilence = 4 * 60 * 1000;
  for (const auto& [sensor, of_sensor] : readings) {
    ASSERT_TRUE(std::is_sorted(of_sensor.begin(), of_sensor.end()));
    bool hot = false;
    for (size_t i = 0; i < of_sensor.size(); ++i) {
      const auto& [at, celsius] = of_sensor[i];
      if ((celsius > 82.5) != hot) {
        hot = !hot;
        expected.insert({sensor, at, hot ? "too hot" : "back to normal"});
      }
      if (i + 1 == of_sensor.size() || of_sensor[i + 1].first > at + kSilence) {
        expected.insert({sensor, at + kSilence, "silent"});
      }
    }
  }
  ASSERT_GT(expected.size(), 40u);
  std::multiset<Alert> actual;
  for (const std::string& line : Run(WEIR_SENSOR_ALERTS_JOB, WEIR_SENSOR_ALERTS_DATA,
                                     {{"limit-celsius", "82.5"}, {"silence", "4m"}})) {
    actual.insert({Text(line, "sensor"), Millis(Text(line, "at")), Text(line, "what")});
  }
  EXPECT_EQ(actual, expected);
}

}  // namespace
}  // namespace weir

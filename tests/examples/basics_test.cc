// The programs of examples/basics over their small inputs, of which the results can be counted out
// by hand.
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/examples/embedded_job.h"
#include "tests/flights/oracle.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

std::vector<std::string> LinesOf(const std::string& path) {
  std::vector<std::string> lines;
  if (!std::filesystem::exists(path)) return lines;
  for (const std::string& file : flights_oracle::FilesOf(path)) {
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
  }
  return lines;
}

class BasicJob : public ::testing::Test {
 protected:
  // Runs the job over the file of data/; the lines in `out`.
  std::vector<std::string> Run(uint32_t parallelism, const std::string& job,
                               const std::string& input,
                               std::map<std::string, std::string> arguments = {}) {
    arguments["input"] = Data(input);
    arguments["output"] = Out("out");
    const EmbeddedEnd end = RunEmbedded({.plugin = std::string(WEIR_BASIC_JOBS) + "/" + job + ".so",
                                         .arguments = std::move(arguments),
                                         .parallelism = parallelism});
    EXPECT_EQ(end.kind, EmbeddedEnd::Kind::kFinished) << end.message;
    return LinesOf(Out("out"));
  }
  static std::string Data(const std::string& file) {
    return std::string(WEIR_BASIC_DATA) + "/" + file;
  }
  std::string Out(const std::string& name) const { return folder_ / name; }

  const TestFolder folder_;
};

class BasicsTest : public BasicJob, public ::testing::WithParamInterface<uint32_t> {
 protected:
  std::vector<std::string> Run(const std::string& job, const std::string& input,
                               std::map<std::string, std::string> arguments = {}) {
    return BasicJob::Run(GetParam(), job, input, std::move(arguments));
  }
};
// What is late depends on which of several subtasks is ahead.
using LateTest = BasicJob;

INSTANTIATE_TEST_SUITE_P(Parallelism, BasicsTest, ::testing::Values(1u, 2u, 4u));

TEST_P(BasicsTest, PremiumClicks) {
  EXPECT_THAT(
      Run("premium_clicks", "clicks.jsonl"),
      UnorderedElementsAre(
          R"({"user":"alice","action":"login","page":"/home","priority":"high","at":"2024-03-01T10:00:00Z"})",
          R"({"user":"alice","action":"view","page":"/product/1","priority":"high","at":"2024-03-01T10:00:01Z"})",
          R"({"user":"alice","action":"click","page":"/product/1","priority":"high","at":"2024-03-01T10:00:02Z"})",
          R"({"user":"alice","action":"search","page":"/search","priority":"high","at":"2024-03-01T10:00:07Z"})",
          R"({"user":"alice","action":"view","page":"/product/3","priority":"high","at":"2024-03-01T10:00:08Z"})"));
}

TEST_P(BasicsTest, RunningTotals) {
  EXPECT_THAT(Run("running_totals", "purchases.jsonl"),
              UnorderedElementsAre(R"({"user":"alice","count":1,"sum":50,"average":50})",
                                   R"({"user":"alice","count":2,"sum":125,"average":62.5})",
                                   R"({"user":"dave","count":1,"sum":30,"average":30})",
                                   R"({"user":"carol","count":1,"sum":20,"average":20})",
                                   R"({"user":"carol","count":2,"sum":30,"average":15})"));
}

TEST_P(BasicsTest, TransactionTotals) {
  EXPECT_THAT(
      Run("transaction_totals", "transactions.jsonl"),
      UnorderedElementsAre(
          R"({"user":"bob","transactions":1,"spent":120,"recent":["purchase"]})",
          R"({"user":"alice","transactions":3,"spent":40,"recent":["view","add_to_cart","purchase"]})",
          R"({"user":"alice","transactions":6,"spent":100,"recent":["add_to_cart","purchase","return","view","purchase"]})"));
}

TEST_P(BasicsTest, KindsPerWindow) {
  EXPECT_THAT(
      Run("kinds_per_window", "readings.jsonl"),
      UnorderedElementsAre(
          R"({"from":"2024-03-01T10:00:00Z","until":"2024-03-01T10:00:10Z","readings":8,"by_kind":{"humidity":4,"temperature":4}})",
          R"({"from":"2024-03-01T10:00:10Z","until":"2024-03-01T10:00:20Z","readings":2,"by_kind":{"temperature":2}})",
          R"({"from":"2024-03-01T10:00:20Z","until":"2024-03-01T10:00:30Z","readings":1,"by_kind":{"temperature":1}})"));
}

TEST_P(BasicsTest, MovingAverage) {
  std::vector<std::string> of_s1;
  for (const std::string& line : Run("moving_average", "readings.jsonl")) {
    if (line.find("\"s1\"") != std::string::npos) of_s1.push_back(line);
  }
  const auto average = [](const char* from, const char* until, const char* value) {
    return std::string(R"({"sensor":"s1","from":"2024-03-01T)") + from +
           R"(Z","until":"2024-03-01T)" + until + R"(Z","value":)" + value + "}";
  };
  EXPECT_THAT(of_s1,
              UnorderedElementsAre(
                  average("09:59:55", "10:00:05", "25"), average("10:00:00", "10:00:10", "40"),
                  average("10:00:05", "10:00:15", "73.75"), average("10:00:10", "10:00:20", "92.5"),
                  average("10:00:20", "10:00:30", "60"), average("10:00:25", "10:00:35", "60")));
}

TEST_P(BasicsTest, UserSessions) {
  const auto visit = [](const char* user, const char* from, const char* until,
                        const char* actions) {
    return std::string(R"({"user":")") + user + R"(","from":"2024-03-01T10:00:)" + from +
           R"(Z","until":"2024-03-01T10:00:)" + until + R"(Z","actions":[)" + actions + "]}";
  };
  EXPECT_THAT(Run("user_sessions", "clicks.jsonl"),
              UnorderedElementsAre(visit("alice", "00", "02", R"("login","view","click")"),
                                   visit("alice", "07", "08", R"("search","view")"),
                                   visit("bob", "00", "01", R"("login","view")"),
                                   visit("bob", "05", "05", R"("login")"),
                                   visit("carol", "12", "12", R"("view")")));
}

TEST_F(LateTest, LateReadings) {
  const auto sum = [](const char* sensor, const char* from, const char* until, const char* value) {
    return std::string(R"({"key":")") + sensor + R"(","start":"2024-03-01T10:00:)" + from +
           R"(Z","end":"2024-03-01T10:00:)" + until + R"(Z","value":)" + value + "}";
  };
  // The reading of 10:00:07 is late when 10:00:12 has been seen, and counts; that of 10:00:02 comes
  // after 10:00:25, when the window is gone.
  EXPECT_THAT(Run(1, "late_readings", "readings.jsonl", {{"late", Out("late")}}),
              UnorderedElementsAre(sum("s1", "00", "10", "120"), sum("s2", "00", "10", "140"),
                                   sum("s1", "00", "10", "160"), sum("s2", "00", "10", "195"),
                                   sum("s1", "10", "20", "185"), sum("s1", "20", "30", "60")));
  EXPECT_THAT(LinesOf(Out("late")), ElementsAre(HasSubstr(R"("value":99)")));
}

TEST_P(BasicsTest, ClicksWithPurchases) {
  EXPECT_THAT(
      Run("clicks_with_purchases", "clicks.jsonl", {{"purchases", Data("purchases.jsonl")}}),
      UnorderedElementsAre(R"({"user":"alice","page":"/home","product":1,"amount":50})",
                           R"({"user":"alice","page":"/product/1","product":1,"amount":50})",
                           R"({"user":"alice","page":"/product/1","product":1,"amount":50})",
                           R"({"user":"alice","page":"/search","product":3,"amount":75})",
                           R"({"user":"alice","page":"/product/3","product":3,"amount":75})"));
}

TEST_P(BasicsTest, PurchasesAfterClicks) {
  const auto lines =
      Run("purchases_after_clicks", "clicks.jsonl", {{"purchases", Data("purchases.jsonl")}});
  // Alice: three clicks before the first purchase, five before the second. Carol buys an hour
  // later, and a second after that.
  const auto count = [&](const std::string& text) {
    return std::count_if(lines.begin(), lines.end(), [&](const std::string& line) {
      return line.find(text) != std::string::npos;
    });
  };
  EXPECT_EQ(lines.size(), 9u);
  EXPECT_EQ(count(R"("user":"alice")"), 8);
  EXPECT_EQ(count(R"("product":1,)"), 3);
  EXPECT_THAT(
      lines,
      ::testing::Contains(
          R"({"user":"carol","page":"/product/4","product":4,"clicked":"2024-03-01T10:00:12Z","bought":"2024-03-01T11:00:12Z"})"));
}

TEST_P(BasicsTest, OrderTimeout) {
  const auto outcome = [](const char* order, const char* user, const char* what, const char* at) {
    return std::string(R"({"order":")") + order + R"(","user":")" + user + R"(","what":")" + what +
           R"(","at":"2024-03-01T)" + at + R"(Z"})";
  };
  EXPECT_THAT(Run("order_timeout", "orders.jsonl", {{"payments", Data("payments.jsonl")}}),
              UnorderedElementsAre(outcome("o1", "alice", "paid", "10:10:00"),
                                   outcome("o2", "bob", "not paid in time", "10:16:00"),
                                   outcome("o3", "carol", "not paid in time", "10:17:00"),
                                   outcome("o4", "alice", "paid", "10:45:00")));
}

TEST_P(BasicsTest, LogRouter) {
  Run("log_router", "logs.jsonl", {{"tenant", "a"}});
  EXPECT_THAT(LinesOf(Out("out/rest")),
              UnorderedElementsAre(HasSubstr("started"), HasSubstr("stopped")));
  EXPECT_THAT(LinesOf(Out("out/errors")),
              UnorderedElementsAre(HasSubstr("disk full"), HasSubstr("timeout")));
  EXPECT_THAT(LinesOf(Out("out/warnings")), ElementsAre(R"("a: slow")"));
  EXPECT_THAT(LinesOf(Out("out/tenant")),
              UnorderedElementsAre(HasSubstr("started"), HasSubstr("slow"), HasSubstr("timeout")));
}

TEST_P(BasicsTest, ErrorRouter) {
  EXPECT_THAT(Run("error_router", "measurements.jsonl", {{"errors", Out("errors")}}),
              UnorderedElementsAre(HasSubstr(R"("id":1,)"), HasSubstr(R"("id":2,)"),
                                   HasSubstr(R"("id":5,)"), HasSubstr(R"("id":6,)")));
  EXPECT_THAT(LinesOf(Out("errors")),
              UnorderedElementsAre(R"({"what":"3","why":"negative value"})",
                                   HasSubstr(R"({"what":"{\"id\":4,\"value\":",)")));
}

TEST_P(BasicsTest, AnomalyAlerts) {
  const auto alert = [](const char* sensor, const char* what, const char* value, const char* at) {
    return std::string(R"({"sensor":")") + sensor + R"(","what":")" + what + R"(","value":)" +
           value + R"(,"at":"2024-03-01T10:00:)" + at + R"(Z"})";
  };
  // In the order of their times s1 is 20 30 40 70 90 95 60, and s2 is 60 99 55 80.
  EXPECT_THAT(
      Run("anomaly_alerts", "readings.jsonl"),
      UnorderedElementsAre(alert("s1", "too high", "90", "12"), alert("s1", "too high", "95", "14"),
                           alert("s2", "too high", "99", "02"), alert("s1", "rises", "40", "07"),
                           alert("s1", "rises", "95", "14")));
}

TEST_P(BasicsTest, Enrichment) {
  std::vector<std::string> cities;
  for (const std::string& line :
       Run("enrichment", "clicks.jsonl", {{"profiles", Data("profiles.jsonl")}})) {
    cities.push_back(line);
  }
  const auto click = [](const char* user, const char* page, const char* city) {
    return std::string(R"({"user":")") + user + R"(","page":")" + page + R"(","city":")" + city +
           "\"}";
  };
  EXPECT_THAT(cities, UnorderedElementsAre(
                          click("alice", "/home", "Oslo"), click("alice", "/product/1", "Oslo"),
                          click("alice", "/product/1", "Bonn"), click("alice", "/search", "Bonn"),
                          click("alice", "/product/3", "Bonn"), click("bob", "/home", "Rome"),
                          click("bob", "/product/2", "Rome"), click("bob", "/home", "unknown"),
                          click("carol", "/product/4", "unknown")));
}

TEST_F(LateTest, Analytics) {
  const auto metrics = [](const char* from, const char* until, const char* values) {
    return std::string(R"({"from":"2024-03-01T10:00:)") + from +
           R"(Z","until":"2024-03-01T10:00:)" + until + R"(Z",)" + values + "}";
  };
  EXPECT_THAT(
      Run(1, "analytics", "readings.jsonl", {{"late", Out("late")}}),
      ElementsAre(
          metrics("00", "10", R"("count":3,"sum":210,"average":70,"least":60,"greatest":80)"),
          metrics("00", "10", R"("count":4,"sum":265,"average":66.25,"least":55,"greatest":80)"),
          metrics("10", "20", R"("count":2,"sum":185,"average":92.5,"least":90,"greatest":95)"),
          metrics("20", "30", R"("count":1,"sum":60,"average":60,"least":60,"greatest":60)")));
  EXPECT_THAT(LinesOf(Out("late")), ElementsAre(HasSubstr(R"("value":99)")));
}

}  // namespace
}  // namespace weir

#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/base/strings.h"
#include "gtest/gtest.h"
#include "tests/sim/sim_cluster.h"
#include "weir/sdk.h"

namespace weir::sim {

inline constexpr std::int64_t kTallyCount = 4000;
inline constexpr std::int64_t kTallyKeys = 37;

struct Number {
  std::int64_t key = 0;
  std::int64_t value = 0;
  EventTime at;
};

// Keeps how often each value of its key has come and their sum, and tells both when all have come:
// the output of the last attempt is the whole state.
struct Tally : KeyedProcess<std::int64_t, Number, std::string> {
  ValueState<std::int64_t> count{this, "count"};
  ValueState<std::int64_t> sum{this, "sum"};
  EventTimer end{this, "end"};

  void Process(const Number& number, Context&) override {
    count.Mutable() += 1;
    sum.Mutable() += number.value;
    end.Set(EventTime::FromTicks(2 * kTallyCount));
  }
  void OnTimer(const EventTimer&, Context& context) override {
    context.Emit(StrCat(context.key(), " ", count.Get(), " ", sum.Get()));
    count.Clear();
  }
};

// Two sources, one at a rate, united; a keyed state with a timer behind them.
inline void DescribeTally(Job& job) {
  const auto make = [](std::uint64_t i) {
    const auto n = static_cast<std::int64_t>(i);
    return Number{n % kTallyKeys, n, EventTime::FromTicks(n)};
  };
  const auto fast = job.From<Number>(
      "fast",
      Generator{.make = make, .count = static_cast<std::uint64_t>(kTallyCount), .rate = 2000},
      {.timestamp = &Number::at});
  const auto slow = job.From<Number>(
      "slow",
      Generator{.make = make, .count = static_cast<std::uint64_t>(kTallyCount), .rate = 500},
      {.timestamp = &Number::at});
  fast.Rebalance()
      .Map("pass", [](const Number& number) { return number; })
      .Union(slow)
      .KeyBy(&Number::key)
      .Process<Tally>("tally")
      .To("out", Print{.prefix = "tally"});
}

// What any program can say must come out.
inline std::map<std::string, int> ExpectedTally() {
  std::map<std::int64_t, std::pair<std::int64_t, std::int64_t>> tallies;
  for (std::int64_t n = 0; n < kTallyCount; ++n) {
    tallies[n % kTallyKeys].first += 2;
    tallies[n % kTallyKeys].second += 2 * n;
  }
  std::map<std::string, int> lines;
  for (const auto& [key, tally] : tallies) {
    ++lines[StrCat("\"", key, " ", tally.first, " ", tally.second, "\"")];
  }
  return lines;
}

inline SimCluster::Options TallyClusterOptions(std::uint64_t seed) {
  SimCluster::Options options;
  options.world.seed = seed;
  options.settings = {"execution.checkpointing.interval=200 ms",
                      "execution.checkpointing.dir=/shared/checkpoints",
                      "execution.checkpointing.tolerable-failed-checkpoints=1000",
                      "restart-strategy.exponential-delay.initial-backoff=50 ms"};
  return options;
}

inline std::string LogOf(const SimCluster& cluster) {
  std::string text;
  for (const std::string& line : cluster.log()) {
    if (line.find(" jobmanager ") != std::string::npos) text += line + "\n";
  }
  return text;
}

// Records that the source has put out in the last attempt.
inline std::uint64_t RecordsOf(const proto::JobStatusResponse& status, const std::string& uid) {
  std::uint64_t records = 0;
  for (const auto& task : status.tasks()) {
    for (const auto& metrics : task.operators()) {
      if (status.graph().nodes(static_cast<int>(metrics.node())).uid() == uid) {
        records += metrics.records_out();
      }
    }
  }
  return records;
}

inline std::map<std::string, int> Counted(const std::vector<std::string>& lines) {
  std::map<std::string, int> counted;
  for (const std::string& line : lines) ++counted[line];
  return counted;
}

// Each key's line, as often as it came: at least once, since the sink is no part of a checkpoint,
// and never another one.
inline void ExpectWholeState(const SimCluster& cluster, const std::string& job) {
  const std::map<std::string, int> lines = Counted(cluster.Output(job));
  const std::map<std::string, int> expected = ExpectedTally();
  for (const auto& [line, times] : lines) {
    EXPECT_TRUE(expected.contains(line)) << line << ": lost or repeated";
  }
  EXPECT_EQ(lines.size(), expected.size());
}

}  // namespace weir::sim

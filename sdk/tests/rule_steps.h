#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "weir/job.h"
#include "weir/testing.h"

// What a rule of the semantics says, step by step: what goes into an operator, and what comes out
// at once.

namespace weir {

struct RuleRecord {
  std::string key;
  std::int64_t value = 0;
};

struct RuleStep {
  enum class Kind { kRecord, kWatermark, kClock, kEnd };
  Kind kind = Kind::kRecord;
  Ticks time = 0;
  std::int64_t value = 0;
  std::size_t input = 0;
  std::string key = "k";
};

inline RuleStep Rec(std::int64_t value, Ticks time, std::string key = "k") {
  return {RuleStep::Kind::kRecord, time, value, 0, std::move(key)};
}
// Of the second input.
inline RuleStep Right(std::int64_t value, Ticks time, std::string key = "k") {
  return {RuleStep::Kind::kRecord, time, value, 1, std::move(key)};
}
inline RuleStep Mark(Ticks watermark) { return {RuleStep::Kind::kWatermark, watermark}; }
inline RuleStep ClockAt(Ticks now) { return {RuleStep::Kind::kClock, now}; }
inline RuleStep End() { return {RuleStep::Kind::kEnd}; }

// What each step puts out, "text@time" with ", " between; the same in every mode of the harness.
// The operator is the last but one node of `job`; its side outputs are ports of strings, shown with
// "!" before.
inline std::vector<std::string> StepsOf(const JobDefinition& job, std::size_t node,
                                        const std::vector<RuleStep>& steps,
                                        std::size_t side_outputs = 0) {
  EXPECT_THAT(job.errors, ::testing::IsEmpty());
  std::vector<std::string> first;
  for (const testing::HarnessMode& mode : testing::AllHarnessModes()) {
    testing::HarnessOptions options;
    options.mode = mode;
    for (const EdgeDefinition& edge : job.edges) {
      if (edge.to_node != node) continue;
      options.hashers.resize(std::max<std::size_t>(options.hashers.size(), edge.to_input + 1));
      options.hashers[edge.to_input] = edge.hasher;
    }
    testing::OperatorHarness harness(job.nodes[node].make_operator, options);
    harness.AddOutput<std::string>();
    for (std::size_t i = 0; i < side_outputs; ++i) harness.AddOutput<RuleRecord>();
    EXPECT_TRUE(harness.Open().ok());
    std::vector<std::string> all;
    for (const RuleStep& step : steps) {
      absl::Status status;
      switch (step.kind) {
        case RuleStep::Kind::kRecord:
          status = harness.Process<RuleRecord>({{{step.key, step.value}, step.time}}, step.input);
          break;
        case RuleStep::Kind::kWatermark:
          status = harness.Watermark(step.time);
          break;
        case RuleStep::Kind::kClock:
          status = harness.SetProcessingTime(step.time);
          break;
        case RuleStep::Kind::kEnd:
          status = harness.Finish();
          break;
      }
      EXPECT_TRUE(status.ok()) << status << ", " << mode.name;
      std::string texts;
      const auto add = [&](const std::string& text, Ticks time) {
        texts += (texts.empty() ? "" : ", ") + text + "@" + std::to_string(time);
      };
      for (const auto& out : harness.Take<std::string>()) add(out.value, out.timestamp);
      for (std::size_t i = 1; i <= side_outputs; ++i) {
        for (const auto& out : harness.Take<RuleRecord>(i))
          add("!" + std::to_string(out.value.value), out.timestamp);
      }
      all.push_back(std::move(texts));
    }
    if (first.empty()) first = all;
    EXPECT_EQ(all, first) << mode.name;
  }
  return first;
}

}  // namespace weir

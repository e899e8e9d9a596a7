#include "tests/conformance/replay.h"

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/conformance/case_file.h"
#include "tests/conformance/report.h"

namespace weir::conformance {
namespace {

using ::testing::HasSubstr;

constexpr char kCountWindow[] = R"({"kind":"count_window","size":2,"function":{"type":"collect"}})";
constexpr char kSteps[] =
    R"([{"record":{"key":"a","value":1,"ts":1}},{"record":{"key":"a","value":2,"ts":2}},)"
    R"({"watermark":5}])";
constexpr char kOutputs[] =
    R"([[],[{"value":"a|global|[1,2]","ts":9223372036854775807}],[{"watermark":5}]])";

absl::StatusOr<std::unique_ptr<Case>> Parse(const std::string& op, const std::string& steps,
                                            const std::string& outputs,
                                            const std::string& order = "exact") {
  return Case::Parse(R"({"name":"n","family":"f","order":")" + order + R"(","operator":)" + op +
                     R"(,"input":)" + steps + R"(,"output":)" + outputs + "}");
}

CaseResult Replayed(const std::string& op, const std::string& steps, const std::string& outputs,
                    const std::string& order = "exact") {
  const auto test = Parse(op, steps, outputs, order);
  if (!test.ok()) return {Verdict::kFailed, test.status().ToString()};
  return RunCase(**test, ModesOf("memory", nullptr, 1));
}

std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  return text.replace(text.find(from), from.size(), to);
}

TEST(ReplayTest, ACaseWhoseOutputsComePasses) {
  const CaseResult result = Replayed(kCountWindow, kSteps, kOutputs);
  EXPECT_EQ(result.verdict, Verdict::kPassed) << result.detail;
}

TEST(ReplayTest, AFailureNamesTheFirstStepThatDiffers) {
  const CaseResult result = Replayed(kCountWindow, kSteps, Replaced(kOutputs, "[1,2]", "[1,3]"));
  EXPECT_EQ(result.verdict, Verdict::kFailed);
  EXPECT_EQ(result.detail,
            "    mode: memory, plain\n"
            "    step 1 of 3\n"
            "    input:\n      {\"record\":{\"key\":\"a\",\"value\":2,\"ts\":2}}\n"
            "    expected:\n      a|global|[1,3] @9223372036854775807\n"
            "    got:\n      a|global|[1,2] @9223372036854775807");
}

TEST(ReplayTest, AResultOfAnotherTimeOrAfterTheWatermarkDiffers) {
  EXPECT_EQ(
      Replayed(kCountWindow, kSteps, Replaced(kOutputs, ",\"ts\":9223372036854775807", "")).verdict,
      Verdict::kFailed);
  const std::string late = R"([[],[],[{"watermark":5},{"value":"a|global|[1,2]"}]])";
  EXPECT_EQ(Replayed(kCountWindow, kSteps, late, "unordered-within-step").verdict,
            Verdict::kFailed);
}

TEST(ReplayTest, WhatMustBeRefusedAndIsNotFails) {
  const std::string op = Replaced(kCountWindow, "\"size\"", "\"refused\":true,\"size\"");
  EXPECT_EQ(Replayed(op, "[]", "[]").verdict, Verdict::kFailed);
  EXPECT_EQ(Replayed(Replaced(op, ":2", ":0"), "[]", "[]").verdict, Verdict::kPassed);
  EXPECT_THAT(Replayed(Replaced(kCountWindow, ":2", ":0"), "[]", "[]").detail,
              HasSubstr("the operator is refused"));
}

TEST(ReplayTest, WhatIsNotKnownIsNotSupported) {
  const auto reason = [](const CaseResult& result) {
    EXPECT_EQ(result.verdict, Verdict::kNotSupported);
    return result.detail;
  };
  EXPECT_EQ(reason(Replayed(R"({"kind":"new"})", "[]", "[]")), "the kind 'new' is not known");
  EXPECT_EQ(reason(Replayed(Replaced(kCountWindow, "collect", "median"), kSteps, kOutputs)),
            "the function 'median' is not known");
  EXPECT_EQ(reason(Replayed(Replaced(kCountWindow, "\"size\"", "\"colour\":1,\"size\""), kSteps,
                            kOutputs)),
            "the field 'colour' of the operator is not known");
  EXPECT_EQ(reason(Replayed(Replaced(kCountWindow, "\"size\":2,", ""), kSteps, kOutputs)),
            "'size' is missing");
  EXPECT_EQ(
      reason(Replayed(kCountWindow, Replaced(kSteps, "\"ts\":1", "\"ts\":1,\"x\":0"), kOutputs)),
      "the field 'record.x' of a step is not known");
  EXPECT_EQ(reason(Replayed(kCountWindow, kSteps, kOutputs, "by-colour")),
            "order 'by-colour' is not known");
}

TEST(ReplayTest, WithinAStepOrderCountsAsTheCaseSays) {
  const std::string op = R"({"kind":"count_window","size":1,"function":{"type":"sum"}})";
  const std::string steps = R"([{"record":{"key":"a","value":1,"ts":1}}])";
  const std::string twice = R"([[{"value":"a|global|1","ts":9223372036854775807},)"
                            R"({"value":"a|global|1","ts":9223372036854775807}]])";
  for (const char* order : {"exact", "per-key", "unordered-within-step"})
    EXPECT_EQ(Replayed(op, steps, twice, order).verdict, Verdict::kFailed) << order;
}

TEST(CaseFileTest, ALineThatIsNoCaseSaysWhatItLacks) {
  EXPECT_THAT(Case::Parse("{").status().message(), HasSubstr("no JSON"));
  EXPECT_THAT(Case::Parse("[]").status().message(), HasSubstr("no JSON object"));
  EXPECT_THAT(Case::Parse("{}").status().message(), HasSubstr("'name' is missing"));
  EXPECT_THAT(Parse(kCountWindow, kSteps, "[]").status().message(),
              HasSubstr("3 steps and outputs of 0"));
  EXPECT_THAT(Parse(kCountWindow, R"([{"watermark":1.5}])", "[[]]").status().message(),
              HasSubstr("no integer of 64 bits"));
  EXPECT_THAT(ReadCaseFile("/nowhere.jsonl").status().message(), HasSubstr("/nowhere.jsonl"));
}

TEST(ReportTest, CountsByFamilyAndSaysWhy) {
  const auto test = Parse(kCountWindow, kSteps, kOutputs);
  ASSERT_TRUE(test.ok());
  Report report;
  EXPECT_EQ(report.Add("x.jsonl", **test, {}), "");
  EXPECT_EQ(report.Add("x.jsonl", **test, {Verdict::kNotSupported, "why"}), "");
  EXPECT_EQ(report.Add("x.jsonl", **test, {Verdict::kFailed, "    how"}),
            "FAILED f n (x.jsonl)\n    how\n");
  EXPECT_EQ(report.failed(), 1);
  EXPECT_EQ(report.Summary(),
            "     passed  failed  not supported\n"
            "f         1       1              1\n"
            "\nnot supported:\n"
            "  1 of f: why\n");
}

}  // namespace
}  // namespace weir::conformance

#include <cstdint>
#include <string>

#include "gtest/gtest.h"
#include "weir/connectors.h"
#include "weir/job.h"
#include "weir/testing.h"
#include "weir/window_stream.h"

namespace weir {

struct SessionRecord {
  std::string key;
  std::int64_t gap = 0;
};

namespace {

struct Gaps : WindowProcess<std::string, SessionRecord, std::string> {
  void OnWindow(const WindowElements<SessionRecord>& elements, Context& context) override {
    std::string text = std::to_string(context.window().start.ticks()) + " to " +
                       std::to_string(context.window().end.ticks()) + ":";
    for (const SessionRecord& record : elements) text += " " + std::to_string(record.gap);
    context.Emit(text);
  }
};

// Rule 11: a record whose window is the one that others have become.
TEST(SessionTest, KeepsItsRecordsWhenOneHasItsExactSpan) {
  JobDefinition job;
  const DefineInput input;
  internal::GraphBuilder graph(input, job);
  Job(graph)
      .From<SessionRecord>("in", Files{.path = "x"})
      .KeyBy(&SessionRecord::key)
      .Window(OnProcessingTime{
          SessionBy{[](const SessionRecord& record) { return Duration(record.gap); }}})
      .Process<Gaps>("window")
      .To("out", Print{});
  testing::OperatorHarness harness(job.nodes[1].make_operator);
  harness.AddOutput<std::string>();
  ASSERT_TRUE(harness.Open().ok());
  for (const std::int64_t gap : {1, 5, 5, 2})
    ASSERT_TRUE(harness.Process<SessionRecord>({{{"a", gap}}}).ok());
  ASSERT_TRUE(harness.SetProcessingTime(5).ok());
  const auto out = harness.Take<std::string>();
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].value, "0 to 5: 1 5 5 2");
}

}  // namespace
}  // namespace weir

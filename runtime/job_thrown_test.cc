// What a failed task says of the function that threw: its operator, and the key and the record that
// it was given, though operators before it in the chain pass the exception on.
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/base/crash_context.h"
#include "gmock/gmock.h"
#include "runtime/testing/sim_cluster_internal.h"
#include "weir/sdk.h"

namespace weir {
namespace {

using namespace weir::testing;  // NOLINT: the jobs of this test
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

struct Call {
  std::string caller;
  int64_t minutes = 0;
};

struct Passes : ProcessFunction<Call, Call> {
  void Process(const Call& call, Context& context) override { context.Emit(call); }
};
// So many that it hands over full batches before it has done with a record.
struct Multiplies : ProcessFunction<Call, Call> {
  void Process(const Call& call, Context& context) override {
    for (size_t i = 0; i < 2 * kBatchRecords; ++i) context.Emit(call);
  }
};
struct Timeout : KeyedProcess<std::string, Call, Call> {
  EventTimer at{this, "at"};
  void Process(const Call&, Context&) override { at.Set(EventTime::FromTicks(50)); }
  void OnTimer(const EventTimer&, Context&) override { throw std::runtime_error("too long"); }
};

class ThrownTest : public ::testing::Test {
 protected:
  // What the job's failures say.
  std::string FailuresOf(const std::function<void(Job&)>& define) {
    static const std::function<void(Job&)>* current = nullptr;
    current = &define;
    JobDefinition definition;
    DefineJob([](Job& job) { (*current)(job); }, {}, definition);
    EXPECT_TRUE(definition.errors.empty()) << definition.errors[0];
    cluster_.Deploy(definition);
    cluster_.Start();
    cluster_.RunToEnd();
    return cluster_.Failures();
  }
  static auto Calls(Job& job) {
    return job
        .From<Call>(
            "in", Collection<Call>{.records = {{"ann", 1}, {"bob", 13}}},
            {.timestamp = [](const Call& call) { return EventTime::FromTicks(call.minutes); }})
        .Parallelism(1);
  }
  static void Refuse(const Call& call) {
    if (call.minutes == 13) throw std::runtime_error("thirteen");
  }

  SimCluster cluster_{1, 1};
};

TEST_F(ThrownTest, ASinkOfFunctionsNamesItsRecord) {
  const std::string text = FailuresOf([](Job& job) {
    Calls(job).Process<Passes>("before").To("out", ForEach{[](const Call& call) { Refuse(call); }});
  });
  EXPECT_EQ(text,
            "out: operator 'out' threw std::runtime_error: thirteen, on the record "
            R"({"caller":"bob","minutes":13})"
            "\n");
}

// The exception passes through the operator before it while that is at work on a record.
TEST_F(ThrownTest, WhatIsKnownOfAnOperatorIsNotSaidOfTheOneBehindIt) {
  const std::string text = FailuresOf([](Job& job) {
    Calls(job)
        .Process<Multiplies>("before")
        .Map("op",
             [](Call call) {
               Refuse(call);
               return call;
             })
        .Process<Passes>("after")
        .To("out", ForEach{[](const Call&) {}});
  });
  EXPECT_EQ(text, "op: operator 'op' threw std::runtime_error: thirteen\n");
}

TEST_F(ThrownTest, ATimerNamesItsKey) {
  const std::string text = FailuresOf([](Job& job) {
    Calls(job).KeyBy(&Call::caller).Process<Timeout>("op").To("out", ForEach{[](const Call&) {}});
  });
  EXPECT_EQ(text, "op: operator 'op' threw std::runtime_error: too long, for the key \"ann\"\n");
}

TEST_F(ThrownTest, ALongRecordIsCutOff) {
  const std::string text = FailuresOf([](Job& job) {
    Calls(job)
        .Map("wide",
             [](const Call& call) { return Call{std::string(1'000'000, 'x'), call.minutes}; })
        .Process<Passes>("before")
        .To("out", ForEach{[](const Call& call) { Refuse(call); }});
  });
  EXPECT_THAT(text, AllOf(HasSubstr(R"(on the record {"caller":"xxx)"), EndsWith("xxx...\n"),
                          Not(HasSubstr("minutes"))));
  EXPECT_LT(text.size(), FailedInput::kMaxBytes + 200);
}

}  // namespace
}  // namespace weir

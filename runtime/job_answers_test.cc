// Operators that answer later (semantics rule 51) in tasks, under virtual time.
#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "runtime/testing/sim_cluster_internal.h"
#include "weir/async.h"

namespace weir {
namespace {

using namespace weir::testing;  // NOLINT: the jobs of this test

constexpr SequenceOptions kSequence{.count = 3000, .keys = 10};

std::map<int64_t, int64_t> Sums() {
  std::map<int64_t, int64_t> sums;
  for (int64_t i = 0; i < kSequence.count; ++i) sums[i % kSequence.keys] += i;
  return sums;
}

// Counts what is asked and not answered; answers after 10 ms, or never.
class Busy final : public AsyncFunction<Event, Event> {
 public:
  Busy(Env& env, size_t& most, bool answers)
      : executor_(env.NewExecutor("answers")), most_(most), answers_(answers) {}
  void Ask(const Event& event, AsyncReply<Event> reply) override {
    most_ = std::max(most_, ++open_);
    if (!answers_) {
      silent_.push_back(std::move(reply));
      return;
    }
    executor_->PostAfter(absl::Milliseconds(10), [this, reply, event]() mutable {
      --open_;
      reply.Complete(std::move(event));
    });
  }
  bool OnFailure(const Event& event, const AsyncFailure& failure,
                 std::vector<Event>& results) override {
    EXPECT_TRUE(failure.timed_out);
    --open_;
    results.push_back(event);
    return true;
  }
  void Close() override { executor_->Shutdown(); }

 private:
  const std::unique_ptr<Executor> executor_;
  size_t& most_;
  const bool answers_;
  size_t open_ = 0;
  std::vector<AsyncReply<Event>> silent_;
};

// source -> ask -> check -> sink, where `ask` has `capacity`.
class AnswersTest : public ::testing::Test {
 protected:
  void Run(bool answers, AsyncOptions options) {
    TestJob job;
    const uint32_t source = job.Source("in", 1, kSequence);
    const uint32_t ask = job.Apply("ask", 1, [this, answers, options] {
      return std::make_unique<internal::AsyncOperator<Busy>>(
          std::make_unique<Busy>(cluster_.env(0), most_, answers), options,
          std::make_shared<const internal::SidePorts>());
    });
    job.definition.nodes[ask].answers_later = true;
    const uint32_t check =
        job.Apply("check", 1, [] { return std::make_unique<CheckedOperator>(); });
    job.Connect(source, ask, Partitioning::kForward);
    job.Connect(ask, check, Partitioning::kForward);
    job.Connect(check, job.Sink("out", 1, results_), Partitioning::kForward);
    cluster_.Deploy(job.definition);
    EXPECT_EQ(cluster_.graph().vertices_size(), 2) << "nothing is chained behind it";
    const absl::Time begin = cluster_.env(0).clock().Now();
    cluster_.Start();
    ASSERT_TRUE(
        cluster_.world().RunUntil([this] { return cluster_.AllTerminal(); }, absl::Hours(1)));
    EXPECT_EQ(cluster_.Failures(), "");
    took_ = cluster_.env(0).clock().Now() - begin;
    EXPECT_EQ(results_.SumByKey(), Sums());
  }

  SimCluster cluster_{1, 1};
  Results results_;
  size_t most_ = 0;
  absl::Duration took_;
};

TEST_F(AnswersTest, NoMoreThanTheCapacityAreInFlightAndThePipelineStaysFull) {
  Run(/*answers=*/true, {.capacity = 100});
  EXPECT_EQ(most_, 100u);
  // 30 rounds of 10 ms: the watermarks in between stop nothing.
  EXPECT_LT(took_, absl::Milliseconds(400));
}

// A full operator takes no records, so nothing but the clock can tell it that answers are overdue.
TEST_F(AnswersTest, AnswersThatNeverComeTimeOutUnderBackpressureAndAtTheEnd) {
  Run(/*answers=*/false, {.capacity = 700, .timeout = std::chrono::milliseconds(50)});
  EXPECT_EQ(most_, 700u);
  EXPECT_LT(took_, absl::Milliseconds(400)) << "5 rounds of 50 ms";
}

}  // namespace
}  // namespace weir

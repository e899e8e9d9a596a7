// Jobs that start from savepoints, on the simulated cluster.
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/savepoint_fixture.h"

namespace weir::sim {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct CountAll : KeyedProcess<std::int64_t, Number, std::string> {
  ValueState<std::int64_t> count{this, "count"};
  EventTimer end{this, "end"};
  void Process(const Number&, Context&) override {
    count.Mutable() += 1;
    end.Set(EventTime::FromTicks(1'000'000));
  }
  void OnTimer(const EventTimer&, Context& context) override {
    context.Emit(StrCat(context.key(), " ", count.Get()));
  }
};

// As Tally, but its count is of another type and there is no sum.
struct OtherTally : KeyedProcess<std::int64_t, Number, std::string> {
  ValueState<std::string> count{this, "count"};
  EventTimer end{this, "end"};
  void Process(const Number&, Context&) override { count.Mutable() += 'x'; }
};

template <class Function>
void Describe(Job& job, const std::string& name, std::uint64_t count) {
  job.From<Number>("numbers",
                   Generator{.make =
                                 [](std::uint64_t i) {
                                   const auto n = static_cast<std::int64_t>(i);
                                   return Number{n % kKeys, n, EventTime::FromTicks(n)};
                                 },
                             .count = count,
                             .rate = 1000},
                   {.timestamp = &Number::at})
      .KeyBy(&Number::key)
      .template Process<Function>("tally")
      .To("out", Print{.prefix = name});
}

void DescribeOther(Job& job) { Describe<OtherTally>(job, "other", 4000); }

// As Tally without the sum.
struct LessTally : KeyedProcess<std::int64_t, Number, std::string> {
  ValueState<std::int64_t> count{this, "count"};
  EventTimer end{this, "end"};
  void Process(const Number&, Context&) override {
    count.Mutable() += 1;
    end.Set(EventTime::FromTicks(1'000'000));
  }
  void OnTimer(const EventTimer&, Context& context) override {
    context.Emit(std::to_string(count.Get()));
  }
};

void DescribeLess(Job& job) { Describe<LessTally>(job, "less", 4000); }

// One source ends after half a second, the other after three.
void DescribeTwoSources(Job& job) {
  const auto numbers = [&job](const char* uid, std::uint64_t count, double rate) {
    return job.From<Number>(uid,
                            Generator{.make =
                                          [](std::uint64_t i) {
                                            const auto n = static_cast<std::int64_t>(i);
                                            return Number{0, n, EventTime::FromTicks(n)};
                                          },
                                      .count = count,
                                      .rate = rate},
                            {.timestamp = &Number::at});
  };
  numbers("short", 500, 1000)
      .Map("pass", [](const Number& number) { return number; })
      .Union(numbers("long", 2500, 800))
      .KeyBy(&Number::key)
      .Process<CountAll>("tally")
      .To("out", Print{.prefix = "two"});
}

// Rule 47, 49
TEST_F(SavepointSim, AJobGoesOnFromTheOneThatStoppedAnother) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    Start(seed);
    SimRandom& random = cluster_->world().random();
    const JobId first = Submit();
    cluster_->world().RunFor(absl::Milliseconds(random.Between(100, 3000)));
    const auto taken = cluster_->TakeSavepoint(Request(first, Then::kStop));
    ASSERT_TRUE(taken.ok()) << taken.status();
    ASSERT_TRUE(cluster_->AwaitState(first, proto::FINISHED, absl::Seconds(10))) << Log();
    EXPECT_THAT(Output(), IsEmpty());
    const auto next = SubmitFrom(taken->directory());
    ASSERT_TRUE(next.ok()) << next.status();
    if (random.Chance(0.5)) {
      // Perhaps before it has a checkpoint of its own.
      cluster_->world().RunFor(absl::Milliseconds(random.Between(5, 400)));
      const std::vector<std::string> workers = cluster_->Workers();
      if (!workers.empty()) cluster_->KillWorker(workers[random.Below(workers.size())]);
    }
    ASSERT_TRUE(cluster_->AwaitState(*next, proto::FINISHED, absl::Minutes(1))) << Log();
    EXPECT_EQ(Output(), Expected(4000));
    EXPECT_TRUE(Exists(taken->directory() + "/_metadata"))
        << "the job that starts from it owns it not";
    if (HasFailure()) FAIL() << Log();
  }
}

TEST_F(SavepointSim, CanBeMovedAndServesAnyNumberOfJobs) {
  Start(11);
  const JobId first = Submit();
  cluster_->world().RunFor(absl::Seconds(1));
  const auto taken = cluster_->TakeSavepoint(Request(first, Then::kStop));
  ASSERT_TRUE(taken.ok()) << taken.status();
  ASSERT_TRUE(cluster_->AwaitState(first, proto::FINISHED, absl::Seconds(10))) << Log();
  Move(taken->directory(), "/shared/archive/today");
  for (int i = 0; i < 2; ++i) {
    const auto next = SubmitFrom("/shared/archive/today");
    ASSERT_TRUE(next.ok()) << next.status();
    ASSERT_TRUE(cluster_->AwaitState(*next, proto::FINISHED, absl::Minutes(1))) << Log();
  }
  std::map<std::string, int> times;
  for (const std::string& line : cluster_->Output("tally")) ++times[line];
  for (const std::string& line : Expected(4000)) EXPECT_EQ(times[line], 2) << line;
}

// A part of the job that has ended keeps what it held in a file of the job's, which is gone with
// it.
TEST_F(SavepointSim, HoldsWhatPartsOfTheJobHeldThatHadEnded) {
  Start(12);
  const auto job = cluster_->Submit("two", DescribeTwoSources, 2, {});
  ASSERT_TRUE(job.ok()) << job.status();
  ASSERT_TRUE(cluster_->AwaitState(*job, proto::RUNNING, absl::Seconds(20)));
  cluster_->world().RunFor(absl::Seconds(2));
  const auto taken = cluster_->TakeSavepoint(Request(*job, Then::kStop));
  ASSERT_TRUE(taken.ok()) << taken.status();
  ASSERT_EQ(taken->state(), proto::SavepointProgress::COMPLETED) << taken->failure().message();
  ASSERT_TRUE(cluster_->AwaitState(*job, proto::FINISHED, absl::Seconds(10))) << Log();
  cluster_->world().RunFor(absl::Seconds(5));
  EXPECT_FALSE(Exists("/shared/checkpoints/" + job->ToString()));
  const auto next = cluster_->Submit("two", DescribeTwoSources, 2, {}, taken->directory());
  ASSERT_TRUE(next.ok()) << next.status();
  ASSERT_TRUE(cluster_->AwaitState(*next, proto::FINISHED, absl::Minutes(1))) << Log();
  EXPECT_THAT(cluster_->Output("two"), ElementsAre("\"0 3000\"")) << Log();
}

TEST_F(SavepointSim, ThatDoesNotFitIsRefusedStateByStateBeforeTheJobStarts) {
  Start(13);
  const JobId first = Submit();
  cluster_->world().RunFor(absl::Seconds(1));
  const auto taken = cluster_->TakeSavepoint(Request(first, Then::kStop));
  ASSERT_TRUE(taken.ok()) << taken.status();
  const auto other = cluster_->Submit("other", DescribeOther, 2, {}, taken->directory());
  EXPECT_EQ(other.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(other.status().message()),
              AllOf(HasSubstr("operator 'tally', state 'count': "),
                    HasSubstr("operator 'tally', state 'sum': the job's operator has no state of "
                              "this name"),
                    HasSubstr("--allow-dropped-state")));
  // A type that changed is not allowed by leaving others behind.
  EXPECT_FALSE(cluster_->Submit("other", DescribeOther, 2, {}, taken->directory(), true).ok());
  EXPECT_THAT(std::string(SubmitFrom("saved").status().message()), HasSubstr("absolute path"));
  EXPECT_EQ(SubmitFrom("/shared/saved").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(SubmitFrom("/shared/saved").status().message()),
              HasSubstr("name one of them"));
}

TEST_F(SavepointSim, WithStateThatTheJobHasNoMoreIsReadIfThatIsAllowed) {
  Start(14);
  const JobId first = Submit();
  cluster_->world().RunFor(absl::Seconds(1));
  const auto taken = cluster_->TakeSavepoint(Request(first, Then::kStop));
  ASSERT_TRUE(taken.ok()) << taken.status();
  ASSERT_TRUE(cluster_->AwaitState(first, proto::FINISHED, absl::Seconds(10)));
  const auto refused = cluster_->Submit("less", DescribeLess, 2, {}, taken->directory());
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  const auto next = cluster_->Submit("less", DescribeLess, 2, {}, taken->directory(), true);
  ASSERT_TRUE(next.ok()) << next.status();
  cluster_->world().RunFor(absl::Milliseconds(30));
  const std::vector<std::string> workers = cluster_->Workers();
  ASSERT_FALSE(workers.empty());
  cluster_->KillWorker(workers[0]);
  ASSERT_TRUE(cluster_->AwaitState(*next, proto::FINISHED, absl::Minutes(1))) << Log();
  std::int64_t records = 0;
  for (const std::string& line : cluster_->Output("less")) records += std::stoll(line.substr(1));
  EXPECT_EQ(records, 4000) << Log();
}

// A flipped byte is found by the task that reads it; the job says so and is not tried for ever.
TEST_F(SavepointSim, ThatIsDamagedIsRefused) {
  Start(15);
  const JobId first = Submit();
  cluster_->world().RunFor(absl::Seconds(1));
  const auto taken = cluster_->TakeSavepoint(Request(first, Then::kStop));
  ASSERT_TRUE(taken.ok()) << taken.status();
  ASSERT_TRUE(cluster_->AwaitState(first, proto::FINISHED, absl::Seconds(10)));
  const std::string file = taken->directory() + "/1-1-0.state";
  const std::string content = *Read(file);
  Write(file, content.substr(0, content.size() - 1));
  EXPECT_EQ(SubmitFrom(taken->directory()).status().code(), absl::StatusCode::kDataLoss);
  std::string flipped = content;
  flipped[20] = static_cast<char>(flipped[20] ^ 1);
  Write(file, flipped);
  const auto job = SubmitFrom(taken->directory());
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_TRUE(cluster_->AwaitState(*job, proto::FAILED, absl::Seconds(20))) << Log();
  EXPECT_THAT(cluster_->Status(*job)->failure().message(), HasSubstr(file));
  EXPECT_EQ(cluster_->Status(*job)->attempt(), 1u);
  Delete(file);
  EXPECT_THAT(std::string(SubmitFrom(taken->directory()).status().message()),
              AllOf(HasSubstr(file), HasSubstr("is missing")));
  const std::string metadata = taken->directory() + "/_metadata";
  std::string newer = *Read(metadata);
  newer[8] = 9;
  Write(metadata, newer);
  EXPECT_THAT(std::string(SubmitFrom(taken->directory()).status().message()),
              HasSubstr("newer version of Weir"));
}

// Flink 10354: savepoint, then crash. It is the newest, so the job goes on from it.
TEST_F(SavepointSim, ThatIsTheNewestIsWhatAFailedJobGoesOnFrom) {
  Start(16, {"execution.checkpointing.dir=/shared/checkpoints", "restart-strategy.type=fixed-delay",
             "restart-strategy.fixed-delay.delay=10 ms"});
  const JobId job = Submit();
  cluster_->world().RunFor(absl::Seconds(2));
  const auto taken = cluster_->TakeSavepoint(Request(job));
  ASSERT_TRUE(taken.ok()) << taken.status();
  cluster_->KillWorker(cluster_->Workers().at(0));
  ASSERT_TRUE(cluster_->AwaitState(job, proto::FINISHED, absl::Minutes(1))) << Log();
  EXPECT_EQ(cluster_->Status(job)->attempt(), 2u);
  EXPECT_EQ(Output(), Expected(4000));
  EXPECT_LT(RecordsOf(job, "numbers"), 2500u) << "it began before the savepoint";
}

// The user may delete it at any time: nothing was committed with it, so an older checkpoint is as
// good, and that is said.
TEST_F(SavepointSim, ThatWasDeletedIsNotWhatAFailedJobGoesOnFrom) {
  Start(17, {"execution.checkpointing.interval=1 s",
             "execution.checkpointing.dir=/shared/checkpoints"});
  const JobId job = Submit();
  cluster_->world().RunFor(absl::Milliseconds(2500));
  const auto taken = cluster_->TakeSavepoint(Request(job));
  ASSERT_TRUE(taken.ok()) << taken.status();
  ASSERT_TRUE(Files().DeleteRecursively(taken->directory()).ok());
  cluster_->KillWorker(cluster_->Workers().at(0));
  ASSERT_TRUE(cluster_->AwaitState(job, proto::FINISHED, absl::Minutes(1))) << Log();
  EXPECT_EQ(cluster_->Status(job)->attempt(), 2u);
  EXPECT_EQ(Output(), Expected(4000));
  EXPECT_THAT(Log(), AllOf(HasSubstr(taken->directory() + ", is gone"),
                           HasSubstr("goes on from checkpoint 2")));
  EXPECT_LT(RecordsOf(job, "numbers"), 3000u) << "it began at the beginning";
}

// What was committed with it would be put out again by an older one.
TEST_F(SavepointSim, ThatAJobHasGoneOnFromIsMissedUntilItIsThereAgain) {
  Start(18, {"restart-strategy.type=fixed-delay", "restart-strategy.fixed-delay.delay=10 ms",
             "restart-strategy.fixed-delay.attempts=1000"});
  const JobId first = Submit();
  cluster_->world().RunFor(absl::Seconds(1));
  const auto taken = cluster_->TakeSavepoint(Request(first, Then::kStop));
  ASSERT_TRUE(taken.ok()) << taken.status();
  ASSERT_TRUE(cluster_->AwaitState(first, proto::FINISHED, absl::Seconds(10)));
  const auto next = SubmitFrom(taken->directory());
  ASSERT_TRUE(next.ok()) << next.status();
  ASSERT_TRUE(cluster_->AwaitState(*next, proto::RUNNING, absl::Seconds(10)));
  Move(taken->directory(), "/shared/elsewhere");
  cluster_->KillWorker(cluster_->Workers().at(0));
  cluster_->world().RunFor(absl::Seconds(5));
  EXPECT_NE(State(*next), proto::RUNNING);
  EXPECT_THAT(Log(), HasSubstr("is its folder mounted here"));
  Move("/shared/elsewhere", taken->directory());
  ASSERT_TRUE(cluster_->AwaitState(*next, proto::FINISHED, absl::Minutes(1))) << Log();
  EXPECT_EQ(Output(), Expected(4000));
}

}  // namespace
}  // namespace weir::sim

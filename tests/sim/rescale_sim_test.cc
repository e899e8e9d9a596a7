// Jobs that go on at another parallelism, on the simulated cluster.
#include <set>
#include <string>
#include <vector>

#include "tests/sim/held_tally_job.h"
#include "tests/sim/savepoint_fixture.h"

namespace weir::sim {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class RescaleSim : public SavepointSim {
 protected:
  void Start(std::uint64_t seed) {
    SavepointSim::Start(seed);
    for (const char* name : {"tm-3", "tm-4"}) cluster_->StartTaskManager(name, 2);
    ASSERT_TRUE(cluster_->AwaitTaskManagers(4));
  }
  absl::StatusOr<JobId> SubmitHeld(uint32_t parallelism, const std::string& from = "") {
    return cluster_->Submit("held", DescribeHeldTally, parallelism, {{"count", "4000"}}, from);
  }
  // It may be through before it is seen to run.
  bool AwaitRunningOrFinished(JobId job) {
    return cluster_->AwaitState(job, proto::RUNNING, absl::Seconds(60)) ||
           State(job) == proto::FINISHED;
  }
  std::set<std::string> Held() {
    const std::vector<std::string> lines = cluster_->Output("held");
    return {lines.begin(), lines.end()};
  }
};

// Rules 48, 49. Flink 26063: timers under another key group than their keys.
TEST_F(RescaleSim, AJobGoesOnFromASavepointAtAnyParallelism) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    Start(seed);
    SimRandom& random = cluster_->world().random();
    std::string from;
    std::string trace;
    while (true) {
      const auto parallelism = static_cast<uint32_t>(random.Between(1, 8));
      trace += StrCat(" ", parallelism);
      const auto job = SubmitHeld(parallelism, from);
      ASSERT_TRUE(job.ok()) << job.status();
      ASSERT_TRUE(AwaitRunningOrFinished(*job)) << Log();
      cluster_->world().RunFor(absl::Milliseconds(random.Between(1, 1500)));
      if (random.Chance(0.3)) {
        const std::vector<std::string> workers = cluster_->Workers();
        if (!workers.empty()) cluster_->KillWorker(workers[random.Below(workers.size())]);
        ASSERT_TRUE(AwaitRunningOrFinished(*job)) << Log();
      }
      const auto taken = cluster_->TakeSavepoint(Request(*job, Then::kStop));
      if (!taken.ok() || taken->state() != proto::SavepointProgress::COMPLETED) {
        // It was nearly done.
        ASSERT_TRUE(cluster_->AwaitState(*job, proto::FINISHED, absl::Minutes(1))) << Log();
        break;
      }
      ASSERT_TRUE(cluster_->AwaitState(*job, proto::FINISHED, absl::Seconds(10))) << Log();
      if (!Held().empty()) break;
      from = taken->directory();
    }
    EXPECT_EQ(Held(), Expected(4000)) << "parallelism" << trace;
    if (HasFailure()) FAIL() << Log();
  }
}

TEST_F(RescaleSim, AParallelismAboveTheMaximumIsRefused) {
  Start(1);
  const auto job = SubmitHeld(129);
  EXPECT_THAT(std::string(job.status().message()),
              AllOf(HasSubstr("129"), HasSubstr("128"), HasSubstr("pipeline.max-parallelism")));
}

}  // namespace
}  // namespace weir::sim

// What happens to a job while its tasks have not read all of their state yet. Nothing is read ahead
// here (state.restore.chunk-size: 0), so that this lasts until the next checkpoint.
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "state/snapshot/state_file.h"
#include "tests/sim/tally_job.h"

namespace weir::sim {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

SimCluster::Options LateOptions(std::uint64_t seed, const std::string& interval) {
  SimCluster::Options options = TallyClusterOptions(seed);
  options.settings.push_back("state.restore.chunk-size=0");
  options.settings.push_back("execution.checkpointing.savepoint-dir=/shared/saved");
  options.settings.push_back(StrCat("execution.checkpointing.interval=", interval));
  return options;
}

constexpr std::int64_t kAlarms = 200;
constexpr std::int64_t kClock = 1'000'000;

struct Alarm : KeyedProcess<std::int64_t, Number, std::string> {
  ValueState<std::int64_t> set{this, "set"};
  EventTimer rings{this, "rings"};
  void Process(const Number& number, Context& context) override {
    if (context.key() == kClock) return;
    set.Mutable() = number.value;
    rings.Set(EventTime::FromTicks((kAlarms + context.key()) * 10));
  }
  void OnTimer(const EventTimer&, Context& context) override {
    context.Emit(StrCat(context.key(), " rings with ", set.Get()));
  }
};

// First all alarms are set, then nothing comes but a clock, by which they ring one after another.
void DescribeAlarms(Job& job) {
  job.From<Number>("numbers",
                   Generator{.make =
                                 [](std::uint64_t i) {
                                   const auto n = static_cast<std::int64_t>(i);
                                   return Number{n < kAlarms ? n : kClock, n * 7,
                                                 EventTime::FromTicks(n * 10)};
                                 },
                             .count = 2 * kAlarms + 100,
                             .rate = 200},
                   {.timestamp = &Number::at})
      .KeyBy(&Number::key)
      .Process<Alarm>("alarm")
      .To("out", Print{.prefix = "alarms"});
}

class LateRestoreSim : public ::testing::Test {
 protected:
  void Start(std::uint64_t seed, const std::string& interval = "1500 ms",
             SimCluster::Describe describe = DescribeTally) {
    cluster_.emplace(LateOptions(seed, interval));
    cluster_->StartJobManager();
    for (const char* name : {"tm-1", "tm-2", "tm-3"}) cluster_->StartTaskManager(name, 2);
    ASSERT_TRUE(cluster_->AwaitTaskManagers(3));
    const auto job = cluster_->Submit("tally", describe, 3);
    ASSERT_TRUE(job.ok()) << job.status();
    job_ = *job;
    ASSERT_TRUE(cluster_->AwaitState(job_, proto::RUNNING, absl::Seconds(10)));
    Run(1'100);
    for (int wait = 0; wait < 200 && Completed() == 0; ++wait) Run(20);
    ASSERT_GT(Completed(), 0u) << LogOf(*cluster_);
  }
  void Run(std::int64_t millis) { cluster_->world().RunFor(absl::Milliseconds(millis)); }
  std::uint64_t Completed() { return cluster_->Checkpoints(job_)->completed(); }
  // Kills a worker; true once the job runs again.
  bool KillAndAwait() {
    const std::uint64_t restarts = Restarts();
    cluster_->KillWorker(cluster_->Workers().at(0));
    for (int wait = 0; wait < 500; ++wait) {
      Run(10);
      if (Restarts() > restarts && cluster_->Status(job_)->summary().state() == proto::RUNNING &&
          AllRun()) {
        return true;
      }
    }
    return false;
  }
  std::uint64_t Restarts() {
    const auto status = cluster_->Status(job_);
    return status->full_restarts() + status->region_restarts();
  }
  bool AllRun() {
    const auto status = cluster_->Status(job_);
    for (const auto& task : status->tasks()) {
      if (task.state() != proto::TASK_RUNNING && task.state() != proto::TASK_FINISHED) return false;
    }
    return true;
  }
  void ExpectEnd() {
    ASSERT_TRUE(cluster_->AwaitState(job_, proto::FINISHED, absl::Minutes(5))) << LogOf(*cluster_);
    ExpectWholeState(*cluster_, "tally");
    if (HasFailure()) FAIL() << LogOf(*cluster_);
  }
  // Files that have whole key groups, in parts.
  std::vector<std::string> WholeFiles() {
    constexpr auto kParts = static_cast<char>(StateFileVersionOf(StateKind::kKeyedSlotParts));
    std::vector<std::string> paths;
    const auto files =
        cluster_->shared_disk().List(StrCat("/shared/checkpoints/", job_.ToString(), "/shared"));
    for (const FileInfo& file : files.value_or(std::vector<FileInfo>())) {
      if ((*cluster_->shared_disk().Open(file.path))->data[8] == kParts) paths.push_back(file.path);
    }
    return paths;
  }

  std::optional<SimCluster> cluster_;
  JobId job_;
};

TEST_F(LateRestoreSim, KilledAgainAndAgainBeforeAllIsReadAJobLosesAndRepeatsNothing) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    Start(seed);
    for (int kill = 0; kill < 3; ++kill) {
      ASSERT_TRUE(KillAndAwait()) << LogOf(*cluster_);
      Run(100 + static_cast<std::int64_t>(seed) * 50);
    }
    ExpectEnd();
  }
}

TEST_F(LateRestoreSim, ASavepointHasWhatWasNotReadYet) {
  Start(2, "2 s");
  ASSERT_TRUE(KillAndAwait()) << LogOf(*cluster_);
  SavepointRequest request;
  request.job = job_;
  request.trigger = TriggerId(1, 1);
  const auto taken = cluster_->TakeSavepoint(request);
  ASSERT_TRUE(taken.ok()) << taken.status();
  ASSERT_EQ(taken->failure().message(), "");
  ASSERT_TRUE(cluster_->Cancel(job_).ok());
  ASSERT_TRUE(cluster_->AwaitState(job_, proto::CANCELED, absl::Seconds(20)));
  const auto again = cluster_->Submit("tally", DescribeTally, 2, {}, taken->directory());
  ASSERT_TRUE(again.ok()) << again.status();
  job_ = *again;
  ExpectEnd();
}

TEST_F(LateRestoreSim, AnotherParallelismTakesWhatWasNotReadYetAlong) {
  Start(3, "2 s");
  ASSERT_TRUE(KillAndAwait()) << LogOf(*cluster_);
  for (const std::uint32_t to : {5u, 2u, 4u}) {
    const auto done =
        cluster_->Rescale({.job = job_, .trigger = TriggerId(2, to), .parallelism = to});
    ASSERT_TRUE(done.ok()) << done.status();
    ASSERT_EQ(done->failure().message(), "");
  }
  ExpectEnd();
}

// The keys whose timers fire after the restart have no other records.
TEST_F(LateRestoreSim, TimersReadTheStateOfTheirKeys) {
  Start(4, "300 ms", DescribeAlarms);
  ASSERT_TRUE(KillAndAwait()) << LogOf(*cluster_);
  ASSERT_TRUE(cluster_->AwaitState(job_, proto::FINISHED, absl::Minutes(1))) << LogOf(*cluster_);
  std::set<std::string> expected;
  for (std::int64_t key = 0; key < kAlarms; ++key)
    expected.insert(StrCat("\"", key, " rings with ", key * 7, "\""));
  const std::vector<std::string> lines = cluster_->Output("alarms");
  EXPECT_EQ(std::set<std::string>(lines.begin(), lines.end()), expected);
}

TEST_F(LateRestoreSim, DamageThatIsMetLateFailsTheJobWithTheNameOfTheFile) {
  Start(5, "1 s");
  cluster_->shared_disk().set_fault(
      [&](std::string_view operation, const std::string& path) -> absl::Status {
        if (operation != "create" || !path.ends_with(".state")) return absl::OkStatus();
        return absl::UnavailableError("no new checkpoints");
      });
  // Only what is read when it is needed: the directory is as it was.
  const std::vector<std::string> files = WholeFiles();
  ASSERT_FALSE(files.empty());
  for (const std::string& path : files) {
    auto& content = (*cluster_->shared_disk().Open(path))->data;
    content[40] = static_cast<char>(content[40] ^ 0xff);
  }
  cluster_->KillWorker(cluster_->Workers().at(0));
  ASSERT_TRUE(cluster_->AwaitState(job_, proto::FAILED, absl::Seconds(20))) << LogOf(*cluster_);
  const auto status = cluster_->Status(job_);
  EXPECT_THAT(status->failure().message(), AllOf(HasSubstr("is damaged"), HasSubstr("/shared/")))
      << LogOf(*cluster_);
  EXPECT_LE(Restarts(), 1u) << "it would fail for the same reason";
}

// A disk that cannot be read for a while is no damage.
TEST_F(LateRestoreSim, AFileThatCannotBeReadForAWhileIsReadAgain) {
  Start(6, "1 s");
  ASSERT_TRUE(KillAndAwait()) << LogOf(*cluster_);
  int refused = 0;
  cluster_->shared_disk().set_fault(
      [&](std::string_view operation, const std::string& path) -> absl::Status {
        if (operation != "read" || !path.ends_with(".state")) return absl::OkStatus();
        ++refused;
        return absl::UnavailableError("Input/output error");
      });
  Run(700);
  cluster_->shared_disk().set_fault(nullptr);
  EXPECT_GT(refused, 0);
  ExpectEnd();
}

}  // namespace
}  // namespace weir::sim

// Real processes on loopback, and something that kills them: kill -9 of workers, task managers and
// the job manager at random moments and at named steps of a checkpoint, SIGSTOP past every timeout
// and SIGCONT. Whatever happens, the committed files of the job hold each result once.
//
//   WEIR_CHAOS_KILLS   how many processes to end (default 10)
//   WEIR_CHAOS_SEED    of what is done, and when
//   WEIR_CHAOS_JOB     more settings of the job, as "key=value,key=value"
//   WEIR_CHAOS_RESCALE 1: it is also given another parallelism now and then
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"
#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/chaos/oracle.h"
#include "tests/cluster/cluster.h"

namespace weir::chaos {
namespace {

using ::testing::IsEmpty;

// A step at which a process ends; see crash_shim.c.
struct Step {
  const char* name;
  bool job_manager;
  const char* call;
  const char* when;
  const char* path;
};
constexpr Step kSteps[] = {
    {"triggered: the checkpoint's folder is made", true, "mkdir", "after", "/chk-"},
    {"all have acknowledged, before the metadata", true, "rename", "before", "/_metadata"},
    {"after the metadata, before the record that makes the checkpoint exist", true, "rename",
     "after", "/_metadata"},
    {"before the job's record", true, "rename", "before", "/record"},
    {"after the job's record, before complete is told", true, "rename", "after", "/record"},
    {"before the cleanup of an old checkpoint", true, "unlink", "before", "/chk-"},
    {"in the middle of a cleanup", true, "unlink", "after", "/chk-"},
    {"at the barrier: a state file is begun", false, "create", "before", "/chk-"},
    {"before the acknowledgement: a state file is durable", false, "sync", "after", "/chk-"},
    {"a file that checkpoints share is begun", false, "create", "after", "/shared/"},
    {"a file that checkpoints share is written, and not durable", false, "sync", "before",
     "/shared/"},
    {"complete is told: before a file is committed", false, "rename", "before", "/part-"},
    {"complete is told: after a file is committed", false, "rename", "after", "/part-"},
    {"a file in progress is durable, before it is in a checkpoint", false, "sync", "after",
     "/.inprogress/"},
};

int64_t FromEnvironment(const char* name, int64_t otherwise) {
  const char* value = getenv(name);
  return value == nullptr || *value == 0 ? otherwise : atoll(value);
}

class ChaosTest : public ::testing::Test {
 protected:
  static constexpr int kTaskManagers = 3;
  static constexpr uint32_t kParallelism = 2;

  void TearDown() override {
    if (HasFailure()) cluster_.PrintLogs();
  }

  std::string out() const { return cluster_.folder() + "/out"; }
  uint32_t Below(uint32_t n) { return static_cast<uint32_t>(random_() % n); }
  void Say(const std::string& text) {
    printf("%3d kills: %s\n", kills_, text.c_str());
    fflush(stdout);
  }

  std::vector<std::string> JobManagerSettings() const {
    std::vector<std::string> settings = {
        "execution.checkpointing.interval=100 ms",
        StrCat("execution.checkpointing.dir=", cluster_.folder(), "/checkpoints"),
        "execution.checkpointing.num-retained=2",
        "execution.checkpointing.tolerable-failed-checkpoints=1000000",
        "restart-strategy.exponential-delay.initial-backoff=50 ms",
        "restart-strategy.exponential-delay.max-backoff=200 ms",
        "heartbeat.interval=200 ms",
        "heartbeat.timeout=2 s"};
    if (const char* more = getenv("WEIR_CHAOS_JOB"); more != nullptr && *more != 0) {
      for (const auto setting : absl::StrSplit(more, ',')) settings.emplace_back(setting);
    }
    return settings;
  }

  // The variables that end one of the processes at `step`, the n-th time it gets there.
  // `mark` gets the path of the file that says that it has.
  std::vector<std::string> CrashAt(const Step& step, uint32_t n, std::string& mark) {
    mark = StrCat(cluster_.folder(), "/mark-", marks_++);
    return {StrCat("LD_PRELOAD=", WEIR_CRASH_SHIM),
            StrCat("WEIR_CRASH_AT=", step.call, ":", step.when, ":", n, ":", step.path),
            StrCat("WEIR_CRASH_MARK=", mark)};
  }
  const Step& AnyStep(bool of_job_manager) {
    for (;;) {
      const Step& step = kSteps[Below(static_cast<uint32_t>(std::size(kSteps)))];
      if (step.job_manager == of_job_manager) return step;
    }
  }

  void StartTaskManager(const std::vector<std::string>& environment = {}) {
    live_.push_back(
        cluster_.StartTaskManager(2, {"taskmanager.worker.orphan-timeout=5 s"}, "", environment));
  }
  void StartJobManager(const std::vector<std::string>& environment = {}) {
    if (cluster_.TryStartJobManager(JobManagerSettings(), environment)) return;
    ASSERT_FALSE(environment.empty()) << "the job manager does not start";
    ++kills_;
    reached_.insert("while it takes its jobs up");
    armed_.clear();
    ASSERT_TRUE(cluster_.TryStartJobManager(JobManagerSettings(), {}));
  }
  void KillJobManager() {
    armed_.clear();
    cluster_.job_manager().Signal(SIGCONT);
    cluster_.job_manager().Signal(SIGKILL);
    ASSERT_NE(cluster_.job_manager().AwaitExit(absl::Seconds(10)), -1);
  }

  uint64_t NewestCheckpoint() { return cluster_.NewestCheckpoint(job_); }
  bool Ended() {
    const auto status = cluster_.Status(job_);
    return status.ok() && status->summary().state() == proto::FINISHED;
  }
  // One that was to end at a step may come there later.
  void ReviveTheJobManager() {
    if (cluster_.job_manager().AwaitExit(absl::Milliseconds(1)) == -1) return;
    ASSERT_EQ(access(armed_mark_.c_str(), F_OK), 0) << "the job manager ended by itself";
    reached_.insert(std::exchange(armed_, ""));
    ++kills_;
    Say("the job manager has ended there");
    StartJobManager();
  }
  // I14: it runs again, and a checkpoint of it completes. True also if it has ended.
  bool AwaitProgress() {
    const uint64_t before = NewestCheckpoint();
    for (int tenth = 0; tenth < 900; ++tenth) {
      ReviveTheJobManager();
      const bool progress = cluster_.AwaitStatus(
          job_,
          [&](const proto::JobStatusResponse& status) {
            const proto::JobState state = status.summary().state();
            EXPECT_NE(state, proto::FAILED) << status.failure().message();
            if (state == proto::FINISHED || state == proto::FAILED) return true;
            return state == proto::RUNNING && NewestCheckpoint() > before;
          },
          absl::Milliseconds(100));
      if (progress) return !HasFailure();
    }
    return false;
  }

  // One of the processes of the job; 0: there is none.
  pid_t AnyWorker() {
    const auto status = cluster_.Status(job_);
    if (!status.ok() || status->workers_size() == 0) return 0;
    const auto n = static_cast<int>(Below(static_cast<uint32_t>(status->workers_size())));
    return static_cast<pid_t>(status->workers(n).pid());
  }
  void KillAWorker() {
    const pid_t worker = AnyWorker();
    if (worker == 0) return;
    Say("kill -9 of a worker");
    ::kill(worker, SIGKILL);
    ++kills_;
  }
  void KillATaskManager(const std::vector<std::string>& environment = {}) {
    const uint32_t which = Below(static_cast<uint32_t>(live_.size()));
    Say("kill -9 of a task manager");
    cluster_.task_manager(live_[which]).Signal(SIGKILL);
    ++kills_;
    live_.erase(live_.begin() + which);
    StartTaskManager(environment);
  }
  // What is stopped for longer than all timeouts and then goes on is a zombie.
  void PauseAWorker() {
    const pid_t worker = AnyWorker();
    if (worker == 0) return;
    Say("SIGSTOP of a worker for 3 s");
    ::kill(worker, SIGSTOP);
    cluster_.RunFor(absl::Seconds(3));
    ::kill(worker, SIGCONT);
  }
  void PauseTheJobManager() {
    Say("SIGSTOP of the job manager for 3 s");
    cluster_.job_manager().Signal(SIGSTOP);
    cluster_.RunFor(absl::Seconds(3));
    cluster_.job_manager().Signal(SIGCONT);
  }
  void PauseATaskManager() {
    Say("SIGSTOP of a task manager for 3 s");
    const uint32_t which = Below(static_cast<uint32_t>(live_.size()));
    cluster_.task_manager(live_[which]).Signal(SIGSTOP);
    cluster_.RunFor(absl::Seconds(3));
    cluster_.task_manager(live_[which]).Signal(SIGCONT);
  }
  // Whether the process with the mark has ended at its step.
  bool AwaitMark(const std::string& mark, absl::Duration limit) {
    for (absl::Duration waited; waited < limit; waited += absl::Milliseconds(10)) {
      if (access(mark.c_str(), F_OK) == 0) return true;
      cluster_.RunFor(absl::Milliseconds(10));
    }
    return false;
  }
  void CrashTheJobManager() {
    const Step& step = AnyStep(true);
    KillJobManager();
    ++kills_;
    Say(StrCat("kill -9 of the job manager, and the next one ends: ", step.name));
    armed_ = step.name;
    StartJobManager(CrashAt(step, 1 + Below(6), armed_mark_));
    AwaitMark(armed_mark_, absl::Seconds(3));
    ReviveTheJobManager();
  }
  void CrashAWorker() {
    const Step& step = AnyStep(false);
    Say(StrCat("kill -9 of all task managers; a worker of the next one ends: ", step.name));
    for (const size_t index : std::exchange(live_, {})) {
      cluster_.task_manager(index).Signal(SIGKILL);
      ++kills_;
    }
    // Its slots are enough for the job.
    std::string mark;
    StartTaskManager(CrashAt(step, 1 + Below(6), mark));
    if (AwaitMark(mark, absl::Seconds(8))) {
      reached_.insert(step.name);
      ++kills_;
    }
    while (live_.size() < kTaskManagers) StartTaskManager();
  }

  void Rescale() {
    const uint32_t parallelism = 1 + Below(4);
    const absl::Status status = cluster_.TriggerRescale(
        {.job = job_, .trigger = TriggerId(7, ++rescales_), .parallelism = parallelism});
    Say(StrCat("parallelism ", parallelism, ": ", status.ok() ? "asked for" : status.ToString()));
    cluster_.RunFor(absl::Milliseconds(Below(300)));
  }

  void OneFault() {
    const uint32_t draw = Below(100);
    if (rescale_ && Below(4) == 0) Rescale();
    if (draw < 30) return KillAWorker();
    if (draw < 45) return KillATaskManager();
    if (draw < 55) {
      Say("kill -9 of the job manager");
      KillJobManager();
      ++kills_;
      if (Below(3) == 0) KillAWorker();
      return StartJobManager();
    }
    if (draw < 75) return CrashTheJobManager();
    if (draw < 92) return CrashAWorker();
    if (draw < 95) return PauseAWorker();
    if (draw < 98) return PauseTheJobManager();
    PauseATaskManager();
  }

  void Run(int kills, int64_t seed) {
    random_.seed(static_cast<uint64_t>(seed));
    StartJobManager();
    for (int i = 0; i < kTaskManagers; ++i) StartTaskManager();
    ASSERT_TRUE(cluster_.AwaitTaskManagers(kTaskManagers));
    // It is read in about the time that the kills take, and never so fast that it ends before.
    const int64_t count = 600 * (kills + 10);
    const auto job = cluster_.Submit(WEIR_CHAOS_PLUGIN, kParallelism,
                                     {{"out", out()}, {"count", StrCat(count)}, {"rate", "500"}});
    ASSERT_TRUE(job.ok()) << job.status();
    job_ = *job;
    ASSERT_TRUE(AwaitProgress());
    while (kills_ < kills && !Ended()) {
      if (Below(10) < 7) {
        ASSERT_TRUE(AwaitProgress()) << "it does not go on, after " << kills_ << " kills";
      }
      cluster_.RunFor(absl::Microseconds(Below(300'000)));
      OneFault();
      if (HasFatalFailure()) return;
    }
    EXPECT_GE(kills_, kills) << "the job ended too soon";
    if (!armed_.empty()) {
      KillJobManager();
      StartJobManager();
    }
    ASSERT_TRUE(AwaitProgress()) << "it does not go on";
    ASSERT_TRUE(cluster_.AwaitState(job_, proto::FINISHED, absl::Minutes(20)));
    printf("steps at which a process ended:\n");
    for (const std::string& step : reached_) printf("  %s\n", step.c_str());
    // How many subtasks there were when a record was copied is not known after a rescaling.
    const int copies = rescale_ ? 0 : static_cast<int>(kParallelism);
    EXPECT_THAT(Verify(out(), {.count = count, .keys = 64, .copies = copies}), IsEmpty());
    // I12: of a job that finished nothing remains.
    const std::string folder = StrCat(cluster_.folder(), "/checkpoints/", job_.ToString());
    cluster_.AwaitStatus(
        job_, [&](const auto&) { return access(folder.c_str(), F_OK) != 0; }, absl::Seconds(10));
    EXPECT_THAT(cluster::FilesBelow(folder), IsEmpty());
  }

  cluster::Cluster cluster_;
  JobId job_;
  std::mt19937_64 random_;
  std::vector<size_t> live_;
  const bool rescale_ = FromEnvironment("WEIR_CHAOS_RESCALE", 0) != 0;
  uint64_t rescales_ = 0;
  int kills_ = 0;
  int marks_ = 0;
  // The step at which the job manager is to end, and its mark; empty: none.
  std::string armed_;
  std::string armed_mark_;
  std::set<std::string> reached_;
};

TEST_F(ChaosTest, EachResultIsCommittedOnce) {
  const int64_t seed = FromEnvironment("WEIR_CHAOS_SEED", 20261121);
  printf("seed %lld\n", static_cast<long long>(seed));
  Run(static_cast<int>(FromEnvironment("WEIR_CHAOS_KILLS", 10)), seed);
}

}  // namespace
}  // namespace weir::chaos

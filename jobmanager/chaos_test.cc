#include <csignal>

#include "gtest/gtest.h"
#include "jobmanager/testing/job_manager_fixture.h"

// First anything may fail and nothing may be wrong; then the faults stop, and everything must come
// to an end. One seed a run; a failing one is repeated with --gtest_filter.
namespace weir::jobmanager {
namespace {

constexpr int kSeeds = 60;
constexpr absl::Duration kSafetyPhase = absl::Seconds(90);

class ChaosTest : public JobManagerFixture, public ::testing::WithParamInterface<int> {
 public:
  ChaosTest() : JobManagerFixture({.seed = static_cast<uint64_t>(GetParam())}) {}

  uint64_t Draw(uint64_t bound) { return world_.random().Below(bound); }

  template <class Map>
  typename Map::mapped_type* Pick(Map& map) {
    if (map.empty()) return nullptr;
    auto it = map.begin();
    std::advance(it, static_cast<std::ptrdiff_t>(Draw(map.size())));
    return &it->second;
  }

  void SubmitSome() {
    auto upload = OpenUpload(Header(static_cast<uint32_t>(1 + Draw(5)), "plugin bytes"));
    // Not awaited: the answers are handled as they come.
    world_.At(absl::Milliseconds(50), [this, upload] {
      if (upload->closed.has_value()) return;
      if (!upload->responses.empty() && !upload->responses[0].plugin_known()) {
        upload->SendData("plugin bytes");
      }
      if (!upload->responses.empty()) upload->SendEnd();
      uploads_.push_back(upload);
    });
  }

  void CancelSome() {
    auto snapshot = job_manager_ == nullptr ? nullptr : job_manager_->Snapshot();
    if (snapshot == nullptr || snapshot->jobs.empty()) return;
    const JobId id = snapshot->jobs[Draw(snapshot->jobs.size())]->id;
    proto::CancelJobRequest request;
    request.set_job_id(std::string(id.bytes().begin(), id.bytes().end()));
    TypedCall<proto::CancelJobRequest, proto::CancelJobResponse>(
        *peer_, "/weir.JobManager/CancelJob", request, absl::Seconds(5), client_.get(),
        [](absl::StatusOr<proto::CancelJobResponse>) {});
  }

  void EndSomeWorker() {
    auto* task_manager = Pick(task_managers_);
    if (task_manager == nullptr || (*task_manager)->workers.empty()) return;
    auto* worker = Pick((*task_manager)->workers);
    const Key key = worker->key;
    switch (Draw(4)) {
      case 0:
        return (*task_manager)->KillWorker(key, SIGKILL);
      case 1:
        return (*task_manager)->KillWorker(key, 0, 3);
      case 2:
        return (*task_manager)->KillWorker(key, SIGSEGV);
      default:
        if (!worker->tasks.empty())
          (*task_manager)->FailTask(key, 0, absl::UnavailableError("connection lost"));
    }
  }

  void FinishSomeWorkers() {
    for (auto& [host, task_manager] : task_managers_) {
      std::vector<Key> keys;
      for (auto& [key, worker] : task_manager->workers) {
        if (worker.starts > 0 && Draw(2) == 0) keys.push_back(key);
      }
      for (const Key& key : keys) task_manager->SetTasks(key, proto::TASK_FINISHED);
    }
  }

  void StartTaskManagerLater(const std::string& host, absl::Duration delay) {
    world_.At(delay, [this, host] {
      SimEnv& env = world_.StartProcess(host);
      task_manager_envs_[host] = &env;
      task_managers_[host] = std::make_unique<FakeTaskManager>(env, host, kAddress,
                                                               static_cast<uint32_t>(1 + Draw(3)));
      task_managers_[host]->behaviour.reports_exits = Draw(4) != 0;
    });
  }

  void RestartSomeTaskManager() {
    if (task_managers_.size() < hosts_.size()) return;  // one is on its way
    const std::string host = hosts_[Draw(hosts_.size())];
    KillTaskManager(host);
    StartTaskManagerLater(host, absl::Milliseconds(static_cast<int64_t>(10 + Draw(8'000))));
  }

  void CutSomeLink() {
    const std::string host = hosts_[Draw(hosts_.size())];
    if (Draw(2) == 0) {
      world_.CutLink("jm", host);
    } else {
      world_.CutOneWay(Draw(2) == 0 ? "jm" : host, Draw(2) == 0 ? host : "jm");
    }
    world_.At(absl::Milliseconds(static_cast<int64_t>(Draw(6'000))),
              [this, host] { world_.HealLink("jm", host); });
  }

  void PauseSome() {
    if (task_managers_.size() < hosts_.size()) return;
    const std::string host = hosts_[Draw(hosts_.size())];
    SimEnv* env = Draw(4) == 0 ? jm_env_ : task_manager_envs_[host];
    world_.PauseProcess(*env);
    world_.At(absl::Milliseconds(static_cast<int64_t>(Draw(6'000))), [this, env] {
      if (env->alive()) world_.ResumeProcess(*env);
    });
  }

  void RestartJobManager() {
    KillJobManager();
    ++job_manager_restarts_;
    StartJobManager();
  }

  // What never may be seen, at any time.
  void CheckSafety() {
    auto snapshot = job_manager_->Snapshot();
    if (snapshot == nullptr) return;
    for (const auto& job : snapshot->jobs) {
      auto [before, first] = states_.emplace(job->id, job->state);
      if (!first && IsTerminal(before->second)) {
        ASSERT_EQ(before->second, job->state) << "terminal is terminal";
      }
      before->second = job->state;
      if (job->state == proto::FINISHED) {
        for (const proto::TaskReport& task : job->tasks) {
          ASSERT_EQ(task.state(), proto::TASK_FINISHED);
        }
      }
    }
    for (const auto& task_manager : snapshot->task_managers) {
      ASSERT_LE(task_manager.slots_free, task_manager.slots_total);
    }
  }

  std::vector<std::string> hosts_;
  std::vector<std::shared_ptr<Upload>> uploads_;
  std::map<JobId, proto::JobState> states_;
  int job_manager_restarts_ = 0;
};

TEST_P(ChaosTest, EndsEveryJobAndGivesEverySlotBackWhenTheFaultsStop) {
  // Each class of faults is off in some seeds.
  const bool kills_workers = Draw(10) >= 3;
  const bool restarts = Draw(10) >= 3;
  const bool cuts = Draw(10) >= 3;
  const bool pauses = Draw(10) >= 3;
  const bool restarts_job_manager = Draw(10) >= 5;
  options_.schedule.slot_request_timeout = absl::Seconds(20);
  StartJobManager();
  for (uint64_t i = 0; i < 2 + Draw(3); ++i) {
    hosts_.push_back(StrCat("tm", i));
    StartTaskManagerLater(hosts_.back(), absl::Milliseconds(static_cast<int64_t>(1 + i)));
    world_.SetLinkDelay("jm", hosts_.back(), absl::ZeroDuration(),
                        absl::Milliseconds(static_cast<int64_t>(1 + Draw(300))));
  }
  if (Draw(10) >= 3) world_.SetConnectionLoss(static_cast<double>(Draw(30)) / 1000);
  const absl::Duration end = world_.elapsed() + kSafetyPhase;
  while (world_.elapsed() < end) {
    world_.RunFor(absl::Milliseconds(static_cast<int64_t>(Draw(1'500))));
    switch (Draw(10)) {
      case 0:
      case 1:
        SubmitSome();
        break;
      case 2:
        CancelSome();
        break;
      case 3:
        if (kills_workers) EndSomeWorker();
        break;
      case 4:
      case 5:
        FinishSomeWorkers();
        break;
      case 6:
        if (restarts) RestartSomeTaskManager();
        break;
      case 7:
        if (cuts) CutSomeLink();
        break;
      case 8:
        if (pauses) PauseSome();
        break;
      default:
        if (restarts_job_manager && Draw(6) == 0 && !jm_env_->paused) RestartJobManager();
    }
    CheckSafety();
  }

  world_.SetConnectionLoss(0);
  world_.RunFor(absl::Seconds(10));  // what was planned to come back is back
  world_.HealAllLinks();
  for (auto& [host, task_manager] : task_managers_) task_manager->behaviour.reports_exits = true;
  world_.RunFor(absl::Seconds(60));
  CheckSafety();
  // Whatever still runs or waits does so for a reason.
  auto list = Call<proto::ListJobsRequest, proto::ListJobsResponse>("ListJobs", {});
  ASSERT_TRUE(list.ok()) << list.status();
  for (const proto::JobSummary& job : list->jobs()) {
    EXPECT_TRUE(IsTerminal(job.state()) || job.state() == proto::RUNNING)
        << proto::JobState_Name(job.state()) << "\n"
        << log_;
    if (job.state() == proto::RUNNING) {
      EXPECT_TRUE(Cancel(job.job_id()).ok());
    }
  }
  world_.RunFor(absl::Minutes(2));
  list = Call<proto::ListJobsRequest, proto::ListJobsResponse>("ListJobs", {});
  ASSERT_TRUE(list.ok()) << list.status();
  for (const proto::JobSummary& job : list->jobs()) {
    EXPECT_TRUE(IsTerminal(job.state())) << proto::JobState_Name(job.state()) << "\n" << log_;
  }
  const proto::ClusterInfoResponse info = ClusterInfo();
  EXPECT_EQ(static_cast<size_t>(info.task_managers_size()), hosts_.size()) << log_;
  for (const auto& task_manager : info.task_managers()) {
    EXPECT_EQ(task_manager.slots_free(), task_manager.slots_total()) << log_;
  }
  for (const auto& [host, task_manager] : task_managers_) {
    EXPECT_TRUE(task_manager->workers.empty()) << host << "\n" << log_;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, ChaosTest, ::testing::Range(1, kSeeds + 1));

}  // namespace
}  // namespace weir::jobmanager

#include "taskmanager/slots/agent.h"

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/strings.h"
#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "common/hash/sha256.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/control.pb.h"
#include "transport/rpc/typed_call.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kAddress[] = "jobmanager:6123";

// The job manager's half of the protocol, with answers that a test sets and a record of what came.
class ScriptedJobManager {
 public:
  explicit ScriptedJobManager(SimEnv& env) : env_(env), control_(env.NewExecutor("jobmanager")) {
    ServerMethods methods;
    methods.unary.push_back(
        TypedUnary<proto::RegisterTaskManagerRequest, proto::RegisterTaskManagerResponse>(
            "/weir.JobManager/RegisterTaskManager", control_.get(),
            [this](auto request, auto respond) {
              registrations.push_back(request);
              if (!register_status.ok()) return respond(register_status);
              proto::RegisterTaskManagerResponse response;
              response.set_leader_epoch(epoch);
              response.set_heartbeat_interval_ms(500);
              response.set_heartbeat_timeout_ms(5000);
              known = true;
              respond(response);
            }));
    methods.unary.push_back(
        TypedUnary<proto::TaskManagerHeartbeatRequest, proto::TaskManagerHeartbeatResponse>(
            "/weir.JobManager/TaskManagerHeartbeat", control_.get(),
            [this](auto request, auto respond) {
              heartbeats.push_back(request);
              if (!known) return respond(absl::NotFoundError("unknown task manager"));
              proto::TaskManagerHeartbeatResponse response;
              response.set_leader_epoch(epoch);
              for (const auto& worker : stop) *response.add_stop() = worker;
              respond(response);
            }));
    methods.unary.push_back(TypedUnary<proto::WorkerExitedRequest, proto::WorkerExitedResponse>(
        "/weir.JobManager/WorkerExited", control_.get(), [this](auto request, auto respond) {
          exits.push_back(request);
          if (!exit_status.ok()) return respond(exit_status);
          respond(proto::WorkerExitedResponse());
        }));
    methods.streams.push_back(
        {"/weir.JobManager/FetchPlugin", control_.get(),
         [this](std::shared_ptr<MessageStream> stream) { return ServePlugin(std::move(stream)); }});
    auto listener = env.network().Listen("jobmanager:6123", std::move(methods));
    EXPECT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
  }

  template <class Request, class Response>
  void Order(const std::string& method, const Request& request,
             std::vector<absl::StatusOr<Response>>& answers) {
    control_->Post([this, method, request, &answers] {
      peer_ = env_.network().Connect(registrations.back().address());
      TypedCall<Request, Response>(*peer_, method, request, absl::Seconds(20), control_.get(),
                                   [&answers](auto answer) { answers.push_back(answer); });
    });
  }

  uint64_t epoch = 7;
  bool known = false;
  absl::Status register_status;
  absl::Status exit_status;
  std::string plugin = std::string(3'000'000, 'p');
  size_t fetches = 0;
  std::vector<proto::RunningWorker> stop;
  std::vector<proto::RegisterTaskManagerRequest> registrations;
  std::vector<proto::TaskManagerHeartbeatRequest> heartbeats;
  std::vector<proto::WorkerExitedRequest> exits;

 private:
  absl::StatusOr<StreamCallbacks> ServePlugin(std::shared_ptr<MessageStream> stream) {
    ++fetches;
    StreamCallbacks callbacks;
    callbacks.on_message = [this, stream](const std::string&) {
      for (size_t begin = 0; begin < plugin.size(); begin += 1 << 20) {
        proto::PluginChunk chunk;
        chunk.set_data(plugin.substr(begin, 1 << 20));
        MessageBytes bytes;
        bytes.pieces.push_back(chunk.SerializeAsString());
        stream->Send(std::move(bytes));
      }
      stream->Finish();
    };
    callbacks.on_close = [](const absl::Status&) {};
    return callbacks;
  }

  SimEnv& env_;
  std::unique_ptr<Executor> control_;
  std::shared_ptr<RemotePeer> peer_;
  std::unique_ptr<Listener> listener_;
};

// Workers that run until the test ends them.
class ScriptedLauncher final : public WorkerLauncher {
 public:
  struct Launched {
    WorkerSpec spec;
    std::function<void(WorkerExit)> on_exit;
    int terminated = 0;
    int killed = 0;
  };
  class Process final : public WorkerProcess {
   public:
    Process(Launched& launched, int64_t pid) : launched_(launched), pid_(pid) {}
    int64_t pid() const override { return pid_; }
    void Terminate() override { ++launched_.terminated; }
    void Kill() override { ++launched_.killed; }

   private:
    Launched& launched_;
    const int64_t pid_;
  };

  absl::StatusOr<std::unique_ptr<WorkerProcess>> Launch(
      const WorkerSpec& spec, std::function<void(WorkerExit)> on_exit) override {
    launched.push_back(std::make_unique<Launched>(Launched{spec, std::move(on_exit)}));
    return std::make_unique<Process>(*launched.back(), 100 + static_cast<int>(launched.size()));
  }

  std::vector<std::unique_ptr<Launched>> launched;
};

class AgentTest : public ::testing::Test {
 protected:
  AgentTest() : host_(world_.StartProcess("taskmanager")) {
    StartJobManager();
    control_ = host_.NewExecutor("agent");
    AgentOptions options;
    options.name = "tm-1";
    options.listen_address = "taskmanager:0";
    options.job_manager_address = kAddress;
    options.slots = 3;
    options.data_directory = "/data";
    options.log = [this](std::string_view, std::string_view text) { log_.emplace_back(text); };
    agent_ = Agent::Make(host_, *control_, launcher_, options,
                         [this](const absl::Status& why) { ends_.push_back(why); });
  }

  void StartJobManager() {
    job_manager_.reset();
    job_manager_ = std::make_unique<ScriptedJobManager>(world_.StartProcess("jobmanager"));
  }

  bool Until(const std::function<bool()>& condition) {
    return world_.RunUntil(condition, absl::Seconds(60));
  }

  void StartAndRegister() {
    ASSERT_TRUE(agent_->Start().ok());
    ASSERT_TRUE(Until([&] { return job_manager_->known; }));
  }

  proto::StartWorkerRequest Worker(uint64_t job, uint32_t attempt, uint32_t index, uint32_t slots) {
    proto::StartWorkerRequest request;
    request.set_leader_epoch(job_manager_->epoch);
    request.set_job_id(JobIdBytes(JobId(1, job)));
    request.set_attempt(attempt);
    request.set_worker_index(index);
    request.set_slots(slots);
    request.set_plugin_sha256(Sha256::Hex(job_manager_->plugin));
    request.set_plugin_bytes(job_manager_->plugin.size());
    request.set_job_manager_address(kAddress);
    return request;
  }

  absl::StatusOr<proto::StartWorkerResponse> StartWorker(const proto::StartWorkerRequest& request) {
    const size_t before = started_.size();
    job_manager_->Order("/weir.TaskManager/StartWorker", request, started_);
    EXPECT_TRUE(Until([&] { return started_.size() > before; }));
    return started_.back();
  }

  SimWorld world_;
  SimEnv& host_;
  std::unique_ptr<ScriptedJobManager> job_manager_;
  ScriptedLauncher launcher_;
  std::vector<std::string> log_;
  std::vector<absl::Status> ends_;
  std::vector<absl::StatusOr<proto::StartWorkerResponse>> started_;
  std::unique_ptr<Executor> control_;
  std::unique_ptr<Agent> agent_;
};

TEST_F(AgentTest, RegistersWithItsSlotsAndSendsHeartbeats) {
  StartAndRegister();
  ASSERT_TRUE(Until([&] { return job_manager_->heartbeats.size() == 3; }));
  ASSERT_THAT(job_manager_->registrations, SizeIs(1));
  EXPECT_EQ(job_manager_->registrations[0].slots(), 3u);
  EXPECT_EQ(job_manager_->registrations[0].name(), "tm-1");
  EXPECT_EQ(job_manager_->registrations[0].version(), std::string(kVersion));
  EXPECT_EQ(job_manager_->heartbeats[0].leader_epoch(), 7u);
}

TEST_F(AgentTest, KeepsTryingWhileTheJobManagerCannotBeReached) {
  world_.CutLink("taskmanager", "jobmanager");
  ASSERT_TRUE(agent_->Start().ok());
  world_.RunFor(absl::Minutes(10));
  EXPECT_THAT(job_manager_->registrations, IsEmpty());
  EXPECT_THAT(ends_, IsEmpty());
  EXPECT_THAT(log_, SizeIs(1)) << "one line for one outage";
  world_.HealLink("taskmanager", "jobmanager");
  ASSERT_TRUE(world_.RunUntil([&] { return job_manager_->known; }, absl::Seconds(10)));
}

TEST_F(AgentTest, EndsWithTheReasonWhenItsVersionIsRefused) {
  job_manager_->register_status =
      absl::FailedPreconditionError("version 9 wanted, this is version 8");
  ASSERT_TRUE(agent_->Start().ok());
  ASSERT_TRUE(Until([&] { return !ends_.empty(); }));
  EXPECT_THAT(std::string(ends_[0].message()), HasSubstr("version 9 wanted"));
}

TEST_F(AgentTest, RegistersAgainWithItsWorkersAtAJobManagerThatDoesNotKnowIt) {
  StartAndRegister();
  ASSERT_TRUE(StartWorker(Worker(1, 1, 0, 1)).ok());
  job_manager_->known = false;
  job_manager_->epoch = 8;
  ASSERT_TRUE(Until([&] { return job_manager_->registrations.size() == 2; }));
  ASSERT_EQ(job_manager_->registrations[1].workers_size(), 1);
  EXPECT_EQ(job_manager_->registrations[1].id(), job_manager_->registrations[0].id());
  ASSERT_TRUE(Until([&] { return job_manager_->heartbeats.back().leader_epoch() == 8; }));
}

TEST_F(AgentTest, StartsAWorkerOnceHoweverOftenItIsTold) {
  StartAndRegister();
  const proto::StartWorkerRequest request = Worker(1, 1, 0, 2);
  job_manager_->Order("/weir.TaskManager/StartWorker", request, started_);
  job_manager_->Order("/weir.TaskManager/StartWorker", request, started_);
  ASSERT_TRUE(Until([&] { return started_.size() == 2; }));
  ASSERT_TRUE(StartWorker(request).ok());
  for (const auto& started : started_) EXPECT_EQ(started.value().pid(), 101);
  ASSERT_THAT(launcher_.launched, SizeIs(1));
  EXPECT_EQ(launcher_.launched[0]->spec.directory,
            StrCat("/data/jobs/", JobId(1, 1).ToString(), "/1-0"));
  EXPECT_EQ(launcher_.launched[0]->spec.listen_host, "taskmanager");
}

TEST_F(AgentTest, RefusesAWorkerWithoutFreeSlotsAndTakesItWhenTheyAre) {
  StartAndRegister();
  ASSERT_TRUE(StartWorker(Worker(1, 1, 0, 2)).ok());
  const auto refused = StartWorker(Worker(2, 1, 0, 2));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("needs 2 slots, 1 of 3 are free"));
  launcher_.launched[0]->on_exit({});
  ASSERT_TRUE(Until([&] { return job_manager_->exits.size() == 1; }));
  EXPECT_TRUE(StartWorker(Worker(2, 1, 0, 2)).ok());
}

TEST_F(AgentTest, RefusesAnOldLeaderAnOldAttemptAndAnAttemptThatHasEnded) {
  StartAndRegister();
  ASSERT_TRUE(StartWorker(Worker(1, 5, 0, 1)).ok());
  proto::StartWorkerRequest old_leader = Worker(2, 1, 0, 1);
  old_leader.set_leader_epoch(6);
  EXPECT_EQ(StartWorker(old_leader).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(StartWorker(Worker(1, 4, 0, 1)).status().code(), absl::StatusCode::kFailedPrecondition);
  launcher_.launched[0]->on_exit({});
  ASSERT_TRUE(Until([&] { return job_manager_->exits.size() == 1; }));
  EXPECT_EQ(StartWorker(Worker(1, 5, 0, 1)).status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(AgentTest, RefusesMalformedRequestsBeforeAnythingIsMade) {
  StartAndRegister();
  proto::StartWorkerRequest request = Worker(1, 1, 0, 1);
  request.set_plugin_sha256("../../etc/passwd");
  EXPECT_EQ(StartWorker(request).status().code(), absl::StatusCode::kInvalidArgument);
  request = Worker(1, 1, 0, 1);
  request.set_job_id("short");
  EXPECT_EQ(StartWorker(request).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(job_manager_->fetches, 0u);
}

TEST_F(AgentTest, FetchesAPluginOnceForWorkersThatWantItTogetherAndLater) {
  StartAndRegister();
  job_manager_->Order("/weir.TaskManager/StartWorker", Worker(1, 1, 0, 1), started_);
  job_manager_->Order("/weir.TaskManager/StartWorker", Worker(2, 1, 0, 1), started_);
  ASSERT_TRUE(Until([&] { return started_.size() == 2; }));
  ASSERT_TRUE(StartWorker(Worker(3, 1, 0, 1)).ok());
  EXPECT_EQ(job_manager_->fetches, 1u);
  ASSERT_THAT(launcher_.launched, SizeIs(3));
  EXPECT_EQ(launcher_.launched[0]->spec.plugin_path, launcher_.launched[2]->spec.plugin_path);
  const auto content = ReadFile(host_.files(), launcher_.launched[0]->spec.plugin_path, 1 << 30);
  ASSERT_TRUE(content.ok()) << content.status();
  EXPECT_EQ(*content, job_manager_->plugin);
}

TEST_F(AgentTest, RefusesAPluginThatIsNotWhatItsHashSays) {
  StartAndRegister();
  const proto::StartWorkerRequest request = Worker(1, 1, 0, 1);
  const std::string right = std::exchange(job_manager_->plugin, std::string(3'000'000, 'x'));
  EXPECT_EQ(StartWorker(request).status().code(), absl::StatusCode::kDataLoss);
  job_manager_->plugin = right.substr(1);
  EXPECT_EQ(StartWorker(request).status().code(), absl::StatusCode::kDataLoss);
  job_manager_->plugin = right + "more";
  EXPECT_EQ(StartWorker(request).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(launcher_.launched, IsEmpty());
  job_manager_->plugin = right;
  EXPECT_TRUE(StartWorker(request).ok()) << "a failed fetch leaves nothing in the way";
}

TEST_F(AgentTest, SaysThatItsDiskIsFullAndTakesTheJobOnceItIsNot) {
  StartAndRegister();
  world_.disk("taskmanager").set_capacity_bytes(2'000'000);
  const absl::Status full = StartWorker(Worker(1, 1, 0, 1)).status();
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(full.message()), HasSubstr(".so"));
  EXPECT_THAT(launcher_.launched, IsEmpty());
  EXPECT_LT(world_.disk("taskmanager").used_bytes(), 1000u) << "nothing is left of the attempt";
  world_.disk("taskmanager").set_capacity_bytes(100'000'000);
  EXPECT_TRUE(StartWorker(Worker(1, 1, 0, 1)).ok());
}

TEST_F(AgentTest, ReportsAnExitUntilItIsTakenAndShowsTheWorkerUntilThen) {
  StartAndRegister();
  ASSERT_TRUE(StartWorker(Worker(1, 1, 0, 1)).ok());
  const std::string report = "weir-crash 1\noperator map\nsubtask 1\nsignal 11\nframe 0x1 Boom()\n";
  ASSERT_TRUE(WriteFileAtomically(host_.files(),
                                  StrCat(launcher_.launched[0]->spec.directory, "/crash"), report)
                  .ok());
  job_manager_->exit_status = absl::UnavailableError("busy");
  launcher_.launched[0]->on_exit({.signal = 11});
  ASSERT_TRUE(Until([&] { return job_manager_->exits.size() >= 3; }));
  EXPECT_EQ(job_manager_->heartbeats.back().workers_size(), 1);
  job_manager_->exit_status = absl::OkStatus();
  ASSERT_TRUE(Until([&] { return job_manager_->heartbeats.back().workers_size() == 0; }));
  const size_t reported = job_manager_->exits.size();
  world_.RunFor(absl::Seconds(10));
  EXPECT_EQ(job_manager_->exits.size(), reported);
  const proto::WorkerExitedRequest& exit = job_manager_->exits.back();
  EXPECT_EQ(exit.signal(), 11);
  EXPECT_EQ(exit.failure().operator_uid(), "map");
  EXPECT_EQ(exit.failure().task_manager(), "tm-1");
  EXPECT_THAT(exit.failure().stack(), ElementsAre("0x1 Boom()"));
}

TEST_F(AgentTest, StopsWhatAHeartbeatSaysAndKillsItAfterTheGrace) {
  StartAndRegister();
  ASSERT_TRUE(StartWorker(Worker(1, 1, 0, 1)).ok());
  ASSERT_TRUE(StartWorker(Worker(2, 1, 0, 1)).ok());
  proto::RunningWorker worker;
  worker.set_job_id(JobIdBytes(JobId(1, 1)));
  worker.set_attempt(1);
  job_manager_->stop.push_back(worker);
  ASSERT_TRUE(Until([&] { return launcher_.launched[0]->terminated == 1; }));
  EXPECT_EQ(launcher_.launched[0]->killed, 0);
  ASSERT_TRUE(
      world_.RunUntil([&] { return launcher_.launched[0]->killed == 1; }, absl::Seconds(4)));
  EXPECT_EQ(launcher_.launched[0]->terminated, 1) << "told once, however often it is listed";
  EXPECT_EQ(launcher_.launched[1]->terminated, 0);
}

TEST_F(AgentTest, EndsItsWorkersBeforeItEnds) {
  StartAndRegister();
  ASSERT_TRUE(StartWorker(Worker(1, 1, 0, 1)).ok());
  agent_->Stop();
  ASSERT_TRUE(Until([&] { return launcher_.launched[0]->terminated == 1; }));
  EXPECT_THAT(ends_, IsEmpty());
  launcher_.launched[0]->on_exit({});
  ASSERT_TRUE(Until([&] { return !ends_.empty(); }));
  EXPECT_TRUE(ends_[0].ok());
  EXPECT_THAT(job_manager_->exits, SizeIs(1));
}

TEST_F(AgentTest, ShowsTheEndOfAWorkersOutput) {
  StartAndRegister();
  ASSERT_TRUE(StartWorker(Worker(1, 1, 0, 1)).ok());
  ASSERT_TRUE(WriteFileAtomically(host_.files(),
                                  StrCat(launcher_.launched[0]->spec.directory, "/stdout.log"),
                                  "one\ntwo\nthree\n")
                  .ok());
  proto::WorkerLogRequest request;
  request.set_leader_epoch(job_manager_->epoch);
  request.set_job_id(JobIdBytes(JobId(1, 1)));
  request.set_max_lines(2);
  std::vector<absl::StatusOr<proto::WorkerLogResponse>> answers;
  job_manager_->Order("/weir.TaskManager/WorkerLog", request, answers);
  request.set_worker_index(4);
  job_manager_->Order("/weir.TaskManager/WorkerLog", request, answers);
  ASSERT_TRUE(Until([&] { return answers.size() == 2; }));
  const bool first_found = answers[0].ok();
  EXPECT_EQ(answers[first_found ? 0 : 1]->text(), "--- stdout ---\ntwo\nthree\n");
  EXPECT_EQ(answers[first_found ? 1 : 0].status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace weir

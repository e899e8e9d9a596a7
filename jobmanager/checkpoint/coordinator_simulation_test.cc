#include <functional>

#include "jobmanager/checkpoint/checkpoint_coordinator.h"
#include "jobmanager/checkpoint/checkpoint_restore.h"
#include "jobmanager/checkpoint/testing/coordinator_fixture.h"
#include "jobmanager/checkpoint/testing/model_store.h"
#include "jobmanager/checkpoint/testing/model_tasks.h"

namespace weir::jobmanager {
namespace {

// A job with its store, tasks, messages and restarts, of tasks and of job managers, from a seed.
class Simulation {
 public:
  explicit Simulation(uint64_t seed)
      : world_({.seed = seed}), random_(world_.random()), env_(world_.StartProcess("jobmanager")) {
    // Each class of faults is off in 3 of 10 seeds.
    const auto draw = [this](double most) {
      return random_.Chance(0.3) ? 0.0 : most * static_cast<double>(random_.Below(100)) / 100;
    };
    faults_ = {.prepare = draw(0.1),
               .write = draw(0.2),
               .write_unknown = draw(0.4),
               .remove = draw(0.5),
               .message = draw(0.2)};
    restarts_ = draw(0.1);
    crashes_ = draw(0.05);
    ends_ = draw(0.01);
    settings_.interval = absl::Milliseconds(random_.Between(50, 500));
    // Without faults every checkpoint is done within it.
    settings_.timeout = absl::Milliseconds(random_.Between(300, 2'000));
    settings_.tolerable_failed = static_cast<uint32_t>(random_.Below(4));
    settings_.num_retained = static_cast<uint32_t>(random_.Between(1, 3));
    settings_.max_concurrent = static_cast<uint32_t>(random_.Between(1, 3));
    if (settings_.max_concurrent == 1) {
      settings_.min_pause = absl::Milliseconds(random_.Below(300));
    }
  }

  void Run() {
    StartJobManager();
    for (int i = 0; i < 100 && !::testing::Test::HasFailure(); ++i) Step();
    faults_ = {};
    restarts_ = crashes_ = ends_ = 0;
    Recover();
  }

  uint64_t completed = 0;
  uint64_t restored = 0;

 private:
  void StartJobManager() {
    out_ = std::make_shared<ModelSurroundings>(world_, env_, store_, faults_);
    out_->on_trigger = [this](const TriggerOrder& order) {
      for (const uint32_t worker : order.workers) {
        if (random_.Chance(faults_.message)) continue;
        // In order, as the calls to one worker are.
        world_.At(absl::Milliseconds(5), [this, attempt = attempt_, worker, order] {
          if (attempt != attempt_) return;
          tasks_->OnTrigger(worker, order.checkpoint_id, order.directory);
        });
      }
    };
    coordinator_ = std::make_unique<CheckpointCoordinator>(
        *out_, settings_, CheckpointedJob{JobId(1, 2), "words", TestGraph()},
        store_.highest_id + 1);
    const absl::Status resumed = coordinator_->Resume(store_.Find());
    ASSERT_TRUE(resumed.ok()) << resumed;
    BeginAttempt();
  }

  void BeginAttempt() {
    restarting_ = false;
    const auto& latest = coordinator_->latest();
    ASSERT_GE(latest.has_value() ? latest->id : 0, newest_) << "an older one is restored (I5)";
    if (latest.has_value()) {
      ++restored;
      // I4
      EXPECT_TRUE(MakeRestore(*latest->metadata, latest->directory, *TestGraph()).ok());
    }
    out_->attempt = ++attempt_;
    out_->failed = false;
    coordinator_->BeginAttempt(attempt_, TestPlacement(), latest.has_value() ? latest->id : 0);
    tasks_ = std::make_unique<ModelTasks>(
        random_, store_, attempt_, latest.has_value() ? latest->metadata.get() : nullptr,
        [this](proto::AcknowledgeCheckpointRequest request) { Tell(std::move(request)); });
    tasks_->Start();
    coordinator_->OnRunning();
  }

  void Restart() {
    if (restarting_) return;
    restarting_ = true;
    coordinator_->EndAttempt("restart");
    coordinator_->WhenSettled([this] { BeginAttempt(); });
  }
  void Crash() {
    coordinator_.reset();
    out_.reset();
    StartJobManager();
  }

  // Runs `f` after a while, if the attempt is still the same.
  void Deliver(int64_t least_ms, std::function<void()> f) {
    world_.At(absl::Milliseconds(random_.Between(least_ms, least_ms + 80)),
              [this, attempt = attempt_, f = std::move(f)] {
                if (attempt == attempt_) f();
              });
  }
  // Repeated until answered; what belongs to one checkpoint may be lost for good.
  void Tell(proto::AcknowledgeCheckpointRequest request) {
    if (request.checkpoint_id() != 0 && random_.Chance(faults_.message / 3)) return;
    Deliver(0, [this, request] {
      const bool lost = random_.Chance(faults_.message);
      if (!lost) {
        const absl::Status status = coordinator_->OnAcknowledge(request);
        EXPECT_TRUE(status.ok()) << status;
      }
      if (lost || random_.Chance(faults_.message)) {
        Deliver(50, [this, request] { Tell(request); });
      }
    });
  }

  void Step() {
    world_.RunFor(absl::Milliseconds(random_.Between(1, 200)));
    tasks_->Advance(ends_);
    if (out_->failed || random_.Chance(restarts_)) Restart();
    if (random_.Chance(crashes_)) Crash();
    if (random_.Chance(0.05)) {
      coordinator_->TriggerSavepoint("/save", CheckpointKind::kSavepoint, [](const auto&) {});
    }
    Check();
  }

  void Check() {
    const auto& latest = coordinator_->latest();
    const uint64_t id = latest.has_value() ? latest->id : 0;
    EXPECT_GE(id, newest_) << "I5";
    newest_ = id;
    const uint64_t told = coordinator_->completed_for_tasks();
    EXPECT_LE(told, id);
    EXPECT_GE(told, told_);
    told_ = told;
    EXPECT_TRUE(id == 0 || store_.FindId(id) != nullptr) << "I8";
    for (const CompletedCheckpoint& kept : coordinator_->retained()) {
      EXPECT_NE(store_.FindId(kept.id), nullptr) << "a retained one is gone (I4)";
    }
    for (const auto& [directory, folder] : store_.folders) {
      if (folder.metadata == nullptr) continue;
      // One that exists has all its files (I12) and is a consistent cut (I1).
      const proto::CheckpointMetadata& metadata = *folder.metadata;
      for (const proto::StateFile& file : metadata.files()) {
        EXPECT_TRUE(IsShared(file.name()) ? store_.shared.contains(file.name())
                                          : folder.files.contains(file.name()))
            << file.name() << " of " << directory << " is missing (I12)";
      }
      const auto& sources = metadata.operators(2).subtasks();
      for (const proto::SubtaskState& sum : metadata.operators(0).subtasks()) {
        EXPECT_EQ(sum.watermark(), sources[0].watermark() + sources[1].watermark()) << directory;
      }
    }
  }

  std::string Describe() const {
    std::string text = "; newest " + std::to_string(newest_) + ", told " + std::to_string(told_) +
                       ", attempt " + std::to_string(attempt_);
    for (const CheckpointStatistics& open : coordinator_->InProgress()) {
      text += "; " + std::to_string(open.id) + " " + std::string(Name(open.state)) + " " +
              std::to_string(open.acknowledged);
    }
    const auto& over = coordinator_->history().checkpoints();
    if (!over.empty()) text += "; last " + std::to_string(over.back()->id) + over.back()->failure;
    return text;
  }

  // I14: without faults checkpoints complete; the last one has it all; then nothing else is stored.
  void Recover() {
    if (::testing::Test::HasFailure()) return;
    const auto until = [this](const std::string& what, const std::function<bool()>& done) {
      for (int i = 0; i < 2'000 && !done(); ++i) {
        world_.RunFor(absl::Milliseconds(50));
        if (out_->failed) Restart();
        Check();
      }
      EXPECT_TRUE(done()) << "never: " << what << Describe();
    };
    until("complete again", [&, before = newest_] {
      return !restarting_ && (newest_ > before || tasks_->AllEnded());
    });
    until("the last one", [this] {
      // Again after a restart.
      tasks_->End(0);
      tasks_->End(1);
      // A savepoint may be newer, but commits nothing.
      if (restarting_ || coordinator_->retained().empty()) return false;
      const CompletedCheckpoint& last = coordinator_->retained().back();
      if (coordinator_->completed_for_tasks() != last.id) return false;
      const auto& operators = last.metadata->operators();
      return std::all_of(operators.begin(), operators.end(), [](const auto& held) {
        return held.subtasks(0).finished() && held.subtasks(1).finished();
      });
    });
    completed = coordinator_->counters().completed;
    coordinator_->EndJob(JobEnd::kFailed);
    until("nothing to delete", [this] { return coordinator_->idle(); });

    // Nothing unreferenced is left (I12), but for what late tasks wrote to savepoints' folders.
    std::set<std::string> referenced;
    for (const auto& [directory, folder] : store_.folders) {
      if (folder.metadata == nullptr) {
        EXPECT_TRUE(directory.starts_with("/save/")) << directory << " is left (I12)";
        continue;
      }
      for (const proto::StateFile& file : folder.metadata->files()) referenced.insert(file.name());
    }
    for (const auto& [name, attempt] : store_.shared) {
      EXPECT_TRUE(referenced.contains(name)) << name << " is left (I12)";
    }
    EXPECT_LE(coordinator_->retained().size(), settings_.num_retained);
  }

  SimWorld world_;
  SimRandom& random_;
  SimEnv& env_;
  ModelStore store_;
  ModelFaults faults_;
  double restarts_ = 0;
  double crashes_ = 0;
  double ends_ = 0;
  CheckpointSettings settings_;
  std::shared_ptr<ModelSurroundings> out_;
  std::unique_ptr<CheckpointCoordinator> coordinator_;
  std::unique_ptr<ModelTasks> tasks_;
  uint32_t attempt_ = 0;
  bool restarting_ = false;
  uint64_t newest_ = 0;
  uint64_t told_ = 0;
};

// I4, I5, I8, I12, I14 under lost, late and repeated messages, timeouts, writes that fail or are
// unknown, restarts, and job managers that die at any step (Arroyo 802, Flink 8132, 10354, 38614).
TEST(CoordinatorSimulationTest, KeepsItsPromisesInEverySeed) {
  uint64_t completed = 0;
  uint64_t restored = 0;
  for (uint64_t seed = 1; seed <= 1'000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Simulation simulation(seed);
    simulation.Run();
    if (HasFailure()) return;
    completed += simulation.completed;
    restored += simulation.restored;
  }
  // It did happen.
  EXPECT_GT(completed, 5'000u);
  EXPECT_GT(restored, 3'000u);
}

}  // namespace
}  // namespace weir::jobmanager

#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "gtest/gtest.h"
#include "jobmanager/checkpoint/checkpoint_surroundings.h"
#include "jobmanager/checkpoint/completed_checkpoints.h"
#include "jobmanager/checkpoint/state_files.h"
#include "proto/checkpoint.pb.h"

namespace weir::jobmanager {

// How likely what goes wrong.
struct ModelFaults {
  double prepare = 0;
  double write = 0;
  double write_unknown = 0;
  double remove = 0;
  double message = 0;
};

// What is stored of a job; survives job managers.
struct ModelStore {
  struct Folder {
    uint64_t id = 0;
    uint32_t attempt = 0;
    std::shared_ptr<const proto::CheckpointMetadata> metadata;
    std::set<std::string> files;
  };
  std::map<std::string, Folder> folders;
  // With the attempt that wrote it.
  std::map<std::string, uint32_t> shared;
  uint64_t highest_id = 0;

  std::vector<FoundCheckpoint> Find() const {
    std::vector<FoundCheckpoint> found;
    for (const auto& [directory, folder] : folders) {
      if (folder.metadata != nullptr) {
        found.push_back({.directory = directory, .metadata = folder.metadata, .owned = true});
      }
    }
    return found;
  }
  const Folder* FindId(uint64_t id) const {
    for (const auto& [directory, folder] : folders) {
      if (folder.id == id && folder.metadata != nullptr) return &folder;
    }
    return nullptr;
  }
};

// The surroundings of one job manager's coordinator over a store. Each call takes a while and may
// fail, or be done though it seems to have failed. Once the object is gone, so is its job manager:
// what was on its way is fenced off and has no effect.
class ModelSurroundings final : public CheckpointSurroundings {
 public:
  ModelSurroundings(SimWorld& world, SimEnv& env, ModelStore& store, const ModelFaults& faults)
      : world_(world),
        env_(env),
        store_(store),
        faults_(faults),
        executor_(env.NewExecutor("checkpoints")) {}

  Executor& executor() override { return *executor_; }
  Clock& clock() override { return env_.clock(); }

  void Prepare(uint64_t id, CheckpointKind kind, const std::string& target,
               absl::AnyInvocable<void(absl::StatusOr<std::string>)> done) override {
    EXPECT_GT(id, store_.highest_id) << "an id was used twice (I5)";
    store_.highest_id = id;
    const std::string directory =
        (IsSavepoint(kind) ? target : "/job/" + std::to_string(attempt)) + "/" + std::to_string(id);
    Later([this, id, directory, done = std::move(done)]() mutable {
      if (Chance(faults_.prepare)) return done(absl::UnavailableError("prepare"));
      ModelStore::Folder& folder = store_.folders[directory];
      folder.id = id;
      folder.attempt = attempt;
      done(directory);
    });
  }

  void WriteMetadata(const std::string& directory,
                     std::shared_ptr<const proto::CheckpointMetadata> metadata,
                     std::vector<std::string> copies,
                     absl::AnyInvocable<void(WriteOutcome, const absl::Status&)> done) override {
    Later([this, directory, metadata, copies, done = std::move(done)]() mutable {
      for (const std::string& name : copies) {
        // It may have been copied by an earlier try already.
        if (store_.folders[directory].files.contains(SavepointFileName(name))) continue;
        EXPECT_TRUE(store_.shared.contains(name)) << name << " is copied, but gone (I12)";
        store_.folders[directory].files.insert(SavepointFileName(name));
      }
      ModelStore::Folder& folder = store_.folders[directory];
      const bool unknown = Chance(faults_.write_unknown);
      // What may be there already has not failed.
      if (folder.metadata == nullptr && !unknown && Chance(faults_.write)) {
        return done(WriteOutcome::kFailed, absl::UnavailableError("not written"));
      }
      if (!unknown || Chance(0.3)) folder.metadata = metadata;
      if (unknown && Chance(0.5)) {
        // It arrives yet, before it is asked again.
        executor_->PostAfter(absl::Milliseconds(500), [this, directory, metadata] {
          store_.folders[directory].id = metadata->checkpoint_id();
          store_.folders[directory].attempt = attempt;
          store_.folders[directory].metadata = metadata;
        });
      }
      if (unknown) return done(WriteOutcome::kUnknown, absl::DeadlineExceededError("no answer"));
      done(WriteOutcome::kDone, absl::OkStatus());
    });
  }

  void DeleteCheckpoint(uint64_t id, const std::string& directory, Done done) override {
    Later([this, id, directory, done = std::move(done)]() mutable {
      const auto found = store_.folders.find(directory);
      EXPECT_TRUE(found == store_.folders.end() || found->second.id == id);
      const bool fails = Chance(faults_.remove);
      if (found != store_.folders.end() && !(fails && Chance(0.3))) {
        found->second.metadata = nullptr;
        if (!fails || Chance(0.5)) store_.folders.erase(found);
      }
      done(fails ? absl::UnavailableError("delete") : absl::OkStatus());
    });
  }
  void DeleteShared(const std::vector<std::string>& names, Done done) override {
    Later([this, names, done = std::move(done)]() mutable {
      const bool fails = Chance(faults_.remove);
      for (const std::string& name : names) {
        if (!fails || Chance(0.5)) store_.shared.erase(name);
      }
      done(fails ? absl::UnavailableError("delete") : absl::OkStatus());
    });
  }
  void DeleteLeftovers(const Leftovers& leftovers, Done done) override {
    Later([this, leftovers, done = std::move(done)]() mutable {
      if (Chance(faults_.remove)) return done(absl::UnavailableError("sweep"));
      const std::set<std::string> kept(leftovers.keep_directories.begin(),
                                       leftovers.keep_directories.end());
      const std::set<std::string> kept_shared(leftovers.keep_shared.begin(),
                                              leftovers.keep_shared.end());
      std::erase_if(store_.folders, [&](const auto& entry) {
        const auto& [directory, folder] = entry;
        return directory.starts_with("/job/") && !kept.contains(directory) &&
               (folder.attempt < leftovers.live_attempt || folder.id < leftovers.newest_complete);
      });
      std::erase_if(store_.shared, [&](const auto& entry) {
        return entry.second < leftovers.live_attempt && !kept_shared.contains(entry.first);
      });
      done(absl::OkStatus());
    });
  }

  void SendTrigger(const TriggerOrder& order) override { on_trigger(order); }
  void SendNotice(const CheckpointNotice& notice) override {
    EXPECT_GE(notice.completed, told) << "I5";
    told = notice.completed;
    EXPECT_TRUE(told == 0 || store_.FindId(told) != nullptr) << "told before it is durable (I8)";
  }
  void FailJob(const absl::Status&) override { failed = true; }
  void Log(std::string_view, std::string_view) override {}

  uint32_t attempt = 0;
  uint64_t told = 0;
  bool failed = false;
  std::function<void(const TriggerOrder&)> on_trigger;

 private:
  bool Chance(double probability) { return world_.random().Chance(probability); }
  void Later(Closure work) {
    executor_->PostAfter(absl::Milliseconds(world_.random().Between(0, 60)), std::move(work));
  }

  SimWorld& world_;
  SimEnv& env_;
  ModelStore& store_;
  const ModelFaults& faults_;
  std::unique_ptr<Executor> executor_;
};

}  // namespace weir::jobmanager

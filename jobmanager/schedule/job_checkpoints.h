#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "common/base/id.h"
#include "common/base/lifetime.h"
#include "common/env/env.h"
#include "jobmanager/checkpoint/checkpoint_coordinator.h"
#include "jobmanager/checkpoint/checkpoint_surroundings.h"
#include "jobmanager/schedule/restore_point.h"
#include "state/store/checkpoint_store.h"

namespace weir::proto {
class DeployRequest;
class JobRecord;
}  // namespace weir::proto

namespace weir::jobmanager {

// The checkpoints of one job: its coordinator, with the store and the job's workers around it.
// Owned by the job, on whose executor all calls come; may be destroyed at any time between calls.
class JobCheckpoints final : public CheckpointSurroundings {
 public:
  // What it needs of the job.
  struct Owner {
    Env& env;
    Executor& executor;
    // Of the cluster that the directory belongs to.
    std::string cluster_id;
    // Which checkpoints exist, and the highest id that was given. Kept by `persist`, which calls
    // back once it is durable.
    proto::JobRecord& record;
    std::function<void(Closure)> persist;
    // The checkpoint at which the tasks stop for another parallelism exists from the next write of
    // the record on: notes in it what the next attempt is.
    std::function<void()> note_rescaled;
    // Calls back if this job manager leads still, and not at all otherwise.
    std::function<void(Closure)> confirm_leadership;
    // Calls the worker, if it runs, until it answers or the attempt is over.
    std::function<void(const TriggerOrder&)> send_trigger;
    std::function<void(const CheckpointNotice&)> send_notice;
    std::function<void(const absl::Status&)> fail_job;
    // The job has ended, and nothing of it waits to be deleted any more.
    std::function<void()> settled;
    std::function<void(std::string_view level, std::string_view text)> log;
  };

  // `directory`: execution.checkpointing.dir. Empty: there is none, and nothing but savepoints.
  // `restore`: what a new job starts from, if not from the beginning; for one that ran before, Load
  // finds it. `allow_dropped_state`: of what is not the job's own.
  JobCheckpoints(Owner owner, CheckpointedJob job, const CheckpointSettings& settings,
                 const std::string& directory, const std::optional<RestorePoint>& restore,
                 bool allow_dropped_state);
  ~JobCheckpoints() override;

  // Before the first attempt of a job that ran before: takes over the checkpoints that its record
  // names, and deletes others in its folder. Calls back once. kDataLoss: one is damaged or
  // contradicts the others. Any other error: it cannot be read now, and this may be called again.
  void Load(std::function<void(const absl::Status&)> done);

  // The job is terminal: keeps or deletes its checkpoints, and the folder if nothing stays in it.
  void EndJob(JobEnd end);

  CheckpointCoordinator& coordinator() { return coordinator_; }
  const CheckpointCoordinator& coordinator() const { return coordinator_; }

  // Before the next attempt, when settled: sees whether a savepoint that it would start from is
  // there. One that was deleted, which is the user's right, is forgotten if nothing was committed
  // with it; otherwise the attempt fails for the lack of it. `done` comes later.
  void CheckLatest(Closure done);

  // What the next deployment starts from, and where it is to write. kFailedPrecondition: the newest
  // checkpoint does not fit the graph.
  absl::Status FillDeployment(const proto::JobGraph& graph, proto::DeployRequest& request) const;

  // CheckpointSurroundings
  Executor& executor() override { return owner_.executor; }
  Clock& clock() override { return owner_.env.clock(); }
  void Prepare(uint64_t id, CheckpointKind kind, const std::string& target,
               absl::AnyInvocable<void(absl::StatusOr<std::string> directory)> done) override;
  void WriteMetadata(
      const std::string& directory, std::shared_ptr<const proto::CheckpointMetadata> metadata,
      std::vector<std::string> copies,
      absl::AnyInvocable<void(WriteOutcome outcome, const absl::Status& status)> done) override;
  void DeleteCheckpoint(uint64_t id, const std::string& directory, Done done) override;
  void DeleteShared(const std::vector<std::string>& names, Done done) override;
  void DeleteLeftovers(const Leftovers& leftovers, Done done) override;
  void SendTrigger(const TriggerOrder& order) override { owner_.send_trigger(order); }
  void SendNotice(const CheckpointNotice& notice) override { owner_.send_notice(notice); }
  void FailJob(const absl::Status& why) override { owner_.fail_job(why); }
  void Log(std::string_view level, std::string_view text) override { owner_.log(level, text); }

 private:
  // Runs `work` on an IO thread and `done` with what it returns on the executor, unless this is
  // gone by then.
  template <class Work, class Then>
  void OnIoThread(Work work, Then done);
  void Delete(std::function<absl::Status(FileSystem&)> work, Done done);
  // Deletes once it is sure that no other job manager needs it.
  void DeleteAsLeader(std::function<absl::Status(FileSystem&)> work, Done done);
  // The metadata is durable: now the checkpoint comes to exist.
  void AddToRecord(const proto::CheckpointMetadata& metadata, const std::string& directory);

  const Owner owner_;
  const JobId job_;
  const uint32_t num_retained_;
  // Of savepoints that stop the job.
  std::set<uint64_t> stop_ids_;
  std::set<uint64_t> rescale_ids_;
  // Shared with work on IO threads, which may outlive this. Null without a directory.
  const std::shared_ptr<CheckpointStore> store_;
  // Empty without a directory.
  const std::string job_directory_;
  // Of what is not the job's own.
  const bool allow_dropped_state_;
  bool ended_ = false;
  Lifetime lifetime_;
  CheckpointCoordinator coordinator_;
};

}  // namespace weir::jobmanager

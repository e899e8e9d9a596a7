#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/env/clock.h"
#include "common/env/executor.h"
#include "jobmanager/checkpoint/checkpoint_states.h"

namespace weir::proto {
class CheckpointMetadata;
}

namespace weir::jobmanager {

// What is known of a write (failures rule 2).
enum class WriteOutcome {
  kDone,     // durable: the checkpoint exists
  kFailed,   // not there, and never will be
  kUnknown,  // either
};

// To the workers that run sources.
struct TriggerOrder {
  uint64_t checkpoint_id = 0;
  CheckpointKind kind = CheckpointKind::kCheckpoint;
  // As Prepare gave it.
  std::string directory;
  int64_t triggered_unix_micros = 0;
  // Those whose sources have not ended; ascending.
  std::vector<uint32_t> workers;
};

// To every worker; fields as in NotifyCheckpointRequest.
struct CheckpointNotice {
  uint64_t completed = 0;
  uint64_t aborted = 0;
};

// What is no part of anything any more, except what is listed: all that attempts before
// `live_attempt` left, whatever its id, and folders of checkpoints with an id below
// `newest_complete`, whatever their attempt. Shared files of `live_attempt` are not touched, nor
// are folders of checkpoints from `next_id` on, whose numbers are given out again: only files of
// earlier attempts in them. Savepoints outside the job's folder never are.
struct Leftovers {
  uint64_t newest_complete = 0;
  // No checkpoint of the live attempt has a lower one.
  uint64_t next_id = 0;
  uint32_t live_attempt = 0;
  // Folders of complete checkpoints and savepoints.
  std::vector<std::string> keep_directories;
  // By name.
  std::vector<std::string> keep_shared;
};

// In place of the live attempt of a job that has ended: files of all attempts are old.
constexpr uint32_t kNoLiveAttempt = std::numeric_limits<uint32_t>::max();
// A worker that was cut off goes on for taskmanager.worker.orphan-timeout, and one that was stopped
// when it is let go on: what it writes then is looked for so long after the end of its job.
constexpr absl::Duration kSweepsAfterEnd[] = {absl::Minutes(1), absl::Minutes(10), absl::Hours(1)};

// What a checkpoint coordinator needs of the world around it; outlives the coordinator. Calls come
// on the coordinator's executor and must not call it back from within; callbacks come later, on the
// same executor, each exactly once unless the coordinator is gone, after a bounded time also when
// nobody answers.
class CheckpointSurroundings {
 public:
  using Done = absl::AnyInvocable<void(const absl::Status& status)>;

  virtual ~CheckpointSurroundings() = default;

  virtual Executor& executor() = 0;
  virtual Clock& clock() = 0;

  // Durably remembers that `id` is taken, so that no later job manager gives it again, and makes
  // the folder that the tasks write to. Gives its absolute path, which no other checkpoint has ever
  // had. `target`: of a savepoint, the folder below which its own is made; empty: the default one.
  virtual void Prepare(uint64_t id, CheckpointKind kind, const std::string& target,
                       absl::AnyInvocable<void(absl::StatusOr<std::string> directory)> done) = 0;
  // Makes the checkpoint exist: writes its metadata into `directory`, and whatever else says that
  // it is complete. Called again with the same after kUnknown: what is there already is kDone.
  // `status` says why it is not kDone. `copies`: shared files that are first copied into the
  // folder, where they have the name SavepointFileName; so a savepoint needs nothing outside of it.
  virtual void WriteMetadata(
      const std::string& directory, std::shared_ptr<const proto::CheckpointMetadata> metadata,
      std::vector<std::string> copies,
      absl::AnyInvocable<void(WriteOutcome outcome, const absl::Status& status)> done) = 0;

  // Deletions are idempotent: what is not there is deleted. Any error, also an unknown outcome,
  // leads to a repetition. A checkpoint stops existing before its first file is deleted.
  virtual void DeleteCheckpoint(uint64_t id, const std::string& directory, Done done) = 0;
  // No task writes a file of this name again.
  virtual void DeleteShared(const std::vector<std::string>& names, Done done) = 0;
  virtual void DeleteLeftovers(const Leftovers& leftovers, Done done) = 0;

  // Both are repeated by the surroundings until answered, or until the worker is gone.
  virtual void SendTrigger(const TriggerOrder& order) = 0;
  virtual void SendNotice(const CheckpointNotice& notice) = 0;

  // Too many checkpoints have failed, or none can be complete any more. Told at most once an
  // attempt, and never from within another call.
  virtual void FailJob(const absl::Status& why) = 0;
  virtual void Log(std::string_view level, std::string_view text) = 0;
};

}  // namespace weir::jobmanager

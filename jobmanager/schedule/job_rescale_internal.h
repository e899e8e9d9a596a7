#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/lifetime.h"
#include "jobmanager/checkpoint/checkpoint_coordinator.h"
#include "proto/job_record.pb.h"

namespace weir::proto {
class JobGraph;
class RescaleJobRequest;
class RescaleProgress;
}  // namespace weir::proto

namespace weir::jobmanager {

// A running job is given another parallelism. A worker says which graph that makes; after a
// checkpoint or some, the tasks stop at one more, which has what changed since, and the next
// attempt starts from it with the new graph. What that graph is becomes part of the job's record
// with the checkpoint, in one write: before it the job goes on as it was, whatever fails, and after
// it the next attempt has the new parallelism, whoever leads. If that attempt does not come to run,
// the job goes back to the former parallelism.
//
// Keeps the last one, for whoever asked. Owned by the job, on whose executor all calls come.
class JobRescale {
 public:
  // What it needs of the job.
  struct Owner {
    CheckpointCoordinator& coordinator;
    // The graph at another parallelism; calls back later, once.
    std::function<void(uint32_t parallelism,
                       std::function<void(absl::StatusOr<proto::JobGraph>)> done)>
        build_graph;
    // The graph and parallelism of now.
    std::function<proto::JobRecord::Scale()> current;
    // OK if there are slots enough for the graph.
    std::function<absl::Status(const proto::JobGraph& graph)> check_slots;
    // The tasks have stopped at a checkpoint, and the record says what comes next.
    std::function<void()> on_stopped;
    std::function<int64_t()> now_unix_micros;
    std::function<void(std::string_view level, std::string_view text)> log;
  };
  explicit JobRescale(Owner owner) : owner_(std::move(owner)) {}

  // Begins. OK also for what was begun by the same trigger id. kInvalidArgument: the parallelism
  // can be no job's. kFailedPrecondition: it is the job's, or another change is under way.
  absl::Status Begin(const proto::RescaleJobRequest& request);
  bool Knows(const std::string& trigger_id) const;
  // kNotFound: not known, or not any more.
  absl::Status Fill(const std::string& trigger_id, proto::RescaleProgress& progress) const;

  // What the next attempt is, for the record; the checkpoint has just come to exist.
  const proto::JobRecord::Scale& target() const { return target_; }
  // All tasks of the attempt at the new parallelism run.
  void OnRunning();
  // It does not come about, or not any more.
  void OnFailed(const absl::Status& why);
  bool under_way() const { return state_ != State::kNone && state_ < State::kCompleted; }

 private:
  enum class State { kNone, kPreparing, kStopping, kStarting, kCompleted, kFailed };

  void OnGraph(const std::string& trigger_id, absl::StatusOr<proto::JobGraph> graph);
  absl::Status Check(const proto::JobGraph& graph) const;
  // Takes checkpoints while the job runs, so that the one at which the tasks stop has little left
  // to write: each has what changed in the time of the one before.
  void Prepare();
  void Stop();
  void OnCheckpoint(const std::string& trigger_id, absl::StatusOr<SavepointResult> result);

  const Owner owner_;
  std::string trigger_id_;
  State state_ = State::kNone;
  uint32_t from_ = 0;
  proto::JobRecord::Scale target_;
  uint64_t checkpoint_ = 0;
  int prepared_ = 0;
  int64_t last_preparation_micros_ = 0;
  absl::Status failure_;
  int64_t begun_unix_micros_ = 0;
  int64_t stopped_unix_micros_ = 0;
  int64_t ended_unix_micros_ = 0;
  Lifetime lifetime_;
};

}  // namespace weir::jobmanager

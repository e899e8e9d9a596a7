#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "jobmanager/schedule/job_rescale_internal.h"
#include "proto/control.pb.h"
#include "proto/job_graph.pb.h"
#include "proto/validate/job_graph.h"

namespace weir::jobmanager {
namespace {

constexpr size_t kTriggerIdBytes = 16;
// Checkpoints before the one at which the tasks stop, and what of them is short.
constexpr int kMostPreparations = 5;
constexpr int64_t kShortMicros = 200'000;

}  // namespace

absl::Status JobRescale::Begin(const proto::RescaleJobRequest& request) {
  if (request.trigger_id().size() != kTriggerIdBytes) {
    return absl::InvalidArgumentError(StrCat("a trigger id has ", kTriggerIdBytes,
                                             " bytes; this one has ", request.trigger_id().size()));
  }
  const proto::JobRecord::Scale now = owner_.current();
  const uint32_t most = now.graph().max_parallelism();
  if (request.parallelism() == 0 || request.parallelism() > most) {
    return absl::InvalidArgumentError(
        StrCat("a parallelism of ", request.parallelism(), " cannot be: the job can have 1 to ",
               most, ", its maximum parallelism (pipeline.max-parallelism)"));
  }
  if (under_way()) {
    return absl::FailedPreconditionError(StrCat("the job is being given parallelism ",
                                                target_.parallelism(), " already: wait for that"));
  }
  if (request.parallelism() == now.parallelism()) {
    return absl::FailedPreconditionError(
        StrCat("the job has parallelism ", now.parallelism(), " already"));
  }
  trigger_id_ = request.trigger_id();
  state_ = State::kPreparing;
  from_ = now.parallelism();
  target_.Clear();
  target_.set_parallelism(request.parallelism());
  checkpoint_ = 0;
  failure_ = absl::OkStatus();
  begun_unix_micros_ = owner_.now_unix_micros();
  stopped_unix_micros_ = ended_unix_micros_ = 0;
  owner_.build_graph(
      request.parallelism(),
      lifetime_.Guard([this, id = trigger_id_](absl::StatusOr<proto::JobGraph> graph) {
        OnGraph(id, std::move(graph));
      }));
  return absl::OkStatus();
}

bool JobRescale::Knows(const std::string& trigger_id) const {
  return state_ != State::kNone && trigger_id == trigger_id_;
}

absl::Status JobRescale::Check(const proto::JobGraph& graph) const {
  WEIR_RETURN_IF_ERROR(ValidateJobGraph(graph));
  const proto::JobRecord::Scale now = owner_.current();
  if (graph.max_parallelism() != now.graph().max_parallelism() ||
      graph.nodes_size() != now.graph().nodes_size()) {
    return absl::InternalError("a worker made the graph of another job");
  }
  return owner_.check_slots(graph);
}

void JobRescale::OnGraph(const std::string& trigger_id, absl::StatusOr<proto::JobGraph> graph) {
  if (trigger_id != trigger_id_ || state_ != State::kPreparing) return;
  if (!graph.ok()) return OnFailed(graph.status());
  if (absl::Status usable = Check(*graph); !usable.ok()) return OnFailed(usable);
  target_.set_graph_hash(GraphHash(*graph));
  *target_.mutable_graph() = *std::move(graph);
  prepared_ = 0;
  Prepare();
}

void JobRescale::Prepare() {
  const int64_t begun = owner_.now_unix_micros();
  owner_.coordinator.TriggerCheckpoint(lifetime_.Guard(
      [this, trigger_id = trigger_id_, begun](const absl::StatusOr<SavepointResult>& result) {
        if (trigger_id != trigger_id_ || state_ != State::kPreparing) return;
        if (!result.ok()) return OnFailed(result.status());
        // As long as the next one will be shorter, and that is worth it.
        const int64_t took = owner_.now_unix_micros() - begun;
        const bool shrinks = prepared_ == 0 || took < last_preparation_micros_ / 4 * 3;
        last_preparation_micros_ = took;
        if (++prepared_ < kMostPreparations && took > kShortMicros && shrinks) return Prepare();
        Stop();
      }));
}

void JobRescale::Stop() {
  state_ = State::kStopping;
  stopped_unix_micros_ = owner_.now_unix_micros();
  owner_.coordinator.TriggerRescale(
      lifetime_.Guard([this, trigger_id = trigger_id_](absl::StatusOr<SavepointResult> result) {
        OnCheckpoint(trigger_id, std::move(result));
      }));
}

void JobRescale::OnCheckpoint(const std::string& trigger_id,
                              absl::StatusOr<SavepointResult> result) {
  if (trigger_id != trigger_id_ || state_ != State::kStopping) return;
  if (!result.ok()) return OnFailed(result.status());
  checkpoint_ = result->id;
  state_ = State::kStarting;
  owner_.on_stopped();
}

void JobRescale::OnRunning() {
  if (!under_way()) return;
  state_ = State::kCompleted;
  ended_unix_micros_ = owner_.now_unix_micros();
  owner_.log("info", StrCat("runs at parallelism ", target_.parallelism(), ", before at ", from_,
                            "; it stood still for ",
                            (ended_unix_micros_ - stopped_unix_micros_) / 1000, " ms"));
}

void JobRescale::OnFailed(const absl::Status& why) {
  if (!under_way()) return;
  state_ = State::kFailed;
  failure_ = why;
  ended_unix_micros_ = owner_.now_unix_micros();
  owner_.log("warning", StrCat("is not given parallelism ", target_.parallelism(), ", it stays at ",
                               from_, ": ", ToStd(why.message())));
}

absl::Status JobRescale::Fill(const std::string& trigger_id,
                              proto::RescaleProgress& progress) const {
  if (!Knows(trigger_id)) {
    return absl::NotFoundError(
        "the job manager does not know of this change of the parallelism: it was started anew, or "
        "another one came after it; `jobctl status` shows the job's parallelism");
  }
  progress.set_state(static_cast<proto::RescaleProgress::State>(state_));
  progress.set_from_parallelism(from_);
  progress.set_to_parallelism(target_.parallelism());
  progress.set_checkpoint_id(checkpoint_);
  progress.set_begun_unix_micros(begun_unix_micros_);
  progress.set_ended_unix_micros(ended_unix_micros_);
  if (state_ == State::kCompleted) {
    progress.set_interruption_micros(ended_unix_micros_ - stopped_unix_micros_);
  }
  if (state_ == State::kFailed) {
    progress.mutable_failure()->set_code(static_cast<int>(failure_.code()));
    progress.mutable_failure()->set_message(std::string(failure_.message()));
  }
  return absl::OkStatus();
}

}  // namespace weir::jobmanager

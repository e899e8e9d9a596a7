#include "taskmanager/worker/checkpoint_reporter.h"

#include <algorithm>
#include <utility>

#include "common/base/strings.h"
#include "proto/checkpoint.pb.h"
#include "proto/control.pb.h"
#include "proto/job_graph.pb.h"

namespace weir {
namespace {

constexpr absl::Duration kFirstRetry = absl::Milliseconds(50);
constexpr absl::Duration kLastRetry = absl::Seconds(1);
// Of which it is remembered that nobody waits for them; one that is forgotten is refused by the job
// manager.
constexpr size_t kMaxAborted = 1'000;
constexpr size_t kMaxSavepoints = 16;

}  // namespace

CheckpointReporter::CheckpointReporter(Env& env, Executor& control, WorkerKey worker,
                                       SnapshotPlace place,
                                       std::shared_ptr<const proto::JobGraph> graph,
                                       std::shared_ptr<LocalCopies> copies, Acknowledge acknowledge,
                                       std::function<void(std::string_view)> warn)
    : env_(env),
      control_(control),
      worker_(std::move(worker)),
      place_(std::move(place)),
      graph_(std::move(graph)),
      copies_(std::move(copies)),
      acknowledge_(std::move(acknowledge)),
      warn_(std::move(warn)) {}

std::function<void(TaskCheckpoint)> CheckpointReporter::OnCheckpoint() {
  return [&control = control_,
          write = lifetime_.GuardConst([this](std::shared_ptr<TaskCheckpoint> checkpoint) {
            Write(std::move(checkpoint));
          })](TaskCheckpoint checkpoint) {
    control.Post([write, checkpoint = std::make_shared<TaskCheckpoint>(
                             std::move(checkpoint))]() mutable { write(std::move(checkpoint)); });
  };
}

void CheckpointReporter::OnCompleted(uint64_t checkpoint_id) {
  if (copies_ != nullptr && checkpoint_id > completed_) {
    env_.RunBlocking([copies = copies_, checkpoint_id] { copies->Tidy(checkpoint_id); });
  }
  completed_ = std::max(completed_, checkpoint_id);
  aborted_.erase(aborted_.begin(), aborted_.upper_bound(completed_));
}

void CheckpointReporter::OnAborted(uint64_t checkpoint_id) {
  if (checkpoint_id <= completed_) return;
  aborted_.insert(checkpoint_id);
  savepoints_.erase(checkpoint_id);
  if (aborted_.size() > kMaxAborted) aborted_.erase(aborted_.begin());
}

bool CheckpointReporter::IsForgotten(uint64_t checkpoint_id) const {
  return checkpoint_id <= completed_ || aborted_.count(checkpoint_id) != 0;
}

void CheckpointReporter::SetDirectory(uint64_t checkpoint_id, std::string directory) {
  if (IsForgotten(checkpoint_id)) return;
  Savepoint& savepoint = savepoints_[checkpoint_id];
  savepoint.directory = std::move(directory);
  for (auto& checkpoint : std::exchange(savepoint.waiting, {})) Write(std::move(checkpoint));
  // The oldest are over: one is taken at a time.
  while (savepoints_.size() > kMaxSavepoints) savepoints_.erase(savepoints_.begin());
}

void CheckpointReporter::Write(std::shared_ptr<TaskCheckpoint> checkpoint) {
  if (checkpoint->final && place_.directory.empty()) return;
  if (!checkpoint->final && IsForgotten(checkpoint->barrier.id)) return;
  if (!checkpoint->failed.ok()) {
    const uint64_t id = checkpoint->barrier.id;
    const absl::Status failed = checkpoint->failed;
    return OnWritten(std::move(checkpoint), id, failed, 0);
  }
  SnapshotPlace to = place_;
  to.complete = completed_;
  if (!checkpoint->final && NamesFolder(checkpoint->barrier.kind)) {
    Savepoint& savepoint = savepoints_[checkpoint->barrier.id];
    if (savepoint.directory.empty()) {
      // The barrier was faster than the order.
      savepoint.waiting.push_back(std::move(checkpoint));
      return;
    }
    // What is no savepoint has its place among the job's checkpoints.
    if (IsSavepoint(checkpoint->barrier.kind)) to.savepoint = savepoint.directory;
  }
  env_.RunBlocking([&env = env_, &control = control_, place = std::move(to), graph = graph_,
                    checkpoint = std::move(checkpoint), copies = copies_,
                    done = lifetime_.Guard([this](auto&&... result) {
                      OnWritten(std::forward<decltype(result)>(result)...);
                    })]() mutable {
    const int64_t start = env.clock().MonotonicNanos();
    FileSystem& files = copies == nullptr ? env.files() : *copies;
    auto snapshot = WriteTaskSnapshot(files, place, *graph, *checkpoint);
    if (copies != nullptr && snapshot.ok() && place.savepoint.empty()) {
      std::vector<std::string> names;
      for (const proto::StateFile& file : snapshot->files()) names.push_back(file.name());
      copies->Note(checkpoint->final ? 0 : checkpoint->barrier.id, checkpoint->vertex,
                   checkpoint->subtask, names);
    }
    const int64_t nanos = env.clock().MonotonicNanos() - start;
    const uint64_t id = checkpoint->final ? 0 : checkpoint->barrier.id;
    control.Post([done = std::move(done), checkpoint = std::move(checkpoint), id,
                  snapshot = std::move(snapshot), nanos]() mutable {
      done(std::move(checkpoint), id, std::move(snapshot), nanos);
    });
  });
}

void CheckpointReporter::OnWritten(std::shared_ptr<TaskCheckpoint> checkpoint,
                                   uint64_t checkpoint_id,
                                   absl::StatusOr<proto::TaskSnapshot> snapshot,
                                   int64_t async_nanos) {
  const uint32_t vertex = checkpoint->vertex;
  const uint32_t subtask = checkpoint->subtask;
  if (!snapshot.ok() && checkpoint->final) {
    // There will be no other of this task, and no checkpoint without it.
    warn_(StrCat("the last state of subtask ", subtask, " of vertex ", vertex,
                 " could not be written and is written again: ", snapshot.status().message()));
    control_.PostAfter(kLastRetry, lifetime_.Guard([this, checkpoint] { Write(checkpoint); }));
    return;
  }
  auto request = std::make_shared<proto::AcknowledgeCheckpointRequest>();
  request->set_job_id(JobIdBytes(worker_.job));
  request->set_attempt(worker_.attempt);
  request->set_worker_index(worker_.index);
  request->set_region_attempt(place_.attempt);
  request->set_checkpoint_id(checkpoint_id);
  if (snapshot.ok()) {
    *request->mutable_snapshot() = *std::move(snapshot);
    request->mutable_snapshot()->set_async_nanos(async_nanos);
  } else {
    request->mutable_snapshot()->set_vertex(vertex);
    request->mutable_snapshot()->set_subtask(subtask);
    request->mutable_snapshot()->set_final(checkpoint_id == 0);
    request->mutable_declined()->set_code(static_cast<int32_t>(snapshot.status().code()));
    request->mutable_declined()->set_message(
        StrCat("the state of subtask ", subtask, " of vertex ", vertex,
               " could not be written: ", snapshot.status().message()));
  }
  if (request->snapshot().final()) finals_.push_back(request);
  Send(std::move(request), kFirstRetry);
}

void CheckpointReporter::TellAgain() {
  for (const auto& final : finals_) Send(final, kFirstRetry);
}

void CheckpointReporter::Send(std::shared_ptr<const proto::AcknowledgeCheckpointRequest> request,
                              absl::Duration retry) {
  if (request->checkpoint_id() != 0 && IsForgotten(request->checkpoint_id())) return;
  acknowledge_(*request, lifetime_.GuardConst([this, request, retry](const absl::Status& status) {
    if (status.ok() || (status.code() != absl::StatusCode::kUnavailable &&
                        status.code() != absl::StatusCode::kDeadlineExceeded)) {
      // Refused: what that means is decided where heartbeats are refused as well.
      return;
    }
    control_.PostAfter(retry, lifetime_.GuardConst([this, request, retry] {
      Send(request, std::min(2 * retry, kLastRetry));
    }));
  }));
}

}  // namespace weir

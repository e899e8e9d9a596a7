#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/env/sim/sim_random.h"
#include "jobmanager/checkpoint/testing/model_store.h"
#include "proto/control.pb.h"

namespace weir::jobmanager {

// The tasks of one attempt of TestGraph as a model of the runtime: two sources that count their
// records, and two subtasks that get the records of both, in order with the barriers. What a task
// holds is how many records it has seen, told as the watermark of its first node; so a checkpoint
// is a consistent cut iff what each of the latter holds is the sum of what the sources hold.
class ModelTasks {
 public:
  using Send = std::function<void(proto::AcknowledgeCheckpointRequest)>;

  // `restored` may be null.
  ModelTasks(SimRandom& random, ModelStore& store, uint32_t attempt,
             const proto::CheckpointMetadata* restored, Send send)
      : random_(random), store_(store), attempt_(attempt), send_(std::move(send)) {
    if (restored == nullptr) return;
    for (int i = 0; i < 2; ++i) {
      const proto::SubtaskState& source = restored->operators(2).subtasks(i);
      sources_[i].position = source.watermark();
      sources_[i].ended = source.finished();
      for (const uint32_t file : restored->operators(0).subtasks(i).files()) {
        const std::string& name = restored->files(static_cast<int>(file)).name();
        if (IsShared(name)) shared_[i].push_back(name);
      }
    }
  }

  // What had ended before tells so again.
  void Start() {
    for (uint32_t i = 0; i < 2; ++i) {
      if (sources_[i].ended) TellFinal(0, i, sources_[i].position, 0);
    }
    EndDownstream();
  }

  void OnTrigger(uint32_t source, uint64_t id, const std::string& directory) {
    Source& s = sources_[source];
    if (s.ended || id <= s.last_barrier) return;
    s.last_barrier = id;
    Barrier& barrier = barriers_[id];
    barrier.directory = directory;
    barrier.at[source] = s.position;
    Tell(id, 0, source, s.position, directory);
    Align();
  }

  void Advance(double end_probability) {
    for (uint32_t i = 0; i < 2; ++i) {
      if (sources_[i].ended) continue;
      sources_[i].position += random_.Between(0, 100);
      if (random_.Chance(end_probability)) End(i);
    }
  }
  bool AllEnded() const { return downstream_ended_; }
  void End(uint32_t source) {
    Source& s = sources_[source];
    if (s.ended) return;
    s.ended = true;
    TellFinal(0, source, s.position, s.last_barrier);
    Align();
    EndDownstream();
  }

 private:
  struct Source {
    int64_t position = 0;
    bool ended = false;
    uint64_t last_barrier = 0;
  };
  struct Barrier {
    std::optional<int64_t> at[2];
    std::string directory;
  };

  // The end of a channel counts as its barrier (rule 41); a higher one aborts a lower (rule 42).
  void Align() {
    for (auto it = barriers_.begin(); it != barriers_.end();) {
      const auto& [id, barrier] = *it;
      int64_t sum = 0;
      bool all = true;
      bool overtaken = false;
      for (int i = 0; i < 2; ++i) {
        if (barrier.at[i].has_value()) {
          sum += *barrier.at[i];
        } else {
          all = all && sources_[i].ended && sources_[i].last_barrier < id;
          overtaken = overtaken || sources_[i].last_barrier > id;
          sum += sources_[i].position;
        }
      }
      if (!all && !overtaken) return;
      downstream_barrier_ = id;
      for (uint32_t i = 0; i < 2 && all; ++i) Tell(id, 1, i, sum, barrier.directory);
      it = barriers_.erase(it);
    }
  }

  void EndDownstream() {
    if (!sources_[0].ended || !sources_[1].ended || downstream_ended_) return;
    downstream_ended_ = true;
    for (uint32_t i = 0; i < 2; ++i) {
      TellFinal(1, i, sources_[0].position + sources_[1].position, downstream_barrier_);
    }
  }

  proto::AcknowledgeCheckpointRequest Make(uint32_t vertex, uint32_t subtask, int64_t position) {
    proto::AcknowledgeCheckpointRequest request;
    request.set_attempt(attempt_);
    request.set_worker_index(subtask);
    proto::TaskSnapshot& snapshot = *request.mutable_snapshot();
    snapshot.set_vertex(vertex);
    snapshot.set_subtask(subtask);
    auto* held = snapshot.add_operators();
    held->set_node(vertex);
    held->set_watermark(position);
    if (vertex == 0) return request;
    // Some of the last snapshot's shared files, and perhaps a new one.
    std::vector<std::string>& shared = shared_[subtask];
    std::erase_if(shared, [this](const std::string&) { return random_.Chance(0.3); });
    if (random_.Chance(0.7)) {
      shared.push_back("shared/" + std::to_string(attempt_) + "-" + std::to_string(++last_file_));
      store_.shared.emplace(shared.back(), attempt_);
    }
    for (const std::string& name : shared) AddFile(request, name);
    return request;
  }
  static void AddFile(proto::AcknowledgeCheckpointRequest& request, const std::string& name) {
    proto::TaskSnapshot& snapshot = *request.mutable_snapshot();
    snapshot.mutable_operators(0)->add_files(static_cast<uint32_t>(snapshot.files_size()));
    snapshot.add_files()->set_name(name);
  }

  void Tell(uint64_t id, uint32_t vertex, uint32_t subtask, int64_t position,
            const std::string& directory) {
    proto::AcknowledgeCheckpointRequest request = Make(vertex, subtask, position);
    request.set_checkpoint_id(id);
    // Perhaps after the folder was deleted: then it is there again, without metadata.
    const std::string name =
        "state-" + std::to_string(vertex) + "-" + std::to_string(subtask) + ".state";
    ModelStore::Folder& folder = store_.folders[directory];
    folder.id = id;
    folder.attempt = attempt_;
    folder.files.insert(name);
    AddFile(request, name);
    if (random_.Chance(0.01)) {
      request.mutable_declined()->set_code(static_cast<int>(absl::StatusCode::kInternal));
    }
    send_(std::move(request));
  }
  void TellFinal(uint32_t vertex, uint32_t subtask, int64_t position, uint64_t last_barrier) {
    proto::AcknowledgeCheckpointRequest request = Make(vertex, subtask, position);
    request.mutable_snapshot()->set_final(true);
    request.mutable_snapshot()->set_last_barrier(last_barrier);
    send_(std::move(request));
  }

  SimRandom& random_;
  ModelStore& store_;
  const uint32_t attempt_;
  const Send send_;
  Source sources_[2];
  std::map<uint64_t, Barrier> barriers_;
  uint64_t downstream_barrier_ = 0;
  bool downstream_ended_ = false;
  std::vector<std::string> shared_[2];
  uint64_t last_file_ = 0;
};

}  // namespace weir::jobmanager

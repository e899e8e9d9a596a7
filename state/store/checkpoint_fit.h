#pragma once

#include <string>
#include <vector>

namespace weir {

namespace proto {
class CheckpointMetadata;
class JobGraph;
}  // namespace proto

// How the state of a checkpoint goes together with a job that is to start from it, state by state.
struct StateFit {
  enum class Kind {
    kFits,
    kNew,      // the job has it and the checkpoint does not: it begins empty
    kDropped,  // the checkpoint has it and the job does not: it would be lost
    kRefused,  // the job cannot start from it
  };
  // Empty: of the job as a whole.
  std::string uid;
  // Empty: of the operator as a whole.
  std::string state;
  Kind kind = Kind::kFits;
  // Why it is refused or dropped; of others, the type.
  std::string text;

  // "operator 'count', state 'sum'"
  std::string Where() const;
};

// By uid and name: first what concerns the whole job. Both have been validated
// (ValidateCheckpointMetadata, ValidateJobGraph). Parallelism may differ. Pure.
std::vector<StateFit> FitState(const proto::CheckpointMetadata& metadata,
                               const proto::JobGraph& graph);

}  // namespace weir

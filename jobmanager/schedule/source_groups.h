#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace weir::jobmanager {

// How far the sources of a job have come that wait for each other, by what its workers report
// (semantics rule 29). Belongs to one attempt of a job and is not kept: the next leader hears it
// from the workers.
class SourceGroups {
 public:
  // By group: the least watermark of its active sources, or INT64_MAX if none is active.
  using Progress = std::map<std::string, int64_t>;

  // A worker that has not reported for `forget_after_nanos` counts no more: what was slow there is
  // over or was started elsewhere.
  explicit SourceGroups(int64_t forget_after_nanos) : forget_after_nanos_(forget_after_nanos) {}

  // Takes what a worker of `attempt` says and returns what all have said, of its groups. Nothing at
  // first, until every worker has had the time to report.
  Progress Report(uint32_t attempt, uint32_t worker, Progress progress, int64_t now_nanos);

 private:
  struct Reported {
    Progress progress;
    int64_t at_nanos = 0;
  };
  const int64_t forget_after_nanos_;
  uint32_t attempt_ = 0;
  int64_t first_at_nanos_ = 0;
  std::map<uint32_t, Reported> workers_;
};

}  // namespace weir::jobmanager

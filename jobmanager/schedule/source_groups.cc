#include "jobmanager/schedule/source_groups.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace weir::jobmanager {
namespace {

// Workers report several times within it.
constexpr int64_t kListenNanos = 300'000'000;

}  // namespace

SourceGroups::Progress SourceGroups::Report(uint32_t attempt, uint32_t worker, Progress progress,
                                            int64_t now_nanos) {
  if (attempt != attempt_ || workers_.empty()) {
    attempt_ = attempt;
    workers_.clear();
    first_at_nanos_ = now_nanos;
  }
  workers_[worker] = {progress, now_nanos};
  std::erase_if(workers_, [&](const auto& entry) {
    return now_nanos - entry.second.at_nanos > forget_after_nanos_;
  });
  if (now_nanos - first_at_nanos_ < kListenNanos) return {};
  for (auto& [group, least] : progress) {
    for (const auto& [index, reported] : workers_) {
      const auto found = reported.progress.find(group);
      if (found != reported.progress.end()) least = std::min(least, found->second);
    }
  }
  return progress;
}

}  // namespace weir::jobmanager

#include "runtime/time/source_alignment.h"

#include <algorithm>
#include <utility>

namespace weir {

std::shared_ptr<SourceAlignment::Member> SourceAlignment::Join(const std::string& group,
                                                               Ticks max_drift,
                                                               std::function<void()> wake) {
  auto member = std::make_shared<Member>(max_drift, std::move(wake));
  groups_[group].push_back(member);
  return member;
}

SourceAlignment::Progress SourceAlignment::Report() {
  Progress progress;
  for (auto it = groups_.begin(); it != groups_.end();) {
    std::erase_if(it->second, [](const auto& member) { return member.expired(); });
    if (it->second.empty()) {
      it = groups_.erase(it);
      continue;
    }
    Ticks least = kMaxTicks;
    for (const auto& weak : it->second) {
      if (const auto member = weak.lock(); member != nullptr) {
        least = std::min(least, member->watermark_.load(std::memory_order_relaxed));
      }
    }
    progress.emplace(it->first, least);
    ++it;
  }
  return progress;
}

void SourceAlignment::Apply(const Progress& progress) {
  for (const auto& [group, least] : progress) {
    const auto found = groups_.find(group);
    if (found == groups_.end()) continue;
    for (const auto& weak : found->second) {
      const auto member = weak.lock();
      if (member == nullptr) continue;
      Ticks limit = kMaxTicks;
      if (__builtin_add_overflow(least, member->max_drift_, &limit)) limit = kMaxTicks;
      const Ticks former = member->limit_.exchange(limit, std::memory_order_relaxed);
      if (limit > former) member->wake_();
    }
  }
}

}  // namespace weir

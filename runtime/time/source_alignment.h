#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "weir/time.h"

namespace weir {

// How far the sources of this process have come that wait for those of their group, and how far
// they may go (semantics rule 29). Somebody carries what Report says to where the reports of all
// processes of the job are, and what comes of them back to Apply: both regularly, a lost one does
// not matter. What is told late is too low, so that it never lets anybody go too far.
//
// Owned by the control executor of the process, as are Join and the end of a member; members are
// set by the threads of their tasks.
class SourceAlignment {
 public:
  // One source subtask. It holds the group back from its first watermark on, and no longer when it
  // is idle or has ended.
  class Member {
   public:
    Member(Ticks max_drift, std::function<void()> wake)
        : max_drift_(max_drift), wake_(std::move(wake)) {}

    // Its least watermark over splits that are not idle.
    void SetActive(Ticks watermark) { watermark_.store(watermark, std::memory_order_relaxed); }
    void SetInactive() { watermark_.store(kMaxTicks, std::memory_order_relaxed); }
    // Splits with a greater watermark are not to be read. kMinTicks until something has been heard
    // of the group.
    Ticks limit() const { return limit_.load(std::memory_order_relaxed); }
    // The same for one split of several, where the source itself is at `watermark`: the group is no
    // further, whether that has been heard or not.
    Ticks LimitOfSplit(Ticks watermark) const {
      Ticks of_source = kMaxTicks;
      if (__builtin_add_overflow(watermark, max_drift_, &of_source)) of_source = kMaxTicks;
      return std::min(limit(), of_source);
    }

   private:
    friend class SourceAlignment;
    const Ticks max_drift_;
    const std::function<void()> wake_;
    // kMaxTicks: it holds nothing back.
    std::atomic<Ticks> watermark_{kMaxTicks};
    std::atomic<Ticks> limit_{kMinTicks};
  };
  // The least watermark of the active members of a group; kMaxTicks: none is active.
  using Progress = std::map<std::string, Ticks>;

  // `wake` has the task look at its limit again; called on the control executor while the member
  // is there.
  std::shared_ptr<Member> Join(const std::string& group, Ticks max_drift,
                               std::function<void()> wake);
  // Of the groups that have members here.
  Progress Report();
  // What all processes have reported together; groups that it does not name stay as they are.
  void Apply(const Progress& progress);

 private:
  std::map<std::string, std::vector<std::weak_ptr<Member>>> groups_;
};

}  // namespace weir

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/base/id.h"

namespace weir::jobmanager {

// One worker process of one execution of a job: what holds slots.
struct SlotOwner {
  JobId job;
  uint32_t attempt = 0;
  // Its index.
  uint32_t worker = 0;
  friend auto operator<=>(const SlotOwner&, const SlotOwner&) = default;
};

// Slots of one worker process on one task manager.
struct SlotShare {
  TaskManagerId task_manager;
  uint32_t slots = 0;
  friend bool operator==(const SlotShare&, const SlotShare&) = default;
};

// Which slots exist and who holds them. A slot is held from Allocate until Release, or until its
// task manager is removed. Deterministic: the same calls give the same shares. Pure; owned by one
// executor.
class SlotPool {
 public:
  void Add(const TaskManagerId& id, std::string name, uint32_t slots);
  void Remove(const TaskManagerId& id);

  // All `slots` or none. `preferred` names task managers where slots are taken first, one for each
  // mention, as far as there are free ones. Each other slot goes to the task manager with the
  // smallest part of its slots used; of several such, the first by name. The first share belongs to
  // `first`, the others to the workers with the indexes after it; an owner has one share.
  std::optional<std::vector<SlotShare>> Allocate(const SlotOwner& first, uint32_t slots,
                                                 const std::vector<TaskManagerId>& preferred = {});
  // Takes back what `owner` held there under a job manager before. Does nothing if it holds some
  // already, or the task manager is not there.
  void Hold(const SlotOwner& owner, const TaskManagerId& id, uint32_t slots);
  // Gives back what `owner` holds there. Does nothing if it holds none or the task manager is gone.
  void Release(const SlotOwner& owner, const TaskManagerId& id);

  uint32_t total() const;
  uint32_t free() const;
  uint32_t free_on(const TaskManagerId& id) const;
  size_t task_managers() const { return members_.size(); }
  // "needs 4 slots, 2 are free on 1 task manager": for people.
  std::string DescribeLack(uint32_t needed) const;

 private:
  struct Member {
    std::string name;
    uint32_t slots = 0;
    uint32_t used = 0;
    std::map<SlotOwner, uint32_t> held;
  };
  using Members = std::map<TaskManagerId, Member>;
  Members::value_type& LeastUsed();

  Members members_;
};

}  // namespace weir::jobmanager

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/id.h"
#include "common/env/env.h"
#include "jobmanager/schedule/slot_pool.h"

namespace weir::proto {
class RegisterTaskManagerRequest;
}

namespace weir::jobmanager {

inline constexpr size_t kMaxTaskManagers = 4'096;

struct TaskManagerRecord {
  TaskManagerId id;
  std::string name;
  std::string address;
  std::string version;
  uint32_t slots = 0;
  std::shared_ptr<RemotePeer> agent;
  int64_t last_heard_nanos = 0;
  int64_t last_heard_unix_micros = 0;
};

// The task managers that are registered, and their slots. Owned by the dispatcher's executor.
class TaskManagers {
 public:
  explicit TaskManagers(Env& env) : env_(env) {}

  // kFailedPrecondition: of another version; kInvalidArgument: not a task manager that can be;
  // kResourceExhausted.
  absl::Status Check(const proto::RegisterTaskManagerRequest& request) const;
  // Adds it, or takes what a known one says anew. `request` has passed Check.
  const TaskManagerRecord& Register(const proto::RegisterTaskManagerRequest& request);
  // The one that was registered at `address` under another id: its process is over, for another
  // listens there now. Null if there is none.
  const TaskManagerRecord* FindOther(const std::string& address, const TaskManagerId& id) const;
  const TaskManagerRecord* Find(const TaskManagerId& id) const;
  void Heard(const TaskManagerId& id);
  void Remove(TaskManagerId id);
  // Those of which nothing was heard for `timeout`.
  std::vector<TaskManagerId> Silent(absl::Duration timeout) const;
  // Nobody's silence until now counts.
  void ForgiveSilence();

  SlotPool& slots() { return slots_; }
  const SlotPool& slots() const { return slots_; }
  // By name.
  std::vector<const TaskManagerRecord*> All() const;

 private:
  Env& env_;
  std::map<TaskManagerId, TaskManagerRecord> records_;
  SlotPool slots_;
};

}  // namespace weir::jobmanager

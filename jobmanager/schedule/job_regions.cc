#include <map>
#include <utility>

#include "jobmanager/schedule/phase_internal.h"

// What a job knows of its pipelined regions, and of the workers that their tasks are in.
namespace weir::jobmanager {

void JobCore::KeepRegions() {
  record.clear_worker_of_slot();
  record.clear_region_attempts();
  record.clear_last_attempt();
  record.set_region_restarts(region_restarts);
  if (last_attempt == attempt) return;
  for (const uint32_t worker : worker_of_slot) record.add_worker_of_slot(worker);
  for (uint32_t i = 0; i < graph.regions().count(); ++i) {
    record.add_region_attempts(graph.AttemptOf(i));
  }
  record.set_last_attempt(last_attempt);
}

void JobCore::AddWorkers(const std::vector<SlotShare>& shares, const std::vector<uint32_t>& slots,
                         const std::vector<TaskManagerId>& preferred) {
  const size_t first = workers.size();
  std::map<TaskManagerId, std::pair<uint32_t, uint32_t>> left;  // worker, slots
  for (const SlotShare& share : shares) {
    WorkerRecord& worker = workers.emplace_back();
    worker.index = static_cast<uint32_t>(workers.size() - 1);
    worker.task_manager = share.task_manager;
    worker.task_manager_name = surroundings.TaskManagerName(share.task_manager);
    worker.agent_address = surroundings.TaskManagerAddress(share.task_manager);
    worker.slots = share.slots;
    left[share.task_manager] = {worker.index, share.slots};
  }
  std::vector<uint32_t> others;
  for (size_t i = 0; i < slots.size(); ++i) {
    const auto share = i < preferred.size() ? left.find(preferred[i]) : left.end();
    if (share == left.end() || share->second.second == 0) {
      others.push_back(slots[i]);
      continue;
    }
    --share->second.second;
    worker_of_slot.at(slots[i]) = share->second.first;
  }
  auto next = others.begin();
  for (size_t i = first; i < workers.size(); ++i) {
    uint32_t& free = left.at(workers[i].task_manager).second;
    for (; free > 0; --free) worker_of_slot.at(*next++) = workers[i].index;
  }
}

std::vector<TaskManagerId> JobCore::PreferredFor(const std::vector<uint32_t>& slots) const {
  std::vector<TaskManagerId> preferred;
  if (!spec.policies.local_recovery) return preferred;
  for (const uint32_t slot : slots) {
    const bool running = slot < worker_of_slot.size() && worker_of_slot[slot] < workers.size();
    if (running) {
      preferred.push_back(workers[worker_of_slot[slot]].task_manager);
    } else if (slot < last_places.size()) {
      preferred.push_back(last_places[slot]);
    }
  }
  return preferred;
}

void JobCore::Strike(const std::set<uint32_t>& regions) {
  if (!struck.has_value()) struck.emplace();
  struck->insert(regions.begin(), regions.end());
}

void JobCore::StrikeWorker(const WorkerRecord& worker) {
  std::set<uint32_t> hit = graph.RegionsOn(worker.index);
  const size_t all = hit.size();
  std::erase_if(hit, [this](uint32_t region) { return IsOver(region); });
  if (hit.size() < all) record.set_ended_region_lost(true);
  Strike(hit);
}

std::vector<std::pair<uint32_t, uint32_t>> JobCore::TaskIdsOf(
    const std::set<uint32_t>& regions) const {
  std::vector<std::pair<uint32_t, uint32_t>> ids;
  for (const ExecutionGraph::Place& task : graph.TasksOf(regions)) {
    ids.emplace_back(task.vertex, task.subtask);
  }
  return ids;
}

bool JobCore::IsOver(uint32_t region) const {
  return graph.AllFinishedIn(region) && checkpoints->coordinator().HoldsEndOf(TaskIdsOf({region}));
}

std::vector<CheckpointCoordinator::ReplacedTask> JobCore::ReplacedTasks(
    const std::set<uint32_t>& regions) const {
  std::vector<CheckpointCoordinator::ReplacedTask> tasks;
  for (const ExecutionGraph::Place& task : graph.TasksOf(regions)) {
    tasks.push_back({task.vertex, task.subtask, task.worker});
  }
  return tasks;
}

}  // namespace weir::jobmanager

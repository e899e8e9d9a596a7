#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/base/id.h"
#include "jobmanager/checkpoint/checkpoint_statistics.h"
#include "jobmanager/schedule/execution_graph.h"

namespace weir::proto {
class JobGraph;
class TaskReport;
}  // namespace weir::proto

namespace weir::jobmanager {

// What is shown of a job. Immutable.
struct JobSnapshot {
  JobId id;
  std::string name;
  proto::JobState state;
  uint32_t attempt = 0;
  uint32_t full_restarts = 0;
  uint32_t region_restarts = 0;
  int64_t submitted_unix_micros = 0;
  // 0 while it runs.
  int64_t ended_unix_micros = 0;
  int64_t changed_unix_micros = 0;
  // By JobState: when it was entered, or 0.
  std::vector<int64_t> state_times_unix_micros;
  std::shared_ptr<const proto::JobGraph> graph;
  // By vertex and subtask.
  std::vector<proto::TaskReport> tasks;
  std::vector<TaskRates> rates;
  // Name of the task manager of each task; empty where it has none yet.
  std::vector<std::string> task_managers;
  // Never null.
  std::shared_ptr<const CheckpointsView> checkpoints;
  // As the setting state.backend names it.
  std::string state_backend;

  JobSnapshot();
  ~JobSnapshot();
};

// What is shown of the cluster, at one moment. Made by the dispatcher, read by any thread.
// Immutable.
struct ClusterSnapshot {
  struct TaskManager {
    TaskManagerId id;
    std::string name;
    std::string address;
    uint32_t slots_total = 0;
    uint32_t slots_free = 0;
    int64_t last_heartbeat_unix_micros = 0;
  };

  uint64_t leader_epoch = 0;
  int64_t taken_unix_micros = 0;
  int64_t started_unix_micros = 0;
  std::vector<TaskManager> task_managers;
  // Newest last.
  std::vector<std::shared_ptr<const JobSnapshot>> jobs;
};

}  // namespace weir::jobmanager

#include "common/config/options.h"
#include "jobmanager/dispatch/dispatcher.h"
#include "proto/control.pb.h"

namespace weir::jobmanager {

JobSnapshot::JobSnapshot()
    : state(proto::CREATED), checkpoints(std::make_shared<const CheckpointsView>()) {}
JobSnapshot::~JobSnapshot() = default;

std::shared_ptr<const JobSnapshot> Dispatcher::SnapshotOf(const Job& job) {
  auto snapshot = std::make_shared<JobSnapshot>();
  snapshot->id = job.spec().id;
  snapshot->name = job.spec().name;
  snapshot->state = job.state();
  snapshot->attempt = job.attempt();
  snapshot->full_restarts = job.full_restarts();
  snapshot->region_restarts = job.region_restarts();
  snapshot->submitted_unix_micros = job.spec().submitted_unix_micros;
  snapshot->ended_unix_micros = job.ended_unix_micros();
  snapshot->changed_unix_micros = job.changed_unix_micros();
  snapshot->state_times_unix_micros = job.StateTimesUnixMicros();
  snapshot->graph = job.spec().graph;
  job.execution().FillReports(true, snapshot->tasks);
  snapshot->rates = job.execution().Rates();
  const std::vector<Job::WorkerPlace> places = job.Workers();
  for (uint32_t worker : job.execution().Workers()) {
    snapshot->task_managers.push_back(worker < places.size() ? places[worker].task_manager_name
                                                             : std::string());
  }
  snapshot->checkpoints = job.Checkpoints();
  snapshot->state_backend = options::kStateBackend.default_value;
  // The job's own settings go before those of the cluster.
  for (const auto* settings : {&job.spec().cluster_settings, &job.spec().settings}) {
    const auto found = settings->find(std::string(options::kStateBackend.key));
    if (found != settings->end()) snapshot->state_backend = found->second;
  }
  return snapshot;
}

void Dispatcher::Publish() {
  changed_ = false;
  if (!options_.publish) return;
  auto snapshot = std::make_shared<ClusterSnapshot>();
  snapshot->leader_epoch = leader_epoch_;
  snapshot->taken_unix_micros = absl::ToUnixMicros(env_.clock().Now());
  snapshot->started_unix_micros = started_unix_micros_;
  for (const TaskManagerRecord* record : task_managers_.All()) {
    snapshot->task_managers.push_back({record->id, record->name, record->address, record->slots,
                                       task_managers_.slots().free_on(record->id),
                                       record->last_heard_unix_micros});
  }
  for (const auto& entry : entries_) {
    if (entry->snapshot == nullptr) entry->snapshot = SnapshotOf(*entry->job);
    snapshot->jobs.push_back(entry->snapshot);
  }
  options_.publish(std::move(snapshot));
}

}  // namespace weir::jobmanager

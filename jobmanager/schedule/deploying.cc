#include "jobmanager/schedule/deployment_internal.h"
#include "jobmanager/schedule/phase_internal.h"

namespace weir::jobmanager {
namespace {

// All workers of the attempt are started and make their tasks; over when these run.
class Deploying final : public Phase {
 public:
  explicit Deploying(JobCore& core)
      : Phase(core), deployment_(core, {}, Bind([this] {
                                   JobCore& job = core_;
                                   job.GoTo(MakeRunning(job));
                                 })) {}

  proto::JobState state() const override { return proto::DEPLOYING; }
  void Enter() override { deployment_.Begin(); }
  void OnWorkerRegistered(WorkerRecord& worker) override { deployment_.OnWorkerRegistered(worker); }

 protected:
  void OnLeave() override { deployment_.End(); }

 private:
  Deployment deployment_;
};

}  // namespace

std::unique_ptr<Phase> MakeDeploying(JobCore& core) { return std::make_unique<Deploying>(core); }

}  // namespace weir::jobmanager

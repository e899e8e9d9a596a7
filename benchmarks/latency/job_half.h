#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "benchmarks/lib/no_connectors.h"
#include "common/env/env.h"
#include "proto/control.pb.h"
#include "proto/job_graph.pb.h"
#include "runtime/job_runtime.h"
#include "transport/exchange/exchange.h"
#include "weir/graph.h"

namespace weir::bench {

// One of the two workers of a job, with what a worker process has: its exchange, its task thread
// and its half of the job's subtasks. The source is on worker 0, all else on worker 1. A half lives
// for one run of the job: Start, then Wait. Used by one thread.
class JobHalf {
 public:
  // Listens; `env` outlives it.
  JobHalf(Env& env, uint32_t worker_index);
  ~JobHalf();
  JobHalf(const JobHalf&) = delete;
  JobHalf& operator=(const JobHalf&) = delete;

  const std::string& address() const { return exchange_->address(); }
  // `definition` outlives the half.
  absl::Status Start(const JobDefinition& definition, const std::string& address_of_other);
  // Until all subtasks here have ended; the first failure, if any.
  absl::Status Wait();
  // Of all operators here: of records, timestamps and message headers, without frames.
  uint64_t bytes_out() const;

 private:
  void OnChange();
  // Runs `call` on the control executor and waits for it.
  void OnControl(const std::function<void()>& call);

  Env& env_;
  const uint32_t worker_index_;
  const NoConnectors connectors_;
  const std::unique_ptr<Executor> control_;
  std::unique_ptr<Exchange> exchange_;
  proto::JobGraph graph_;
  proto::DeploymentPlan plan_;
  // Of the control executor.
  std::unique_ptr<JobRuntime> runtime_;
  bool over_ = false;
  std::promise<absl::Status> ended_;
};

}  // namespace weir::bench

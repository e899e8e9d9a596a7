#include "benchmarks/latency/job_half.h"

#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "sdk/host/plugin_host.h"

namespace weir::bench {

JobHalf::JobHalf(Env& env, uint32_t worker_index)
    : env_(env), worker_index_(worker_index), control_(env.NewExecutor("control")) {
  ExchangeOptions options;
  options.job = JobId(1, 2);
  options.attempt = 1;
  options.worker_index = worker_index;
  auto exchange = MakeExchange(env, "localhost:0", options);
  WEIR_CHECK(exchange.ok());
  exchange_ = *std::move(exchange);
}

JobHalf::~JobHalf() {
  OnControl([this] { runtime_.reset(); });
  control_->Shutdown();
}

void JobHalf::OnControl(const std::function<void()>& call) {
  std::promise<void> done;
  control_->Post([&] {
    call();
    done.set_value();
  });
  done.get_future().wait();
}

absl::Status JobHalf::Start(const JobDefinition& definition, const std::string& address_of_other) {
  if (!definition.errors.empty()) return absl::InvalidArgumentError(definition.errors.front());
  WEIR_ASSIGN_OR_RETURN(
      graph_,
      BuildJobGraph(definition, {.job_name = "latency", .parallelism = 1, .max_parallelism = 128}));
  for (uint32_t i = 0; i < 2; ++i) {
    auto* worker = plan_.add_workers();
    worker->set_index(i);
    worker->set_exchange_address(i == worker_index_ ? address() : address_of_other);
  }
  for (const proto::Vertex& vertex : graph_.vertices()) {
    auto* placement = plan_.add_vertices();
    placement->set_vertex(vertex.id());
    // In topological order: the first is the source.
    for (uint32_t i = 0; i < vertex.parallelism(); ++i) {
      placement->add_workers(vertex.id() == 0 ? 0 : 1);
    }
  }
  if (graph_.vertices_size() < 2) {
    return absl::InternalError("source and window are one task: nothing is left to measure");
  }
  RuntimeOptions options;
  options.worker_index = worker_index_;
  absl::Status status;
  OnControl([&] {
    auto made = JobRuntime::Make(env_, *control_, definition, graph_, plan_, connectors_,
                                 exchange_.get(), options, [this] { OnChange(); });
    status = made.status();
    if (!status.ok()) return;
    runtime_ = *std::move(made);
    runtime_->Start();
  });
  return status;
}

void JobHalf::OnChange() {
  if (over_ || runtime_ == nullptr) return;
  absl::Status failure;
  bool all_finished = true;
  for (const proto::TaskReport& task : runtime_->Report()) {
    if (task.state() == proto::TASK_FAILED) failure = absl::InternalError(task.failure().message());
    all_finished &= task.state() == proto::TASK_FINISHED;
  }
  if (!all_finished && failure.ok()) return;
  over_ = true;
  ended_.set_value(failure);
}

absl::Status JobHalf::Wait() { return ended_.get_future().get(); }

uint64_t JobHalf::bytes_out() const {
  uint64_t bytes = 0;
  for (const proto::TaskReport& task : runtime_->Report()) {
    for (const proto::OperatorMetrics& metrics : task.operators()) bytes += metrics.bytes_out();
  }
  return bytes;
}

}  // namespace weir::bench

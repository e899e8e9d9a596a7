#include <algorithm>
#include <memory>
#include <utility>

#include "common/base/strings.h"
#include "jobmanager/dispatch/dispatcher.h"
#include "proto/control.pb.h"

namespace weir::jobmanager {
namespace {

constexpr uint32_t kDefaultLines = 100;
constexpr uint32_t kMaxLines = 100'000;
// Of all workers' logs in one answer.
constexpr size_t kMaxLogBytes = kMaxControlMessageBytes - (256 << 10);

// Answers from several workers, gathered until the last one is there.
struct Gathering {
  proto::JobLogsResponse response;
  size_t open = 0;
  size_t max_bytes_each = 0;
  TypedResponder<proto::JobLogsResponse> respond;

  void Take(int index, std::string text) {
    // The end is what matters; cut at a line.
    if (text.size() > max_bytes_each) {
      text.erase(0, text.size() - max_bytes_each);
      text.erase(0, text.find('\n') + 1);
    }
    response.mutable_logs(index)->set_text(std::move(text));
    if (--open == 0) respond(std::move(response));
  }
};

}  // namespace

void Dispatcher::JobLogs(const proto::JobLogsRequest& request,
                         TypedResponder<proto::JobLogsResponse> respond) {
  absl::StatusOr<Job*> job = FindJob(request.job_id());
  if (!job.ok()) return respond(job.status());
  const std::vector<Job::WorkerPlace> places = (*job)->Workers();
  if (places.empty()) return respond(proto::JobLogsResponse());
  auto gathering = std::make_shared<Gathering>();
  gathering->open = places.size();
  gathering->max_bytes_each = kMaxLogBytes / places.size();
  gathering->respond = std::move(respond);
  for (const Job::WorkerPlace& place : places) {
    auto* log = gathering->response.add_logs();
    log->set_task_manager(place.task_manager_name);
    log->set_worker(place.index);
  }
  for (int i = 0; i < static_cast<int>(places.size()); ++i) {
    const Job::WorkerPlace& place = places[static_cast<size_t>(i)];
    std::shared_ptr<RemotePeer> agent = Agent(place.task_manager);
    if (agent == nullptr) {
      gathering->Take(
          i, StrCat("(not available: task manager '", place.task_manager_name, "' is lost)\n"));
      continue;
    }
    proto::WorkerLogRequest log;
    log.set_leader_epoch(leader_epoch_);
    log.set_job_id(request.job_id());
    log.set_worker_index(place.index);
    log.set_max_lines(request.max_lines() == 0 ? kDefaultLines
                                               : std::min(request.max_lines(), kMaxLines));
    TypedCall<proto::WorkerLogRequest, proto::WorkerLogResponse>(
        *agent, "/weir.TaskManager/WorkerLog", log, options_.schedule.call_timeout, &executor_,
        [gathering, i](absl::StatusOr<proto::WorkerLogResponse> response) {
          gathering->Take(
              i, response.ok()
                     ? std::move(*response->mutable_text())
                     : StrCat("(not available: ", ToStd(response.status().message()), ")\n"));
        });
  }
}

}  // namespace weir::jobmanager

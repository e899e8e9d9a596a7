#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace weir {

class JsonWriter;

namespace proto {
class ClusterInfoResponse;
class Failure;
class JobStatusResponse;
class ListJobsResponse;
}  // namespace proto

// Jobs for people and for programs. What comes from the job manager is shown as far as it makes
// sense; nothing of it can crash or disturb a terminal. All pure.

bool IsTerminalState(int job_state);
std::string JobStateName(int job_state);

std::string JobListText(const proto::ListJobsResponse& jobs,
                        const proto::ClusterInfoResponse& cluster, int64_t now_micros);
std::string JobListJson(const proto::ListJobsResponse& jobs,
                        const proto::ClusterInfoResponse& cluster);

// Head, failure, a table of the operators, and metrics of the user's own where there are any.
// `color` marks states.
std::string JobStatusText(const proto::JobStatusResponse& status, int64_t now_micros, bool color);
std::string JobStatusJson(const proto::JobStatusResponse& status);

// "operator 'count', subtask 1 of tm-1: SIGSEGV ...", then the stack, a frame a line.
std::string FailureText(const proto::Failure& failure);

// Records in and out of each operator, for rates between two looks at a job.
struct JobProgress {
  struct Operator {
    std::string uid;
    uint64_t in = 0;
    uint64_t out = 0;
    bool is_source = false;
    bool is_sink = false;
  };
  std::vector<Operator> operators;
  int64_t at_nanos = 0;

  static JobProgress Of(const proto::JobStatusResponse& status, int64_t at_nanos);
};
// "RUNNING 12.0 s  clicks 1.2 M/s > count 1.2 M/s > out 120/s": what each operator takes in (a
// source: gives out), cut to `width` columns (0: not at all).
std::string ProgressLine(const proto::JobStatusResponse& status, const JobProgress& before,
                         const JobProgress& now, int64_t now_micros, size_t width);
// "FINISHED after 12.3 s: 1,234,567 records read, 120 written".
std::string SummaryLine(const proto::JobStatusResponse& status, int64_t now_micros);

}  // namespace weir

#include "client/cli/job_commands.h"

#include <utility>

#include "client/cli/checkpoint_text.h"
#include "client/cli/job_text.h"
#include "client/cli/json_writer.h"
#include "client/cli/text_format.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/control.pb.h"
#include "proto/validate/job_graph.h"

namespace weir {
namespace {

// An unreachable job manager is an error within five seconds.
constexpr absl::Duration kCallTimeout = absl::Milliseconds(4500);
constexpr absl::Duration kShortestPoll = absl::Milliseconds(50);
constexpr absl::Duration kLongestPoll = absl::Milliseconds(500);
constexpr absl::Duration kLineInterval = absl::Seconds(5);
// For a job manager that is being started again.
constexpr absl::Duration kPatience = absl::Minutes(5);

// The lines of one wait. Refreshed in place on a terminal.
class ProgressLines {
 public:
  explicit ProgressLines(CliContext& context) : context_(context) {}
  ~ProgressLines() {
    if (shown_) context_.err("\r\x1b[K");
  }
  // A line that stays.
  void Say(const std::string& text) {
    context_.err(StrCat(shown_ ? "\r\x1b[K" : "", text, "\n"));
    shown_ = false;
  }
  void Show(const proto::JobStatusResponse& status) {
    const int64_t now = context_.env->clock().MonotonicNanos();
    const int state = status.summary().state();
    const bool changed = state != state_ || status.waiting_for() != waiting_for_;
    const absl::Duration since = absl::Nanoseconds(now - last_.at_nanos);
    if (!changed && since < (context_.err_is_terminal ? kLongestPoll : kLineInterval)) return;
    JobProgress progress = JobProgress::Of(status, now);
    const std::string line = ProgressLine(status, last_, progress, NowMicros(context_),
                                          context_.err_is_terminal ? context_.width : 0);
    if (context_.err_is_terminal) {
      context_.err(StrCat("\r", line, "\x1b[K"));
      shown_ = true;
    } else {
      context_.err(line + "\n");
    }
    state_ = state;
    waiting_for_ = status.waiting_for();
    last_ = std::move(progress);
  }

 private:
  CliContext& context_;
  JobProgress last_;
  int state_ = -1;
  std::string waiting_for_;
  bool shown_ = false;
};

}  // namespace

int64_t NowMicros(CliContext& context) { return absl::ToUnixMicros(context.env->clock().Now()); }

bool UseColor(const CliContext& context) {
  const auto no_color = context.environment.find("NO_COLOR");
  return context.out_is_terminal &&
         (no_color == context.environment.end() || no_color->second.empty());
}

std::unique_ptr<Session> OpenSession(CliContext& context, const CliOptions& options) {
  return std::make_unique<Session>(
      *context.env, ClientOptions{.address = options.job_manager, .timeout = kCallTimeout});
}

absl::StatusOr<JobId> ResolveJob(Session& session, const std::string& text) {
  if (auto id = JobId::Parse(text); id.ok()) return id;
  WEIR_ASSIGN_OR_RETURN(const auto jobs, session.Call<proto::ListJobsResponse>(
                                             [](JobManagerClient& client, auto done) {
                                               client.ListJobs(std::move(done));
                                             }));
  return FindJob(jobs, text);
}

absl::StatusOr<proto::JobStatusResponse> FetchStatus(Session& session, JobId job) {
  WEIR_ASSIGN_OR_RETURN(
      auto status, session.Call<proto::JobStatusResponse>([&](JobManagerClient& client, auto done) {
        client.JobStatus(job, std::move(done));
      }));
  // A job that could not be taken up has neither.
  if (!status.has_graph() && status.tasks_size() == 0) return status;
  if (absl::Status valid = ValidateJobGraph(status.graph()); !valid.ok()) {
    return absl::InternalError(
        StrCat("the job manager's answer makes no sense; is it of another version? ",
               ToStd(valid.message())));
  }
  return status;
}

absl::StatusOr<proto::JobStatusResponse> WaitForEnd(CliContext& context, Session& session,
                                                    JobId job) {
  ProgressLines lines(context);
  absl::Duration poll = kShortestPoll;
  bool silent = false;
  int64_t silent_since_nanos = 0;
  while (true) {
    auto status = FetchStatus(session, job);
    const int64_t now = context.env->clock().MonotonicNanos();
    if (status.ok()) {
      if (std::exchange(silent, false)) lines.Say("the job manager answers again");
      if (IsTerminalState(status->summary().state())) return status;
      lines.Show(*status);
    } else if (!absl::IsUnavailable(status.status())) {
      return status;
    } else if (!std::exchange(silent, true)) {
      silent_since_nanos = now;
      lines.Say(StrCat(ToStd(status.status().message()), "; waiting for it for up to ",
                       absl::FormatDuration(kPatience), ", the job may run on meanwhile"));
    } else if (absl::Nanoseconds(now - silent_since_nanos) >= kPatience) {
      return status;
    }
    session.Wait(poll);
    poll = std::min(2 * poll, kLongestPoll);
  }
}

ExitCode RunList(CliContext& context, const CliOptions& options) {
  auto session = OpenSession(context, options);
  auto jobs = session->Call<proto::ListJobsResponse>(
      [](JobManagerClient& client, auto done) { client.ListJobs(std::move(done)); });
  if (!jobs.ok()) return ShowCallError(context, options, jobs.status());
  auto cluster = session->Call<proto::ClusterInfoResponse>(
      [](JobManagerClient& client, auto done) { client.ClusterInfo(std::move(done)); });
  if (!cluster.ok()) return ShowCallError(context, options, cluster.status());
  context.out(options.json ? JobListJson(*jobs, *cluster)
                           : JobListText(*jobs, *cluster, NowMicros(context)));
  return ExitCode::kOk;
}

ExitCode RunStatus(CliContext& context, const CliOptions& options) {
  auto session = OpenSession(context, options);
  auto job = ResolveJob(*session, options.target);
  if (!job.ok()) return ShowCallError(context, options, job.status());
  auto status = FetchStatus(*session, *job);
  if (!status.ok()) return ShowCallError(context, options, status.status());
  context.out(options.json ? JobStatusJson(*status)
                           : JobStatusText(*status, NowMicros(context), UseColor(context)));
  return status->summary().state() == proto::FAILED ? ExitCode::kJobSaysNo : ExitCode::kOk;
}

ExitCode RunLogs(CliContext& context, const CliOptions& options) {
  auto session = OpenSession(context, options);
  auto job = ResolveJob(*session, options.target);
  if (!job.ok()) return ShowCallError(context, options, job.status());
  auto logs = session->Call<proto::JobLogsResponse>([&](JobManagerClient& client, auto done) {
    client.JobLogs(*job, options.lines, std::move(done));
  });
  if (!logs.ok()) return ShowCallError(context, options, logs.status());
  if (options.json) {
    JsonWriter json;
    json.BeginObject().Key("logs").BeginArray();
    for (const auto& log : logs->logs()) {
      json.BeginObject();
      json.Key("task_manager").String(log.task_manager());
      json.Key("worker").Uint(log.worker());
      json.Key("text").String(log.text());
      json.EndObject();
    }
    json.EndArray().EndObject();
    context.out(json.Finish());
    return ExitCode::kOk;
  }
  for (const auto& log : logs->logs()) {
    if (logs->logs_size() > 1) {
      context.out(
          StrCat("==> worker ", log.worker(), " on ", Harmless(log.task_manager()), " <==\n"));
    }
    const std::string text = Harmless(log.text());
    context.out(text);
    if (!text.empty() && text.back() != '\n') context.out("\n");
  }
  if (logs->logs_size() == 0) context.err("the job has no workers, and no logs, yet\n");
  return ExitCode::kOk;
}

ExitCode RunCancel(CliContext& context, const CliOptions& options) {
  auto session = OpenSession(context, options);
  auto job = ResolveJob(*session, options.target);
  if (!job.ok()) return ShowCallError(context, options, job.status());
  auto answer = session->Call<proto::CancelJobResponse>(
      [&](JobManagerClient& client, auto done) { client.CancelJob(*job, std::move(done)); });
  if (!answer.ok()) return ShowCallError(context, options, answer.status());
  int state = answer->state();
  if (options.wait) {
    auto status = WaitForEnd(context, *session, *job);
    if (!status.ok()) return ShowCallError(context, options, status.status());
    state = status->summary().state();
  }
  if (options.json) {
    JsonWriter json;
    json.BeginObject()
        .Key("job_id")
        .String(job->ToString())
        .Key("state")
        .String(JobStateName(state))
        .EndObject();
    context.out(json.Finish());
  } else {
    context.out(StrCat(job->ToString(), " ", JobStateName(state), "\n"));
  }
  return ExitCode::kOk;
}

ExitCode RunCheckpoints(CliContext& context, const CliOptions& options) {
  auto session = OpenSession(context, options);
  auto job = ResolveJob(*session, options.target);
  if (!job.ok()) return ShowCallError(context, options, job.status());
  auto checkpoints =
      session->Call<proto::JobCheckpointsResponse>([&](JobManagerClient& client, auto done) {
        client.JobCheckpoints(*job, options.checkpoint.value_or(0), std::move(done));
      });
  if (!checkpoints.ok()) return ShowCallError(context, options, checkpoints.status());
  context.out(options.json         ? CheckpointsJson(*checkpoints)
              : options.checkpoint ? CheckpointText(*checkpoints)
                                   : CheckpointsText(*checkpoints));
  return ExitCode::kOk;
}

}  // namespace weir

#include <algorithm>
#include <string>
#include <utility>

#include "client/cli/commands.h"
#include "client/cli/job_commands.h"
#include "client/cli/job_text.h"
#include "client/cli/json_writer.h"
#include "client/cli/text_format.h"
#include "common/base/strings.h"
#include "proto/control.pb.h"

namespace weir {
namespace {

constexpr absl::Duration kShortestPoll = absl::Milliseconds(20);
constexpr absl::Duration kLongestPoll = absl::Milliseconds(500);
// What is done sooner needs no progress.
constexpr absl::Duration kQuiet = absl::Seconds(2);
constexpr absl::Duration kLineInterval = absl::Seconds(5);

bool IsOver(const proto::SavepointProgress& progress) {
  return progress.state() == proto::SavepointProgress::COMPLETED ||
         progress.state() == proto::SavepointProgress::FAILED;
}

std::string ProgressText(const proto::SavepointProgress& progress, int64_t now_micros) {
  const std::string span =
      FormatSpan(std::max<int64_t>(now_micros - progress.begun_unix_micros(), 0));
  if (progress.state() == proto::SavepointProgress::WAITING) {
    return StrCat("the savepoint waits for another checkpoint, ", span);
  }
  return StrCat("savepoint ", progress.checkpoint_id(), ": ", progress.acknowledged(), " of ",
                progress.total(), " subtasks, ", FormatBytes(progress.bytes()), ", ", span);
}

// The lines of one wait, refreshed in place on a terminal.
class SavepointLines {
 public:
  explicit SavepointLines(CliContext& context)
      : context_(context), begun_nanos_(context.env->clock().MonotonicNanos()) {}
  ~SavepointLines() {
    if (shown_ && context_.err_is_terminal) context_.err("\r\x1b[K");
  }
  void Show(const proto::SavepointProgress& progress) {
    const int64_t now = context_.env->clock().MonotonicNanos();
    if (absl::Nanoseconds(now - begun_nanos_) < kQuiet) return;
    const std::string line = ProgressText(progress, NowMicros(context_));
    if (context_.err_is_terminal) {
      context_.err(StrCat("\r", line, "\x1b[K"));
    } else if (!shown_ || absl::Nanoseconds(now - last_nanos_) >= kLineInterval) {
      context_.err(line + "\n");
      last_nanos_ = now;
    }
    shown_ = true;
  }

 private:
  CliContext& context_;
  const int64_t begun_nanos_;
  int64_t last_nanos_ = 0;
  bool shown_ = false;
};

// Asks for the savepoint and waits until it is over. A job manager that does not answer is asked
// again for a while: the id makes it the same savepoint.
absl::StatusOr<proto::SavepointProgress> TakeSavepoint(CliContext& context, Session& session,
                                                       const SavepointRequest& request) {
  SavepointLines lines(context);
  absl::Duration poll = kShortestPoll;
  bool begun = false;
  for (int failed = 0;;) {
    auto progress =
        session.Call<proto::SavepointProgress>([&](JobManagerClient& client, auto done) {
          if (begun) {
            client.SavepointStatus(request.job, request.trigger, std::move(done));
          } else {
            client.TriggerSavepoint(request, std::move(done));
          }
        });
    if (progress.ok()) {
      failed = 0;
      begun = true;
      if (IsOver(*progress)) return progress;
      lines.Show(*progress);
    } else if (!absl::IsUnavailable(progress.status()) || ++failed == kMaxFailedPolls) {
      return progress;
    }
    session.Wait(poll);
    poll = std::min(2 * poll, kLongestPoll);
  }
}

void WriteSavepoint(const JobId& job, const proto::SavepointProgress& progress, JsonWriter& json) {
  json.Key("job_id").String(job.ToString());
  json.Key("savepoint").String(progress.directory());
  json.Key("checkpoint_id").Uint(progress.checkpoint_id());
  json.Key("bytes").Uint(progress.bytes());
  json.Key("duration_ms")
      .Int(std::max<int64_t>(progress.ended_unix_micros() - progress.begun_unix_micros(), 0) /
           1000);
}

SavepointRequest MakeRequest(CliContext& context, const CliOptions& options, JobId job,
                             SavepointRequest::Then then) {
  return {.job = job,
          .trigger = TriggerId(context.env->random().Next(), context.env->random().Next()),
          .directory = options.directory,
          .then = then};
}

ExitCode ShowFailure(CliContext& context, const CliOptions& options,
                     const proto::SavepointProgress& progress, std::string_view job_is) {
  const auto code = static_cast<absl::StatusCode>(progress.failure().code());
  return ShowError(context, options,
                   absl::Status(code == absl::StatusCode::kOk ? absl::StatusCode::kUnknown : code,
                                StrCat("no savepoint was taken: ", progress.failure().message(),
                                       job_is.empty() ? "" : "\n", job_is)),
                   ExitCode::kJobSaysNo);
}

// What the job does after a stop that did not come about.
std::string JobAfterFailure(Session& session, JobId job) {
  const auto status = FetchStatus(session, job);
  if (!status.ok()) return "";
  const int state = status->summary().state();
  if (IsTerminalState(state)) return StrCat("The job is ", JobStateName(state), ".");
  if (state == proto::RUNNING) return "The job goes on.";
  return StrCat("The job is ", JobStateName(state),
                ", and goes on from its latest checkpoint if its restart strategy says so.");
}

}  // namespace

ExitCode RunSavepoint(CliContext& context, const CliOptions& options) {
  auto session = OpenSession(context, options);
  auto job = ResolveJob(*session, options.target);
  if (!job.ok()) return ShowCallError(context, options, job.status());
  auto progress = TakeSavepoint(context, *session,
                                MakeRequest(context, options, *job, SavepointRequest::Then::kGoOn));
  if (!progress.ok()) return ShowCallError(context, options, progress.status());
  if (progress->state() == proto::SavepointProgress::FAILED) {
    return ShowFailure(context, options, *progress, "");
  }
  if (options.json) {
    JsonWriter json;
    json.BeginObject();
    WriteSavepoint(*job, *progress, json);
    json.EndObject();
    context.out(json.Finish());
  } else {
    context.out(progress->directory() + "\n");
  }
  return ExitCode::kOk;
}

ExitCode RunStop(CliContext& context, const CliOptions& options) {
  if (!options.with_savepoint) {
    return ShowError(context, options,
                     absl::InvalidArgumentError(
                         "stop takes a savepoint: give --savepoint; 'jobctl cancel' ends a job "
                         "without one"),
                     ExitCode::kUsage);
  }
  auto session = OpenSession(context, options);
  auto job = ResolveJob(*session, options.target);
  if (!job.ok()) return ShowCallError(context, options, job.status());
  auto progress = TakeSavepoint(context, *session,
                                MakeRequest(context, options, *job,
                                            options.drain ? SavepointRequest::Then::kDrainAndStop
                                                          : SavepointRequest::Then::kStop));
  if (!progress.ok()) return ShowCallError(context, options, progress.status());
  if (progress->state() == proto::SavepointProgress::FAILED) {
    return ShowFailure(context, options, *progress, JobAfterFailure(*session, *job));
  }
  if (!options.json) context.out(progress->directory() + "\n");
  auto end = WaitForEnd(context, *session, *job);
  if (!end.ok()) return ShowCallError(context, options, end.status());
  const int state = end->summary().state();
  if (options.json) {
    JsonWriter json;
    json.BeginObject();
    WriteSavepoint(*job, *progress, json);
    json.Key("state").String(JobStateName(state));
    json.EndObject();
    context.out(json.Finish());
  }
  if (state == proto::FINISHED) return ExitCode::kOk;
  context.err(
      StrCat("jobctl: the savepoint is complete, but the job ended ", JobStateName(state), "\n"));
  return ExitCode::kJobSaysNo;
}

}  // namespace weir

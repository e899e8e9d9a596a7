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
#include "proto/job_graph.pb.h"

namespace weir {
namespace {

constexpr absl::Duration kShortestPoll = absl::Milliseconds(20);
constexpr absl::Duration kLongestPoll = absl::Milliseconds(500);
// What is done sooner needs no progress.
constexpr absl::Duration kQuiet = absl::Seconds(2);

bool IsOver(const proto::RescaleProgress& progress) {
  return progress.state() == proto::RescaleProgress::COMPLETED ||
         progress.state() == proto::RescaleProgress::FAILED;
}

std::string_view StepText(const proto::RescaleProgress& progress) {
  switch (progress.state()) {
    case proto::RescaleProgress::PREPARING:
      return "the job runs; it is asked what it is at the new parallelism";
    case proto::RescaleProgress::STOPPING:
      return "the job stops and writes its state";
    default:
      return "the job starts at the new parallelism";
  }
}

// The job manager that was asked is no more: what has come of it the job itself says.
absl::StatusOr<proto::RescaleProgress> AskTheJob(Session& session, const RescaleRequest& request,
                                                 const absl::Status& unknown) {
  auto status = FetchStatus(session, request.job);
  if (!status.ok()) return status.status();
  proto::RescaleProgress progress;
  progress.set_to_parallelism(request.parallelism);
  progress.set_state(proto::RescaleProgress::STARTING);
  const int state = status->summary().state();
  const bool has_it = status->graph().default_parallelism() == request.parallelism;
  if (has_it && state == proto::RUNNING) {
    progress.set_state(proto::RescaleProgress::COMPLETED);
  } else if (IsTerminalState(state) || (!has_it && state == proto::RUNNING)) {
    progress.set_state(proto::RescaleProgress::FAILED);
    progress.mutable_failure()->set_code(static_cast<int>(unknown.code()));
    progress.mutable_failure()->set_message(std::string(unknown.message()));
  }
  return progress;
}

// Asks for it and waits until it is over. A job manager that does not answer is asked again for a
// while: the id makes it the same change.
absl::StatusOr<proto::RescaleProgress> Rescale(CliContext& context, Session& session,
                                               const RescaleRequest& request) {
  const int64_t begun_nanos = context.env->clock().MonotonicNanos();
  absl::Duration poll = kShortestPoll;
  int last_state = 0;
  bool begun = false;
  for (int failed = 0;;) {
    auto progress = session.Call<proto::RescaleProgress>([&](JobManagerClient& client, auto done) {
      if (begun) {
        client.RescaleStatus(request.job, request.trigger, std::move(done));
      } else {
        client.RescaleJob(request, std::move(done));
      }
    });
    if (begun && absl::IsNotFound(progress.status())) {
      progress = AskTheJob(session, request, progress.status());
    }
    if (progress.ok()) {
      failed = 0;
      begun = true;
      if (IsOver(*progress)) return progress;
      const int64_t now = context.env->clock().MonotonicNanos();
      if (absl::Nanoseconds(now - begun_nanos) >= kQuiet && progress->state() != last_state) {
        last_state = progress->state();
        context.err(StrCat(StepText(*progress), "\n"));
      }
    } else if (!absl::IsUnavailable(progress.status()) || ++failed == kMaxFailedPolls) {
      return progress;
    }
    session.Wait(poll);
    poll = std::min(2 * poll, kLongestPoll);
  }
}

}  // namespace

ExitCode RunRescale(CliContext& context, const CliOptions& options) {
  auto session = OpenSession(context, options);
  auto job = ResolveJob(*session, options.target);
  if (!job.ok()) return ShowCallError(context, options, job.status());
  const RescaleRequest request = {
      .job = *job,
      .trigger = TriggerId(context.env->random().Next(), context.env->random().Next()),
      .parallelism = *options.parallelism};
  auto progress = Rescale(context, *session, request);
  if (!progress.ok()) return ShowCallError(context, options, progress.status());
  if (progress->state() == proto::RescaleProgress::FAILED) {
    const auto code = static_cast<absl::StatusCode>(progress->failure().code());
    return ShowError(context, options,
                     absl::Status(code == absl::StatusCode::kOk ? absl::StatusCode::kUnknown : code,
                                  StrCat("the job keeps its parallelism",
                                         progress->from_parallelism() == 0
                                             ? ""
                                             : StrCat(" of ", progress->from_parallelism()),
                                         ": ", progress->failure().message())),
                     ExitCode::kJobSaysNo);
  }
  if (options.json) {
    JsonWriter json;
    json.BeginObject();
    json.Key("job_id").String(job->ToString());
    json.Key("parallelism").Uint(progress->to_parallelism());
    json.Key("former_parallelism").Uint(progress->from_parallelism());
    json.Key("checkpoint_id").Uint(progress->checkpoint_id());
    json.Key("interruption_ms").Int(progress->interruption_micros() / 1000);
    json.EndObject();
    context.out(json.Finish());
  } else {
    context.out(StrCat("parallelism ", progress->to_parallelism(),
                       progress->from_parallelism() == 0
                           ? ""
                           : StrCat(", before ", progress->from_parallelism(), "; interrupted for ",
                                    FormatSpan(progress->interruption_micros())),
                       "\n"));
  }
  return ExitCode::kOk;
}

}  // namespace weir

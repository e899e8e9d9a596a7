#include <string>
#include <utility>

#include "client/cli/commands.h"
#include "client/cli/inspected_job.h"
#include "client/cli/job_commands.h"
#include "client/cli/job_text.h"
#include "client/cli/watermark_text.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/control.pb.h"

namespace weir {
namespace {

constexpr absl::Duration kLookInterval = absl::Seconds(1);

absl::StatusOr<proto::InspectJobResponse> Look(Session& session, JobId job,
                                               const std::string& uid) {
  // Who holds an operator back may be anywhere before it.
  WEIR_ASSIGN_OR_RETURN(
      proto::InspectJobResponse response,
      session.Call<proto::InspectJobResponse>([&](JobManagerClient& client, auto done) {
        client.InspectWatermarks(job, std::move(done));
      }));
  if (!uid.empty()) WEIR_RETURN_IF_ERROR(InspectedJob(response).HasOperator(uid));
  return response;
}

}  // namespace

ExitCode RunWatermarks(CliContext& context, const CliOptions& options) {
  auto session = OpenSession(context, options);
  auto job = ResolveJob(*session, options.target);
  if (!job.ok()) return ShowCallError(context, options, job.status());
  const std::string& uid = options.operator_uid;
  WatermarkProgress progress(uid);
  for (bool first = true;; first = false) {
    auto response = Look(*session, *job, uid);
    if (!response.ok()) {
      if (first || !absl::IsFailedPrecondition(response.status())) {
        return ShowCallError(context, options, response.status());
      }
      // It has ended, or is started again.
      context.err(StrCat("jobctl: ", ToStd(response.status().message()), "\n"));
      auto status = FetchStatus(*session, *job);
      if (!status.ok()) return ShowCallError(context, options, status.status());
      if (IsTerminalState(status->summary().state())) return ExitCode::kOk;
    } else if (options.json) {
      context.out(WatermarksJson(*response, uid));
    } else if (options.follow) {
      context.out(progress.Next(*response));
    } else {
      context.out(uid.empty() ? WatermarksText(*response) : OperatorWatermarksText(*response, uid));
    }
    if (!options.follow) return ExitCode::kOk;
    session->Wait(kLookInterval);
  }
}

}  // namespace weir

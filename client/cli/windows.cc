#include <string>
#include <utility>

#include "client/cli/commands.h"
#include "client/cli/job_commands.h"
#include "client/cli/windows_text.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/control.pb.h"

namespace weir {
namespace {

absl::StatusOr<proto::InspectJobResponse> Ask(Session& session, JobId job, const std::string& uid,
                                              uint32_t limit) {
  return session.Call<proto::InspectJobResponse>([&](JobManagerClient& client, auto done) {
    client.InspectWindows(job, uid, limit, std::move(done));
  });
}

absl::StatusOr<proto::InspectJobResponse> Look(Session& session, JobId job, const std::string& uid,
                                               uint32_t limit) {
  absl::StatusOr<proto::InspectJobResponse> response = Ask(session, job, uid, limit);
  const bool unknown = absl::IsNotFound(response.status());
  if (!response.ok() && !unknown) return response.status();
  if (!unknown && MayHaveWindows(*response, uid)) return response;
  // One of each operator tells which have some.
  WEIR_ASSIGN_OR_RETURN(const proto::InspectJobResponse all, Ask(session, job, "", 1));
  const std::string with_windows = OperatorsWithWindows(all);
  return absl::NotFoundError(StrCat(
      unknown ? "the job has no operator '" : "there are no windows in the operator '", uid, "'; ",
      with_windows.empty() ? std::string("no operator of the job has windows")
                           : StrCat("those with windows: ", with_windows)));
}

}  // namespace

ExitCode RunWindows(CliContext& context, const CliOptions& options) {
  auto session = OpenSession(context, options);
  auto job = ResolveJob(*session, options.target);
  if (!job.ok()) return ShowCallError(context, options, job.status());
  const std::string& uid = options.operator_uid;
  auto response = Look(*session, *job, uid, options.limit);
  if (!response.ok()) return ShowCallError(context, options, response.status());
  context.out(options.json ? WindowsJson(*response, uid, options.limit)
                           : WindowsText(*response, uid, options.limit));
  return ExitCode::kOk;
}

}  // namespace weir

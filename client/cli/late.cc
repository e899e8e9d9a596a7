#include <string>
#include <utility>

#include "client/cli/commands.h"
#include "client/cli/inspected_job.h"
#include "client/cli/job_commands.h"
#include "client/cli/late_text.h"
#include "proto/control.pb.h"

namespace weir {

ExitCode RunLate(CliContext& context, const CliOptions& options) {
  auto session = OpenSession(context, options);
  auto job = ResolveJob(*session, options.target);
  if (!job.ok()) return ShowCallError(context, options, job.status());
  // Of all operators: who moved a watermark may be anywhere before.
  auto response =
      session->Call<proto::InspectJobResponse>([&](JobManagerClient& client, auto done) {
        client.InspectLateRecords(*job, std::move(done));
      });
  const std::string& uid = options.operator_uid;
  absl::Status status = response.status();
  if (status.ok() && !uid.empty()) status = InspectedJob(*response).HasOperator(uid);
  if (!status.ok()) return ShowCallError(context, options, status);
  context.out(options.json ? LateRecordsJson(*response, uid) : LateRecordsText(*response, uid));
  return ExitCode::kOk;
}

}  // namespace weir

#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "client/cli/cli.h"
#include "client/cli/commands.h"
#include "client/cli/session.h"

namespace weir {

namespace proto {
class JobStatusResponse;
}

std::unique_ptr<Session> OpenSession(CliContext& context, const CliOptions& options);
// FindJob, asking the job manager for its jobs unless `text` is a whole id.
absl::StatusOr<JobId> ResolveJob(Session& session, const std::string& text);
// With a graph that has been validated.
absl::StatusOr<proto::JobStatusResponse> FetchStatus(Session& session, JobId job);

// Waits until the job has ended and shows on standard error how far it is: one refreshed line on a
// terminal, otherwise a line at each change of state and every few seconds. A job manager that does
// not answer is asked again for a while.
absl::StatusOr<proto::JobStatusResponse> WaitForEnd(CliContext& context, Session& session,
                                                    JobId job);

constexpr int kMaxFailedPolls = 6;

// Of the wall clock.
int64_t NowMicros(CliContext& context);
bool UseColor(const CliContext& context);

}  // namespace weir

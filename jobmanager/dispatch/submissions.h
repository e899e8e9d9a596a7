#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/lifetime.h"
#include "common/env/env.h"
#include "jobmanager/dispatch/blob_store.h"
#include "jobmanager/schedule/job.h"

namespace weir::proto {
class SubmitHeader;
}

namespace weir::jobmanager {

// Limits on what a client sends (security_and_ha). Each with the word for it in the error.
inline constexpr size_t kMaxSubmitChunkBytes = 1 << 20;
inline constexpr size_t kMaxSettingsBytes = 1 << 20;
inline constexpr size_t kMaxSubmissionsAtOnce = 32;

// Checks all that a client claims about a job; the plugin's bytes are checked as they come.
absl::Status ValidateSubmitHeader(const proto::SubmitHeader& header);

// The stream /weir.JobManager/Submit: takes a header, checks it, takes the plugin unless it is
// known, and hands the job over. What a job is to start from is read and checked before anything of
// the plugin is taken. A client that goes away before `end` leaves nothing behind; one
// that is silent for `idle_timeout` is cut off. Several clients may send the same plugin at once.
//
// Owned by the IO executor (it writes files), on which the streams' callbacks run too.
class Submissions {
 public:
  // Called on the IO executor with a job whose blob is there and pinned once for it. `done` comes
  // once, on any thread; with an error the pin is taken back.
  using Done = std::function<void(absl::StatusOr<JobId>)>;
  using Accept = std::function<void(JobSpec, Done done)>;

  // `files`: where savepoints are read that jobs start from.
  Submissions(Executor& io, FileSystem& files, BlobStore& blobs, Accept accept,
              absl::Duration idle_timeout = absl::Minutes(1));
  ~Submissions();

  // A ServerMethods::StreamHandler.
  absl::StatusOr<StreamCallbacks> Open(std::shared_ptr<MessageStream> stream);
  size_t active() const { return sessions_.size(); }

 private:
  class Session;

  Executor& io_;
  FileSystem& files_;
  BlobStore& blobs_;
  const Accept accept_;
  const absl::Duration idle_timeout_;
  std::map<uint64_t, std::unique_ptr<Session>> sessions_;
  uint64_t last_session_ = 0;
  Lifetime lifetime_;
};

}  // namespace weir::jobmanager

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace weir {

// Something that a sink has written and made durable, and that nobody sees before it is committed: a finished file under a
// hidden name, a transaction that is prepared.
struct Committable {
  // As SinkWriter::PrepareCommit made it.
  std::string_view bytes;
  // It may have been committed before: an earlier try did not end well, or an earlier attempt of the job had it too.
  bool again = false;
};

// Makes visible what the writer of a sink has prepared, once the checkpoint that it belongs to is complete. One a subtask.
// Its calls come one at a time from a thread that may block, while the writer goes on on the task's thread. A call that has
// begun is not waited for when the task ends, so it must not use the writer; share what both need.
class Committer {
 public:
  virtual ~Committer() = default;
  // Name and version of how committables are encoded, such as "files.1". What another type left in a checkpoint is refused.
  virtual std::string type() const = 0;
  // Makes all of them visible and that durable, in their order. Blocks. Idempotent: what was committed before is done.
  // kUnavailable, kDeadlineExceeded, kAborted and kResourceExhausted say that it may go well later, or that what came of it
  // is not known: all of them are given again after a while. Any other error fails the job.
  virtual absl::Status Commit(const std::vector<Committable>& committables) = 0;
};

}  // namespace weir

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace weir::proto {
class Failure;
class TaskReport;
class WorkerExitedRequest;
}  // namespace weir::proto

namespace weir::jobmanager {

// How much a failure tells about where it began.
enum class CauseRank {
  // What a peer of the failed part sees: a lost connection, a cancelled call.
  kConsequence = 0,
  // Silence: a worker or task manager that is not heard of.
  kLost = 1,
  // The thing itself: an operator's error, a crash, an exit.
  kCause = 2,
};

// Why one job fails: the first failure of the highest rank. A lost connection does not hide the
// crash behind it, which is often reported a little later; but once a cause is known, no later one
// takes its place. Owned by one executor.
class RootCause {
 public:
  RootCause();
  ~RootCause();
  RootCause(RootCause&&) noexcept;
  RootCause& operator=(RootCause&&) noexcept;

  // True if it was taken.
  bool Offer(const proto::Failure& failure, CauseRank rank);
  bool has_failure() const { return failure_ != nullptr; }
  // Nothing that comes later can take its place.
  bool settled() const { return has_failure() && rank_ == CauseRank::kCause; }
  // Precondition: has_failure().
  const proto::Failure& failure() const { return *failure_; }

 private:
  std::unique_ptr<proto::Failure> failure_;
  CauseRank rank_ = CauseRank::kConsequence;
};

proto::Failure MakeFailure(const absl::Status& status, std::string_view task_manager,
                           int64_t time_unix_micros);
// What an agent says about a worker that ended, completed: signal and exit code in words, the
// place, the time.
proto::Failure FailureOfExit(const proto::WorkerExitedRequest& exit, std::string_view task_manager,
                             int64_t time_unix_micros);

CauseRank RankOf(const proto::Failure& failure);
// A signal that a process sends itself by a fault, not one by which others stop it.
bool IsCrashSignal(int signal);
// "SIGSEGV", or "signal 63".
std::string SignalName(int signal);

}  // namespace weir::jobmanager

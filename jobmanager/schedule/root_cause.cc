#include "jobmanager/schedule/root_cause.h"

#include <csignal>

#include "common/base/check.h"
#include "common/base/strings.h"
#include "proto/control.pb.h"

namespace weir::jobmanager {

RootCause::RootCause() = default;
RootCause::~RootCause() = default;
RootCause::RootCause(RootCause&&) noexcept = default;
RootCause& RootCause::operator=(RootCause&&) noexcept = default;

bool RootCause::Offer(const proto::Failure& failure, CauseRank rank) {
  if (has_failure() && rank <= rank_) return false;
  failure_ = std::make_unique<proto::Failure>(failure);
  rank_ = rank;
  return true;
}

proto::Failure MakeFailure(const absl::Status& status, std::string_view task_manager,
                           int64_t time_unix_micros) {
  proto::Failure failure;
  failure.set_code(static_cast<int>(status.code()));
  failure.set_message(std::string(status.message()));
  failure.set_task_manager(std::string(task_manager));
  failure.set_time_unix_micros(time_unix_micros);
  return failure;
}

proto::Failure FailureOfExit(const proto::WorkerExitedRequest& exit, std::string_view task_manager,
                             int64_t time_unix_micros) {
  proto::Failure failure = exit.failure();
  if (failure.signal() == 0) failure.set_signal(exit.signal());
  if (failure.message().empty()) {
    const std::string worker =
        StrCat("worker ", exit.worker_index(), " on task manager '", task_manager, "'");
    failure.set_message(exit.signal() != 0 ? StrCat(worker, " was ended by signal ", exit.signal(),
                                                    " (", SignalName(exit.signal()), ")")
                                           : StrCat(worker, " exited with code ", exit.exit_code(),
                                                    " before its tasks were done"));
  }
  if (failure.code() == 0) failure.set_code(static_cast<int>(absl::StatusCode::kInternal));
  if (failure.task_manager().empty()) failure.set_task_manager(std::string(task_manager));
  if (failure.time_unix_micros() == 0) failure.set_time_unix_micros(time_unix_micros);
  return failure;
}

CauseRank RankOf(const proto::Failure& failure) {
  if (failure.signal() != 0) return CauseRank::kCause;
  switch (static_cast<absl::StatusCode>(failure.code())) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kAborted:
      return CauseRank::kConsequence;
    default:
      return CauseRank::kCause;
  }
}

bool IsCrashSignal(int signal) {
  return signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE || signal == SIGILL ||
         signal == SIGABRT || signal == SIGSYS || signal == SIGTRAP;
}

std::string SignalName(int signal) {
  switch (signal) {
    case SIGHUP:
      return "SIGHUP";
    case SIGINT:
      return "SIGINT";
    case SIGQUIT:
      return "SIGQUIT";
    case SIGILL:
      return "SIGILL";
    case SIGTRAP:
      return "SIGTRAP";
    case SIGABRT:
      return "SIGABRT";
    case SIGBUS:
      return "SIGBUS";
    case SIGFPE:
      return "SIGFPE";
    case SIGKILL:
      return "SIGKILL";
    case SIGSEGV:
      return "SIGSEGV";
    case SIGPIPE:
      return "SIGPIPE";
    case SIGALRM:
      return "SIGALRM";
    case SIGTERM:
      return "SIGTERM";
    case SIGXCPU:
      return "SIGXCPU";
    case SIGXFSZ:
      return "SIGXFSZ";
    case SIGSYS:
      return "SIGSYS";
    default:
      return StrCat("signal ", signal);
  }
}

}  // namespace weir::jobmanager

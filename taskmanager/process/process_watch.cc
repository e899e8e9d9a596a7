#include "taskmanager/process/process_watch.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "common/base/check.h"
#include "common/base/strings.h"

namespace weir {
namespace {

sigset_t WatchedSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

class PollWatch final : public ProcessWatch {
 public:
  PollWatch(Env& env, Events events, int signal_fd, int stop_fd)
      : events_(std::move(events)),
        signal_fd_(signal_fd),
        stop_fd_(stop_fd),
        executor_(env.NewExecutor("watch")) {
    executor_->Post([this] { Run(); });
  }

  ~PollWatch() override {
    const uint64_t one = 1;
    WEIR_CHECK_EQ(write(stop_fd_, &one, sizeof(one)), static_cast<ssize_t>(sizeof(one)));
    executor_->Shutdown();
    close(signal_fd_);
    close(stop_fd_);
  }

 private:
  void Run() {
    // A negative descriptor is skipped by poll.
    pollfd sources[] = {
        {stop_fd_, POLLIN, 0}, {signal_fd_, POLLIN, 0}, {events_.parent_pipe, POLLIN, 0}};
    for (;;) {
      const int ready = poll(sources, 3, -1);
      if (ready < 0 && errno == EINTR) continue;
      WEIR_CHECK_GT(ready, 0);
      if (sources[0].revents != 0) return;
      if (sources[1].revents != 0) {
        signalfd_siginfo info;
        if (read(signal_fd_, &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
          events_.on_signal(static_cast<int>(info.ssi_signo));
        }
      }
      if (sources[2].revents != 0) {
        sources[2].fd = -1;
        events_.on_parent_gone();
      }
    }
  }

  const Events events_;
  const int signal_fd_;
  const int stop_fd_;
  std::unique_ptr<Executor> executor_;
};

}  // namespace

void ProcessWatch::BlockSignals() {
  const sigset_t signals = WatchedSignals();
  WEIR_CHECK_EQ(pthread_sigmask(SIG_BLOCK, &signals, nullptr), 0);
}

absl::StatusOr<std::unique_ptr<ProcessWatch>> ProcessWatch::Make(Env& env, Events events) {
  const sigset_t signals = WatchedSignals();
  const int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signal_fd < 0) return absl::ErrnoToStatus(errno, "making a signal descriptor");
  const int stop_fd = eventfd(0, EFD_CLOEXEC);
  if (stop_fd < 0) {
    const int error = errno;
    close(signal_fd);
    return absl::ErrnoToStatus(error, "making an event descriptor");
  }
  return std::make_unique<PollWatch>(env, std::move(events), signal_fd, stop_fd);
}

}  // namespace weir

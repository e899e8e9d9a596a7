#include "client/define/define_runner.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"
#include "client/define/define_child.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/define.pb.h"

extern char** environ;

namespace weir {
namespace {

// How long a child that was asked to end may take to write its stack.
constexpr absl::Duration kStackGrace = absl::Seconds(2);
constexpr size_t kMaxAnswerBytes = kMaxDefineMessageBytes + (64 << 10);
constexpr size_t kMaxStackLines = 40;

absl::Status SystemError(std::string_view what) {
  return absl::InternalError(StrCat(what, ": ", std::strerror(errno)));
}

std::string SignalName(int number) {
  const char* name = sigabbrev_np(number);
  return name == nullptr ? StrCat("signal ", number) : StrCat("SIG", name);
}

// One child. Used once, on one thread.
class DefineProcess {
 public:
  explicit DefineProcess(Clock& clock) : clock_(clock) {}
  ~DefineProcess() {
    if (socket_ >= 0) close(socket_);
    if (pid_ > 0) {
      Signal(SIGKILL);
      Reap();
    }
  }
  DefineProcess(const DefineProcess&) = delete;
  DefineProcess& operator=(const DefineProcess&) = delete;

  absl::Status Start(const std::string& executable) {
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
      return SystemError("socketpair failed");
    socket_ = sockets[0];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    // Standard output is jobctl's own, which a script may read.
    posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, sockets[1], kDefineSocket);
    // A group of its own, so that what define() starts can be ended with it; default signals,
    // whatever we ignore.
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    std::string program = executable;
    std::string command = kDefineCommand;
    char* arguments[] = {program.data(), command.data(), nullptr};
    const int error =
        posix_spawn(&pid_, executable.c_str(), &actions, &attributes, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    close(sockets[1]);
    if (error != 0) {
      pid_ = -1;
      errno = error;
      return SystemError(StrCat("starting '", executable, "' failed"));
    }
    return absl::OkStatus();
  }

  // A child that dies while it is written to is seen by its end, not here.
  void SendRequest(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    shutdown(socket_, SHUT_WR);
  }

  // Reads until the child closes its end. False: `timeout` passed first, or it wrote too much.
  bool ReadAnswer(absl::Duration timeout) {
    const int64_t deadline = clock_.MonotonicNanos() + absl::ToInt64Nanoseconds(timeout);
    char buffer[64 << 10];
    while (answer_.size() <= kMaxAnswerBytes) {
      const int64_t left_ms = (deadline - clock_.MonotonicNanos() + 999'999) / 1'000'000;
      if (left_ms <= 0) return false;
      pollfd descriptor{socket_, POLLIN, 0};
      const int ready = poll(&descriptor, 1, static_cast<int>(std::min<int64_t>(left_ms, 60'000)));
      if (ready <= 0) continue;
      const ssize_t n = recv(socket_, buffer, sizeof buffer, 0);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return true;
      answer_.append(buffer, static_cast<size_t>(n));
    }
    return false;
  }

  void Signal(int number) { kill(-pid_, number); }

  // Returns the status that waitpid gives.
  int Reap() {
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return status;
  }

  const std::string& answer() const { return answer_; }

 private:
  Clock& clock_;
  pid_t pid_ = -1;
  int socket_ = -1;
  std::string answer_;
};

// The frames that the child wrote before a signal ended it, a line each, innermost first.
std::string StackText(std::string_view answer) {
  if (answer.empty() || answer[0] != kDefineStackMark) return "";
  std::string text;
  size_t lines = 0;
  for (absl::string_view frame :
       absl::StrSplit(ToAbsl(answer.substr(1)), '\n', absl::SkipEmpty())) {
    if (++lines > kMaxStackLines) return text + "\n    ...";
    text += StrCat("\n    at ", ToStd(frame));
  }
  return text;
}

}  // namespace

absl::StatusOr<proto::DefineResponse> DefineInChild(Clock& clock, const DefineOptions& options,
                                                    const proto::DefineRequest& request) {
  if (request.ByteSizeLong() > kMaxDefineMessageBytes) {
    return absl::InvalidArgumentError(StrCat("the job's arguments have more than ",
                                             kMaxDefineMessageBytes,
                                             " bytes; pass large things in a file"));
  }
  DefineProcess process(clock);
  WEIR_RETURN_IF_ERROR(process.Start(options.executable));
  process.SendRequest(request.SerializeAsString());
  const bool answered = process.ReadAnswer(options.timeout);
  if (!answered) {
    process.Signal(SIGTERM);  // Makes it write where it is.
    process.ReadAnswer(kStackGrace);
    process.Signal(SIGKILL);
    process.Reap();
    return absl::InvalidArgumentError(
        StrCat("define() did not return within ", absl::FormatDuration(options.timeout),
               ": it must only describe the job, not run it (client.define-timeout)",
               StackText(process.answer())));
  }
  // The socket may have been closed by a child that lives on.
  process.Signal(SIGKILL);
  const int status = process.Reap();
  const std::string& answer = process.answer();
  if (!answer.empty() && answer[0] == kDefineResponseMark) {
    proto::DefineResponse response;
    if (!response.ParseFromArray(answer.data() + 1, static_cast<int>(answer.size() - 1))) {
      return absl::InternalError("the child that ran define() gave a malformed answer");
    }
    if (response.code() != 0) {
      return absl::Status(static_cast<absl::StatusCode>(response.code()),
                          ToAbsl(response.message()));
    }
    return response;
  }
  if (WIFSIGNALED(status)) {
    return absl::InvalidArgumentError(
        StrCat("define() crashed with ", SignalName(WTERMSIG(status)), StackText(answer)));
  }
  if (WEXITSTATUS(status) == kDefineProtocolExitCode) {
    return absl::InternalError("the child that runs define() could not read its request");
  }
  return absl::InvalidArgumentError(StrCat("define() ended the process with exit code ",
                                           WEXITSTATUS(status),
                                           ": it must return and only describe the job"));
}

}  // namespace weir

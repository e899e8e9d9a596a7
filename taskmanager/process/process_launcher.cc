#include "taskmanager/process/process_launcher.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/mutex.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "taskmanager/process/output_bound.h"

namespace weir {
namespace {

// How often the output of workers is bounded.
constexpr int kBoundEveryMs = 1000;

// An open descriptor, closed at the end of its scope.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

// A process with the descriptor that stands for it: unlike its number, that cannot come to mean
// another process.
struct Child {
  pid_t pid = 0;
  std::shared_ptr<const Fd> pidfd;
  std::function<void(WorkerExit)> on_exit;
  // Its standard output and error.
  Fd out;
  Fd err;
};

class ChildProcess final : public WorkerProcess {
 public:
  ChildProcess(pid_t pid, std::shared_ptr<const Fd> pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}

  int64_t pid() const override { return pid_; }
  void Terminate() override { Send(SIGTERM); }
  void Kill() override { Send(SIGKILL); }

 private:
  // Fails only if it has ended.
  void Send(int signal) { syscall(SYS_pidfd_send_signal, pidfd_->get(), signal, nullptr, 0); }

  const pid_t pid_;
  const std::shared_ptr<const Fd> pidfd_;
};

// The attributes and descriptor actions of posix_spawn.
class SpawnSetup {
 public:
  SpawnSetup() {
    WEIR_CHECK_EQ(posix_spawnattr_init(&attributes), 0);
    WEIR_CHECK_EQ(posix_spawn_file_actions_init(&actions), 0);
  }
  ~SpawnSetup() {
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
  }
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;

  posix_spawnattr_t attributes;
  posix_spawn_file_actions_t actions;
};

absl::StatusOr<Fd> OpenLog(const std::string& path) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return absl::ErrnoToStatus(errno, StrCat("opening ", path));
  return Fd(fd);
}

// A file in memory with `bytes`, at its beginning.
absl::StatusOr<Fd> MakeParameters(const std::string& bytes) {
  Fd fd(memfd_create("weir-worker-parameters", MFD_CLOEXEC));
  if (fd.get() < 0) return absl::ErrnoToStatus(errno, "making a worker's parameters");
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = write(fd.get(), bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return absl::ErrnoToStatus(errno, "writing a worker's parameters");
    done += static_cast<size_t>(n);
  }
  if (lseek(fd.get(), 0, SEEK_SET) != 0) return absl::ErrnoToStatus(errno, "lseek");
  return fd;
}

// A copy with a number that no dup2 of the child overwrites.
absl::StatusOr<Fd> MoveUp(Fd fd) {
  Fd moved(fcntl(fd.get(), F_DUPFD_CLOEXEC, 10));
  if (moved.get() < 0) return absl::ErrnoToStatus(errno, "duplicating a descriptor");
  return moved;
}

class PosixSpawnLauncher final : public WorkerLauncher {
 public:
  PosixSpawnLauncher(Env& env, std::string program, uint64_t max_output_bytes, Fd wake,
                     Fd pipe_read, Fd pipe_write)
      : program_(std::move(program)),
        max_output_bytes_(max_output_bytes),
        wake_(std::move(wake)),
        pipe_read_(std::move(pipe_read)),
        pipe_write_(std::move(pipe_write)),
        reaper_(env.NewExecutor("reaper")) {
    reaper_->Post([this] { Reap(); });
  }

  ~PosixSpawnLauncher() override {
    {
      MutexLock lock(mutex_);
      ending_ = true;
    }
    Wake();
    reaper_->Shutdown();
  }

  absl::StatusOr<std::unique_ptr<WorkerProcess>> Launch(
      const WorkerSpec& spec, std::function<void(WorkerExit)> on_exit) override {
    WEIR_ASSIGN_OR_RETURN(Fd parameters, MakeParameters(SerializeWorkerSpec(spec)));
    WEIR_ASSIGN_OR_RETURN(parameters, MoveUp(std::move(parameters)));
    WEIR_ASSIGN_OR_RETURN(Fd out, OpenLog(StrCat(spec.directory, "/stdout.log")));
    WEIR_ASSIGN_OR_RETURN(out, MoveUp(std::move(out)));
    WEIR_ASSIGN_OR_RETURN(Fd err, OpenLog(StrCat(spec.directory, "/stderr.log")));
    WEIR_ASSIGN_OR_RETURN(err, MoveUp(std::move(err)));
    WEIR_ASSIGN_OR_RETURN(Child child, Spawn(spec, parameters, out, err));
    child.on_exit = std::move(on_exit);
    child.out = std::move(out);
    child.err = std::move(err);
    auto process = std::make_unique<ChildProcess>(child.pid, child.pidfd);
    {
      MutexLock lock(mutex_);
      added_.push_back(std::move(child));
    }
    Wake();
    return process;
  }

 private:
  absl::StatusOr<Child> Spawn(const WorkerSpec& spec, const Fd& parameters, const Fd& out,
                              const Fd& err) {
    SpawnSetup setup;
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setflags(
        &setup.attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&setup.attributes, 0);
    posix_spawnattr_setsigmask(&setup.attributes, &none);
    posix_spawnattr_setsigdefault(&setup.attributes, &all);
    posix_spawn_file_actions_addopen(&setup.actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&setup.actions, out.get(), STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&setup.actions, err.get(), STDERR_FILENO);
    posix_spawn_file_actions_adddup2(&setup.actions, pipe_read_.get(), kParentPipeFd);
    posix_spawn_file_actions_adddup2(&setup.actions, parameters.get(), kParametersFd);
    posix_spawn_file_actions_addclosefrom_np(&setup.actions, kParametersFd + 1);
    posix_spawn_file_actions_addchdir_np(&setup.actions, spec.directory.c_str());

    std::string shown_name = "taskmanager";
    std::string mode = "--worker";
    std::string job =
        StrCat("--job=", spec.key.ToString());  // for people who look at the processes
    char* arguments[] = {shown_name.data(), mode.data(), job.data(), nullptr};
    Child child;
    if (const int error = posix_spawn(&child.pid, program_.c_str(), &setup.actions,
                                      &setup.attributes, arguments, environ);
        error != 0) {
      return absl::ErrnoToStatus(error, StrCat("starting ", program_, " in ", spec.directory));
    }
    child.pidfd = std::make_shared<Fd>(static_cast<int>(syscall(SYS_pidfd_open, child.pid, 0)));
    if (child.pidfd->get() < 0) {
      const int error = errno;
      kill(-child.pid, SIGKILL);
      waitpid(child.pid, nullptr, 0);
      return absl::ErrnoToStatus(error, "opening a descriptor of the worker");
    }
    return child;
  }

  void Wake() {
    const uint64_t one = 1;
    WEIR_CHECK_EQ(write(wake_.get(), &one, sizeof(one)), static_cast<ssize_t>(sizeof(one)));
  }

  // The reaper's thread: waits for the end of any child, until the launcher's, and bounds what they
  // write meanwhile.
  void Reap() {
    std::vector<Child> children;
    for (;;) {
      std::vector<pollfd> sources{{wake_.get(), POLLIN, 0}};
      for (const Child& child : children) sources.push_back({child.pidfd->get(), POLLIN, 0});
      const int ready = poll(sources.data(), sources.size(), children.empty() ? -1 : kBoundEveryMs);
      if (ready < 0 && errno == EINTR) continue;
      WEIR_CHECK_GE(ready, 0);
      if (ready == 0) {
        for (const Child& child : children) BoundOutput(child);
        continue;
      }
      for (size_t i = children.size(); i > 0; --i) {
        if (sources[i].revents != 0 && Collect(children[i - 1])) {
          children.erase(children.begin() + static_cast<ptrdiff_t>(i) - 1);
        }
      }
      if (sources[0].revents == 0) continue;
      uint64_t count = 0;
      WEIR_CHECK_EQ(read(wake_.get(), &count, sizeof(count)), static_cast<ssize_t>(sizeof(count)));
      MutexLock lock(mutex_);
      if (ending_) return;
      for (Child& child : added_) children.push_back(std::move(child));
      added_.clear();
    }
  }

  // Where the file system cannot, the files grow.
  void BoundOutput(const Child& child) const {
    for (const Fd* file : {&child.out, &child.err}) {
      KeepEndOfFile(file->get(), max_output_bytes_).IgnoreError();  // it is tried again
    }
  }

  bool Collect(Child& child) const {
    siginfo_t info = {};
    const id_t id = static_cast<id_t>(child.pidfd->get());
    if (waitid(P_PIDFD, id, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) {
      return false;
    }
    // What it started ends with it. Before it is reaped: until then the group's number is its own.
    kill(-child.pid, SIGKILL);
    WEIR_CHECK_EQ(waitid(P_PIDFD, id, &info, WEXITED), 0);
    BoundOutput(child);
    WorkerExit exit;
    if (info.si_code == CLD_EXITED) {
      exit.exit_code = info.si_status;
    } else {
      exit.signal = info.si_status;
    }
    child.on_exit(exit);
    return true;
  }

  std::string program_;
  const uint64_t max_output_bytes_;
  const Fd wake_;
  // Both ends: the worker sees the end of the pipe when this process, the only holder of the write
  // end, is gone.
  const Fd pipe_read_;
  const Fd pipe_write_;
  Mutex mutex_;
  std::vector<Child> added_ ABSL_GUARDED_BY(mutex_);
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<Executor> reaper_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<WorkerLauncher>> MakeProcessLauncher(Env& env, std::string program,
                                                                    uint64_t max_output_bytes) {
  Fd wake(eventfd(0, EFD_CLOEXEC));
  int ends[2];
  if (wake.get() < 0 || pipe2(ends, O_CLOEXEC) != 0) {
    return absl::ErrnoToStatus(errno, "making a pipe to workers");
  }
  Fd read_end(ends[0]);
  Fd write_end(ends[1]);
  WEIR_ASSIGN_OR_RETURN(read_end, MoveUp(std::move(read_end)));
  return std::make_unique<PosixSpawnLauncher>(env, std::move(program), max_output_bytes,
                                              std::move(wake), std::move(read_end),
                                              std::move(write_end));
}

}  // namespace weir

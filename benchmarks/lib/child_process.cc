#include "benchmarks/lib/child_process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "common/base/check.h"

extern char** environ;

namespace weir::bench {
namespace {

// False at the end of the file.
bool ReadAll(int fd, void* to, size_t size) {
  for (size_t done = 0; done < size;) {
    const ssize_t n = read(fd, static_cast<char*>(to) + done, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    done += static_cast<size_t>(n);
  }
  return true;
}

bool WriteAll(int fd, const void* from, size_t size) {
  for (size_t done = 0; done < size;) {
    const ssize_t n = write(fd, static_cast<const char*>(from) + done, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    done += static_cast<size_t>(n);
  }
  return true;
}

[[noreturn]] void EndWithoutChild() {
  std::fprintf(stderr, "the other process of the benchmark ended early\n");
  std::exit(1);
}

}  // namespace

ChildProcess::ChildProcess(std::vector<std::string> arguments) {
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  WEIR_CHECK(pipe2(in.data(), O_CLOEXEC) == 0 && pipe2(out.data(), O_CLOEXEC) == 0);
  std::vector<char*> words;
  words.push_back(program_invocation_short_name);
  for (std::string& argument : arguments) words.push_back(argument.data());
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  WEIR_CHECK_EQ(posix_spawn(&pid_, "/proc/self/exe", &actions, nullptr, words.data(), environ), 0);
  posix_spawn_file_actions_destroy(&actions);
  close(in[0]);
  close(out[1]);
  to_ = in[1];
  from_ = out[0];
}

ChildProcess::~ChildProcess() {
  close(to_);
  close(from_);
  int status = 0;
  waitpid(pid_, &status, 0);
}

void ChildProcess::Write(std::string_view bytes) {
  if (!WriteAll(to_, bytes.data(), bytes.size())) EndWithoutChild();
}

void ChildProcess::Read(void* to, size_t size) {
  if (!ReadAll(from_, to, size)) EndWithoutChild();
}

void WriteToParent(const void* bytes, size_t size) {
  // A parent that is gone hears nothing; this process ends with its input.
  if (!WriteAll(STDOUT_FILENO, bytes, size)) std::_Exit(1);
}

bool ReadFromParent(void* to, size_t size) { return ReadAll(STDIN_FILENO, to, size); }

Line Line::Of(std::string_view text) {
  Line line;
  WEIR_CHECK_LT(text.size(), sizeof(line.text));
  std::memcpy(line.text, text.data(), text.size());
  return line;
}

}  // namespace weir::bench

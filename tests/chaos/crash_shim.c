// Loaded into a process with LD_PRELOAD: kills it, as kill -9 does, at a chosen call of the C library.
//
//   WEIR_CRASH_AT=CALL:WHEN:N:PART   CALL is rename, unlink, mkdir, create or sync; WHEN is before or after the call; at the
//                                    N-th call whose path (of rename: the new one) contains PART
//   WEIR_CRASH_MARK=FILE             is made when it happens, with the path in it. If it is there, nothing happens: one of
//                                    all the processes that inherit the variables ends, once.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char call_name[16], when_name[16], part[256];
static atomic_int left;
static int armed;

__attribute__((constructor)) static void Arm(void) {
  const char* at = getenv("WEIR_CRASH_AT");
  int n = 0;
  if (at == NULL || getenv("WEIR_CRASH_MARK") == NULL) return;
  if (sscanf(at, "%15[a-z]:%15[a-z]:%d:%255s", call_name, when_name, &n, part) != 4 || n < 1) {
    fprintf(stderr, "WEIR_CRASH_AT=%s is not CALL:WHEN:N:PART\n", at);
    abort();
  }
  atomic_store(&left, n);
  armed = 1;
}

static void Crash(const char* path) {
  const char* mark = getenv("WEIR_CRASH_MARK");
  const int fd = open(mark, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return;
  dprintf(fd, "%s %s\n", getenv("WEIR_CRASH_AT"), path);
  close(fd);
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

// 1: this is the call, and the end comes after it.
static int Reach(const char* call, const char* path) {
  if (!armed || path == NULL || strcmp(call, call_name) != 0 || strstr(path, part) == NULL) return 0;
  if (atomic_fetch_sub(&left, 1) != 1) return 0;
  if (strcmp(when_name, "before") == 0) Crash(path);
  return strcmp(when_name, "after") == 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int rename(const char* from, const char* to) {
  const int after = Reach("rename", to);
  const int result = REAL(rename)(from, to);
  if (after) Crash(to);
  return result;
}

int unlink(const char* path) {
  const int after = Reach("unlink", path);
  const int result = REAL(unlink)(path);
  if (after) Crash(path);
  return result;
}

// Of a whole folder: `path` is relative to the descriptor.
int unlinkat(int folder, const char* path, int flags) {
  char whole[4096] = "", link[64];
  if (armed && path[0] != '/') {
    snprintf(link, sizeof(link), "/proc/self/fd/%d", folder);
    const ssize_t size = readlink(link, whole, sizeof(whole) - 2);
    whole[size < 0 ? 0 : size] = 0;
    strcat(whole, "/");
  }
  strncat(whole, path, sizeof(whole) - strlen(whole) - 1);
  const int after = Reach("unlink", whole);
  const int result = REAL(unlinkat)(folder, path, flags);
  if (after) Crash(whole);
  return result;
}

int mkdir(const char* path, mode_t mode) {
  const int after = Reach("mkdir", path);
  const int result = REAL(mkdir)(path, mode);
  if (after) Crash(path);
  return result;
}

int open(const char* path, int flags, ...) {
  mode_t mode = 0;
  if (flags & (O_CREAT | O_TMPFILE)) {
    va_list arguments;
    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
  }
  const int after = (flags & O_CREAT) != 0 && Reach("create", path);
  const int result = REAL(open)(path, flags, mode);
  if (after) Crash(path);
  return result;
}

static int Sync(int fd, int (*real)(int)) {
  char link[64], path[4096] = "";
  int after = 0;
  if (armed) {
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    const ssize_t size = readlink(link, path, sizeof(path) - 1);
    path[size < 0 ? 0 : size] = 0;
    after = Reach("sync", path);
  }
  const int result = real(fd);
  if (after) Crash(path);
  return result;
}
int fsync(int fd) { return Sync(fd, REAL(fsync)); }
int fdatasync(int fd) { return Sync(fd, REAL(fdatasync)); }

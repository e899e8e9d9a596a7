#include "taskmanager/process/worker_limits.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <memory>

#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace weir {
namespace {

absl::Status SetLimit(__rlimit_resource resource, const char* name, rlim_t value) {
  rlimit limit;
  if (getrlimit(resource, &limit) != 0) return absl::ErrnoToStatus(errno, name);
  limit.rlim_max = std::min(limit.rlim_max, value);
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(resource, &limit) != 0) {
    return absl::ErrnoToStatus(errno, StrCat("setting ", name, " to ", value));
  }
  return absl::OkStatus();
}

absl::Status DenySystemCalls() {
  const std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter(seccomp_init(SCMP_ACT_ALLOW),
                                                                seccomp_release);
  if (filter == nullptr) return absl::InternalError("seccomp_init failed");
  const int denied[] = {
      SCMP_SYS(ptrace),
      SCMP_SYS(process_vm_readv),
      SCMP_SYS(process_vm_writev),
      SCMP_SYS(mount),
      SCMP_SYS(umount2),
      SCMP_SYS(pivot_root),
      SCMP_SYS(move_mount),
      SCMP_SYS(open_tree),
      SCMP_SYS(fsopen),
      SCMP_SYS(fsmount),
      SCMP_SYS(bpf),
      SCMP_SYS(keyctl),
      SCMP_SYS(add_key),
      SCMP_SYS(request_key),
      SCMP_SYS(init_module),
      SCMP_SYS(finit_module),
      SCMP_SYS(delete_module),
      SCMP_SYS(kexec_load),
      SCMP_SYS(kexec_file_load),
      SCMP_SYS(unshare),
      SCMP_SYS(setns),
      SCMP_SYS(perf_event_open),
      SCMP_SYS(userfaultfd),
      SCMP_SYS(swapon),
      SCMP_SYS(swapoff),
      SCMP_SYS(reboot),
      SCMP_SYS(settimeofday),
      SCMP_SYS(clock_settime),
      SCMP_SYS(adjtimex),
      SCMP_SYS(clock_adjtime),
      SCMP_SYS(open_by_handle_at),
      SCMP_SYS(acct),
      SCMP_SYS(quotactl),
      SCMP_SYS(syslog),
      SCMP_SYS(chroot),
  };
  for (const int call : denied) {
    if (const int error = seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(EPERM), call, 0);
        error != 0) {
      return absl::ErrnoToStatus(-error, StrCat("denying system call ", call));
    }
  }
  const auto new_user_namespace =
      SCMP_A0(SCMP_CMP_MASKED_EQ, static_cast<scmp_datum_t>(CLONE_NEWUSER),
              static_cast<scmp_datum_t>(CLONE_NEWUSER));
  if (const int error = seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                                         new_user_namespace);
      error != 0) {
    return absl::ErrnoToStatus(-error, "denying user namespaces");
  }
  const int error = seccomp_load(filter.get());
  // A kernel or a container without seccomp: process isolation is what is left.
  if (error == -EINVAL || error == -ENOSYS || error == -ECANCELED) return absl::OkStatus();
  if (error != 0) return absl::ErrnoToStatus(-error, "loading the system call filter");
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckMemoryLimit(uint64_t memory_limit_bytes) {
  if (memory_limit_bytes != 0 && memory_limit_bytes < kMinMemoryLimitBytes) {
    return absl::InvalidArgumentError(StrCat("taskmanager.memory.worker.size is ",
                                             memory_limit_bytes, " bytes; a worker needs at least ",
                                             kMinMemoryLimitBytes >> 20, " MiB"));
  }
  return absl::OkStatus();
}

absl::Status ApplyWorkerLimits(uint64_t memory_limit_bytes) {
  WEIR_RETURN_IF_ERROR(CheckMemoryLimit(memory_limit_bytes));
  WEIR_RETURN_IF_ERROR(SetLimit(RLIMIT_CORE, "RLIMIT_CORE", 0));
  WEIR_RETURN_IF_ERROR(SetLimit(RLIMIT_NOFILE, "RLIMIT_NOFILE", kMaxDescriptors));
  if (memory_limit_bytes != 0) {
    WEIR_RETURN_IF_ERROR(SetLimit(RLIMIT_DATA, "RLIMIT_DATA", memory_limit_bytes));
  }
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return absl::ErrnoToStatus(errno, "giving up new privileges");
  }
  return DenySystemCalls();
}

}  // namespace weir

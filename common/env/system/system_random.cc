#include "common/env/system/system_random.h"

#include <errno.h>
#include <sys/random.h>

#include "common/base/check.h"

namespace weir {

uint64_t SystemRandom::Next() {
  MutexLock lock(mutex_);
  if (used_ == buffer_.size()) {
    char* out = reinterpret_cast<char*>(buffer_.data());
    size_t missing = sizeof(buffer_);
    while (missing > 0) {
      const ssize_t got = getrandom(out, missing, 0);
      if (got < 0) {
        WEIR_CHECK_EQ(errno, EINTR);  // The only failure that this use has.
        continue;
      }
      out += got;
      missing -= static_cast<size_t>(got);
    }
    used_ = 0;
  }
  return buffer_[used_++];
}

}  // namespace weir

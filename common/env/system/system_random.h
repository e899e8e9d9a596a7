#pragma once

#include <array>

#include "absl/base/thread_annotations.h"
#include "common/base/mutex.h"
#include "common/env/random.h"

namespace weir {

// Random numbers of the kernel (getrandom), drawn some at a time. Nobody can predict the ids made
// of them. Thread safe.
class SystemRandom final : public Random {
 public:
  uint64_t Next() override;

 private:
  Mutex mutex_;
  std::array<uint64_t, 64> buffer_ ABSL_GUARDED_BY(mutex_){};
  size_t used_ ABSL_GUARDED_BY(mutex_) = 64;
};

}  // namespace weir

#include "common/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace weir::internal {

void CheckFailed(const char* file, int line, const std::string& message) {
  std::fprintf(stderr, "%s:%d: broken invariant: %s\n", file, line, message.c_str());
  std::fflush(stderr);
  std::abort();
}

}  // namespace weir::internal

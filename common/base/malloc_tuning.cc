#include "common/base/malloc_tuning.h"

#include <cstdlib>  // Defines __GLIBC__.

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace weir {

void KeepFreedMemory() {
#if defined(__GLIBC__)
  // They fail on values out of range only.
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
  mallopt(M_MMAP_THRESHOLD, 8 << 20);
  mallopt(M_TOP_PAD, 4 << 20);
#endif
}

}  // namespace weir

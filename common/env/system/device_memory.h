#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <memory>

namespace weir {

// Positions, sizes and addresses of such reads and writes are multiples of it.
inline constexpr size_t kDeviceBlockBytes = 4096;

struct FreeMemory {
  void operator()(char* memory) const { std::free(memory); }
};
using DeviceMemory = std::unique_ptr<char, FreeMemory>;

// Memory that a device writes or reads by itself (O_DIRECT), in large pages where the system has
// them: pages that lie apart from each other make many small requests of one large. Null if there
// is none. `bytes` is a multiple of 2 MiB.
inline DeviceMemory TakeDeviceMemory(size_t bytes) {
  constexpr size_t kLargePage = 2 << 20;
  DeviceMemory memory(static_cast<char*>(std::aligned_alloc(kLargePage, bytes)));
  if (memory != nullptr) madvise(memory.get(), bytes, MADV_HUGEPAGE);
  return memory;
}

}  // namespace weir

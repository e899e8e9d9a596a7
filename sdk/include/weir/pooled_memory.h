#pragma once

#include <sys/mman.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <memory_resource>
#include <new>
#include <vector>

namespace weir::internal {

// Memory for the small parts of many keys' state, close together: blocks of whole cache lines, cut
// from chunks for which the kernel is asked for huge pages, so that going from key to key does not
// miss in the processor's table of pages as well. What is given back is used again for blocks of
// its size; the chunks, as many as there were at the peak, go with the object. Blocks of more than
// 4 KiB come from the heap. For one thread.
class PooledMemory final : public std::pmr::memory_resource {
 public:
  PooledMemory() = default;
  PooledMemory(const PooledMemory&) = delete;
  PooledMemory& operator=(const PooledMemory&) = delete;

 private:
  static constexpr std::size_t kLine = 64;
  static constexpr std::size_t kMostLines = 64;
  static constexpr std::size_t kChunk = std::size_t{2} << 20;

  struct Free {
    Free* next;
  };
  struct FreeChunk {
    void operator()(std::byte* chunk) const { std::free(chunk); }
  };

  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    const std::size_t lines = LinesOf(bytes);
    if (lines > kMostLines || alignment > kLine)
      return ::operator new(bytes, std::align_val_t(alignment));
    if (Free* const free = free_[lines - 1]; free != nullptr) {
      free_[lines - 1] = free->next;
      return free;
    }
    if (left_ < lines * kLine) AddChunk();
    void* const block = next_;
    next_ += lines * kLine;
    left_ -= lines * kLine;
    return block;
  }
  void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
    const std::size_t lines = LinesOf(bytes);
    if (lines > kMostLines || alignment > kLine) {
      ::operator delete(block, bytes, std::align_val_t(alignment));
    } else {
      free_[lines - 1] = ::new (block) Free{free_[lines - 1]};
    }
  }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
    return this == &other;
  }

  static std::size_t LinesOf(std::size_t bytes) {
    return bytes == 0 ? 1 : (bytes + kLine - 1) / kLine;
  }
  void AddChunk() {
    auto* const chunk = static_cast<std::byte*>(std::aligned_alloc(kChunk, kChunk));
    if (chunk == nullptr) throw std::bad_alloc();
    chunks_.emplace_back(chunk);
    // Where there are none, ordinary pages do as well.
    (void)::madvise(chunk, kChunk, MADV_HUGEPAGE);
    next_ = chunk;
    left_ = kChunk;
  }

  std::vector<std::unique_ptr<std::byte, FreeChunk>> chunks_;
  std::byte* next_ = nullptr;
  std::size_t left_ = 0;
  // Of blocks of 1, 2, ... lines.
  std::array<Free*, kMostLines> free_{};
};

}  // namespace weir::internal

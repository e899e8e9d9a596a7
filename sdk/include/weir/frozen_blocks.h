#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace weir::internal {

// Memory for blocks that one thread takes and another gives back, without a lock and with one
// allocation for many. `Block` has a `Block* next`, and its content is not initialized. All is
// freed with the pool, or before by Clear.
template <class Block>
class BlockPool {
 public:
  // The taking thread.
  Block* Take() {
    if (free_ == nullptr) free_ = given_back_.exchange(nullptr, std::memory_order_acquire);
    if (free_ != nullptr) return std::exchange(free_, free_->next);
    if (used_ == kChunkBlocks) {
      chunks_.push_back(std::make_unique_for_overwrite<Block[]>(kChunkBlocks));
      used_ = 0;
    }
    return &chunks_.back()[used_++];
  }
  // The other one: a list from `first` to `last`.
  void GiveBack(Block* first, Block* last) {
    Block* head = given_back_.load(std::memory_order_relaxed);
    do {
      last->next = head;
    } while (!given_back_.compare_exchange_weak(head, first, std::memory_order_release,
                                                std::memory_order_relaxed));
  }

  // Any thread, when nothing is in use and nobody will take or give any more.
  void Clear() {
    chunks_.clear();
    used_ = kChunkBlocks;
    free_ = nullptr;
    given_back_ = nullptr;
  }

 private:
  static constexpr std::size_t kChunkBlocks = 64;

  std::vector<std::unique_ptr<Block[]>> chunks_;
  // Of the last chunk.
  std::size_t used_ = kChunkBlocks;
  Block* free_ = nullptr;
  std::atomic<Block*> given_back_{nullptr};
};

}  // namespace weir::internal

#include "weir/pooled_memory.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace weir::internal {
namespace {

struct Block {
  unsigned char* at;
  std::size_t bytes;
  unsigned char fill;
};

bool IsFilled(const Block& block) {
  for (std::size_t i = 0; i < block.bytes; ++i) {
    if (block.at[i] != block.fill) return false;
  }
  return true;
}

TEST(PooledMemoryTest, BlocksDoNotOverlapWhateverTheirSize) {
  PooledMemory memory;
  std::mt19937 random(5);
  std::vector<Block> blocks;
  // More than two chunks of blocks that are kept.
  for (int step = 0; step < 20'000; ++step) {
    if (blocks.empty() || random() % 3 != 0) {
      // Some that come from the heap.
      const std::size_t bytes = random() % 100 == 0 ? 4096 + random() % 9000 : random() % 1500;
      auto* const at = static_cast<unsigned char*>(memory.allocate(bytes));
      const auto fill = static_cast<unsigned char>(random());
      std::memset(at, fill, bytes);
      blocks.push_back({at, bytes, fill});
    } else {
      std::swap(blocks[random() % blocks.size()], blocks.back());
      ASSERT_TRUE(IsFilled(blocks.back()));
      memory.deallocate(blocks.back().at, blocks.back().bytes);
      blocks.pop_back();
    }
  }
  for (const Block& block : blocks) {
    EXPECT_TRUE(IsFilled(block));
    memory.deallocate(block.at, block.bytes);
  }
}

TEST(PooledMemoryTest, BlocksBeginWithACacheLineAndAreUsedAgain) {
  PooledMemory memory;
  void* const first = memory.allocate(100, 8);
  void* const second = memory.allocate(1, 1);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(first) % 64, 0U);
  EXPECT_EQ(static_cast<std::byte*>(second) - static_cast<std::byte*>(first), 128);
  memory.deallocate(first, 100, 8);
  // Of one line: not that of two.
  EXPECT_EQ(static_cast<std::byte*>(memory.allocate(64)) - static_cast<std::byte*>(second), 64);
  EXPECT_EQ(memory.allocate(128), first);
}

TEST(PooledMemoryTest, KeepsAWiderAlignment) {
  PooledMemory memory;
  void* const block = memory.allocate(256, 256);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % 256, 0U);
  memory.deallocate(block, 256, 256);
}

}  // namespace
}  // namespace weir::internal

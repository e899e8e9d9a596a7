#include "weir/due_queue.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <set>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "weir/timers.h"

namespace weir::internal {
namespace {

using Key = std::int64_t;
using Queue = TimerQueue<Key>;
// In the order of semantics rule 19: an integer of one byte is serialized as that.
using Expected = std::multiset<std::tuple<Ticks, Key, std::uint32_t>>;

// Every way in which entries get in and out, against a sorted set: in order and not, for buckets
// near, far and open, few and many of one time.
TEST(DueQueueTest, GivesEntriesInTheOrderOfTimeKeyAndMember) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 300; ++round) {
    SCOPED_TRACE(round);
    const auto ahead = static_cast<Ticks>(1 + random() % 3000);
    const auto spread = 1 + random() % 10'000;
    const bool in_order = round % 3 == 0;
    Queue queue(ahead);
    Expected expected;
    Ticks watermark = static_cast<Ticks>(random() % 1000) - 500;
    Ticks last = watermark;
    const auto pop = [&](const Queue::Entry& entry) {
      ASSERT_FALSE(expected.empty());
      const auto& [time, key, member] = *expected.begin();
      EXPECT_EQ(entry.time, time);
      EXPECT_EQ(entry.key, key);
      EXPECT_EQ(entry.member, member);
      expected.erase(expected.begin());
    };
    for (int step = 0; step < 400; ++step) {
      const auto what = random() % 10;
      if (what < 7) {
        const Ticks time = in_order ? last + static_cast<Ticks>(random() % 3)
                                    : watermark - 20 + static_cast<Ticks>(random() % spread);
        last = time;
        const Queue::Entry entry{time, 0, static_cast<Key>(random() % 5),
                                 static_cast<std::uint32_t>(random() % 2)};
        queue.Push(entry);
        expected.insert({entry.time, entry.key, entry.member});
      } else if (what == 7) {
        const auto key = static_cast<Key>(random() % 5);
        queue.DropIf([&](const Queue::Entry& entry) { return entry.key == key; });
        std::erase_if(expected, [&](const auto& entry) { return std::get<1>(entry) == key; });
      } else {
        watermark += static_cast<Ticks>(random() % spread);
        // A first one that is not due may be left in place.
        for (const Queue::Entry* first = queue.First(watermark);
             first != nullptr && first->time <= watermark; first = queue.First(watermark)) {
          pop(queue.PopFirst());
        }
        EXPECT_TRUE(expected.empty() || std::get<0>(*expected.begin()) > watermark);
      }
      EXPECT_EQ(queue.size(), expected.size());
    }
    while (queue.First(kMaxTicks) != nullptr) pop(queue.PopFirst());
    EXPECT_TRUE(expected.empty());
  }
}

}  // namespace
}  // namespace weir::internal

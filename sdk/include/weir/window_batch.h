#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>

#include "weir/batch.h"
#include "weir/hash.h"
#include "weir/state_table.h"
#include "weir/window.h"

namespace weir::internal {

// What is the same for all event-time window operators of one job step, made once and shared by its
// subtasks.
template <class T, class Key, class Aggregator, class MakeResult>
struct WindowPlan {
  WindowShape shape;
  Key key;
  Aggregator aggregator;
  // (const K&, const TimeWindow&, AggregateResult) -> the record put out.
  MakeResult make_result;
  // Tag of the late side output, or empty.
  std::string late_tag;
};

// How a loop holds a function of the plan: a copy where that is a few bytes, so that it stays in
// registers.
template <class F>
using InLoop = std::conditional_t<std::is_trivially_copyable_v<F> && sizeof(F) <= 64, F, const F&>;

// Whether all timestamps of the batch lie in [start, max_timestamp].
template <class T>
bool AllWithin(Ticks start, Ticks max_timestamp, const Batch<T>& batch) {
  // For a time outside at least one of the differences has its sign bit set, also when it wraps
  // around.
  const auto from = static_cast<std::uint64_t>(start);
  const auto to = static_cast<std::uint64_t>(max_timestamp);
  std::uint64_t signs = 0;
  for (const Ticks time : batch.timestamps) {
    signs |= (static_cast<std::uint64_t>(time) - from) | (to - static_cast<std::uint64_t>(time));
  }
  return (signs >> 63) == 0;
}

// Adds every record of the batch to the accumulator of its key. The slot of a record is on its way
// from memory while the kAhead records before it are added.
template <std::size_t kAhead, bool kWhole, class K, class Acc, class T, class Key, class Aggregator,
          class HashOf>
[[gnu::noinline]] void AddBatchAhead(KeyedTable<K, Acc>& table, const Batch<T>& batch,
                                     InLoop<Key> key, InLoop<Aggregator> aggregator,
                                     HashOf hash_of) {
  using Places = typename KeyedTable<K, Acc>::template Locator<kWhole>;
  const std::size_t n = batch.records.size();
  const T* const records = batch.records.data();
  const Places places(table);
  if constexpr (kAhead == 0) {
    for (std::size_t i = 0; i < n; ++i) {
      const K& k = std::invoke(key, records[i]);
      aggregator.Add(places.FindOrInsert(places.Locate(hash_of(k, i)), k, table), records[i]);
    }
  } else {
    typename Places::Place ring[kAhead];
    const std::size_t lead = std::min(kAhead, n);
    for (std::size_t i = 0; i < lead; ++i) {
      ring[i] = places.Locate(hash_of(std::invoke(key, records[i]), i));
      Places::Prefetch(ring[i]);
    }
    std::size_t i = 0;
    for (; i + kAhead < n; ++i) {
      const auto place = ring[i % kAhead];
      const auto next = places.Locate(hash_of(std::invoke(key, records[i + kAhead]), i + kAhead));
      Places::Prefetch(next);
      ring[i % kAhead] = next;
      const K& k = std::invoke(key, records[i]);
      aggregator.Add(places.FindOrInsert(place, k, table), records[i]);
    }
    for (; i < n; ++i) {
      const K& k = std::invoke(key, records[i]);
      aggregator.Add(places.FindOrInsert(ring[i % kAhead], k, table), records[i]);
    }
  }
}

template <class K, class Acc, class T, class Key, class Aggregator>
void AddBatch(KeyedTable<K, Acc>& table, const Batch<T>& batch, const Key& key,
              const Aggregator& aggregator) {
  // A smaller table stays in the processor's caches by itself.
  constexpr std::size_t kCachedTableBytes = 256 << 10;
  const bool cached = table.memory_bytes() < kCachedTableBytes;
  const bool whole = table.IsWhole();
  const auto add = [&](auto hash_of) {
    if (cached) {
      whole ? AddBatchAhead<0, true, K, Acc, T, Key, Aggregator>(table, batch, key, aggregator,
                                                                 hash_of)
            : AddBatchAhead<0, false, K, Acc, T, Key, Aggregator>(table, batch, key, aggregator,
                                                                  hash_of);
    } else {
      whole ? AddBatchAhead<16, true, K, Acc, T, Key, Aggregator>(table, batch, key, aggregator,
                                                                  hash_of)
            : AddBatchAhead<16, false, K, Acc, T, Key, Aggregator>(table, batch, key, aggregator,
                                                                   hash_of);
    }
  };
  if (batch.hashes.empty()) {
    add([](const K& k, std::size_t) { return KeyHash(k); });
  } else {
    add([hashes = batch.hashes.data()](const K&, std::size_t i) { return hashes[i]; });
  }
}

// Fills the hashes column if the edge that the batch came on has not.
template <class T, class Key>
void HashBatch(Batch<T>& batch, const Key& key) {
  const std::size_t n = batch.records.size();
  if (!batch.hashes.empty()) return;
  batch.hashes.resize_uninitialized(n);
  for (std::size_t i = 0; i < n; ++i)
    batch.hashes[i] = KeyHash(std::invoke(key, std::as_const(batch.records[i])));
}

}  // namespace weir::internal

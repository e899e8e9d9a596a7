#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "weir/batch.h"
#include "weir/hash.h"
#include "weir/in_loop.h"
#include "weir/state_table.h"
#include "weir/thrown.h"
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

// Fills the hashes column.
template <class T, class Key>
void HashBatch(Batch<T>& batch, const Key& key) {
  const std::size_t n = batch.records.size();
  batch.hashes.resize_uninitialized(n);
  const T* const records = batch.records.data();
  std::uint64_t* const hashes = batch.hashes.data();
  const InLoop<Key> key_of = key;
  for (std::size_t i = 0; i < n; ++i) hashes[i] = KeyHash(std::invoke(key_of, records[i]));
}

// Adds every record of the batch to the accumulator of its key. If a function of the job throws,
// `at` is set to the index of the record. The slot of a record is on its way
// from memory while the kAhead records before it are added.
template <bool kWhole, class K, class Acc, class T, class Key, class Aggregator, class HashOf>
[[gnu::noinline]] void AddBatchAhead(KeyedTable<K, Acc>& table, const Batch<T>& batch,
                                     InLoop<Key> key, InLoop<Aggregator> aggregator, HashOf hash_of,
                                     std::size_t& at) {
  using Table = KeyedTable<K, Acc>;
  using Locator = typename Table::template Locator<kWhole>;
  constexpr std::size_t kAhead = 32;
  typename Table::Slot* homes[kAhead];
  const std::size_t n = batch.records.size();
  const T* const records = batch.records.data();
  const Locator locator(table);
  const auto locate = [&](std::size_t i) __attribute__((always_inline)) {
    typename Table::Slot* const home = locator.Home(hash_of(std::invoke(key, records[i]), i));
    Table::PrefetchAt(home);
    homes[i % kAhead] = home;
  };
  const auto add = [&](std::size_t i, typename Table::Slot* home) __attribute__((always_inline)) {
    const K& k = std::invoke(key, records[i]);
    Acc* acc = Locator::FindAt(home, k, hash_of(k, i));
    if (acc == nullptr) [[unlikely]] {
      const std::uint64_t moves = table.moves();
      acc = table.FindOrInsert(k, hash_of(k, i)).first;
      if (table.moves() != moves) {
        for (std::size_t j = i + 1; j < std::min(i + kAhead + 1, n); ++j) locate(j);
      }
    }
    aggregator.Add(*acc, records[i]);
  };
  std::size_t i = 0;
  try {
    for (std::size_t ahead = 0; ahead < std::min(kAhead, n); ++ahead) locate(ahead);
    for (; i + kAhead < n; ++i) {
      typename Table::Slot* const home = homes[i % kAhead];
      locate(i + kAhead);
      add(i, home);
    }
    for (; i < n; ++i) add(i, homes[i % kAhead]);
  } catch (...) {
    at = ThrownAt(key, batch.records, i, kAhead);
    throw;
  }
}

// While a snapshot of the table is written.
template <class K, class Acc, class T, class Key, class Aggregator>
[[gnu::noinline]] void AddBatchShared(KeyedTable<K, Acc>& table, Batch<T>& batch, const Key& key,
                                      const Aggregator& aggregator, std::size_t& at) {
  constexpr std::size_t kAhead = 16;
  if (batch.hashes.empty()) HashBatch(batch, key);
  const std::size_t n = batch.records.size();
  for (std::size_t i = 0; i < n; ++i) {
    at = i;
    if (i + kAhead < n) table.Prefetch(batch.hashes[i + kAhead]);
    const T& record = batch.records[i];
    aggregator.Add(*table.FindOrInsert(std::invoke(key, record), batch.hashes[i]).first, record);
  }
}

template <class K, class Acc, class T, class Key, class Aggregator>
void AddBatch(KeyedTable<K, Acc>& table, Batch<T>& batch, const Key& key,
              const Aggregator& aggregator, std::size_t& at) {
  if (table.IsShared()) [[unlikely]] {
    AddBatchShared(table, batch, key, aggregator, at);
    return;
  }
  const auto add = [&](auto hash_of) {
    table.IsWhole() ? AddBatchAhead<true, K, Acc, T, Key, Aggregator>(table, batch, key, aggregator,
                                                                      hash_of, at)
                    : AddBatchAhead<false, K, Acc, T, Key, Aggregator>(table, batch, key,
                                                                       aggregator, hash_of, at);
  };
  // To compute the hash of an integer again costs less than to write and read it.
  if constexpr (KeyedSlot<K, Acc>::kHasReservedKey) {
    if (batch.hashes.empty()) {
      add([](const K& k, std::size_t) { return KeyHash(k); });
      return;
    }
  } else {
    if (batch.hashes.empty()) HashBatch(batch, key);
  }
  add([hashes = batch.hashes.data()](const K&, std::size_t i) { return hashes[i]; });
}

}  // namespace weir::internal

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <memory_resource>
#include <string>
#include <utility>
#include <vector>

#include "weir/binary_codec.h"
#include "weir/evolution.h"
#include "weir/pattern_automaton.h"
#include "weir/pooled_memory.h"
#include "weir/state_codec.h"
#include "weir/time.h"

namespace weir::internal {

inline constexpr std::uint32_t kNoIndex = std::numeric_limits<std::uint32_t>::max();

// ---- What a snapshot has of a key: records, so that the events in it may evolve.

// An event that a partial match has taken.
template <class T>
struct StoredPatternEvent {
  T record{};
  Ticks time = 0;
  std::uint64_t number = 0;
};
// An event in its place in partial matches, and the index of what was taken before it.
struct StoredPatternNode {
  std::uint32_t previous = kNoIndex;
  std::uint32_t event = 0;
  std::uint32_t step = 0;
};
// A partial match.
struct PartialMatch {
  std::uint32_t state = 0;
  // What it has taken last; kNoIndex: nothing.
  std::uint32_t node = kNoIndex;
  Ticks start = kMinTicks;
  // Time of the event taken last.
  Ticks previous = kMinTicks;
  // The number of its first event. The largest of the search that has not begun.
  std::uint64_t first = std::numeric_limits<std::uint64_t>::max();
};
// An event that waits for the watermark.
template <class T>
struct PendingPatternEvent {
  T record{};
  Ticks time = 0;
};
template <class T>
struct StoredMatches {
  std::vector<PendingPatternEvent<T>> pending;
  std::vector<StoredPatternEvent<T>> events;
  std::vector<StoredPatternNode> nodes;
  // Heaps by `first`.
  std::vector<PartialMatch> partial;
  std::vector<PartialMatch> complete;
  std::vector<Ticks> timeouts;
  std::uint64_t next_number = 0;
};

// ---- The same as it is worked on.

// Brings memory that is about to be used closer, all of it at once; not more than pays.
inline void PrefetchLines(const void* from, std::size_t bytes) {
  constexpr std::size_t kLine = 64;
  constexpr std::size_t kMost = 8 * kLine;
  const char* const begin = static_cast<const char*>(from);
  for (std::size_t at = 0; at < std::min(bytes, kMost); at += kLine)
    __builtin_prefetch(begin + at, 1);
}

// Slots that are used again, with the number of references to each.
template <class V>
class SlotPool {
 public:
  explicit SlotPool(std::pmr::memory_resource* memory) : slots_(memory) {}

  // With one reference.
  template <class... Args>
  std::uint32_t Add(Args&&... args) {
    if (free_ != kNoIndex) {
      const std::uint32_t slot = free_;
      free_ = slots_[slot].next_free;
      slots_[slot].value = V{std::forward<Args>(args)...};
      slots_[slot].references = 1;
      return slot;
    }
    slots_.push_back({V{std::forward<Args>(args)...}, 1, kNoIndex});
    return static_cast<std::uint32_t>(slots_.size() - 1);
  }
  V& operator[](std::uint32_t slot) { return slots_[slot].value; }
  const V& operator[](std::uint32_t slot) const { return slots_[slot].value; }
  void Reference(std::uint32_t slot) { ++slots_[slot].references; }
  // Whether that was the last reference; then the slot is to be freed.
  bool Release(std::uint32_t slot) { return --slots_[slot].references == 0; }
  void Free(std::uint32_t slot) {
    slots_[slot].value = V{};
    slots_[slot].next_free = free_;
    free_ = slot;
  }
  // None is used any more; the memory stays.
  void Clear() {
    slots_.clear();
    free_ = kNoIndex;
  }
  std::size_t memory_bytes() const { return slots_.capacity() * sizeof(Slot); }
  void Prefetch() const { PrefetchLines(slots_.data(), slots_.size() * sizeof(Slot)); }
  // Where the next `count` will be.
  void PrefetchNext(std::size_t count) const {
    const std::size_t next = free_ != kNoIndex ? free_ : slots_.size();
    PrefetchLines(slots_.data() + next, count * sizeof(Slot));
  }

 private:
  struct Slot {
    V value;
    std::uint32_t references;
    std::uint32_t next_free;
  };
  std::pmr::vector<Slot> slots_;
  std::uint32_t free_ = kNoIndex;
};

// Partial matches by their first event; the order of those with the same is that of java.util's
// priority queue, which decides which of them is found first (semantics rule 40: with a skip
// strategy the first of them may be the only one).
class PartialMatchHeap {
 public:
  explicit PartialMatchHeap(std::pmr::memory_resource* memory) : heap_(memory) {}

  void Add(const PartialMatch& match) {
    const std::size_t at = heap_.size();
    heap_.push_back(match);
    if (at > 0 && match.first < heap_[(at - 1) / 2].first) RiseFrom(at, PartialMatch(match));
  }
  const PartialMatch& Top() const { return heap_.front(); }
  // In the order of the heap. Its `first` must stay as it is.
  PartialMatch& operator[](std::size_t at) { return heap_[at]; }
  // Those from `at` on, in the order of the heap.
  void MoveFrom(std::size_t at, std::vector<PartialMatch>& to) {
    to.insert(to.end(), heap_.begin() + static_cast<std::ptrdiff_t>(at), heap_.end());
    heap_.resize(at);
  }
  PartialMatch Pop() {
    const PartialMatch top = heap_.front();
    const PartialMatch last = heap_.back();
    heap_.pop_back();
    if (!heap_.empty()) SinkFrom(0, last);
    return top;
  }
  template <class F>
  void RemoveIf(F&& remove) {
    const auto end = std::remove_if(heap_.begin(), heap_.end(), remove);
    if (end == heap_.end()) return;
    heap_.erase(end, heap_.end());
    for (std::size_t i = heap_.size() / 2; i > 0; --i) SinkFrom(i - 1, PartialMatch(heap_[i - 1]));
  }
  bool empty() const { return heap_.empty(); }
  std::size_t size() const { return heap_.size(); }
  void clear() { heap_.clear(); }
  auto begin() const { return heap_.begin(); }
  auto end() const { return heap_.end(); }
  std::size_t memory_bytes() const { return heap_.capacity() * sizeof(PartialMatch); }
  void Prefetch() const { PrefetchLines(heap_.data(), heap_.size() * sizeof(PartialMatch)); }

 private:
  void RiseFrom(std::size_t at, const PartialMatch& match) {
    while (at > 0) {
      const std::size_t parent = (at - 1) / 2;
      if (match.first >= heap_[parent].first) break;
      heap_[at] = heap_[parent];
      at = parent;
    }
    heap_[at] = match;
  }
  void SinkFrom(std::size_t at, const PartialMatch& match) {
    const std::size_t half = heap_.size() / 2;
    while (at < half) {
      std::size_t child = 2 * at + 1;
      if (child + 1 < heap_.size() && heap_[child].first > heap_[child + 1].first) ++child;
      if (match.first <= heap_[child].first) break;
      heap_[at] = heap_[child];
      at = child;
    }
    heap_[at] = match;
  }
  std::pmr::vector<PartialMatch> heap_;
};

// What a key has: events that wait, and partial matches, which share what they have taken (a node
// and an event are there once, however many go on from them, and go with the last of these).
template <class T>
struct KeyMatches {
  struct Event {
    T record{};
    Ticks time = 0;
    std::uint64_t number = 0;
  };
  using Node = StoredPatternNode;

  // Null: on the heap.
  explicit KeyMatches(std::shared_ptr<PooledMemory> from) : memory(std::move(from)) {}

  const std::shared_ptr<PooledMemory> memory;
  std::pmr::memory_resource* const resource =
      memory != nullptr ? memory.get() : std::pmr::new_delete_resource();
  std::pmr::vector<PendingPatternEvent<T>> pending{resource};
  SlotPool<Event> events{resource};
  SlotPool<Node> nodes{resource};
  PartialMatchHeap partial{resource};
  // Found, but with a skip strategy an earlier one may come.
  PartialMatchHeap complete{resource};
  // When partial matches may time out, ascending.
  std::pmr::vector<Ticks> timeouts{resource};
  std::uint64_t next_number = 0;
  // The earliest time at which something is to be done. Of `pending` and `timeouts`.
  Ticks due = kMaxTicks;

  void FindDue() {
    due = timeouts.empty() ? kMaxTicks : timeouts.front();
    for (const auto& event : pending) due = std::min(due, event.time);
  }
  void Reference(std::uint32_t node) {
    if (node != kNoIndex) nodes.Reference(node);
  }
  void Release(std::uint32_t node) {
    while (node != kNoIndex && nodes.Release(node)) {
      const Node freed = nodes[node];
      nodes.Free(node);
      if (events.Release(freed.event)) events.Free(freed.event);
      node = freed.previous;
    }
  }
  // A new node with one reference, which takes over one to `previous`.
  std::uint32_t Append(std::uint32_t previous, std::uint32_t event, std::uint32_t step) {
    events.Reference(event);
    return nodes.Add(previous, event, step);
  }
  // As a new one, with the memory that it has.
  void Clear() {
    pending.clear();
    events.Clear();
    nodes.Clear();
    partial.clear();
    complete.clear();
    timeouts.clear();
    next_number = 0;
    due = kMaxTicks;
  }
  std::size_t memory_bytes() const {
    return sizeof(*this) + pending.capacity() * sizeof(PendingPatternEvent<T>) +
           events.memory_bytes() + nodes.memory_bytes() + partial.memory_bytes() +
           complete.memory_bytes() + timeouts.capacity() * sizeof(Ticks);
  }
  // Brings from memory what the events that wait will be matched with.
  void Prefetch() const {
    PrefetchLines(pending.data(), pending.size() * sizeof(PendingPatternEvent<T>));
    partial.Prefetch();
    nodes.PrefetchNext(partial.size());
    events.Prefetch();
  }
  // Nothing but a search that has not begun.
  bool IsIdle() const {
    return pending.empty() && complete.empty() && timeouts.empty() && partial.size() <= 1;
  }
};

template <class T>
struct DeleteMatches {
  void operator()(KeyMatches<T>* matches) const {
    const std::shared_ptr<PooledMemory> memory = matches->memory;
    std::pmr::polymorphic_allocator<>(matches->resource).delete_object(matches);
  }
};
template <class T>
using MatchesPtr = std::unique_ptr<KeyMatches<T>, DeleteMatches<T>>;

// It lies in the memory as well. Null: on the heap.
template <class T>
MatchesPtr<T> MakeMatches(const std::shared_ptr<PooledMemory>& memory) {
  std::pmr::polymorphic_allocator<> allocator(memory != nullptr ? memory.get()
                                                                : std::pmr::new_delete_resource());
  return MatchesPtr<T>(allocator.new_object<KeyMatches<T>>(memory));
}

// The KeyMatches of a key in a table.
template <class T>
struct MatchesCell {
  MatchesPtr<T> matches;
  void Prefetch(bool all) const {
    if (matches == nullptr) return;
    if (all) {
      matches->Prefetch();
    } else {
      PrefetchLines(matches.get(), sizeof(*matches));
    }
  }
};

template <class T>
StoredMatches<T> Store(const KeyMatches<T>& matches) {
  StoredMatches<T> stored;
  stored.pending.assign(matches.pending.begin(), matches.pending.end());
  std::vector<std::pair<std::uint32_t, std::uint32_t>> nodes;   // slot, place
  std::vector<std::pair<std::uint32_t, std::uint32_t>> events;  // the same
  const auto place_of = [](const auto& places, std::uint32_t slot) {
    return std::lower_bound(places.begin(), places.end(), std::pair(slot, std::uint32_t{0}))
        ->second;
  };
  // What is referred to, in order of slots; places so that what comes before has a lower one.
  std::vector<std::uint32_t> reached;
  for (const PartialMatchHeap* heap : {&matches.partial, &matches.complete}) {
    for (const PartialMatch& match : *heap) {
      for (std::uint32_t node = match.node; node != kNoIndex; node = matches.nodes[node].previous)
        reached.push_back(node);
    }
  }
  std::sort(reached.begin(), reached.end());
  reached.erase(std::unique(reached.begin(), reached.end()), reached.end());
  std::vector<std::uint32_t> used_events;
  for (const std::uint32_t node : reached) used_events.push_back(matches.nodes[node].event);
  std::sort(used_events.begin(), used_events.end(), [&](std::uint32_t a, std::uint32_t b) {
    return matches.events[a].number < matches.events[b].number;
  });
  used_events.erase(std::unique(used_events.begin(), used_events.end()), used_events.end());
  for (const std::uint32_t slot : used_events) {
    events.emplace_back(slot, static_cast<std::uint32_t>(stored.events.size()));
    const auto& event = matches.events[slot];
    stored.events.push_back({event.record, event.time, event.number});
  }
  std::sort(events.begin(), events.end());
  // A node is of a later event than the one before it.
  std::sort(reached.begin(), reached.end(), [&](std::uint32_t a, std::uint32_t b) {
    const std::uint64_t at_a = matches.events[matches.nodes[a].event].number;
    const std::uint64_t at_b = matches.events[matches.nodes[b].event].number;
    return at_a != at_b ? at_a < at_b : a < b;
  });
  for (std::uint32_t i = 0; i < reached.size(); ++i) nodes.emplace_back(reached[i], i);
  std::sort(nodes.begin(), nodes.end());
  for (const std::uint32_t slot : reached) {
    StoredPatternNode node = matches.nodes[slot];
    if (node.previous != kNoIndex) node.previous = place_of(nodes, node.previous);
    node.event = place_of(events, node.event);
    stored.nodes.push_back(node);
  }
  const auto store = [&](const PartialMatchHeap& heap, std::vector<PartialMatch>& into) {
    for (PartialMatch match : heap) {
      if (match.node != kNoIndex) match.node = place_of(nodes, match.node);
      into.push_back(match);
    }
  };
  store(matches.partial, stored.partial);
  store(matches.complete, stored.complete);
  stored.timeouts.assign(matches.timeouts.begin(), matches.timeouts.end());
  stored.next_number = matches.next_number;
  return stored;
}

// False if it does not hang together.
template <class T>
bool Load(StoredMatches<T> stored, std::size_t states, std::size_t steps, KeyMatches<T>& matches) {
  std::vector<std::uint32_t> events;
  for (StoredPatternEvent<T>& event : stored.events)
    events.push_back(matches.events.Add(std::move(event.record), event.time, event.number));
  std::vector<std::uint32_t> nodes;
  for (const StoredPatternNode& node : stored.nodes) {
    const bool first = node.previous == kNoIndex;
    if ((!first && node.previous >= nodes.size()) || node.event >= events.size() ||
        node.step >= steps) {
      return false;
    }
    const std::uint32_t previous = first ? kNoIndex : nodes[node.previous];
    matches.Reference(previous);
    matches.events.Reference(events[node.event]);
    nodes.push_back(matches.nodes.Add(previous, events[node.event], node.step));
  }
  const auto load = [&](const std::vector<PartialMatch>& from, PartialMatchHeap& heap) {
    for (PartialMatch match : from) {
      if (match.state >= states) return false;
      if (match.node != kNoIndex) {
        if (match.node >= nodes.size()) return false;
        match.node = nodes[match.node];
        matches.Reference(match.node);
      }
      heap.Add(match);
    }
    return true;
  };
  if (!load(stored.partial, matches.partial) || !load(stored.complete, matches.complete))
    return false;
  // What nothing but its own first reference holds is not part of it.
  for (const std::uint32_t node : nodes) {
    if (matches.nodes.Release(node)) return false;
  }
  for (const std::uint32_t event : events) {
    if (matches.events.Release(event)) return false;
  }
  matches.pending.assign(std::make_move_iterator(stored.pending.begin()),
                         std::make_move_iterator(stored.pending.end()));
  matches.timeouts.assign(stored.timeouts.begin(), stored.timeouts.end());
  matches.next_number = stored.next_number;
  matches.FindDue();
  return true;
}

// How a MatchesCell is written: as a StoredMatches<T>.
template <class T>
class MatchesLayout {
 public:
  static constexpr bool kWritesAll = true;
  MatchesLayout() = default;
  explicit MatchesLayout(const PatternAutomaton& automaton)
      : states_(automaton.states.size()), steps_(automaton.names.size()) {}

  template <class Fields>
  static std::string Notation() {
    return TypeNotation<StoredMatches<T>, Fields>();
  }
  bool Writes(const MatchesCell<T>& cell) const { return cell.matches != nullptr; }
  void Encode(const MatchesCell<T>& cell, std::string& out) const {
    EncodeValue(Store(*cell.matches), out);
  }
  MatchesLayout Frozen() const { return *this; }
  bool Decode(Decoder& in, MatchesCell<T>& cell) const {
    StoredMatches<T> stored;
    if (!DecodeValue(in, stored)) return false;
    cell.matches = MakeMatches<T>(nullptr);
    return Load(std::move(stored), states_, steps_, *cell.matches) || in.FailedIn("matches");
  }

 private:
  std::size_t states_ = 0;
  std::size_t steps_ = 0;
};

}  // namespace weir::internal

#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

#include "weir/binary_codec.h"
#include "weir/time.h"

namespace weir::internal {

// A key, and when something of it may be due.
template <class K>
struct DueEntry {
  Ticks time;
  std::uint64_t hash;
  K key;
};

// Keys by the times at which something of them may be due. Time is cut into buckets; one whose time
// has not come is a list without order, so that a key costs an append; of those whose time has come
// a heap is kept. What a key waits for is usually put off before it is due, which is seen once,
// when its bucket's time comes. What comes in order stays a list there, too.
//
// Order among equal times: that of the serialized keys, then that of `member` if entries have one
// (semantics rule 19). Owned by an operator.
template <class K, class Entry_ = DueEntry<K>>
class DueQueue {
 public:
  using Entry = Entry_;

  // Whether `a` comes after `b`.
  static bool Later(const Entry& a, const Entry& b) {
    if (a.time != b.time) return a.time > b.time;
    if constexpr (requires { a.member; }) {
      if (a.key == b.key) return a.member > b.member;
    }
    return SerializedKeyCompare(b.key, a.key) < 0;
  }

  // Entries are usually up to `ahead` ticks after those that are due.
  explicit DueQueue(Ticks ahead)
      : shift_(static_cast<int>(
                   std::bit_width(static_cast<std::uint64_t>(std::max<Ticks>(ahead / 64, 1)))) -
               1) {}

  void Push(Entry entry) {
    if (entries_++ == 0) open_ = std::max(open_, std::max(BucketOf(entry.time), kMinTicks + 1) - 1);
    Place(std::move(entry));
  }

  // False: Pop would find nothing.
  bool MayBeDue(Ticks watermark) const {
    if (entries_ == 0) return false;
    const Entry* const ready = Ready();
    return ready == nullptr ? open_ < BucketOf(watermark) : ready->time <= watermark;
  }
  std::size_t size() const { return entries_; }

  // The first of all whose bucket's time has come by `time`, which need not be due; null: none.
  const Entry* First(Ticks time) {
    return First(time, [](std::uint64_t) {}, [](const Entry&) { return true; });
  }
  // One of those that come after that, about `ahead` later; null: it is not known.
  const Entry* Ahead(std::size_t ahead) const {
    return run_at_ + ahead < run_.size() ? &run_[run_at_ + ahead] : nullptr;
  }
  // Takes what First has returned.
  Entry PopFirst() {
    Entry first;
    PopReady(first);
    return first;
  }

  // Puts those in order whose bucket's time has come, if many came out of order: Ahead then knows
  // what comes.
  void SortReady() {
    constexpr std::size_t kMany = 64;
    if (heap_.size() < kMany || heap_.size() < run_.size() - run_at_) return;
    heap_.insert(heap_.end(), std::make_move_iterator(run_.begin() + RunAt()),
                 std::make_move_iterator(run_.end()));
    std::sort(heap_.begin(), heap_.end(),
              [](const Entry& a, const Entry& b) { return Later(b, a); });
    run_.clear();
    run_at_ = 0;
    run_.swap(heap_);
  }

  // Takes the first entry with a time up to `watermark`; false if there is none. Entries of a
  // bucket whose time comes are given to settle(Entry&), which may make the time a later one, and
  // drops the entry with false; prefetch(hash) comes some entries before.
  template <class Prefetch, class Settle>
  bool Pop(Ticks watermark, Entry& out, const Prefetch& prefetch, const Settle& settle) {
    const Entry* const first = First(watermark, prefetch, settle);
    if (first == nullptr || first->time > watermark) return false;
    PopReady(out);
    return true;
  }

  // Drops the entries for which drop(const Entry&) is true.
  template <class Drop>
  void DropIf(const Drop& drop) {
    run_.erase(run_.begin(), run_.begin() + RunAt());
    run_at_ = 0;
    entries_ -= std::erase_if(run_, drop);
    entries_ -= std::erase_if(heap_, drop);
    std::make_heap(heap_.begin(), heap_.end(), Later);
    for (auto& bucket : near_) entries_ -= std::erase_if(bucket, drop);
    for (auto bucket = far_.begin(); bucket != far_.end();) {
      entries_ -= std::erase_if(bucket->second, drop);
      bucket = bucket->second.empty() ? far_.erase(bucket) : std::next(bucket);
    }
  }

  std::size_t memory_bytes() const {
    std::size_t entries = heap_.capacity() + run_.capacity();
    for (const auto& bucket : near_) entries += bucket.capacity();
    for (const auto& [index, bucket] : far_) entries += bucket.capacity();
    return entries * sizeof(Entry);
  }

 private:
  static constexpr std::size_t kNear = 256;

  // ---- What is ready: of buckets whose time has come.

  std::ptrdiff_t RunAt() const { return static_cast<std::ptrdiff_t>(run_at_); }
  bool RunIsEmpty() const { return run_at_ == run_.size(); }
  bool RunIsFirst() const {
    return !RunIsEmpty() && (heap_.empty() || !Later(run_[run_at_], heap_.front()));
  }
  const Entry* Ready() const {
    if (RunIsFirst()) return &run_[run_at_];
    return heap_.empty() ? nullptr : &heap_.front();
  }
  void AddReady(Entry entry) {
    if (RunIsEmpty() || !Later(run_.back(), entry)) {
      if (run_at_ >= kNear && run_at_ * 2 >= run_.size()) {
        run_.erase(run_.begin(), run_.begin() + RunAt());
        run_at_ = 0;
      }
      run_.push_back(std::move(entry));
    } else {
      heap_.push_back(std::move(entry));
      std::push_heap(heap_.begin(), heap_.end(), Later);
    }
  }
  void PopReady(Entry& out) {
    --entries_;
    if (RunIsFirst()) {
      out = std::move(run_[run_at_++]);
      if (!RunIsEmpty()) return;
      run_.clear();
      run_at_ = 0;
    } else {
      std::pop_heap(heap_.begin(), heap_.end(), Later);
      out = std::move(heap_.back());
      heap_.pop_back();
    }
  }
  template <class Prefetch, class Settle>
  const Entry* First(Ticks time, const Prefetch& prefetch, const Settle& settle) {
    // All that is in a bucket comes later than what is ready.
    while (entries_ > 0) {
      if (const Entry* const ready = Ready(); ready != nullptr) return ready;
      if (!OpenNext(BucketOf(time), prefetch, settle)) break;
    }
    return nullptr;
  }

  // ---- Buckets.

  Ticks BucketOf(Ticks time) const { return time >> shift_; }
  bool IsNear(Ticks bucket) const {
    return static_cast<std::uint64_t>(bucket) - static_cast<std::uint64_t>(open_) < kNear;
  }
  std::vector<Entry>& Near(Ticks bucket) {
    return near_[static_cast<std::uint64_t>(bucket) % kNear];
  }

  void Place(Entry entry) {
    const Ticks bucket = BucketOf(entry.time);
    if (bucket <= open_) {
      AddReady(std::move(entry));
    } else if (IsNear(bucket)) {
      Near(bucket).push_back(std::move(entry));
    } else {
      far_[bucket].push_back(std::move(entry));
    }
  }

  // Opens the first bucket that is not empty, up to `last`; false: there is none.
  template <class Prefetch, class Settle>
  bool OpenNext(Ticks last, const Prefetch& prefetch, const Settle& settle) {
    if (entries_ == 0 || open_ >= last) return false;
    const Ticks far = far_.empty() ? kMaxTicks : far_.begin()->first;
    Ticks next = open_ + 1;
    while (next < last && next < far && IsNear(next) && Near(next).empty()) ++next;
    if (!IsNear(next)) next = std::min(last, far);
    open_ = next;
    std::vector<Entry>& bucket = Near(next);
    Reopen(bucket, prefetch, settle);
    bucket.clear();
    if (far == next) {
      auto node = far_.extract(far_.begin());
      Reopen(node.mapped(), prefetch, settle);
    }
    return true;
  }
  // What is put off goes to later buckets.
  template <class Prefetch, class Settle>
  void Reopen(std::vector<Entry>& bucket, const Prefetch& prefetch, const Settle& settle) {
    constexpr std::size_t kAhead = 16;
    const std::size_t n = bucket.size();
    for (std::size_t i = 0; i < n; ++i) {
      if (i + kAhead < n) prefetch(bucket[i + kAhead].hash);
      if (settle(bucket[i])) {
        Place(std::move(bucket[i]));
      } else {
        --entries_;
      }
    }
  }

  // The width of a bucket is two to this power.
  int shift_;
  std::size_t entries_ = 0;
  // The last bucket whose time has come; what lies in it or before is ready: a list in order, from
  // run_at_ on, and a heap of what came out of order.
  Ticks open_ = kMinTicks;
  std::vector<Entry> run_;
  std::size_t run_at_ = 0;
  std::vector<Entry> heap_;
  // The buckets after it, each at its index modulo their number, and those after them.
  std::array<std::vector<Entry>, kNear> near_;
  std::map<Ticks, std::vector<Entry>> far_;
};

}  // namespace weir::internal

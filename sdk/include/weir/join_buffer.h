#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "weir/binary_codec.h"
#include "weir/state_codec.h"
#include "weir/time.h"

namespace weir::internal {

// A record that waits for records of the other side.
template <class T>
struct BufferedRecord {
  Ticks time = 0;
  T record{};
  // It was joined with one.
  bool matched = false;
};

// Records by time, those of one time as they came. Most come in order, and those that are over are
// at the front.
template <class T>
class JoinBuffer {
 public:
  using Entry = BufferedRecord<T>;

  Entry& Add(Ticks time, const T& record) {
    if (Empty() || last_time_ <= time) [[likely]] {
      last_time_ = time;
      return entries_.emplace_back(time, record, false);
    }
    return Insert(time, record);
  }
  // f(entry) for those of the times from `first` to `last`, both included.
  template <class F>
  void ForEach(Ticks first, Ticks last, F&& f) {
    // Few are over and not removed yet.
    auto at = begin();
    for (int looked = 0; at != end() && at->time < first; ++at) {
      if (++looked < kLooks) continue;
      at = std::lower_bound(at, end(), first,
                            [](const Entry& entry, Ticks t) { return entry.time < t; });
      break;
    }
    for (; at != end() && at->time <= last; ++at) f(*at);
  }
  // Removes those of the times up to `last`, after f(entry).
  template <class F>
  void RemoveUpTo(Ticks last, F&& f) {
    while (!Empty() && entries_[begin_].time <= last) f(entries_[begin_++]);
    if (begin_ * 2 >= entries_.size()) {
      entries_.erase(entries_.begin(), begin());
      begin_ = 0;
    }
  }
  bool Empty() const { return begin_ == entries_.size(); }
  Ticks FirstTime() const { return entries_[begin_].time; }

  std::vector<Entry> Stored() const {
    return std::vector<Entry>(entries_.begin() + static_cast<std::ptrdiff_t>(begin_),
                              entries_.end());
  }
  // False if they are not in order.
  bool Load(std::vector<Entry> entries) {
    entries_ = std::move(entries);
    if (!Empty()) last_time_ = entries_.back().time;
    return std::is_sorted(entries_.begin(), entries_.end(),
                          [](const Entry& a, const Entry& b) { return a.time < b.time; });
  }

 private:
  [[gnu::noinline]] Entry& Insert(Ticks time, const T& record) {
    const auto at = std::upper_bound(begin(), end(), time,
                                     [](Ticks t, const Entry& entry) { return t < entry.time; });
    return *entries_.insert(at, {time, record, false});
  }
  auto begin() { return entries_.begin() + static_cast<std::ptrdiff_t>(begin_); }
  auto end() { return entries_.end(); }
  // How many are looked at one by one before the first is searched for.
  static constexpr int kLooks = 8;
  std::vector<Entry> entries_;
  std::size_t begin_ = 0;
  // Of the last entry, if there is one: here, so that adding one waits for no memory.
  Ticks last_time_ = 0;
};

// What an interval join has of a key.
template <class A, class B>
struct JoinBuffers {
  JoinBuffer<A> left;
  JoinBuffer<B> right;
  // For when the timer is set; kMaxTicks: perhaps it is not; kMinTicks: it is not known. Of the
  // buffers.
  Ticks due = kMaxTicks;
};
// As it is written.
template <class A, class B>
struct StoredJoinBuffers {
  std::vector<BufferedRecord<A>> left;
  std::vector<BufferedRecord<B>> right;
};

template <class A, class B>
struct JoinBuffersLayout {
  static constexpr bool kWritesAll = true;
  template <class Fields>
  static std::string Notation() {
    return TypeNotation<StoredJoinBuffers<A, B>, Fields>();
  }
  bool Writes(const JoinBuffers<A, B>&) const { return true; }
  void Encode(const JoinBuffers<A, B>& buffers, std::string& out) const {
    const StoredJoinBuffers<A, B> stored{buffers.left.Stored(), buffers.right.Stored()};
    EncodeValue(stored, out);
  }
  JoinBuffersLayout Frozen() const { return *this; }
  bool Decode(Decoder& in, JoinBuffers<A, B>& buffers) const {
    StoredJoinBuffers<A, B> stored;
    if (!DecodeValue(in, stored)) return false;
    // The timer is a state of its own.
    buffers.due = kMinTicks;
    return (buffers.left.Load(std::move(stored.left)) &&
            buffers.right.Load(std::move(stored.right))) ||
           in.FailedIn("times");
  }
};

}  // namespace weir::internal

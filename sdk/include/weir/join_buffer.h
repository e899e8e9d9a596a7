#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
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
    if (Empty() || entries_.back().time <= time) {
      entries_.push_back({time, record, false});
      return entries_.back();
    }
    const auto at = std::upper_bound(begin(), end(), time,
                                     [](Ticks t, const Entry& entry) { return t < entry.time; });
    return *entries_.insert(at, {time, record, false});
  }
  // f(entry) for those of the times from `first` to `last`, both included.
  template <class F>
  void ForEach(Ticks first, Ticks last, F&& f) {
    auto at = std::lower_bound(begin(), end(), first,
                               [](const Entry& entry, Ticks t) { return entry.time < t; });
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
    return std::is_sorted(entries_.begin(), entries_.end(),
                          [](const Entry& a, const Entry& b) { return a.time < b.time; });
  }

 private:
  auto begin() { return entries_.begin() + static_cast<std::ptrdiff_t>(begin_); }
  auto end() { return entries_.end(); }
  std::vector<Entry> entries_;
  std::size_t begin_ = 0;
};

// What an interval join has of a key.
template <class A, class B>
struct JoinBuffers {
  JoinBuffer<A> left;
  JoinBuffer<B> right;
  // When the timer is set; of the buffers.
  Ticks due = kMaxTicks;
};
template <class A, class B>
struct JoinBuffersCell {
  std::unique_ptr<JoinBuffers<A, B>> buffers;
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
  bool Writes(const JoinBuffersCell<A, B>& cell) const { return cell.buffers != nullptr; }
  void Encode(const JoinBuffersCell<A, B>& cell, std::string& out) const {
    const StoredJoinBuffers<A, B> stored{cell.buffers->left.Stored(), cell.buffers->right.Stored()};
    EncodeValue(stored, out);
  }
  JoinBuffersLayout Frozen() const { return *this; }
  bool Decode(Decoder& in, JoinBuffersCell<A, B>& cell) const {
    StoredJoinBuffers<A, B> stored;
    if (!DecodeValue(in, stored)) return false;
    cell.buffers = std::make_unique<JoinBuffers<A, B>>();
    // The timer is a state of its own.
    cell.buffers->due = kMinTicks;
    return (cell.buffers->left.Load(std::move(stored.left)) &&
            cell.buffers->right.Load(std::move(stored.right))) ||
           in.FailedIn("times");
  }
};

}  // namespace weir::internal

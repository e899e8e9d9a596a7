#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "weir/state_codec.h"
#include "weir/time.h"
#include "weir/window_contents.h"
#include "weir/window_slices.h"
#include "weir/window_trigger.h"

namespace weir::internal {

template <class T>
struct SharedRecord {
  // Which of its key it is, in the order in which they came.
  std::uint64_t number = 0;
  WindowElement<T> element;
};

// As they are written.
template <class T>
struct StoredRecordSlice {
  Ticks start = 0;
  std::vector<SharedRecord<T>> records;
};
template <class T>
struct StoredSharedRecords {
  Ticks ended = kMinTicks;
  std::vector<StoredRecordSlice<T>> slices;
};

// The records of a key that overlapping windows have in common: each is kept once, in the slice of
// time that it falls into, until the last window over it has ended. A window is what its slices
// hold. `at` is the time by which windows are assigned, which need not be that of the record.
template <class T>
class SharedRecords {
 public:
  using Times = SliceTimes<true>;

  bool empty() const { return slices_.empty(); }
  std::size_t size() const { return size_; }
  // Windows that end by then have, or get nothing of what is here.
  Ticks ended() const { return ended_; }
  void SetEnded(Ticks ended) { ended_ = std::max(ended_, ended); }
  // Whether a window may end earlier now than any before.
  bool Add(const Times& times, Ticks at, Ticks time, const T& record) {
    const bool first = slices_.empty() || at < slices_.front().start;
    Slice& slice = !first && slices_.back().Covers(at) ? slices_.back() : FindSlice(times, at);
    slice.newest = next_++;
    slice.records.push_back({slice.newest, {time, record}});
    ++size_;
    return first;
  }

  // The last moment of the first window over some of the records that has not ended. There are
  // records.
  Ticks FirstEnd(const Times& times) const { return times.WindowMax(FirstWindow(times)); }

  // Ends the windows whose last moment is not after `through`, and lets go of what no other one
  // has. Calls f(span, records) for each with records, a vector of pointers to what `reach` leaves
  // of them in the order in which they came, at least one.
  template <class F>
  void End(const Times& times, Ticks through, const EvictorReach& reach, F&& f) {
    std::vector<const SharedRecord<T>*> picked;
    while (!slices_.empty()) {
      const Ticks start = FirstWindow(times);
      const WindowSpan span{start, times.WindowMax(start)};
      if (span.max_timestamp > through) break;
      Pick(span, reach, picked);
      f(span, picked);
      ended_ = span.max_timestamp;
      DropEnded(times);
    }
    SetEnded(through);
  }

  // Calls f(span, number of records) for each window that has some and has not ended, by start,
  // while it returns true. Over `at`: those over its slice alone.
  template <class F>
  void ForEachWindow(const Times& times, F&& f) const {
    if (!slices_.empty()) ForEachWindow(times, FirstWindow(times), kMaxTicks, f);
  }
  template <class F>
  void ForEachWindowOver(const Times& times, Ticks at, F&& f) const {
    const auto slice = std::find_if(slices_.begin(), slices_.end(),
                                    [&](const Slice& other) { return other.Covers(at); });
    if (slice == slices_.end()) return;
    ForEachWindow(times, std::max(times.FirstWindow(*slice), FirstWindow(times)),
                  times.LastWindow(*slice), f);
  }

  // As a StoredSharedRecords.
  void Encode(std::string& out) const {
    EncodeValue(ended_, out);
    weir::Encoder(out).Varint(slices_.size());
    for (const Slice& slice : slices_) {
      EncodeValue(slice.start, out);
      EncodeValue(slice.records, out);
    }
  }
  // False: they are not as they must be.
  bool Restore(const Times& times, StoredSharedRecords<T>&& stored) {
    ended_ = stored.ended;
    for (auto& [start, records] : stored.slices) {
      const bool ordered = slices_.empty() || slices_.back().start < start;
      const auto by_number = [](const auto& a, const auto& b) { return a.number < b.number; };
      if (!ordered || times.SliceStart(start) != start || records.empty() ||
          !std::is_sorted(records.begin(), records.end(), by_number)) {
        return false;
      }
      size_ += records.size();
      next_ = std::max(next_, records.back().number + 1);
      slices_.push_back({start, times.SliceMax(start), records.back().number, std::move(records)});
      if (IsOver(times, slices_.back())) return false;
    }
    return !slices_.empty();
  }

 private:
  struct Slice {
    Ticks start = 0;
    // Inclusive.
    Ticks max_timestamp = 0;
    // The number of the last record.
    std::uint64_t newest = 0;
    std::vector<SharedRecord<T>> records;
    bool Covers(Ticks at) const { return start <= at && at <= max_timestamp; }
  };

  Slice& FindSlice(const Times& times, Ticks at) {
    const Ticks start = times.SliceStart(at);
    const auto found =
        std::lower_bound(slices_.begin(), slices_.end(), start,
                         [](const Slice& slice, Ticks other) { return slice.start < other; });
    if (found != slices_.end() && found->start == start) return *found;
    return *slices_.insert(found, {start, times.SliceMax(start), 0, {}});
  }

  // The first window over some of the records that has not ended.
  Ticks FirstWindow(const Times& times) const {
    const Ticks first = times.FirstWindow(slices_.front());
    if (times.WindowMax(first) > ended_) return first;
    const WindowShape& shape = times.shape();
    return WindowStart(ended_ - (shape.size - 1), shape.offset, shape.slide) + shape.slide;
  }

  // Whether no window over it is left.
  bool IsOver(const Times& times, const Slice& slice) const {
    return times.WindowMax(times.LastWindow(slice)) <= ended_;
  }
  void DropEnded(const Times& times) {
    const auto last = std::find_if(slices_.begin(), slices_.end(),
                                   [&](const Slice& slice) { return !IsOver(times, slice); });
    for (auto slice = slices_.begin(); slice != last; ++slice) size_ -= slice->records.size();
    slices_.erase(slices_.begin(), last);
  }

  // From the newest slice back.
  void Pick(const WindowSpan& span, const EvictorReach& reach,
            std::vector<const SharedRecord<T>*>& picked) const {
    picked.clear();
    const auto before = [](const Slice& slice, Ticks time) { return slice.start < time; };
    const auto begin = std::lower_bound(slices_.begin(), slices_.end(), span.start, before);
    auto slice =
        std::upper_bound(begin, slices_.end(), span.max_timestamp,
                         [](Ticks time, const Slice& other) { return time < other.start; });
    Ticks oldest = kMinTicks;
    if (reach.back != EvictorReach().back) {
      Ticks newest = kMinTicks;
      for (const auto& record : (slice - 1)->records)
        newest = std::max(newest, record.element.time);
      oldest = SaturatingAdd(newest, -reach.back.count());
    }
    const auto later = [](const auto* a, const auto* b) { return a->number > b->number; };
    // Those before are not among the last.
    std::uint64_t first = 0;
    while (slice != begin && (--slice)->max_timestamp >= oldest) {
      if (slice->newest < first) continue;
      std::size_t left = reach.last;
      for (auto record = slice->records.rbegin();
           record != slice->records.rend() && left > 0 && record->number >= first; ++record) {
        if (record->element.time < oldest) continue;
        picked.push_back(&*record);
        --left;
      }
      if (picked.size() < reach.last) continue;
      const auto last = picked.begin() + static_cast<std::ptrdiff_t>(reach.last);
      std::nth_element(picked.begin(), last - 1, picked.end(), later);
      picked.erase(last, picked.end());
      first = picked.back()->number;
    }
    std::reverse(picked.begin(), picked.end());
    const auto earlier = [](const auto* a, const auto* b) { return a->number < b->number; };
    if (!std::is_sorted(picked.begin(), picked.end(), earlier))
      std::sort(picked.begin(), picked.end(), earlier);
  }

  template <class F>
  void ForEachWindow(const Times& times, Ticks first, Ticks last, F&& f) const {
    auto begin = slices_.begin();
    auto end = begin;
    std::size_t count = 0;
    for (Ticks start = first; start <= last; start += times.shape().slide) {
      const WindowSpan span{start, times.WindowMax(start)};
      for (; end != slices_.end() && end->start <= span.max_timestamp; ++end)
        count += end->records.size();
      for (; begin != end && begin->start < start; ++begin) count -= begin->records.size();
      if (count > 0) {
        if (!f(span, count)) return;
      } else if (end == slices_.end()) {
        return;
      } else {
        start = times.FirstWindow(*end) - times.shape().slide;
      }
    }
  }

  Ticks ended_ = kMinTicks;
  std::uint64_t next_ = 0;
  std::size_t size_ = 0;
  // By start; none is empty.
  std::vector<Slice> slices_;
};

template <class T>
class SharedRecordsLayout {
 public:
  static constexpr bool kWritesAll = true;
  explicit SharedRecordsLayout(const SliceTimes<true>& times) : times_(times) {}
  template <class Fields>
  static std::string Notation() {
    return TypeNotation<StoredSharedRecords<T>, Fields>();
  }
  bool Writes(const SharedRecords<T>&) const { return true; }
  void Encode(const SharedRecords<T>& shared, std::string& out) const { shared.Encode(out); }
  SharedRecordsLayout Frozen() const { return *this; }
  bool Decode(Decoder& in, SharedRecords<T>& shared) const {
    StoredSharedRecords<T> stored;
    if (!DecodeValue(in, stored)) return false;
    return shared.Restore(times_, std::move(stored)) ||
           in.Fail("slices that windows of this size and slide do not have");
  }

 private:
  const SliceTimes<true> times_;
};

}  // namespace weir::internal

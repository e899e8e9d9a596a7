#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/graph.h"
#include "weir/hash.h"
#include "weir/operator.h"
#include "weir/state_codec.h"
#include "weir/state_table.h"
#include "weir/time.h"
#include "weir/window.h"
#include "weir/window_listing.h"

// What the operators of aggregating windows have in common, whether a slice of time is a window or
// shared by several: their state as it is written (docs/FORMATS.md, `slices<K,A>`).

namespace weir::internal {

inline constexpr const char kWindowsState[] = "windows";

template <class K, class A, class Fields = PlainFields>
std::string SlicesTypeText() {
  return "slices<" + TypeNotation<K, Fields>() + "," + TypeNotation<A, Fields>() + ">";
}

// Up to which time the windows of each key group have fired where that is later than the
// operator's watermark: in the subtask from which the key group came when the job was rescaled.
class FiredTimes {
 public:
  void Open(const OperatorContext& context) {
    range_ = context.key_groups();
    max_parallelism_ = context.max_parallelism();
  }

  // None is.
  bool empty() const { return times_.empty(); }
  // kMinTicks: not later than the watermark.
  Ticks OfHash(std::uint64_t hash) const {
    if (times_.empty()) [[likely]] {
      return kMinTicks;
    }
    return times_[KeyGroupOf(hash, max_parallelism_) - range_.first];
  }
  Ticks Of(std::uint32_t key_group) const {
    return times_.empty() ? kMinTicks : times_[key_group - range_.first];
  }
  // Whether the window that ends at `max_timestamp` has, of the index-th key group here.
  bool HasFired(std::uint32_t index, Ticks max_timestamp) const {
    return !times_.empty() && times_[index] >= max_timestamp;
  }

  // The key group is read.
  absl::Status Restore(std::uint32_t key_group, Ticks through, Ticks watermark) {
    const std::size_t index = key_group - range_.first;
    if (index >= range_.size()) {
      return absl::DataLossError("state 'windows': a key group that this subtask does not own");
    }
    if (through <= watermark) return absl::OkStatus();
    if (times_.empty()) times_.assign(range_.size(), kMinTicks);
    times_[index] = through;
    return absl::OkStatus();
  }
  void Advance(Ticks watermark) {
    if (std::all_of(times_.begin(), times_.end(), [&](Ticks t) { return t <= watermark; }))
      times_.clear();
  }

 private:
  KeyGroupRange range_;
  std::uint32_t max_parallelism_ = 1;
  std::vector<Ticks> times_;
};

// Which slices and windows there are. kShared: time is cut at the starts and ends of windows, and
// windows share the slices that they cover; else each window is a slice of its own. A slice has its
// `start` and its `max_timestamp`, inclusive; a window is named by its start.
template <bool kShared>
class SliceTimes {
 public:
  explicit SliceTimes(WindowShape shape) : shape_(std::move(shape)) {}
  const WindowShape& shape() const { return shape_; }

  Ticks SliceStart(Ticks ts) const {
    const Ticks window = WindowStart(ts, shape_.offset, shape_.slide);
    const Ticks cut = Cut();
    return cut != 0 && ts - window >= cut ? window + cut : window;
  }
  // Slices start at least so many ticks apart.
  Ticks LeastSlice() const {
    return Cut() == 0 ? shape_.slide : std::min(Cut(), shape_.slide - Cut());
  }
  Ticks SliceMax(Ticks start) const {
    if constexpr (!kShared) return WindowMax(start);
    const Ticks window = WindowStart(start, shape_.offset, shape_.slide);
    const Ticks cut = Cut();
    return (cut != 0 && start == window ? window + cut : window + shape_.slide) - 1;
  }
  // Starts of the last and of the first window over the slice.
  template <class Slice>
  Ticks LastWindow(const Slice& slice) const {
    return kShared ? WindowStart(slice.start, shape_.offset, shape_.slide) : slice.start;
  }
  template <class Slice>
  Ticks FirstWindow(const Slice& slice) const {
    if constexpr (!kShared) return slice.start;
    return WindowStart(slice.max_timestamp - shape_.size, shape_.offset, shape_.slide) +
           shape_.slide;
  }
  // The last moment of the first window over `ts`, if one is.
  Ticks FirstEnd(Ticks ts) const {
    return WindowMax(WindowStart(SaturatingAdd(ts, -shape_.size), shape_.offset, shape_.slide) +
                     shape_.slide);
  }
  Ticks WindowMax(Ticks start) const { return SaturatingAdd(start, shape_.size - 1); }
  Ticks CleanupTime(Ticks max_timestamp) const {
    return SaturatingAdd(max_timestamp, shape_.lateness);
  }
  template <class Slice>
  bool IsLate(const Slice& slice, Ticks watermark) const {
    return CleanupTime(WindowMax(LastWindow(slice))) <= watermark;
  }

  // Calls add(ListedWindow) for each window over some of the slices, by start, that is not over.
  template <class Slices, class Add>
  void List(const Slices& slices, Ticks watermark, WindowListing& listing, Add&& add) const {
    listing.there_are += slices.size();
    Ticks next = kMinTicks;
    for (const auto& [from, slice] : slices) {
      for (Ticks start = std::max(FirstWindow(slice), next);
           start <= LastWindow(slice) && !listing.Full(); start += shape_.slide) {
        next = start + shape_.slide;
        const Ticks max = WindowMax(start);
        if (CleanupTime(max) <= watermark) continue;
        add(ListedWindow{.start = start,
                         .end = SaturatingAdd(max, 1),
                         .fires = max <= watermark ? ListedWindow::Fires::kFired
                                                   : ListedWindow::Fires::kAtWatermark,
                         .at = max,
                         .gone_at = CleanupTime(max),
                         .keys = 0});
      }
      if (listing.Full()) break;
    }
  }

 private:
  // Where in a slide a window ends.
  Ticks Cut() const { return kShared ? shape_.size % shape_.slide : 0; }

  const WindowShape shape_;
};

// The slices of an operator at a snapshot, by their starts.
template <class K, class A>
struct FrozenSlices final : KeyedStateSnapshot {
  std::vector<std::pair<Ticks, TableSnapshot<K, A>>> slices;
  Ticks watermark = kMinTicks;
  FiredTimes fired;
  void WriteKeyGroup(std::uint32_t key_group, std::string& out) override {
    bool any = false;
    for (const auto& [start, table] : slices) {
      table.WriteKeyGroup(key_group, out, [&, from = start] {
        if (!std::exchange(any, true)) EncodeValue(std::max(fired.Of(key_group), watermark), out);
        EncodeValue(from, out);
      });
    }
  }
};

// Reads what a snapshot has of a key group. Calls through(Ticks) with the time up to which its
// windows have fired, then for each slice begin(start, entries), with a number that memory may be
// taken for, and insert(const K&, A, hash) for each entry; the first two may refuse.
template <class K, class A, class Through, class Begin, class Insert>
absl::Status ReadSlices(std::string_view bytes, std::uint32_t key_group,
                        std::uint32_t max_parallelism, Through&& through, Begin&& begin,
                        Insert&& insert) {
  if (bytes.empty()) return absl::OkStatus();
  Decoder in(bytes);
  Ticks fired = 0;
  if (!DecodeValue(in, fired))
    return absl::DataLossError("state 'windows': no time of the last firing");
  WEIR_SDK_RETURN_IF_ERROR(through(fired));
  while (in.remaining() > 0) {
    Ticks start = 0;
    if (!DecodeValue(in, start)) return absl::DataLossError("state 'windows': no slice");
    absl::Status begun;
    WEIR_SDK_RETURN_IF_ERROR((ReadEntries<K, A>(
        in, key_group, max_parallelism, kWindowsState,
        [&](std::size_t entries) { begun = begin(start, entries); },
        [&](const K& key, A acc, std::uint64_t hash) {
          if (begun.ok()) insert(key, std::move(acc), hash);
        })));
    WEIR_SDK_RETURN_IF_ERROR(begun);
  }
  return absl::OkStatus();
}

}  // namespace weir::internal

#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "weir/state_codec.h"
#include "weir/time.h"
#include "weir/window_trigger.h"

namespace weir::internal {

// A window of a key, as it is kept and written.
template <class C, class S, class W>
struct StoredWindow {
  Ticks start = 0;
  Ticks max_timestamp = 0;
  C contents{};
  S trigger{};
  W state{};
  std::vector<Ticks> event_timers;
  std::vector<Ticks> processing_timers;
};
template <class C, class S, class W>
struct StoredWindows {
  std::vector<StoredWindow<C, S, W>> windows;
};

template <class C, class S, class W>
struct OpenWindow {
  WindowSpan span;
  C contents{};
  S trigger{};
  W state{};
  DueTimes event;
  DueTimes processing;
};
// Of a key, by their times.
template <class C, class S, class W>
struct OpenWindows {
  std::vector<OpenWindow<C, S, W>> windows;
  // For when the key's event timer is set: for the first of the windows' times, or earlier.
  // Nothing: not known, or it is not set.
  std::optional<Ticks> event_timer;

  Ticks Due(bool event) const {
    Ticks due = kMaxTicks;
    for (const auto& window : windows)
      due = std::min(due, event ? window.event.first() : window.processing.first());
    return due;
  }
  bool HasTimers(bool event) const {
    return std::any_of(windows.begin(), windows.end(), [&](const auto& window) {
      return !(event ? window.event : window.processing).empty();
    });
  }
};

template <class C, class S, class W>
struct WindowsLayout {
  static constexpr bool kWritesAll = true;
  using Cell = std::unique_ptr<OpenWindows<C, S, W>>;
  template <class Fields>
  static std::string Notation() {
    return TypeNotation<StoredWindows<C, S, W>, Fields>();
  }
  bool Writes(const Cell& cell) const { return cell != nullptr; }
  void Encode(const Cell& cell, std::string& out) const {
    StoredWindows<C, S, W> stored;
    for (const auto& window : cell->windows) {
      stored.windows.push_back({window.span.start, window.span.max_timestamp, window.contents,
                                window.trigger, window.state, window.event.times(),
                                window.processing.times()});
    }
    EncodeValue(stored, out);
  }
  WindowsLayout Frozen() const { return *this; }
  bool Decode(Decoder& in, Cell& cell) const {
    StoredWindows<C, S, W> stored;
    if (!DecodeValue(in, stored)) return false;
    cell = std::make_unique<OpenWindows<C, S, W>>();
    for (auto& window : stored.windows) {
      auto& open = cell->windows.emplace_back();
      open.span = {window.start, window.max_timestamp};
      open.contents = std::move(window.contents);
      open.trigger = std::move(window.trigger);
      open.state = std::move(window.state);
      open.event.times() = std::move(window.event_timers);
      open.processing.times() = std::move(window.processing_timers);
    }
    const auto& windows = cell->windows;
    for (std::size_t i = 0; i < windows.size(); ++i) {
      const bool ordered = i == 0 || windows[i - 1].span < windows[i].span;
      if (!ordered ||
          !std::is_sorted(windows[i].event.times().begin(), windows[i].event.times().end()) ||
          !std::is_sorted(windows[i].processing.times().begin(),
                          windows[i].processing.times().end())) {
        return in.FailedIn("windows");
      }
    }
    return true;
  }
};

}  // namespace weir::internal

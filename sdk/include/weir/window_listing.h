#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "weir/time.h"

namespace weir {

// An open window, as `jobctl windows` shows it: of one key, or of all keys that it has.
struct ListedWindow {
  // When it gives its next result.
  enum class Fires : std::uint8_t {
    kAtWatermark,  // once the watermark has reached `at`
    kAtClock,      // once the wall clock is past `at`
    kByTrigger,    // with a record that its trigger waits for
    kFired,        // it has, and does again with each late record
  };

  // As JSON; empty: of all keys.
  std::string key{};
  // [start, end); kMinTicks and kMaxTicks: the window without end.
  Ticks start = kMinTicks;
  Ticks end = kMaxTicks;
  // Its times are those of the wall clock.
  bool on_clock = false;
  Fires fires = Fires::kByTrigger;
  Ticks at = kMaxTicks;
  // The watermark, or time of the clock, at which it is dropped; kMaxTicks: never by itself.
  Ticks gone_at = kMaxTicks;
  // 0: not known.
  std::uint64_t keys = 1;
  // Records that are kept, or aggregates; 0: none, or not known if `keys` is not either.
  std::uint64_t entries = 0;
  // Of memory, without what records point to; 0: not known.
  std::uint64_t bytes = 0;
};

// What Operator::ListWindows fills: those that fire first of the windows that were looked at.
struct WindowListing {
  // What is asked for.
  std::size_t most_windows = 20;
  std::size_t most_looks = 10'000;

  // Call Finish when all were added.
  std::vector<ListedWindow> windows;
  // How many were added.
  std::uint64_t seen = 0;
  // Keys that were looked at, or windows if they are kept in one piece for all keys, and how many
  // there are.
  bool by_key = false;
  std::uint64_t looked = 0;
  std::uint64_t there_are = 0;

  bool Full() const { return looked >= most_looks || seen >= most_looks; }
  void Add(ListedWindow window) {
    ++seen;
    windows.push_back(std::move(window));
    if (windows.size() >= 2 * most_windows + 64) Finish();
  }
  // Leaves those that fire first, in that order.
  void Finish() {
    const auto order = [](const ListedWindow& window) {
      return std::tie(window.at, window.start, window.end, window.key);
    };
    std::sort(windows.begin(), windows.end(),
              [&](const auto& a, const auto& b) { return order(a) < order(b); });
    if (windows.size() > most_windows)
      windows.erase(windows.begin() + static_cast<std::ptrdiff_t>(most_windows), windows.end());
  }
};

}  // namespace weir

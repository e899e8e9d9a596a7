#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "weir/time.h"

namespace weir::internal {

// Finds what is open (windows, slices of time) by its start in one step however much is open, where
// a map that owns it would be searched. It may not know one that is open: what shares a place with
// one that was remembered later.
template <class Open>
class OpenByStart {
 public:
  // No two starts are closer than `width` ticks.
  explicit OpenByStart(Ticks width) : width_(width), places_(kLeast) {}

  // Null: not known.
  Open* Find(Ticks start) const {
    const Place& place = places_[PlaceOf(start)];
    return place.start == start ? place.open : nullptr;
  }
  // `open` stays where it is until it is forgotten; `there_are` so many now.
  void Remember(Ticks start, Open* open, std::size_t there_are) {
    // So many windows in a row have a place each.
    if (there_are > places_.size() && places_.size() < kMost)
      places_.assign(std::bit_ceil(there_are), Place());
    places_[PlaceOf(start)] = {start, open};
  }
  void Forget(Ticks start) {
    Place& place = places_[PlaceOf(start)];
    if (place.start == start) place.open = nullptr;
  }

 private:
  static constexpr std::size_t kLeast = 16;
  static constexpr std::size_t kMost = std::size_t{1} << 16;
  struct Place {
    Ticks start = 0;
    Open* open = nullptr;
  };

  std::size_t PlaceOf(Ticks start) const {
    return static_cast<std::uint64_t>(start / width_) & (places_.size() - 1);
  }

  const Ticks width_;
  std::vector<Place> places_;
};

}  // namespace weir::internal

#include "runtime/time/watermark_moves.h"

#include <algorithm>

namespace weir {

std::optional<WatermarkMove> WatermarkMoves::ThatReached(Ticks time) const {
  const auto move =
      std::lower_bound(moves_.begin(), moves_.end(), time,
                       [](const WatermarkMove& m, Ticks t) { return m.watermark < t; });
  if (move == moves_.end()) return std::nullopt;
  return *move;
}

void WatermarkMoves::Thin() {
  const size_t half = moves_.size() / 2;
  size_t to = 0;
  for (size_t i = 0; i + 1 < half; i += 2) {
    WatermarkMove both = moves_[i + 1];
    both.first_nanos = moves_[i].first_nanos;
    both.steps += moves_[i].steps;
    moves_[to++] = both;
  }
  moves_.erase(moves_.begin() + static_cast<std::ptrdiff_t>(to),
               moves_.begin() + static_cast<std::ptrdiff_t>(half));
}

}  // namespace weir

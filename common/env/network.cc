#include "common/env/network.h"

namespace weir {

std::string MessageBytes::Flatten() && {
  if (pieces.empty()) return {};
  if (pieces.size() == 1) return std::move(pieces.front());
  std::string whole;
  whole.reserve(size());
  for (const std::string& piece : pieces) whole += piece;
  pieces.clear();
  return whole;
}

}  // namespace weir

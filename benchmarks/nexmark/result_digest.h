#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "benchmarks/nexmark/event.h"

namespace nexmark {

// The number of rows and the sum of their hashes (definition.md, "Result digests"): does not depend
// on their order, and those of parallel sinks add up.
struct ResultDigest {
  std::uint64_t rows = 0;
  std::uint64_t sum = 0;

  void Add(std::string_view line) {
    std::uint64_t hash = 0xCBF29CE484222325;
    for (const char letter : line) {
      hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001B3;
    }
    hash = (hash ^ (hash >> 30)) * 0xBF58476D1CE4E5B9;
    hash = (hash ^ (hash >> 27)) * 0x94D049BB133111EB;
    sum += hash ^ (hash >> 31);
    ++rows;
  }
  friend bool operator==(const ResultDigest&, const ResultDigest&) = default;
};

// A number with three decimals, as prices are after a conversion.
struct Thousandths {
  std::int64_t value = 0;
};

namespace internal {
inline void Append(std::int64_t value, std::string& line) { line += std::to_string(value); }
inline void Append(weir::EventTime time, std::string& line) { Append(time.ticks() / 1000, line); }
inline void Append(const std::string& text, std::string& line) { line += text; }
template <std::size_t N>
void Append(const Text<N>& text, std::string& line) {
  line += text.view();
}
inline void Append(Thousandths number, std::string& line) {
  const std::string digits = std::to_string(1000 + number.value % 1000);
  line += std::to_string(number.value / 1000) + "." + digits.substr(1);
}
}  // namespace internal

// The fields of a row with | between them.
template <class First, class... More>
std::string Line(const First& first, const More&... more) {
  std::string line;
  internal::Append(first, line);
  ((line += '|', internal::Append(more, line)), ...);
  return line;
}

}  // namespace nexmark

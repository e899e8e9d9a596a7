#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>

namespace weir {

// Numbers as the formats of docs/FORMATS.md have them.

template <std::unsigned_integral T>
void AppendLittleEndian(std::string& out, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) out.push_back(static_cast<char>(value >> (8 * i) & 0xff));
}

// Reads sizeof(T) bytes.
template <std::unsigned_integral T>
T LoadLittleEndian(const char* from) {
  uint64_t value = 0;
  for (size_t i = sizeof(T); i-- > 0;) value = value << 8 | static_cast<uint8_t>(from[i]);
  return static_cast<T>(value);
}

}  // namespace weir

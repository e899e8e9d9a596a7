#include "common/base/id.h"

#include "common/base/strings.h"

namespace weir::internal {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

absl::StatusOr<std::array<uint8_t, 16>> ParseHex128(std::string_view hex) {
  std::array<uint8_t, 16> bytes{};
  if (hex.size() != 32) {
    return absl::InvalidArgumentError(
        StrCat("an id has 32 hex digits, '", hex.substr(0, 64), "' has ", hex.size(), " characters"));
  }
  for (size_t i = 0; i < 16; ++i) {
    const int high = HexDigit(hex[2 * i]);
    const int low = HexDigit(hex[2 * i + 1]);
    if (high < 0 || low < 0) {
      return absl::InvalidArgumentError(StrCat("'", hex, "' is not an id: only hex digits are allowed"));
    }
    bytes[i] = static_cast<uint8_t>(high * 16 + low);
  }
  return bytes;
}

std::string FormatHex128(const std::array<uint8_t, 16>& bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(32);
  for (uint8_t byte : bytes) {
    text.push_back(kDigits[byte >> 4]);
    text.push_back(kDigits[byte & 15]);
  }
  return text;
}

}  // namespace weir::internal

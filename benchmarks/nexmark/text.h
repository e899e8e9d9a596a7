#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "weir/sdk.h"

namespace nexmark {

// At most N letters, kept in the record itself: making, copying and dropping one never allocates.
template <std::size_t N>
struct Text {
  std::uint32_t size = 0;
  char letters[N];

  // User-provided, so that the letters are left as they are.
  Text() {}  // NOLINT(modernize-use-equals-default)
  explicit Text(std::string_view text) { Assign(text); }
  // `text` has at most N letters.
  void Assign(std::string_view text) {
    size = static_cast<std::uint32_t>(text.size());
    std::memcpy(letters, text.data(), text.size());
  }
  std::string_view view() const { return {letters, size}; }
  friend bool operator==(const Text& a, const Text& b) { return a.view() == b.view(); }
};

}  // namespace nexmark

namespace weir {

// As a string, so that a field may become one.
template <std::size_t N>
struct Codec<nexmark::Text<N>> {
  static constexpr std::string_view kTypeName = "text";
  static void Encode(const nexmark::Text<N>& text, Encoder& out) { out.String(text.view()); }
  static bool Decode(Decoder& in, nexmark::Text<N>& text) {
    std::string_view letters;
    if (!in.String(letters)) return false;
    if (letters.size() > N) return in.Fail("more than " + std::to_string(N) + " letters");
    text.Assign(letters);
    return true;
  }
  static absl::Status ReadJson(JsonReader& in, nexmark::Text<N>& text) {
    std::string_view letters;
    if (const absl::Status status = in.ReadString(letters); !status.ok()) return status;
    if (letters.size() > N)
      return absl::InvalidArgumentError("more than " + std::to_string(N) + " letters");
    text.Assign(letters);
    return absl::OkStatus();
  }
  static void WriteJson(const nexmark::Text<N>& text, std::string& out) {
    WriteJsonValue(std::string(text.view()), out);
  }
};

}  // namespace weir

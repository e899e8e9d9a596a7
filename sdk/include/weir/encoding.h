#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"

namespace weir {

static_assert(std::endian::native == std::endian::little,
              "records are copied as little-endian bytes");

// How a type that is no plain aggregate becomes a record, a field or a key: specialize it, in
// namespace weir.
//
//   template <>
//   struct weir::Codec<Money> {
//     // In schemas. Give the type another name when its encoding changes.
//     static constexpr std::string_view kTypeName = "money";
//     // Appends at least one byte. Equal values have equal bytes: keys are hashed and compared by
//     them. static void Encode(const Money& value, weir::Encoder& out) { out.Fixed(value.cents());
//     }
//     // Reads what Encode wrote. Any bytes may come: `return in.Fail("why")` on those that Encode
//     cannot have written. static bool Decode(weir::Decoder& in, Money& value); static absl::Status
//     ReadJson(weir::JsonReader& in, Money& value); static void WriteJson(const Money& value,
//     std::string& out);
//     // Optional: a form in plain text, for cells of CSV and for keys of JSON objects.
//     static absl::Status ReadText(std::string_view text, Money& value);
//     static void WriteText(const Money& value, std::string& out);
//   };
//
// The type must be default constructible and movable.
template <class T>
struct Codec;

// Appends encoded values to a string, or to a buffer on the stack that spills into a string when it
// is full. The string is whole again (without slack at its end) after Finish or destruction. One
// thread.
class Encoder {
 public:
  explicit Encoder(std::string& out)
      : out_(&out), base_(out.data()), pos_(base_ + out.size()), end_(pos_), start_(out.size()) {}
  Encoder(char* scratch, std::size_t size) : base_(scratch), pos_(scratch), end_(scratch + size) {}
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;
  ~Encoder() { Finish(); }

  // Room for `n` more bytes.
  void Reserve(std::size_t n) {
    if (static_cast<std::size_t>(end_ - pos_) < n) [[unlikely]] {
      Grow(n);
    }
  }
  void Bytes(const void* data, std::size_t n) {
    Reserve(n);
    if (n > 0) std::memcpy(pos_, data, n);
    pos_ += n;
  }
  // The bytes of an integer, bool, enum or floating point number, the lowest first.
  template <class N>
  void Fixed(N value) {
    static_assert(std::is_arithmetic_v<N> || std::is_enum_v<N>);
    Reserve(sizeof(N));
    std::memcpy(pos_, &value, sizeof(N));
    pos_ += sizeof(N);
  }
  // LEB128: seven bits a byte, the lowest first, the high bit on all bytes but the last.
  void Varint(std::uint64_t value) {
    Reserve(kMaxVarint);
    PutVarint(value);
  }
  // Varint of the length, then the bytes.
  void String(std::string_view text) {
    Reserve(kMaxVarint + text.size());
    PutVarint(text.size());
    if (!text.empty()) std::memcpy(pos_, text.data(), text.size());
    pos_ += text.size();
  }

  // Bytes written by this encoder.
  std::size_t size() const { return static_cast<std::size_t>(pos_ - base_) - start_; }
  // Them; until the next write.
  std::string_view view() const { return std::string_view(base_ + start_, size()); }

  void Finish() {
    if (out_ != nullptr) {
      out_->resize(static_cast<std::size_t>(pos_ - base_));
      end_ = pos_;
    }
  }

 private:
  static constexpr std::size_t kMaxVarint = 10;

  void PutVarint(std::uint64_t value) {
    while (value >= 0x80) {
      *pos_++ = static_cast<char>(value | 0x80);
      value >>= 7;
    }
    *pos_++ = static_cast<char>(value);
  }

  [[gnu::noinline]] void Grow(std::size_t n) {
    const std::size_t used = static_cast<std::size_t>(pos_ - base_);
    const std::size_t step = std::max(n, std::clamp(size(), std::size_t{64}, std::size_t{65536}));
    if (out_ == nullptr) {
      out_ = &spill_;
      spill_.resize(used + step);
      std::memcpy(spill_.data(), base_, used);
    } else {
      out_->resize(used + step);
    }
    base_ = out_->data();
    pos_ = base_ + used;
    end_ = base_ + out_->size();
  }

  std::string spill_;
  std::string* out_ = nullptr;
  char* base_;
  char* pos_;
  char* end_;
  std::size_t start_ = 0;
};

// Reads what an Encoder wrote, from bytes that may be anything: every call returns false, and says
// why in status(), when the bytes are not the encoding of what was asked for, and takes no memory
// that the bytes cannot account for. One thread.
class Decoder {
 public:
  explicit Decoder(std::string_view bytes)
      : pos_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  std::size_t remaining() const { return static_cast<std::size_t>(end_ - pos_); }

  bool Bytes(void* to, std::size_t n) {
    if (remaining() < n) [[unlikely]] {
      return FailShort(n);
    }
    if (n > 0) std::memcpy(to, pos_, n);
    pos_ += n;
    return true;
  }
  // A view into the bytes given.
  bool View(std::string_view& bytes, std::size_t n) {
    if (remaining() < n) [[unlikely]] {
      return FailShort(n);
    }
    bytes = std::string_view(pos_, n);
    pos_ += n;
    return true;
  }
  template <class N>
  bool Fixed(N& value) {
    static_assert((std::is_arithmetic_v<N> && !std::is_same_v<N, bool>) || std::is_enum_v<N>);
    return Bytes(&value, sizeof(N));
  }
  bool Bool(bool& value) {
    std::uint8_t byte = 0;
    if (!Fixed(byte)) return false;
    if (byte > 1) [[unlikely]] {
      return Fail("a bool that is neither 0 nor 1");
    }
    value = byte != 0;
    return true;
  }
  // Only the shortest form of a number is accepted.
  bool Varint(std::uint64_t& value) {
    if (pos_ != end_ && static_cast<signed char>(*pos_) >= 0) [[likely]] {
      value = static_cast<std::uint8_t>(*pos_++);
      return true;
    }
    return LongVarint(value);
  }
  // A count of elements that take at least `min_size` bytes each, all of which must be there.
  bool Count(std::size_t min_size, std::size_t& count) {
    std::uint64_t n = 0;
    if (!Varint(n)) return false;
    if (n > remaining() / min_size) [[unlikely]] {
      return Fail("a count of " + std::to_string(n) + " elements, more than the " +
                  std::to_string(remaining()) + " bytes left can hold");
    }
    count = static_cast<std::size_t>(n);
    return true;
  }
  // Views into the bytes given.
  bool String(std::string_view& text) {
    std::uint64_t n = 0;
    if (!Varint(n)) return false;
    if (n > remaining()) [[unlikely]] {
      return Fail("a string of " + std::to_string(n) + " bytes where only " +
                  std::to_string(remaining()) + " are left");
    }
    text = std::string_view(pos_, static_cast<std::size_t>(n));
    pos_ += n;
    return true;
  }
  bool String(std::string& text) {
    std::string_view view;
    if (!String(view)) return false;
    text.assign(view);
    return true;
  }

  // Nested values of a type that contains itself: Enter before, Leave after. Fails when they nest
  // too deeply.
  bool Enter() {
    if (depth_ == kMaxDepth) [[unlikely]] {
      return Fail("more than 100 values inside one another");
    }
    ++depth_;
    return true;
  }
  void Leave() { --depth_; }

  // Always false; the first reason counts.
  [[gnu::noinline]] bool Fail(std::string reason) {
    if (reason_.empty()) reason_ = std::move(reason);
    return false;
  }
  // Says, on the way out of a failure, in which field it happened. Always false.
  [[gnu::noinline]] bool FailedIn(std::string_view field) {
    path_ = path_.empty() ? std::string(field) : std::string(field) + "." + path_;
    return false;
  }
  // kDataLoss after a failure.
  absl::Status status() const {
    if (reason_.empty()) return absl::OkStatus();
    return absl::DataLossError(path_.empty() ? reason_ : "field '" + path_ + "': " + reason_);
  }

 private:
  static constexpr std::size_t kMaxDepth = 100;

  [[gnu::noinline]] bool FailShort(std::size_t n) {
    return Fail("ends after " + std::to_string(remaining()) + " of " + std::to_string(n) +
                " bytes");
  }
  [[gnu::noinline]] bool LongVarint(std::uint64_t& value) {
    value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (pos_ == end_) return Fail("ends within a length");
      const auto byte = static_cast<std::uint8_t>(*pos_++);
      if (shift == 63 && byte > 1) break;
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) {
        return byte != 0 || shift == 0 || Fail("a length that is not in its shortest form");
      }
    }
    return Fail("a length of more than 64 bits");
  }

  const char* pos_;
  const char* end_;
  std::size_t depth_ = 0;
  std::string reason_;
  std::string path_;
};

}  // namespace weir

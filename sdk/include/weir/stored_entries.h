#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "weir/binary_codec.h"
#include "weir/state_store.h"
#include "weir/time.h"

namespace weir::internal {

// How the keys of a state store begin: two bytes of key group, big endian.
inline constexpr std::size_t kKeyGroupBytes = 2;
inline void AppendKeyGroup(std::uint32_t key_group, std::string& out) {
  out += static_cast<char>(key_group >> 8);
  out += static_cast<char>(key_group);
}

// The first key after all that begin with `prefix`, which has a byte that is not 0xff.
inline std::string EndOf(std::string_view prefix) {
  std::string end(prefix.substr(0, prefix.find_last_not_of('\xff') + 1));
  ++end.back();
  return end;
}

// Keys from `first` on, but not `second`: those of the key group that go on with `prefix`.
inline std::pair<std::string, std::string> RangeOf(std::uint32_t key_group,
                                                   std::string_view prefix) {
  std::string from;
  AppendKeyGroup(key_group, from);
  from += prefix;
  std::string to = EndOf(from);
  return {std::move(from), std::move(to)};
}

// The start of a slice of time as it stands in keys: eight bytes that sort as the times do.
inline constexpr std::size_t kSliceBytes = 8;
inline void AppendSlice(Ticks start, std::string& out) {
  const std::uint64_t ordered = static_cast<std::uint64_t>(start) ^ (std::uint64_t{1} << 63);
  for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(ordered >> shift);
}
// `bytes` has as many.
inline Ticks SliceIn(std::string_view bytes) {
  std::uint64_t ordered = 0;
  for (std::size_t i = 0; i < kSliceBytes; ++i)
    ordered = ordered << 8 | static_cast<unsigned char>(bytes[i]);
  return static_cast<Ticks>(ordered ^ (std::uint64_t{1} << 63));
}

// Entries of one key group of a column, in the order of their keys, gathered as a
// KeyedStateSnapshot writes them (docs/FORMATS.md, "State stores").
class StoredKeyGroup {
 public:
  explicit StoredKeyGroup(ColumnLayout layout) : layout_(layout) {}

  // `key` without its key group. False: it is malformed.
  bool Add(std::string_view key, std::string_view value) {
    switch (layout_) {
      case ColumnLayout::kEntries:
        break;
      case ColumnLayout::kExpiring:
        if (value.size() < sizeof(Ticks)) return false;
        value.remove_prefix(sizeof(Ticks));
        break;
      case ColumnLayout::kSlices:
        if (key.empty()) {
          head_ = value;
          return true;
        }
        if (key.size() < kSliceBytes || head_.empty()) return false;
        if (const Ticks slice = SliceIn(key); count_ == 0 || slice != slice_) {
          EndSlice();
          slice_ = slice;
        }
        key.remove_prefix(kSliceBytes);
        break;
    }
    entries_ += key;
    entries_ += value;
    ++count_;
    return true;
  }

  // After the last; nothing is appended if there were none.
  void AppendTo(std::string& out) {
    EndSlice();
    out += text_;
  }

 private:
  void EndSlice() {
    if (count_ == 0) return;
    if (layout_ == ColumnLayout::kSlices) {
      if (text_.empty()) text_ += head_;
      EncodeValue(slice_, text_);
    }
    weir::Encoder(text_).Varint(count_);
    text_ += entries_;
    entries_.clear();
    count_ = 0;
  }

  const ColumnLayout layout_;
  // Up to which time the windows of the key group have fired, encoded.
  std::string head_;
  Ticks slice_ = 0;
  std::string entries_;
  std::uint64_t count_ = 0;
  std::string text_;
};

}  // namespace weir::internal

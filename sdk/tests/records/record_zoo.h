#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "weir/codec.h"

namespace weir::zoo {

enum class Color : std::uint8_t { kRed, kGreen = 5, kBlue = 127, kFar = 200 };
enum Plain { kPlainOne = 1, kPlainThree = 3 };
enum class Sign : std::int8_t { kMinus = -1, kZero, kPlus };

// A type with invariants and a codec of its own: whole cents, never negative.
class Money {
 public:
  Money() = default;
  explicit Money(std::int64_t cents) : cents_(cents) {}
  std::int64_t cents() const { return cents_; }

 private:
  std::int64_t cents_ = 0;
};

struct Empty {};
struct Numbers {
  char c = 0;
  std::int8_t i8 = 0;
  std::int16_t i16 = 0;
  std::int32_t i32 = 0;
  std::int64_t i64 = 0;
  std::uint8_t u8 = 0;
  std::uint16_t u16 = 0;
  std::uint32_t u32 = 0;
  std::uint64_t u64 = 0;
  bool flag = false;
  float f = 0;
  double d = 0;
  long l = 0;
  unsigned long long ull = 0;
};
struct Flat {
  std::int64_t key;
  double value;
};
struct FlatWithBool {
  std::int32_t a;
  std::array<bool, 3> flags;
  bool last;
};
struct Strings {
  std::string first;
  std::string second;
};
struct Times {
  EventTime at;
  Duration took;
};
struct Enums {
  Color color;
  Plain plain;
  Sign sign;
};
struct Defaults {
  int id;
  std::string name = "unknown";
  double factor = 1.5;
  std::optional<int> maybe;
  Times times{EventTime::FromTicks(7), Duration(8)};
};
struct Nested {
  Numbers numbers;
  Empty empty;
  Strings strings;
  std::array<Flat, 2> flats;
};
struct Containers {
  std::optional<std::string> name;
  std::optional<Flat> flat;
  std::vector<std::int32_t> numbers;
  std::vector<std::string> words;
  std::vector<bool> bits;
  std::vector<FlatWithBool> flats;
  std::vector<Empty> nothings;
  std::map<std::string, std::vector<double>> lists;
  std::map<Sign, bool> signs;
  std::unordered_map<std::int64_t, std::string> names;
  std::map<std::pair<int, bool>, Color> pairs;
  std::tuple<int, std::string, double> tuple;
};
struct Tree {
  std::string name;
  std::vector<Tree> children;
};
struct Paid {
  std::string who;
  Money sum;
  std::map<Money, int> counts;
};
struct Renamed {
  int id;
  std::string type;
  static constexpr std::array<std::string_view, 2> kFieldNames = {"user-id", "class"};
};
struct Wide {
  int a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, c0, c1, c2,
      c3, c4, c5, c6, c7, c8, c9, d0, d1, d2, d3, d4, d5, d6, d7, d8, d9, e0, e1, e2, e3, e4, e5,
      e6, e7, e8, e9, f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, g0, g1, g2;
  std::string last;
};

inline bool operator<(const Money& a, const Money& b) { return a.cents() < b.cents(); }

}  // namespace weir::zoo

template <>
struct weir::Codec<weir::zoo::Money> {
  using Money = weir::zoo::Money;
  static constexpr std::string_view kTypeName = "money";
  static void Encode(const Money& value, Encoder& out) { out.Fixed(value.cents()); }
  static bool Decode(Decoder& in, Money& value) {
    std::int64_t cents = 0;
    if (!in.Fixed(cents)) return false;
    if (cents < 0) return in.Fail("money that is negative");
    value = Money(cents);
    return true;
  }
  static absl::Status ReadJson(JsonReader& in, Money& value) {
    std::string_view text;
    if (absl::Status status = in.ReadString(text); !status.ok()) return status;
    return ReadText(text, value);
  }
  static void WriteJson(const Money& value, std::string& out) {
    out += '"';
    WriteText(value, out);
    out += '"';
  }
  static absl::Status ReadText(std::string_view text, Money& value) {
    std::int64_t cents = 0;
    if (absl::Status status = ParseText(text, cents); !status.ok()) return status;
    if (cents < 0) return absl::InvalidArgumentError("money cannot be negative");
    value = Money(cents);
    return absl::OkStatus();
  }
  static void WriteText(const Money& value, std::string& out) { AppendText(value.cents(), out); }
};

namespace weir::zoo {

// Draws values of any record type, the edges of each range often. Text is UTF-8 unless `any_bytes`.
class Source {
 public:
  Source(std::uint64_t seed, bool any_bytes) : random_(seed), any_bytes_(any_bytes) {}

  std::uint64_t Below(std::uint64_t n) { return random_() % n; }

  template <class T>
  T Draw(int depth = 0) {
    using internal::Kind;
    constexpr Kind kind = internal::kKind<T>;
    T value{};
    if constexpr (std::is_same_v<T, Money>) {
      value = Money(static_cast<std::int64_t>(random_() >> (1 + Below(63))));
    } else if constexpr (kind == Kind::kBool) {
      value = Below(2) == 1;
    } else if constexpr (kind == Kind::kInteger) {
      value = Below(4) == 0   ? std::numeric_limits<T>::min()
              : Below(4) == 0 ? std::numeric_limits<T>::max()
                              : static_cast<T>(random_() >> Below(64));
    } else if constexpr (kind == Kind::kFloat) {
      using L = std::numeric_limits<T>;
      const T edges[] = {
          0,        -T{0},   L::infinity(), -L::infinity(), L::quiet_NaN(), L::denorm_min(),
          L::max(), L::min()};
      value = Below(3) == 0 ? edges[Below(8)]
                            : static_cast<T>(static_cast<double>(random_()) / 3.0 - 1e15);
    } else if constexpr (kind == Kind::kEnum) {
      using U = std::underlying_type_t<T>;
      if constexpr (std::is_same_v<T, Plain>) {
        value = static_cast<T>(Below(4));
      } else {
        value = static_cast<T>(Draw<U>());
      }
    } else if constexpr (kind == Kind::kString) {
      value = Text();
    } else if constexpr (kind == Kind::kTime) {
      value = EventTime::FromTicks(Draw<std::int64_t>());
    } else if constexpr (kind == Kind::kDuration) {
      value = Duration(Draw<std::int64_t>());
    } else if constexpr (kind == Kind::kOptional) {
      if (Below(3) > 0) value = Draw<internal::Part<0, T>>(depth);
    } else if constexpr (kind == Kind::kVector) {
      for (std::uint64_t n = depth > 2 ? 0 : Below(4); n > 0; --n)
        value.push_back(Draw<internal::Part<0, T>>(depth + 1));
    } else if constexpr (kind == Kind::kMap || kind == Kind::kUnorderedMap) {
      for (std::uint64_t n = Below(4); n > 0; --n) {
        value[Draw<internal::Part<0, T>>(depth)] = Draw<internal::Part<1, T>>(depth);
      }
    } else if constexpr (kind == Kind::kArray) {
      for (auto& element : value) element = Draw<internal::Part<0, T>>(depth);
    } else if constexpr (kind == Kind::kTuple) {
      std::apply(
          [&](auto&... part) { ((part = Draw<std::remove_cvref_t<decltype(part)>>(depth)), ...); },
          value);
    } else {
      ForEachField(value,
                   [&](auto& field) { field = Draw<std::remove_cvref_t<decltype(field)>>(depth); });
    }
    return value;
  }

 private:
  std::string Text() {
    std::string text;
    const std::uint64_t length = Below(8) == 0 ? Below(400) : Below(12);
    for (std::uint64_t i = 0; i < length; ++i) {
      if (any_bytes_) {
        text += static_cast<char>(Below(256));
        continue;
      }
      switch (Below(6)) {
        case 0:
          text += static_cast<char>(Below(0x80));
          break;
        case 1:
          text += "\xC3\xA9";
          break;
        case 2:
          text += "\xF0\x9F\x9A\x80";
          break;
        default:
          text += static_cast<char>('a' + Below(26));
      }
    }
    return text;
  }

  std::mt19937_64 random_;
  bool any_bytes_;
};

}  // namespace weir::zoo

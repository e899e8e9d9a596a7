#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "weir/encoding.h"
#include "weir/reflect.h"
#include "weir/time.h"

// What the engine knows of a type at compile time: of which kind it is, whether it can be (part of)
// a record, how it is laid out when encoded.
namespace weir::internal {

enum class Kind {
  kNone,
  kBool,
  kInteger,
  kFloat,
  kEnum,
  kString,
  kTime,
  kDuration,
  kOptional,
  kVector,
  kMap,
  kUnorderedMap,
  kArray,
  kTuple,
  kAggregate,
  kCustom,
};

template <class T>
concept HasCodec = requires { sizeof(Codec<T>); };

template <class T>
struct StandardKind {
  static constexpr Kind value = Kind::kNone;
};
template <>
struct StandardKind<std::string> {
  static constexpr Kind value = Kind::kString;
};
template <>
struct StandardKind<EventTime> {
  static constexpr Kind value = Kind::kTime;
};
template <>
struct StandardKind<Duration> {
  static constexpr Kind value = Kind::kDuration;
};
template <class T>
struct StandardKind<std::optional<T>> {
  static constexpr Kind value = Kind::kOptional;
  using Parts = std::tuple<T>;
};
template <class T>
struct StandardKind<std::vector<T>> {
  static constexpr Kind value = Kind::kVector;
  using Parts = std::tuple<T>;
};
template <class K, class V>
struct StandardKind<std::map<K, V>> {
  static constexpr Kind value = Kind::kMap;
  using Parts = std::tuple<K, V>;
};
template <class K, class V, class H, class E>
struct StandardKind<std::unordered_map<K, V, H, E>> {
  static constexpr Kind value = Kind::kUnorderedMap;
  using Parts = std::tuple<K, V>;
};
template <class T, std::size_t N>
  requires(N > 0)
struct StandardKind<std::array<T, N>> {
  static constexpr Kind value = Kind::kArray;
  using Parts = std::tuple<T>;
};
template <class A, class B>
struct StandardKind<std::pair<A, B>> {
  static constexpr Kind value = Kind::kTuple;
  using Parts = std::tuple<A, B>;
};
template <class... A>
  requires(sizeof...(A) > 0)
struct StandardKind<std::tuple<A...>> {
  static constexpr Kind value = Kind::kTuple;
  using Parts = std::tuple<A...>;
};

template <class T>
consteval Kind FindKind() {
  if constexpr (HasCodec<T>) {
    return Kind::kCustom;
  } else if constexpr (StandardKind<T>::value != Kind::kNone) {
    return StandardKind<T>::value;
  } else if constexpr (std::is_same_v<T, bool>) {
    return Kind::kBool;
  } else if constexpr (std::is_integral_v<T>) {
    return Kind::kInteger;
  } else if constexpr (std::is_same_v<T, float> || std::is_same_v<T, double>) {
    return Kind::kFloat;
  } else if constexpr (std::is_enum_v<T>) {
    return Kind::kEnum;
  } else if constexpr (std::is_class_v<T> && std::is_aggregate_v<T>) {
    return Kind::kAggregate;
  } else {
    return Kind::kNone;
  }
}

template <class T>
inline constexpr Kind kKind = FindKind<T>();

// A type whose value is one number or text: a cell of CSV.
template <class T>
inline constexpr bool kIsScalar =
    kKind<T> == Kind::kBool || kKind<T> == Kind::kInteger || kKind<T> == Kind::kFloat ||
    kKind<T> == Kind::kEnum || kKind<T> == Kind::kString || kKind<T> == Kind::kTime ||
    kKind<T> == Kind::kDuration;

// The types inside T, one level down: the fields of an aggregate, the element of a vector, key and
// value of a map.
template <class T>
struct PartsOf {
  using type = std::tuple<>;
};
template <class T>
  requires requires { typename StandardKind<T>::Parts; }
struct PartsOf<T> {
  using type = typename StandardKind<T>::Parts;
};
template <class T>
  requires(kKind<T> == Kind::kAggregate)
struct PartsOf<T> {
  using type = FieldTypes<T>;
};
template <class T>
using Parts = typename PartsOf<T>::type;

template <std::size_t I, class T>
using Part = std::tuple_element_t<I, Parts<T>>;

// Calls f.operator()<Part>(...) for every part of T until one returns false; returns whether none
// did.
template <class T, class F>
consteval bool AllParts(F f) {
  return [&]<class... P>(std::type_identity<std::tuple<P...>>) {
    return (f(std::type_identity<P>()) && ...);
  }(std::type_identity<Parts<T>>());
}

template <class T>
consteval std::size_t SumOfFieldSizes() {
  return []<class... P>(std::type_identity<std::tuple<P...>>) {
    return (sizeof(P) + ... + 0);
  }(std::type_identity<Parts<T>>());
}

// Whether the encoding of T is its bytes in memory: numbers and aggregates of them without padding.
// Such values are copied by memcpy, many at once.
template <class T>
consteval bool IsFlat() {
  constexpr Kind kind = kKind<T>;
  if constexpr (kind == Kind::kBool || kind == Kind::kInteger || kind == Kind::kFloat ||
                kind == Kind::kEnum || kind == Kind::kTime || kind == Kind::kDuration) {
    return true;
  } else if constexpr (kind == Kind::kArray) {
    return IsFlat<Part<0, T>>();
  } else if constexpr (kind == Kind::kAggregate && std::is_trivially_copyable_v<T>) {
    if constexpr (kFieldCount<T> > 0 && SumOfFieldSizes<T>() == sizeof(T)) {
      return AllParts<T>([]<class P>(std::type_identity<P>) { return IsFlat<P>(); });
    } else {
      return false;
    }
  } else {
    return false;
  }
}
template <class T>
inline constexpr bool kIsFlat = IsFlat<T>();

// Whether a flat T has a bool in it, so that not all bytes are a value of it.
template <class T>
consteval bool HasBool() {
  if constexpr (kKind<T> == Kind::kBool) {
    return true;
  } else if constexpr (!kIsFlat<T>) {
    return false;
  } else {
    return !AllParts<T>([]<class P>(std::type_identity<P>) { return !HasBool<P>(); });
  }
}

// The fewest bytes that an encoded T takes; at least one.
template <class T>
consteval std::size_t MinSize() {
  constexpr Kind kind = kKind<T>;
  if constexpr (kIsFlat<T>) {
    return sizeof(T);
  } else if constexpr (kind == Kind::kArray) {
    return std::tuple_size_v<T> * MinSize<Part<0, T>>();
  } else if constexpr (kind == Kind::kTuple || kind == Kind::kAggregate) {
    constexpr std::size_t sum = []<class... P>(std::type_identity<std::tuple<P...>>) {
      return (MinSize<P>() + ... + 0);
    }(std::type_identity<Parts<T>>());
    return sum == 0 ? 1 : sum;
  } else {
    return 1;
  }
}
template <class T>
inline constexpr std::size_t kMinSize = MinSize<T>();

template <class T>
struct TypeTag {};

// What stands after the name of a field in the notation of types: nothing.
struct PlainFields {
  template <class T, std::size_t I>
  static void Append(std::string&) {}
};

// Appends the notation of T (docs/FORMATS.md). Inside itself a record is "^n": the n-th enclosing
// one.
template <class Fields, class T, class... Enclosing>
void AppendNotation(std::string& out) {
  constexpr Kind kind = kKind<T>;
  if constexpr (kind == Kind::kCustom) {
    out += Codec<T>::kTypeName;
  } else if constexpr (kind == Kind::kBool) {
    out += "bool";
  } else if constexpr (kind == Kind::kInteger) {
    out += std::is_signed_v<T> ? "int" : "uint";
    out += std::to_string(sizeof(T) * 8);
  } else if constexpr (kind == Kind::kFloat) {
    out += sizeof(T) == 4 ? "float" : "double";
  } else if constexpr (kind == Kind::kEnum) {
    out += "enum<";
    AppendNotation<Fields, std::underlying_type_t<T>>(out);
    out += '>';
  } else if constexpr (kind == Kind::kString) {
    out += "string";
  } else if constexpr (kind == Kind::kTime) {
    out += "time";
  } else if constexpr (kind == Kind::kDuration) {
    out += "duration";
  } else if constexpr (kind == Kind::kAggregate) {
    constexpr bool inside_itself = (std::is_same_v<T, Enclosing> || ...);
    if constexpr (inside_itself) {
      std::size_t level = 0;
      bool found = false;
      ((found = found || (++level, std::is_same_v<T, Enclosing>)), ...);
      out += '^';
      out += std::to_string(level);
    } else {
      out += '{';
      const auto& names = FieldNames<T>();
      [&]<std::size_t... I>(std::index_sequence<I...>) {
        ((out += I == 0 ? "" : ",", out += names[I], Fields::template Append<T, I>(out), out += ':',
          AppendNotation<Fields, Part<I, T>, T, Enclosing...>(out)),
         ...);
      }(std::make_index_sequence<kFieldCount<T>>());
      out += '}';
    }
  } else {
    static_assert(kind != Kind::kNone);
    out += kind == Kind::kOptional ? "optional"
           : kind == Kind::kVector ? "list"
           : kind == Kind::kArray  ? "array"
           : kind == Kind::kTuple  ? "tuple"
                                   : "map";
    out += '<';
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      ((out += I == 0 ? "" : ",", AppendNotation<Fields, Part<I, T>, Enclosing...>(out)), ...);
    }(std::make_index_sequence<std::tuple_size_v<Parts<T>>>());
    if constexpr (kind == Kind::kArray) {
      out += ',';
      out += std::to_string(std::tuple_size_v<T>);
    }
    out += '>';
  }
}
template <class T, class... Enclosing>
void AppendTypeNotation(std::string& out) {
  AppendNotation<PlainFields, T, Enclosing...>(out);
}

}  // namespace weir::internal

#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <tuple>

#include "weir/binary_codec.h"
#include "weir/record_traits.h"
#include "weir/reflect.h"

namespace weir::internal {

// The notation of types with all that is needed to read what was written before the type was
// changed: of each field its former names, and what it holds in a T{} (docs/FORMATS.md).
struct EvolvingFields {
  template <class T, std::size_t I>
  static void Append(std::string& out) {
    if constexpr (HasFormerNames<T>) {
      for (const FormerName& former : T::kFormerNames) {
        if (former.field != FieldNames<T>()[I]) continue;
        out += '/';
        out += former.before;
      }
    }
    std::string bytes;
    const T value{};
    VisitFields(value,
                [&](const auto&... field) { EncodeValue(std::get<I>(std::tie(field...)), bytes); });
    constexpr std::string_view kDigits = "0123456789abcdef";
    out += '=';
    for (const char byte : bytes) {
      out += kDigits[static_cast<unsigned char>(byte) >> 4];
      out += kDigits[static_cast<unsigned char>(byte) & 15];
    }
  }
};

}  // namespace weir::internal

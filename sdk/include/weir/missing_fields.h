#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "weir/compare.h"
#include "weir/record_traits.h"

// Which fields of a record may be missing where it is read from text.
namespace weir {
namespace internal {

template <class T>
concept MissingFieldsAreDefault = requires { requires bool(T::kMissingFieldsAreDefault); };

template <class T>
const std::array<bool, kFieldCount<T>>& OptionalFields();

// `value` is the field of a default record.
template <class F>
bool MayBeMissing(const F& value) {
  if constexpr (kKind<F> == Kind::kOptional) {
    return true;
  } else if constexpr (kKind<F> == Kind::kAggregate) {
    if (!RecordEquals(value, F{})) return true;
    for (const bool optional : OptionalFields<F>()) {
      if (!optional) return false;
    }
    return true;
  } else {
    return !RecordEquals(value, F{});
  }
}

// For each field of T: whether it may be missing. A field may be missing when it is a
// std::optional, when the default record T{} has another value there than the field's type by
// itself (a default member initializer that is not zero or empty: one that is cannot be told from
// none), when it is a record all of whose fields may, or when T says so for all its fields:
//   static constexpr bool kMissingFieldsAreDefault = true;
template <class T>
const std::array<bool, kFieldCount<T>>& OptionalFields() {
  static const std::array<bool, kFieldCount<T>> optional = [] {
    const T record{};
    return VisitFields(record, [](const auto&... field) {
      return std::array<bool, kFieldCount<T>>{
          (MissingFieldsAreDefault<T> || MayBeMissing(field))...};
    });
  }();
  return optional;
}

template <class T>
[[gnu::noinline]] absl::Status MissingField(const char* kind, std::string_view name) {
  return absl::InvalidArgumentError(
      std::string(kind) + " '" + std::string(name) + "' of " + std::string(TypeName<T>()) +
      " is missing, and it has no default: make it std::optional, give it a default "
      "member initializer other than zero, or declare kMissingFieldsAreDefault in " +
      std::string(TypeName<T>()));
}

}  // namespace internal
}  // namespace weir

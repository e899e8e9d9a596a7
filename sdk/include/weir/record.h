#pragma once

#include <chrono>
#include <compare>
#include <concepts>
#include <cstddef>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "weir/record_traits.h"

// Which types can be records, fields and keys, and what the compiler says of the others.
namespace weir {
namespace internal {

enum class RecordProblem {
  kNone,
  kPointer,
  kView,
  kArray,
  kUnion,
  kOtherDuration,
  kNumber,
  kNotPlain,
  kTooManyFields,
  kBaseClass,
  kNotDefault,
  kNotCopyable,
  kFormerName,
  kDeep,  // a part of it has the problem
};

// Converts to the bases of T only.
template <class T>
struct AnyBaseOf {
  template <class B>
    requires(std::is_base_of_v<B, T> && !std::is_same_v<B, T>)
  operator B() const;
};

template <class T>
inline constexpr bool kIsChronoDuration = false;
template <class R, class P>
inline constexpr bool kIsChronoDuration<std::chrono::duration<R, P>> = true;

// What is wrong with T itself, whatever is in it.
template <class T>
consteval RecordProblem OwnProblem() {
  constexpr Kind kind = kKind<T>;
  if constexpr (std::is_pointer_v<T> || std::is_member_pointer_v<T> || std::is_null_pointer_v<T> ||
                std::is_reference_v<T>) {
    return RecordProblem::kPointer;
  } else if constexpr (std::is_same_v<T, std::string_view>) {
    return RecordProblem::kView;
  } else if constexpr (std::is_array_v<T>) {
    return RecordProblem::kArray;
  } else if constexpr (std::is_union_v<T>) {
    return RecordProblem::kUnion;
  } else if constexpr (kind == Kind::kNone && kIsChronoDuration<T>) {
    return RecordProblem::kOtherDuration;
  } else if constexpr (kind == Kind::kNone && std::is_arithmetic_v<T>) {
    return RecordProblem::kNumber;
  } else if constexpr (kind == Kind::kNone) {
    return RecordProblem::kNotPlain;
  } else if constexpr (kind == Kind::kAggregate) {
    if constexpr (requires { T{AnyBaseOf<T>{}}; }) {
      return RecordProblem::kBaseClass;
    } else if constexpr (!std::is_default_constructible_v<T> || !requires { T{}; }) {
      return RecordProblem::kNotDefault;
    } else if constexpr (kFieldCount<T> > kMaxFields) {
      return RecordProblem::kTooManyFields;
    } else if constexpr (!std::is_copy_constructible_v<T> || !std::is_move_assignable_v<T>) {
      return RecordProblem::kNotCopyable;
    } else if constexpr (HasFormerNames<T>) {
      return FormerNamesAreOfFields<T>() ? RecordProblem::kNone : RecordProblem::kFormerName;
    } else {
      return RecordProblem::kNone;
    }
  } else if constexpr (kind == Kind::kCustom) {
    if constexpr (!std::is_default_constructible_v<T>) {
      return RecordProblem::kNotDefault;
    } else if constexpr (!std::is_copy_constructible_v<T> || !std::is_move_assignable_v<T>) {
      return RecordProblem::kNotCopyable;
    } else {
      return RecordProblem::kNone;
    }
  } else {
    return RecordProblem::kNone;
  }
}

// `Enclosing` are the types that are being looked at already.
template <class T, class... Enclosing>
consteval RecordProblem FindProblem() {
  if constexpr ((std::is_same_v<T, Enclosing> || ...)) {
    return RecordProblem::kNone;
  } else if constexpr (constexpr RecordProblem own = OwnProblem<T>(); own != RecordProblem::kNone) {
    return own;
  } else {
    constexpr bool sound = AllParts<T>([]<class P>(std::type_identity<P>) {
      return FindProblem<P, T, Enclosing...>() == RecordProblem::kNone;
    });
    return sound ? RecordProblem::kNone : RecordProblem::kDeep;
  }
}

// The name of a field as a template argument, so that compilers print it.
template <std::size_t N>
struct FieldLabel {
  char name[N + 1] = {};
  consteval explicit FieldLabel(std::string_view text) {
    for (std::size_t i = 0; i < N; ++i) name[i] = text[i];
  }
};

// The type that keeps another from being a record: itself, or that of a field of `Struct`.
template <class Struct, FieldLabel field, class Type>
struct Culprit {};

template <class Found, class... Rest>
consteval auto FirstCulprit(std::type_identity<Found> found, Rest... rest) {
  if constexpr (std::is_void_v<Found> && sizeof...(Rest) > 0) {
    return FirstCulprit(rest...);
  } else {
    return found;
  }
}

// type_identity of a Culprit, or of void if there is none. `Enclosing` are the types that are being
// looked at already.
template <class T, class Struct, FieldLabel field, class... Enclosing>
consteval auto FindCulprit() {
  if constexpr ((std::is_same_v<T, Enclosing> || ...)) {
    return std::type_identity<void>();
  } else if constexpr (OwnProblem<T>() != RecordProblem::kNone) {
    return std::type_identity<Culprit<Struct, field, T>>();
  } else if constexpr (kKind<T> == Kind::kAggregate) {
    return []<std::size_t... I>(std::index_sequence<I...>) {
      return FirstCulprit(
          FindCulprit<Part<I, T>, T, FieldLabel<FieldNames<T>()[I].size()>(FieldNames<T>()[I]), T,
                      Enclosing...>()...,
          std::type_identity<void>());
    }(std::make_index_sequence<kFieldCount<T>>());
  } else {
    return []<class... P>(std::type_identity<std::tuple<P...>>) {
      return FirstCulprit(FindCulprit<P, Struct, field, T, Enclosing...>()...,
                          std::type_identity<void>());
    }(std::type_identity<Parts<T>>());
  }
}

// Does not compile: the first error says why `Type`, of a field of `Struct`, cannot be in a record.
template <class Struct, FieldLabel field, class Type>
consteval bool CannotBeInARecord(std::type_identity<Culprit<Struct, field, Type>>) {
  constexpr RecordProblem problem = OwnProblem<Type>();
  using enum RecordProblem;
  static_assert(problem != kPointer,
                "a Weir record cannot hold a pointer or reference: use a value, std::optional or "
                "std::vector");
  static_assert(problem != kView, "a Weir record cannot hold a std::string_view: use std::string");
  static_assert(problem != kArray,
                "a Weir record cannot hold a C array: use std::array or std::string");
  static_assert(problem != kUnion,
                "a Weir record cannot hold a union: specialize weir::Codec for the type");
  static_assert(problem != kOtherDuration,
                "a Weir record holds times as weir::Duration or weir::EventTime");
  static_assert(problem != kNumber,
                "a Weir record cannot hold this type of number: use double or an integer");
  static_assert(problem != kNotPlain,
                "a Weir record must be a plain aggregate (no constructors, no private or virtual "
                "members); for another type specialize weir::Codec");
  static_assert(problem != kTooManyFields,
                "a Weir record has at most 64 fields: group some in a nested struct");
  static_assert(problem != kBaseClass,
                "a Weir record cannot have a base class: make the base a field");
  static_assert(problem != kNotDefault,
                "a Weir record must be default constructible: so must be each of its fields");
  static_assert(problem != kFormerName,
                "kFormerNames of a Weir record names a field that it does not have, or a former "
                "name that cannot be one");
  static_assert(problem != kNotCopyable,
                "a Weir record must be copyable and assignable: no const or move-only field");
  return false;
}

}  // namespace internal

// A type that streams, fields, keys and state can hold.
template <class T>
concept Record = internal::FindProblem<T>() == internal::RecordProblem::kNone;

// Where T is no Record: a compile error that says why, once. Otherwise true. Templates over records
// ask this first:
//   if constexpr (weir::CheckRecord<T>()) { ... }
template <class T>
consteval bool CheckRecord() {
  if constexpr (Record<T>) {
    return true;
  } else {
    return internal::CannotBeInARecord(internal::FindCulprit<T, T, internal::FieldLabel<0>("")>());
  }
}

}  // namespace weir

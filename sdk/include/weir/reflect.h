#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "weir/reflect_bindings.h"

// The fields of a plain aggregate, known at compile time without a macro: how many (by initializing
// it with braces), where (by structured bindings) and how they are called (from the compiler's own
// spelling of a pointer to each). Tried with g++ 12 and clang 19.
namespace weir {

// How many fields the aggregate T has; 65 stands for more than 64. A nested aggregate, a std::array
// or an empty struct counts as one.
template <class T>
  requires std::is_aggregate_v<T>
inline constexpr std::size_t kFieldCount = internal::CountFields<std::remove_cv_t<T>>();

// Returns visit(field...) with references to all fields of `record`, in the order of their
// declaration.
template <class T, class Visit>
constexpr decltype(auto) VisitFields(T& record, Visit&& visit) {
  return internal::VisitBindings<kFieldCount<T>>(record, std::forward<Visit>(visit));
}

// Calls f(field) for each field of `record`, in the order of their declaration.
template <class T, class F>
constexpr void ForEachField(T& record, F&& f) {
  VisitFields(record, [&f](auto&... field) { (f(field), ...); });
}

namespace internal {

template <class... Fields>
using PlainTuple = std::tuple<std::remove_cv_t<Fields>...>;

template <class T>
struct FieldTypesOf {
  static constexpr auto Types(T& record) {
    return VisitFields(record,
                       []<class... F>(F&...) { return std::type_identity<PlainTuple<F...>>(); });
  }
  using type = typename decltype(Types(std::declval<T&>()))::type;
};

// Declared and never defined: only the addresses of its members are named, at compile time.
template <class T>
struct Undefined {
  T record;
};
#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wundefined-internal"
#pragma clang diagnostic ignored "-Wundefined-var-template"
#endif
template <class T>
extern const Undefined<T> undefined_object;

// clang 14 to 16 print a bare pointer without its member; wrapped in a struct of a spelled-out type
// they do not.
template <class P>
struct Address {
  const P* pointer;
};
template <class P>
Address(const P*) -> Address<P>;

template <class T, std::size_t I>
constexpr auto AddressOfField() {
  return VisitFields(undefined_object<T>.record, [](const auto&... field) {
    return Address(std::get<I>(std::make_tuple(&field...)));
  });
}

template <class T, class P, Address<P> address>
consteval const char* SpellAddress() {
  return __PRETTY_FUNCTION__;
}

constexpr bool IsIdentifierByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '$' || static_cast<unsigned char>(c) >= 0x80;
}

// The last identifier in `text`.
constexpr std::string_view LastIdentifier(std::string_view text) {
  std::size_t end = text.size();
  while (end > 0 && !IsIdentifierByte(text[end - 1])) --end;
  std::size_t begin = end;
  while (begin > 0 && IsIdentifierByte(text[begin - 1])) --begin;
  return text.substr(begin, end - begin);
}

template <class T, std::size_t I>
consteval std::string_view FieldNameOf() {
  using P = std::tuple_element_t<I, typename FieldTypesOf<T>::type>;
  return LastIdentifier(SpellAddress<T, P, AddressOfField<T, I>()>());
}
#if defined(__clang__)
#pragma clang diagnostic pop
#endif

template <class T, class Indices>
struct NamesOf;
template <class T, std::size_t... I>
struct NamesOf<T, std::index_sequence<I...>> {
  static constexpr std::array<std::string_view, sizeof...(I)> value = {FieldNameOf<T, I>()...};
};

template <class T>
consteval const char* SpellType() {
  return __PRETTY_FUNCTION__;
}

// What follows "T = ", without the enclosing namespaces and functions.
constexpr std::string_view TypeNameIn(std::string_view text) {
  text.remove_prefix(text.find("T = ") + 4);
  std::size_t depth = 0;
  std::size_t begin = 0;
  std::size_t end = 0;
  for (; end < text.size(); ++end) {
    const char c = text[end];
    if (c == '<' || c == '(' || c == '{') ++depth;
    if ((c == ';' || c == ']') && depth == 0) break;
    if ((c == '>' || c == ')' || c == '}') && depth > 0) --depth;
    if (c == ':' && depth == 0) begin = end + 1;
  }
  return text.substr(begin, end - begin);
}

}  // namespace internal

// std::tuple of the fields' types.
template <class T>
using FieldTypes = typename internal::FieldTypesOf<std::remove_cv_t<T>>::type;

// A record may call its fields something else in JSON, CSV and schemas than in C++, all of them or
// none:
//   static constexpr std::array<std::string_view, 2> kFieldNames = {"user-id", "class"};
template <class T>
concept NamesItsFields = requires { std::string_view(T::kFieldNames[0]); };

// The names of the fields of T, in the order of their declaration.
template <class T>
constexpr const auto& FieldNames() {
  if constexpr (NamesItsFields<T>) {
    static_assert(
        std::size(T::kFieldNames) == kFieldCount<T>,
        "kFieldNames must name every field of the record, in the order of their declaration");
    return T::kFieldNames;
  } else {
    return internal::NamesOf<std::remove_cv_t<T>, std::make_index_sequence<kFieldCount<T>>>::value;
  }
}

// What a field was called in state that was written before it was renamed. A record declares all of
// them:
//   struct Click {
//     std::string user, page;
//     static constexpr weir::FormerName kFormerNames[] = {{.field = "page", .before = "url"}};
//   };
struct FormerName {
  std::string_view field;
  std::string_view before;
};

namespace internal {
template <class T>
concept HasFormerNames = requires { std::string_view(T::kFormerNames[0].field); };

template <class T>
consteval bool FormerNamesAreOfFields() {
  for (const FormerName& former : T::kFormerNames) {
    bool found = false;
    for (const std::string_view name : FieldNames<T>()) found = found || name == former.field;
    if (!found || former.before.empty()) return false;
    // It is in the notation of types.
    if (former.before.find_first_of("/=:,<>{}") != std::string_view::npos) return false;
  }
  return true;
}

}  // namespace internal

// The unqualified name of T, for people: two types may share it, and compilers spell template
// arguments differently.
template <class T>
constexpr std::string_view TypeName() {
  return internal::TypeNameIn(internal::SpellType<std::remove_cv_t<T>>());
}

}  // namespace weir

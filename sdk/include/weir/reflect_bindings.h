#pragma once

#include <cstddef>
#include <type_traits>

// What C++20 cannot say without listing it: aggregates by their number of fields, up to 64. Only
// reflect.h includes this.

#define WEIR_FIELDS_1 field1
#define WEIR_FIELDS_2 WEIR_FIELDS_1, field2
#define WEIR_FIELDS_3 WEIR_FIELDS_2, field3
#define WEIR_FIELDS_4 WEIR_FIELDS_3, field4
#define WEIR_FIELDS_5 WEIR_FIELDS_4, field5
#define WEIR_FIELDS_6 WEIR_FIELDS_5, field6
#define WEIR_FIELDS_7 WEIR_FIELDS_6, field7
#define WEIR_FIELDS_8 WEIR_FIELDS_7, field8
#define WEIR_FIELDS_9 WEIR_FIELDS_8, field9
#define WEIR_FIELDS_10 WEIR_FIELDS_9, field10
#define WEIR_FIELDS_11 WEIR_FIELDS_10, field11
#define WEIR_FIELDS_12 WEIR_FIELDS_11, field12
#define WEIR_FIELDS_13 WEIR_FIELDS_12, field13
#define WEIR_FIELDS_14 WEIR_FIELDS_13, field14
#define WEIR_FIELDS_15 WEIR_FIELDS_14, field15
#define WEIR_FIELDS_16 WEIR_FIELDS_15, field16
#define WEIR_FIELDS_17 WEIR_FIELDS_16, field17
#define WEIR_FIELDS_18 WEIR_FIELDS_17, field18
#define WEIR_FIELDS_19 WEIR_FIELDS_18, field19
#define WEIR_FIELDS_20 WEIR_FIELDS_19, field20
#define WEIR_FIELDS_21 WEIR_FIELDS_20, field21
#define WEIR_FIELDS_22 WEIR_FIELDS_21, field22
#define WEIR_FIELDS_23 WEIR_FIELDS_22, field23
#define WEIR_FIELDS_24 WEIR_FIELDS_23, field24
#define WEIR_FIELDS_25 WEIR_FIELDS_24, field25
#define WEIR_FIELDS_26 WEIR_FIELDS_25, field26
#define WEIR_FIELDS_27 WEIR_FIELDS_26, field27
#define WEIR_FIELDS_28 WEIR_FIELDS_27, field28
#define WEIR_FIELDS_29 WEIR_FIELDS_28, field29
#define WEIR_FIELDS_30 WEIR_FIELDS_29, field30
#define WEIR_FIELDS_31 WEIR_FIELDS_30, field31
#define WEIR_FIELDS_32 WEIR_FIELDS_31, field32
#define WEIR_FIELDS_33 WEIR_FIELDS_32, field33
#define WEIR_FIELDS_34 WEIR_FIELDS_33, field34
#define WEIR_FIELDS_35 WEIR_FIELDS_34, field35
#define WEIR_FIELDS_36 WEIR_FIELDS_35, field36
#define WEIR_FIELDS_37 WEIR_FIELDS_36, field37
#define WEIR_FIELDS_38 WEIR_FIELDS_37, field38
#define WEIR_FIELDS_39 WEIR_FIELDS_38, field39
#define WEIR_FIELDS_40 WEIR_FIELDS_39, field40
#define WEIR_FIELDS_41 WEIR_FIELDS_40, field41
#define WEIR_FIELDS_42 WEIR_FIELDS_41, field42
#define WEIR_FIELDS_43 WEIR_FIELDS_42, field43
#define WEIR_FIELDS_44 WEIR_FIELDS_43, field44
#define WEIR_FIELDS_45 WEIR_FIELDS_44, field45
#define WEIR_FIELDS_46 WEIR_FIELDS_45, field46
#define WEIR_FIELDS_47 WEIR_FIELDS_46, field47
#define WEIR_FIELDS_48 WEIR_FIELDS_47, field48
#define WEIR_FIELDS_49 WEIR_FIELDS_48, field49
#define WEIR_FIELDS_50 WEIR_FIELDS_49, field50
#define WEIR_FIELDS_51 WEIR_FIELDS_50, field51
#define WEIR_FIELDS_52 WEIR_FIELDS_51, field52
#define WEIR_FIELDS_53 WEIR_FIELDS_52, field53
#define WEIR_FIELDS_54 WEIR_FIELDS_53, field54
#define WEIR_FIELDS_55 WEIR_FIELDS_54, field55
#define WEIR_FIELDS_56 WEIR_FIELDS_55, field56
#define WEIR_FIELDS_57 WEIR_FIELDS_56, field57
#define WEIR_FIELDS_58 WEIR_FIELDS_57, field58
#define WEIR_FIELDS_59 WEIR_FIELDS_58, field59
#define WEIR_FIELDS_60 WEIR_FIELDS_59, field60
#define WEIR_FIELDS_61 WEIR_FIELDS_60, field61
#define WEIR_FIELDS_62 WEIR_FIELDS_61, field62
#define WEIR_FIELDS_63 WEIR_FIELDS_62, field63
#define WEIR_FIELDS_64 WEIR_FIELDS_63, field64
#define WEIR_BRACES_1 \
  {                   \
  }
#define WEIR_BRACES_2 \
  WEIR_BRACES_1, {}
#define WEIR_BRACES_3 \
  WEIR_BRACES_2, {}
#define WEIR_BRACES_4 \
  WEIR_BRACES_3, {}
#define WEIR_BRACES_5 \
  WEIR_BRACES_4, {}
#define WEIR_BRACES_6 \
  WEIR_BRACES_5, {}
#define WEIR_BRACES_7 \
  WEIR_BRACES_6, {}
#define WEIR_BRACES_8 \
  WEIR_BRACES_7, {}
#define WEIR_BRACES_9 \
  WEIR_BRACES_8, {}
#define WEIR_BRACES_10 \
  WEIR_BRACES_9, {}
#define WEIR_BRACES_11 \
  WEIR_BRACES_10, {}
#define WEIR_BRACES_12 \
  WEIR_BRACES_11, {}
#define WEIR_BRACES_13 \
  WEIR_BRACES_12, {}
#define WEIR_BRACES_14 \
  WEIR_BRACES_13, {}
#define WEIR_BRACES_15 \
  WEIR_BRACES_14, {}
#define WEIR_BRACES_16 \
  WEIR_BRACES_15, {}
#define WEIR_BRACES_17 \
  WEIR_BRACES_16, {}
#define WEIR_BRACES_18 \
  WEIR_BRACES_17, {}
#define WEIR_BRACES_19 \
  WEIR_BRACES_18, {}
#define WEIR_BRACES_20 \
  WEIR_BRACES_19, {}
#define WEIR_BRACES_21 \
  WEIR_BRACES_20, {}
#define WEIR_BRACES_22 \
  WEIR_BRACES_21, {}
#define WEIR_BRACES_23 \
  WEIR_BRACES_22, {}
#define WEIR_BRACES_24 \
  WEIR_BRACES_23, {}
#define WEIR_BRACES_25 \
  WEIR_BRACES_24, {}
#define WEIR_BRACES_26 \
  WEIR_BRACES_25, {}
#define WEIR_BRACES_27 \
  WEIR_BRACES_26, {}
#define WEIR_BRACES_28 \
  WEIR_BRACES_27, {}
#define WEIR_BRACES_29 \
  WEIR_BRACES_28, {}
#define WEIR_BRACES_30 \
  WEIR_BRACES_29, {}
#define WEIR_BRACES_31 \
  WEIR_BRACES_30, {}
#define WEIR_BRACES_32 \
  WEIR_BRACES_31, {}
#define WEIR_BRACES_33 \
  WEIR_BRACES_32, {}
#define WEIR_BRACES_34 \
  WEIR_BRACES_33, {}
#define WEIR_BRACES_35 \
  WEIR_BRACES_34, {}
#define WEIR_BRACES_36 \
  WEIR_BRACES_35, {}
#define WEIR_BRACES_37 \
  WEIR_BRACES_36, {}
#define WEIR_BRACES_38 \
  WEIR_BRACES_37, {}
#define WEIR_BRACES_39 \
  WEIR_BRACES_38, {}
#define WEIR_BRACES_40 \
  WEIR_BRACES_39, {}
#define WEIR_BRACES_41 \
  WEIR_BRACES_40, {}
#define WEIR_BRACES_42 \
  WEIR_BRACES_41, {}
#define WEIR_BRACES_43 \
  WEIR_BRACES_42, {}
#define WEIR_BRACES_44 \
  WEIR_BRACES_43, {}
#define WEIR_BRACES_45 \
  WEIR_BRACES_44, {}
#define WEIR_BRACES_46 \
  WEIR_BRACES_45, {}
#define WEIR_BRACES_47 \
  WEIR_BRACES_46, {}
#define WEIR_BRACES_48 \
  WEIR_BRACES_47, {}
#define WEIR_BRACES_49 \
  WEIR_BRACES_48, {}
#define WEIR_BRACES_50 \
  WEIR_BRACES_49, {}
#define WEIR_BRACES_51 \
  WEIR_BRACES_50, {}
#define WEIR_BRACES_52 \
  WEIR_BRACES_51, {}
#define WEIR_BRACES_53 \
  WEIR_BRACES_52, {}
#define WEIR_BRACES_54 \
  WEIR_BRACES_53, {}
#define WEIR_BRACES_55 \
  WEIR_BRACES_54, {}
#define WEIR_BRACES_56 \
  WEIR_BRACES_55, {}
#define WEIR_BRACES_57 \
  WEIR_BRACES_56, {}
#define WEIR_BRACES_58 \
  WEIR_BRACES_57, {}
#define WEIR_BRACES_59 \
  WEIR_BRACES_58, {}
#define WEIR_BRACES_60 \
  WEIR_BRACES_59, {}
#define WEIR_BRACES_61 \
  WEIR_BRACES_60, {}
#define WEIR_BRACES_62 \
  WEIR_BRACES_61, {}
#define WEIR_BRACES_63 \
  WEIR_BRACES_62, {}
#define WEIR_BRACES_64 \
  WEIR_BRACES_63, {}
#define WEIR_BRACES_65 \
  WEIR_BRACES_64, {}
#define WEIR_EIGHT(X, a, b, c, d, e, f, g, h) X(a) X(b) X(c) X(d) X(e) X(f) X(g) X(h)
// clang-format off
#define WEIR_FOR_EACH_COUNT(X)                  \
  WEIR_EIGHT(X, 1, 2, 3, 4, 5, 6, 7, 8) \
  WEIR_EIGHT(X, 9, 10, 11, 12, 13, 14, 15, 16) \
  WEIR_EIGHT(X, 17, 18, 19, 20, 21, 22, 23, 24) \
  WEIR_EIGHT(X, 25, 26, 27, 28, 29, 30, 31, 32) \
  WEIR_EIGHT(X, 33, 34, 35, 36, 37, 38, 39, 40) \
  WEIR_EIGHT(X, 41, 42, 43, 44, 45, 46, 47, 48) \
  WEIR_EIGHT(X, 49, 50, 51, 52, 53, 54, 55, 56) \
  WEIR_EIGHT(X, 57, 58, 59, 60, 61, 62, 63, 64)
// clang-format on

namespace weir::internal {

inline constexpr std::size_t kMaxFields = 64;

// The number of fields of the aggregate T: how many empty braces it can be initialized with. Stops
// at 65.
template <class T>
consteval std::size_t CountFields() {
  if constexpr (!requires { T{WEIR_BRACES_1}; }) {
    return 0;
  }
#define WEIR_COUNT(n)                                         \
  else if constexpr (!requires { T{WEIR_BRACES_##n, {}}; }) { \
    return n;                                                 \
  }
  WEIR_FOR_EACH_COUNT(WEIR_COUNT)
#undef WEIR_COUNT
  else {
    return kMaxFields + 1;
  }
}

// Calls visit(field...) with all N fields of `record`, in their order.
template <std::size_t N, class T, class Visit>
constexpr decltype(auto) VisitBindings(T& record, Visit&& visit) {
  if constexpr (N == 0) {
    static_cast<void>(record);
    return visit();
  }
#define WEIR_BIND(n)                  \
  else if constexpr (N == n) {        \
    auto& [WEIR_FIELDS_##n] = record; \
    return visit(WEIR_FIELDS_##n);    \
  }
  WEIR_FOR_EACH_COUNT(WEIR_BIND)
#undef WEIR_BIND
}

}  // namespace weir::internal

#undef WEIR_FIELDS_1
#undef WEIR_FIELDS_2
#undef WEIR_FIELDS_3
#undef WEIR_FIELDS_4
#undef WEIR_FIELDS_5
#undef WEIR_FIELDS_6
#undef WEIR_FIELDS_7
#undef WEIR_FIELDS_8
#undef WEIR_FIELDS_9
#undef WEIR_FIELDS_10
#undef WEIR_FIELDS_11
#undef WEIR_FIELDS_12
#undef WEIR_FIELDS_13
#undef WEIR_FIELDS_14
#undef WEIR_FIELDS_15
#undef WEIR_FIELDS_16
#undef WEIR_FIELDS_17
#undef WEIR_FIELDS_18
#undef WEIR_FIELDS_19
#undef WEIR_FIELDS_20
#undef WEIR_FIELDS_21
#undef WEIR_FIELDS_22
#undef WEIR_FIELDS_23
#undef WEIR_FIELDS_24
#undef WEIR_FIELDS_25
#undef WEIR_FIELDS_26
#undef WEIR_FIELDS_27
#undef WEIR_FIELDS_28
#undef WEIR_FIELDS_29
#undef WEIR_FIELDS_30
#undef WEIR_FIELDS_31
#undef WEIR_FIELDS_32
#undef WEIR_FIELDS_33
#undef WEIR_FIELDS_34
#undef WEIR_FIELDS_35
#undef WEIR_FIELDS_36
#undef WEIR_FIELDS_37
#undef WEIR_FIELDS_38
#undef WEIR_FIELDS_39
#undef WEIR_FIELDS_40
#undef WEIR_FIELDS_41
#undef WEIR_FIELDS_42
#undef WEIR_FIELDS_43
#undef WEIR_FIELDS_44
#undef WEIR_FIELDS_45
#undef WEIR_FIELDS_46
#undef WEIR_FIELDS_47
#undef WEIR_FIELDS_48
#undef WEIR_FIELDS_49
#undef WEIR_FIELDS_50
#undef WEIR_FIELDS_51
#undef WEIR_FIELDS_52
#undef WEIR_FIELDS_53
#undef WEIR_FIELDS_54
#undef WEIR_FIELDS_55
#undef WEIR_FIELDS_56
#undef WEIR_FIELDS_57
#undef WEIR_FIELDS_58
#undef WEIR_FIELDS_59
#undef WEIR_FIELDS_60
#undef WEIR_FIELDS_61
#undef WEIR_FIELDS_62
#undef WEIR_FIELDS_63
#undef WEIR_FIELDS_64
#undef WEIR_BRACES_1
#undef WEIR_BRACES_2
#undef WEIR_BRACES_3
#undef WEIR_BRACES_4
#undef WEIR_BRACES_5
#undef WEIR_BRACES_6
#undef WEIR_BRACES_7
#undef WEIR_BRACES_8
#undef WEIR_BRACES_9
#undef WEIR_BRACES_10
#undef WEIR_BRACES_11
#undef WEIR_BRACES_12
#undef WEIR_BRACES_13
#undef WEIR_BRACES_14
#undef WEIR_BRACES_15
#undef WEIR_BRACES_16
#undef WEIR_BRACES_17
#undef WEIR_BRACES_18
#undef WEIR_BRACES_19
#undef WEIR_BRACES_20
#undef WEIR_BRACES_21
#undef WEIR_BRACES_22
#undef WEIR_BRACES_23
#undef WEIR_BRACES_24
#undef WEIR_BRACES_25
#undef WEIR_BRACES_26
#undef WEIR_BRACES_27
#undef WEIR_BRACES_28
#undef WEIR_BRACES_29
#undef WEIR_BRACES_30
#undef WEIR_BRACES_31
#undef WEIR_BRACES_32
#undef WEIR_BRACES_33
#undef WEIR_BRACES_34
#undef WEIR_BRACES_35
#undef WEIR_BRACES_36
#undef WEIR_BRACES_37
#undef WEIR_BRACES_38
#undef WEIR_BRACES_39
#undef WEIR_BRACES_40
#undef WEIR_BRACES_41
#undef WEIR_BRACES_42
#undef WEIR_BRACES_43
#undef WEIR_BRACES_44
#undef WEIR_BRACES_45
#undef WEIR_BRACES_46
#undef WEIR_BRACES_47
#undef WEIR_BRACES_48
#undef WEIR_BRACES_49
#undef WEIR_BRACES_50
#undef WEIR_BRACES_51
#undef WEIR_BRACES_52
#undef WEIR_BRACES_53
#undef WEIR_BRACES_54
#undef WEIR_BRACES_55
#undef WEIR_BRACES_56
#undef WEIR_BRACES_57
#undef WEIR_BRACES_58
#undef WEIR_BRACES_59
#undef WEIR_BRACES_60
#undef WEIR_BRACES_61
#undef WEIR_BRACES_62
#undef WEIR_BRACES_63
#undef WEIR_BRACES_64
#undef WEIR_BRACES_65
#undef WEIR_EIGHT
#undef WEIR_FOR_EACH_COUNT

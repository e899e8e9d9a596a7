#pragma once

#include <sstream>
#include <string>

namespace weir::internal {

// Prints the message to standard error and aborts the process. Never returns.
[[noreturn]] void CheckFailed(const char* file, int line, const std::string& message);

template <class A, class B>
std::string DescribeOperands(const char* expression, const A& a, const B& b) {
  std::ostringstream out;
  out << expression << " (" << a << " vs. " << b << ")";
  return out.str();
}

}  // namespace weir::internal

// A broken invariant ends the process, in every build. The job restarts elsewhere; wrong results do not spread.
#define WEIR_CHECK(condition)                                                      \
  do {                                                                             \
    if (!(condition)) [[unlikely]] {                                               \
      ::weir::internal::CheckFailed(__FILE__, __LINE__, #condition);               \
    }                                                                              \
  } while (false)

#define WEIR_CHECK_OP(op, a, b)                                                    \
  do {                                                                             \
    const auto& weir_a_ = (a);                                                     \
    const auto& weir_b_ = (b);                                                     \
    if (!(weir_a_ op weir_b_)) [[unlikely]] {                                      \
      ::weir::internal::CheckFailed(                                               \
          __FILE__, __LINE__,                                                      \
          ::weir::internal::DescribeOperands(#a " " #op " " #b, weir_a_, weir_b_)); \
    }                                                                              \
  } while (false)

#define WEIR_CHECK_EQ(a, b) WEIR_CHECK_OP(==, a, b)
#define WEIR_CHECK_NE(a, b) WEIR_CHECK_OP(!=, a, b)
#define WEIR_CHECK_LT(a, b) WEIR_CHECK_OP(<, a, b)
#define WEIR_CHECK_LE(a, b) WEIR_CHECK_OP(<=, a, b)
#define WEIR_CHECK_GT(a, b) WEIR_CHECK_OP(>, a, b)
#define WEIR_CHECK_GE(a, b) WEIR_CHECK_OP(>=, a, b)

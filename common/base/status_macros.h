#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define WEIR_CONCAT_INNER(a, b) a##b
#define WEIR_CONCAT(a, b) WEIR_CONCAT_INNER(a, b)

// Returns from the enclosing function with the status of `expr` if it is not OK.
#define WEIR_RETURN_IF_ERROR(expr)                         \
  do {                                                     \
    ::absl::Status weir_status_ = (expr);                  \
    if (!weir_status_.ok()) [[unlikely]] {                 \
      return weir_status_;                                 \
    }                                                      \
  } while (false)

// Evaluates `expr`, a StatusOr, and assigns its value to `lhs` or returns its status.
#define WEIR_ASSIGN_OR_RETURN(lhs, expr) \
  WEIR_ASSIGN_OR_RETURN_INNER(WEIR_CONCAT(weir_statusor_, __LINE__), lhs, expr)
#define WEIR_ASSIGN_OR_RETURN_INNER(statusor, lhs, expr) \
  auto statusor = (expr);                                \
  if (!statusor.ok()) [[unlikely]] {                     \
    return std::move(statusor).status();                 \
  }                                                      \
  lhs = std::move(statusor).value()

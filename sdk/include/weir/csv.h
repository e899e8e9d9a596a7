#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "weir/missing_fields.h"
#include "weir/record_traits.h"
#include "weir/text.h"

// Records as lines of CSV (docs/FORMATS.md, "CSV"): a cell a field, each in its text form. An empty
// cell is an empty std::optional.
namespace weir::internal {

template <class T>
inline constexpr bool kHasCell = kHasText<T>;
template <class T>
inline constexpr bool kHasCell<std::optional<T>> = kHasText<T>;

// What ReadCsv and WriteCsv can do for T: kInvalidArgument that names the first field which is no
// single value.
template <class T>
absl::Status CheckCsv() {
  const auto refuse = [](std::string_view what, const std::string& type) {
    return absl::InvalidArgumentError(std::string(what) + " is of type " + type +
                                      ", which a cell of CSV cannot hold: use JSON lines instead");
  };
  if constexpr (kKind<T> == Kind::kAggregate) {
    absl::Status status;
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (
          [&] {
            if constexpr (!kHasCell<Part<I, T>>) {
              if (!status.ok()) return;
              std::string type;
              AppendTypeNotation<Part<I, T>, T>(type);
              status = refuse("field '" + std::string(FieldNames<T>()[I]) + "' of " +
                                  std::string(TypeName<T>()),
                              type);
            }
          }(),
          ...);
    }(std::make_index_sequence<kFieldCount<T>>());
    return status;
  } else if constexpr (!kHasCell<T>) {
    std::string type;
    AppendTypeNotation<T>(type);
    return refuse("the record", type);
  } else {
    return absl::OkStatus();
  }
}

// Appends `text` as a cell, quoted if it has to be (RFC 4180).
inline void AppendCell(std::string_view text, std::string& out) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) [[likely]] {
    out += text;
    return;
  }
  out += '"';
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

template <class F>
void WriteCell(const F& value, std::string& out) {
  if constexpr (kKind<F> == Kind::kOptional) {
    if (value.has_value()) WriteCell(*value, out);
  } else if constexpr (kKind<F> == Kind::kString) {
    AppendCell(value, out);
  } else if constexpr (kKind<F> == Kind::kCustom && kHasText<F>) {
    std::string text;
    AppendText(value, text);
    AppendCell(text, out);
  } else if constexpr (kHasText<F>) {
    AppendText(value, out);
  }
}

// Appends `record` as a line without its end. One that would be an empty line is an empty quoted
// cell.
template <class T>
void WriteCsvLine(const T& record, std::string& out) {
  const std::size_t begin = out.size();
  if constexpr (kKind<T> == Kind::kAggregate) {
    VisitFields(record, [&out](const auto&... field) {
      [[maybe_unused]] std::size_t i = 0;
      ((out += i++ > 0 ? "," : "", WriteCell(field, out)), ...);
    });
  } else {
    WriteCell(record, out);
  }
  if (out.size() == begin) out += "\"\"";
}

template <class F>
absl::Status ReadCell(std::string_view text, F& value) {
  if constexpr (kKind<F> == Kind::kOptional) {
    if (text.empty()) {
      value.reset();
      return absl::OkStatus();
    }
    return ReadCell(text, value.emplace());
  } else if constexpr (kHasText<F>) {
    return ParseText(text, value);
  } else {
    return absl::InvalidArgumentError("a cell of CSV cannot hold this type");
  }
}

// Reads the field with this name from cells[column]; column < 0: the line has none for it.
template <class T, class F>
absl::Status ReadColumn(const std::vector<std::string_view>& cells, int column, bool optional,
                        std::string_view name, F& value) {
  if (column < 0) return optional ? absl::OkStatus() : MissingField<T>("column", name);
  absl::Status status;
  if (static_cast<std::size_t>(column) >= cells.size()) {
    status = absl::InvalidArgumentError("the line ends after " + std::to_string(cells.size()) +
                                        " cells, before it");
  } else {
    status = ReadCell(cells[static_cast<std::size_t>(column)], value);
  }
  if (status.ok()) [[likely]] {
    return status;
  }
  std::string message =
      name.empty() ? "column " + std::to_string(column + 1) : "column '" + std::string(name) + "'";
  message += ": ";
  message += std::string_view(status.message().data(), status.message().size());
  return absl::InvalidArgumentError(message);
}

template <class T>
absl::Status ReadCsvLine(const std::vector<std::string_view>& cells,
                         const std::vector<int>& columns, T& record) {
  const auto column = [&columns](std::size_t field) {
    return field < columns.size() ? columns[field] : -1;
  };
  if constexpr (kKind<T> == Kind::kAggregate) {
    const auto& optional = OptionalFields<T>();
    const auto& names = FieldNames<T>();
    absl::Status status;
    VisitFields(record, [&](auto&... field) {
      std::size_t i = 0;
      static_cast<void>((((status = ReadColumn<T>(cells, column(i), optional[i], names[i], field)),
                          ++i, status.ok()) &&
                         ... && true));
    });
    return status;
  } else {
    return ReadColumn<T>(cells, column(0), false, "", record);
  }
}

}  // namespace weir::internal

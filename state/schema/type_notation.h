#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace weir {

// A type in the notation of docs/FORMATS.md ("Type notation"), taken apart.
struct TypeNode {
  enum class Kind : uint8_t {
    kBool,
    kInteger,
    kFloat,
    kTime,
    kDuration,
    kEnum,
    kString,
    kOptional,
    kList,
    kArray,
    kMap,
    kTuple,
    kRecord,
    kEnclosing,  // ^n
    kCustom,     // a codec of its own
    kTtl,
    kTimer,
    kSlices,
  };
  struct Field {
    std::string name;
    // What it was called before.
    std::vector<std::string> former_names;
    // What it holds in a record that does not say otherwise, encoded; with has_default only.
    std::string default_bytes;
    bool has_default = false;
    std::unique_ptr<TypeNode> type;
  };

  Kind kind = Kind::kBool;
  // Bytes of what has a fixed width, 0 of others.
  uint32_t width = 0;
  bool is_signed = false;
  uint32_t array_size = 0;
  // The notation, without former names and defaults.
  std::string text;
  // T of optional<T>, list<T> and the like; K and V.
  std::vector<std::unique_ptr<TypeNode>> parts;
  std::vector<Field> fields;
  // Of kEnclosing.
  const TypeNode* enclosing = nullptr;
  // How many records around this one something in it refers to; 0: none.
  uint32_t reaches_out = 0;
  // Something in it has a codec of its own: where it ends is not known.
  bool has_custom = false;

  // The record that ^n stands for, or itself.
  const TypeNode& Resolved() const { return enclosing != nullptr ? *enclosing : *this; }
};

// Of `notation`, in which a field may also have former names and a default: name/former=00ff:T.
// kInvalidArgument if it is none, is longer than 1 MiB or has more than 100 types inside one
// another.
absl::StatusOr<std::unique_ptr<TypeNode>> ParseTypeNotation(std::string_view notation);

}  // namespace weir

#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "weir/connectors.h"
#include "weir/record_type.h"

namespace weir {

// Bytes after a line that must be readable; what they are does not matter.
inline constexpr size_t kJsonPaddingBytes = 64;
// Objects and arrays within each other that a line may have.
inline constexpr size_t kMaxJsonDepth = 64;

// Reads one line of JSON after the other, each lazily: what the record does not ask for is skipped
// and only checked for balanced brackets. The line is not copied, and reading allocates only when a
// line is longer than all before it. A number that is asked for as a time or a duration is in the
// unit given to Make.
//
// Between Start and Finish the line must stay where it is. After an error only Start may be called.
// Owned by one thread.
class JsonLineReader : public JsonReader {
 public:
  static std::unique_ptr<JsonLineReader> Make(TimeUnit time_unit);

  // Begins a line of `line` bytes, without its end; kJsonPaddingBytes more are readable after it.
  // kInvalidArgument for an empty line and for one that is not UTF-8.
  virtual absl::Status Start(std::string_view line) = 0;
  // Checks that nothing follows the value that was read.
  virtual absl::Status Finish() = 0;
};

}  // namespace weir

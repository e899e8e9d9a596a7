#include "common/base/thrown_stack.h"

#include "absl/strings/str_cat.h"

namespace weir {

std::vector<std::string> TakeThrownStack() {
  ThrownStack& stack = ThisThreadThrownStack();
  std::vector<std::string> frames;
  frames.reserve(static_cast<size_t>(stack.count));
  for (int i = 0; i < stack.count; ++i) {
    frames.push_back(
        absl::StrCat("0x", absl::Hex(reinterpret_cast<std::uintptr_t>(stack.frames[i]))));
  }
  stack.count = 0;
  return frames;
}

}  // namespace weir

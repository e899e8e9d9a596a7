#include "connectors/files/files_position.h"

#include <charconv>

#include "absl/status/status.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace weir {
namespace {

constexpr uint64_t kVersion = 1;

// The text is a row of numbers, each followed by a space, and of texts, each preceded by its
// length.
void PutNumber(uint64_t number, std::string& out) { absl::StrAppend(&out, number, " "); }
void PutText(std::string_view text, std::string& out) {
  PutNumber(text.size(), out);
  out.append(text);
}

absl::Status Damaged() {
  return absl::DataLossError("the position of a source of files is damaged");
}

absl::StatusOr<uint64_t> TakeNumber(std::string_view& text) {
  uint64_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  const auto used = static_cast<size_t>(parsed.ptr - text.data());
  if (parsed.ec != std::errc() || used == text.size() || text[used] != ' ') return Damaged();
  text.remove_prefix(used + 1);
  return number;
}

absl::StatusOr<std::string> TakeText(std::string_view& text) {
  WEIR_ASSIGN_OR_RETURN(const uint64_t size, TakeNumber(text));
  if (size > text.size()) return Damaged();
  std::string taken(text.substr(0, size));
  text.remove_prefix(size);
  return taken;
}

}  // namespace

std::string FilesPosition::Encode() const {
  std::string out;
  PutNumber(kVersion, out);
  PutNumber(offset, out);
  PutNumber(line, out);
  PutNumber(has_header ? 1 : 0, out);
  PutText(header, out);
  PutNumber(files.size(), out);
  for (const InputFile& file : files) {
    PutNumber(file.size_bytes, out);
    PutText(file.path, out);
  }
  return out;
}

absl::StatusOr<FilesPosition> FilesPosition::Decode(std::string_view text) {
  FilesPosition position;
  WEIR_ASSIGN_OR_RETURN(const uint64_t version, TakeNumber(text));
  if (version != kVersion) {
    return absl::DataLossError(
        StrCat("the position of a source of files has version ", version, ", known is ", kVersion));
  }
  WEIR_ASSIGN_OR_RETURN(position.offset, TakeNumber(text));
  WEIR_ASSIGN_OR_RETURN(position.line, TakeNumber(text));
  WEIR_ASSIGN_OR_RETURN(const uint64_t has_header, TakeNumber(text));
  position.has_header = has_header != 0;
  WEIR_ASSIGN_OR_RETURN(position.header, TakeText(text));
  WEIR_ASSIGN_OR_RETURN(const uint64_t count, TakeNumber(text));
  if (count > kMaxInputFiles || has_header > 1) return Damaged();
  for (uint64_t i = 0; i < count; ++i) {
    InputFile file;
    WEIR_ASSIGN_OR_RETURN(file.size_bytes, TakeNumber(text));
    WEIR_ASSIGN_OR_RETURN(file.path, TakeText(text));
    position.files.push_back(std::move(file));
  }
  if (!text.empty()) return Damaged();
  return position;
}

}  // namespace weir

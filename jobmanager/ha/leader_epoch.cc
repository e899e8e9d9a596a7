#include "jobmanager/ha/leader_epoch.h"

#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace weir::jobmanager {

absl::StatusOr<uint64_t> TakeLeaderEpoch(FileSystem& files, const std::string& directory) {
  WEIR_RETURN_IF_ERROR(files.CreateDirectories(directory));
  const std::string path = StrCat(directory, "/leader_epoch");
  uint64_t last = 0;
  absl::StatusOr<std::string> text = ReadFile(files, path, 64);
  if (text.ok()) {
    absl::string_view digits = absl::StripSuffix(ToAbsl(*text), "\n");
    if (!absl::SimpleAtoi(digits, &last) || last == UINT64_MAX) {
      return absl::DataLossError(
          StrCat(path,
                 " is damaged: it should hold the number of the last leader epoch. Put a number "
                 "there that is "
                 "higher than any that task managers have seen, or remove the folder"));
    }
  } else if (text.status().code() == absl::StatusCode::kOutOfRange) {
    return absl::DataLossError(StrCat(path, " is damaged: it is too long for a number"));
  } else if (text.status().code() != absl::StatusCode::kNotFound) {
    return text.status();
  }
  const uint64_t epoch = last + 1;
  WEIR_RETURN_IF_ERROR(WriteFileAtomically(files, path, StrCat(epoch, "\n")));
  return epoch;
}

}  // namespace weir::jobmanager

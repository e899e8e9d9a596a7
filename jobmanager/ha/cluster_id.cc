#include "jobmanager/ha/cluster_id.h"

#include <algorithm>

#include "common/base/id.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace weir::jobmanager {

absl::StatusOr<std::string> TakeClusterId(Env& env, const std::string& directory) {
  WEIR_RETURN_IF_ERROR(env.files().CreateDirectories(directory));
  const std::string path = StrCat(directory, "/cluster_id");
  absl::StatusOr<std::string> text = ReadFile(env.files(), path, 64);
  if (text.ok()) {
    if (!text->empty() && text->back() == '\n') text->pop_back();
    const bool valid = text->size() == 32 && std::all_of(text->begin(), text->end(), [](char c) {
                         return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
                       });
    if (valid) return text;
    return absl::DataLossError(
        StrCat(path,
               " is damaged: it should hold the cluster's id, 32 hex digits. Put the id there "
               "that the markers in its checkpoint folders name (_cluster-<id>)"));
  }
  if (text.status().code() != absl::StatusCode::kNotFound) {
    return text.status().code() == absl::StatusCode::kOutOfRange
               ? absl::DataLossError(StrCat(path, " is damaged: it is too long for an id"))
               : text.status();
  }
  const std::string id = JobId(env.random().Next(), env.random().Next()).ToString();
  WEIR_RETURN_IF_ERROR(WriteFileAtomically(env.files(), path, StrCat(id, "\n")));
  return id;
}

}  // namespace weir::jobmanager

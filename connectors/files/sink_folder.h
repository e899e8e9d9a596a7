#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "common/env/file_system.h"
#include "weir/operator.h"

namespace weir {

// The folder that finished and unfinished files of sinks lie in before they are committed, below a
// sink's own. Readers skip it, as all that begins with '.'.
inline constexpr std::string_view kHiddenFolder = ".inprogress";

// Whose file a hidden one is, as its name says.
struct HiddenFileOwner {
  // 32 hex digits, or "local".
  std::string job;
  // Of the sink's uid; 16 hex digits.
  std::string sink;
  uint32_t attempt = 1;
  // The last checkpoint before the file was begun: it belongs to later ones only.
  uint64_t after_checkpoint = 0;
  // Whose it is, as far as its visible name says so.
  std::optional<uint32_t> subtask = {};

  static HiddenFileOwner Of(const RunInfo& run, std::string_view uid);
};
// "<job>-<sink>-<attempt>-<after checkpoint>-<token>-<name>". `token` is one that no other writer
// has, so that no two files ever have one name.
std::string HiddenName(const HiddenFileOwner& owner, std::string_view token, std::string_view name);
// Nothing if it is not made by HiddenName.
std::optional<HiddenFileOwner> OwnerOfHidden(std::string_view file_name);

// Below, `folder` is the sink's own, which need not exist. All block; errors are the file system's.

// What a sink finds when it begins without a checkpoint. Which files are whose: of a folder, those
// named part-<subtask>-...
struct OldResults {
  uint32_t subtask = 0;
  uint32_t parallelism = 1;
  // Files of other subtasks are not looked at, for they may have finished already. Without it none
  // can have, and subtask 0 answers for all.
  bool others_may_have_finished = true;
};
// kAlreadyExists, with what to do, for any visible file that no other subtask of this run writes.
absl::Status RefuseOldResults(FileSystem& files, const std::string& folder,
                              const OldResults& options);
// Deletes this subtask's parts, and subtask 0 those of subtasks that this run does not have.
absl::Status DeleteOldResults(FileSystem& files, const std::string& folder,
                              const OldResults& options);

// Deletes the hidden files of this subtask of the sink that earlier attempts of the job began after
// the checkpoint that this attempt starts from, which therefore does not have them; subtask 0 also
// those of subtasks that there are not. The others answer for themselves, for they may have gone on
// from an earlier attempt. `hidden_folder` is where they lie.
absl::Status DeleteLeftovers(FileSystem& files, const std::string& hidden_folder,
                             const HiddenFileOwner& self, uint64_t restored_checkpoint,
                             uint32_t subtask, uint32_t parallelism);

}  // namespace weir

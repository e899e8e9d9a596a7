#pragma once

#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "connectors/files/input_listing.h"

namespace weir {

// What is remembered of a file that was read: two hashes of its path. By the first it belongs to a
// subtask.
struct PathDigest {
  std::array<uint64_t, 2> hashes{};

  static PathDigest Of(std::string_view path);
  uint32_t Subtask(uint32_t parallelism) const {
    return static_cast<uint32_t>(hashes[0] % parallelism);
  }
  friend auto operator<=>(const PathDigest&, const PathDigest&) = default;
};

// Where a source subtask is: what SnapshotPosition writes (docs/FORMATS.md). An empty text is the
// beginning: its files are not known yet.
struct FilesPosition {
  // Files that are read one after the other, as one split.
  using Lane = std::vector<InputFile>;

  // What is still to be read; at most kMaxInputFiles paths and a header line each.
  std::vector<Lane> lanes;
  // New files are looked for: what was read is in `finished`.
  bool discovers = false;
  std::set<PathDigest> finished;

  // Not empty: the part of subtask `subtask` of `parallelism` of what the subtasks with these
  // positions had, which cannot be dealt out before the files are listed. There are no lanes then.
  std::vector<std::string> former;
  uint32_t subtask = 0;
  uint32_t parallelism = 1;

  std::string Encode() const;
  // kDataLoss unless `text` is what Encode wrote, in this version or the first.
  static absl::StatusOr<FilesPosition> Decode(std::string_view text);
};

// Begun files are a lane each, so that no watermark of one passes another's records; the others are
// put in between, by path.
std::vector<FilesPosition::Lane> MakeLanes(std::vector<InputFile> files);

// What subtask `subtask` of `parallelism` has of what the subtasks at `former` had, in their order.
// With `inputs`, what ListInputs gives, there is nothing left that has to be listed first. If new
// files are looked for (by all or by none of `former`), each goes to the subtask that its path's
// digest says. kDataLoss: one is damaged.
absl::StatusOr<FilesPosition> DealFiles(const std::vector<std::string>& former, uint32_t subtask,
                                        uint32_t parallelism, const std::vector<InputFile>* inputs);

}  // namespace weir

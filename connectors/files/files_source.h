#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/env/env.h"
#include "connectors/files/file_lane.h"
#include "connectors/files/files_position.h"
#include "connectors/files/input_lookup.h"
#include "weir/connectors.h"
#include "weir/source.h"

namespace weir {

// Reads the files of one subtask, one after the other, as one split (a FileLane).
//
// One split, because that is what reading in order means for watermarks: a file that is not begun
// yet would, as a split of its own, hold the watermark at MIN until the last file, and as a split
// that appears when it is opened would meet a watermark that has already passed it (semantics rule
// 26). The split exists from Open on, before the files are listed, so that no watermark passes this
// subtask while it does not know what it has; a subtask without files ends at once. Only files that
// different subtasks had begun before the parallelism was changed are read side by side, a split
// each: the watermark of one may have passed what comes in another.
//
// With `discover` the last lane never ends. A path belongs to a subtask by its digest, and what was
// read is remembered for as long as it is listed.
//
// Owned by the task's thread; `env` and `type` outlive it.
class FilesSource final : public SourceReader {
 public:
  FilesSource(Env& env, Files settings, const RecordType& type, ReadAheadOptions options = {});
  ~FilesSource() override;

  absl::Status Open(SourceContext& context) override;
  std::uint32_t splits() const override {
    return lanes_.empty() ? 1 : static_cast<std::uint32_t>(lanes_.size());
  }
  absl::StatusOr<PollResult> Poll(BatchBase& batch, std::size_t max_records) override;
  bool SetPaused(std::uint32_t split, bool paused) override {
    if (split < lanes_.size()) lanes_[split].paused = paused;
    return true;
  }
  std::string SplitName(std::uint32_t split) const override {
    return split < lanes_.size() ? lanes_[split].files->Path() : std::string();
  }
  std::string SnapshotPosition() const override;
  absl::Status RestorePosition(std::string_view position) override;
  absl::Status RestorePositions(const std::vector<std::string_view>& positions,
                                std::uint32_t subtask, std::uint32_t parallelism) override;
  void Close() override;

 private:
  struct Lane {
    std::unique_ptr<FileLane> files;
    bool ended = false;
    bool paused = false;
  };

  bool discovers() const { return settings_.discover > Duration(); }
  absl::Status CheckRestored() const;
  void MakeLane(std::vector<InputFile> files);
  // Takes a listing if one is there, and begins one that is due.
  absl::Status LookForFiles();
  absl::Status OnListed(const std::vector<InputFile>& inputs);
  void AddNewFiles(const std::vector<InputFile>& inputs);
  absl::StatusOr<PollResult> PollLanes(BatchBase& batch, std::size_t max_records);
  absl::Status FlushMalformed();

  Env& env_;
  const Files settings_;
  const RecordType& type_;
  const ReadAheadOptions options_;
  SourceContext* context_ = nullptr;
  Counter* skipped_ = nullptr;
  Batch<MalformedRecord> malformed_;
  // Until the files are known.
  std::optional<FilesPosition> restored_;
  // Null if nothing is to be listed any more.
  std::shared_ptr<InputLookup> lookup_;
  bool listing_ = false;
  // When to list again.
  Ticks next_listing_ = kMaxTicks;
  // Empty until the files are known; then by split.
  std::vector<Lane> lanes_;
  std::size_t next_lane_ = 0;
  std::set<PathDigest> finished_;
};

}  // namespace weir

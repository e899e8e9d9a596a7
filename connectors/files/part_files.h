#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "common/env/file_system.h"

namespace weir {

// The files that a sink has begun and not handed over: all that blocks of writing them. Owned by
// the sink's background work, one piece of which runs at a time.
class PartFiles {
 public:
  // Both outlive it. `hidden_folder` is made when the first file is.
  PartFiles(FileSystem& files, std::string hidden_folder)
      : files_(files), hidden_folder_(std::move(hidden_folder)) {}

  // Makes the hidden file. `shown_as` is its visible name, for errors.
  absl::Status Begin(uint64_t id, const std::string& hidden, const std::string& shown_as);
  absl::Status Append(uint64_t id, std::string_view data);
  // Syncs and closes it. Its name is durable after SyncFolder.
  absl::Status End(uint64_t id);
  absl::Status SyncFolder();
  // Those with an id below are another's from now on.
  void HandOver(uint64_t below) { parts_.erase(parts_.begin(), parts_.lower_bound(below)); }
  // Deletes what was not handed over, and the folder if nothing is in it. What cannot be deleted
  // stays: it is hidden, and harms nobody.
  void Abandon();

 private:
  struct Part {
    std::string hidden;
    std::string shown_as;
    std::unique_ptr<WritableFile> file;
    uint64_t written_bytes = 0;
  };
  static absl::Status WriteError(const Part& part, const absl::Status& status);

  FileSystem& files_;
  const std::string hidden_folder_;
  std::map<uint64_t, Part> parts_;
};

}  // namespace weir

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/hash.h"
#include "common/env/file_system.h"
#include "state/snapshot/state_file.h"

namespace weir {

namespace proto {
class StateFile;
}

// Writes one state file, section by section and entry by entry, in one pass. Payloads go to the
// file as they come: memory is one buffer and the directory. Every call may block, so it is used on
// an IO thread; by one thread at a time.
//
// An error is returned again by every later call. A writer that is destroyed before Finish leaves a
// file that no reader accepts.
class StateFileWriter {
 public:
  // Makes the file `name` in `folder`, which must be there. `version`: the highest of
  // StateFileVersionOf the kinds of sections that will be in it. kAlreadyExists: it is never
  // overwritten. Other errors are the file system's.
  static absl::StatusOr<std::unique_ptr<StateFileWriter>> Create(FileSystem& files,
                                                                 const std::string& folder,
                                                                 const std::string& name,
                                                                 uint32_t version = 1);

  // Ends the section before. kInvalidArgument if the file has such a section already.
  absl::Status BeginSection(const StateSection& section);
  // Ends the entry before. In a keyed section, in ascending order; a key group without bytes is
  // left out.
  absl::Status BeginKeyGroup(uint32_t key_group);
  // Ends the entry before. In a section of another kind; an item may be empty.
  absl::Status BeginItem();
  // Adds to the entry that was begun last.
  absl::Status Append(std::string_view piece);
  // Ends the file and makes it and its name durable. The result has name, size and digest. Nothing
  // may follow. kOutOfRange if there are more entries than a reader takes.
  absl::StatusOr<proto::StateFile> Finish();

  // Payload so far.
  uint64_t payload_bytes() const { return offset_ - kStateFileHeaderBytes; }

 private:
  StateFileWriter(FileSystem& files, std::string folder, std::string name,
                  std::unique_ptr<WritableFile> file);

  absl::Status EndEntry();
  void EndSection();
  absl::Status CheckDirectorySize();
  // Hands bytes to the file, in large pieces, and to the digest.
  absl::Status Write(std::string_view bytes);
  absl::Status Flush(std::string_view bytes);
  absl::Status Fail(absl::Status status);
  absl::Status Close();

  FileSystem& files_;
  const std::string folder_;
  const std::string name_;
  const std::unique_ptr<WritableFile> file_;

  absl::Status status_;
  std::string buffer_;
  StreamingHash64 file_hash_;
  // Of what was written, buffered or not.
  uint64_t offset_ = 0;

  std::string directory_;
  uint32_t section_count_ = 0;
  std::set<std::tuple<std::string, std::string, int>> section_names_;
  // The section that is open.
  std::optional<StateSection> section_;
  size_t entry_count_at_ = 0;
  uint32_t entry_count_ = 0;
  std::optional<uint32_t> last_key_group_;
  // Of the entry that is open.
  bool in_entry_ = false;
  uint64_t entry_offset_ = 0;
  StreamingHash64 entry_hash_;
  bool finished_ = false;
};

}  // namespace weir

#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/env/file_system.h"
#include "state/snapshot/state_file.h"

namespace weir {

// Reads a state file: its directory when it is opened, and then those entries that are asked for.
// In memory is the directory alone.
//
// Errors name the file. kDataLoss: it is damaged, and how; kFailedPrecondition: a newer version of
// Weir wrote it; others are the file system's. Total: no content makes it crash, allocate more than
// a small multiple of the file's size, or return what was not written. Every call blocks. Used by
// one thread at a time.
class StateFileReader {
 public:
  struct Entry {
    // In keyed sections.
    uint32_t key_group = 0;
    uint64_t offset = 0;
    uint64_t bytes = 0;
    uint64_t digest = 0;
  };
  struct Section {
    StateSection info;
    // Key groups ascend; items have the order in which they were written.
    std::vector<Entry> entries;
  };

  static absl::StatusOr<std::unique_ptr<StateFileReader>> Open(FileSystem& files,
                                                               const std::string& path);
  // Of a file that is open already; `path` is for messages.
  static absl::StatusOr<std::unique_ptr<StateFileReader>> Open(
      std::unique_ptr<RandomAccessFile> file, std::string path);

  // In the order of writing.
  const std::vector<Section>& sections() const { return sections_; }
  // Null if there is none.
  const Section* Find(std::string_view uid, std::string_view state, bool keyed) const;
  // The entries of a keyed section whose key groups are from `first` to `last`, both included.
  static std::span<const Entry> KeyGroups(const Section& section, uint32_t first, uint32_t last);
  // Replaces `bytes` by the payload of an entry of this file. After an error `bytes` is empty.
  absl::Status Read(const Entry& entry, std::string& bytes);
  // The payload, with RandomAccessFile::ReadInOrder from `file`, another handle of this file. Any
  // thread, each with its own handle.
  absl::StatusOr<std::string_view> ReadInOrder(RandomAccessFile& file, const Entry& entry,
                                               std::string& buffer) const;
  // As it was given to Open.
  const std::string& path() const { return path_; }

 private:
  StateFileReader(std::unique_ptr<RandomAccessFile> file, std::string path)
      : file_(std::move(file)), path_(std::move(path)) {}

  absl::Status ReadAll();
  absl::Status CheckHeader();
  absl::Status ParseDirectory(std::string_view directory, uint64_t payload_end);
  // Exactly `size` bytes, which the file must have.
  absl::Status ReadExactly(RandomAccessFile& file, uint64_t offset, uint64_t size,
                           std::string& bytes) const;
  absl::Status CheckDigest(const Entry& entry, std::string_view bytes) const;
  absl::Status BecameShorter() const;
  absl::Status Damaged(std::string_view what) const;

  const std::unique_ptr<RandomAccessFile> file_;
  const std::string path_;
  uint32_t version_ = 1;
  std::vector<Section> sections_;
};

}  // namespace weir

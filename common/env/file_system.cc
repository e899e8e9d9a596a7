#include "common/env/file_system.h"

#include <algorithm>

#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace weir {

absl::StatusOr<std::string_view> RandomAccessFile::ReadInOrder(uint64_t offset, size_t size,
                                                               std::string& buffer) {
  buffer.resize(size);
  WEIR_ASSIGN_OR_RETURN(const size_t got, ReadAt(offset, size, buffer.data()));
  buffer.resize(got);
  return buffer;
}

namespace {

constexpr size_t kReadChunkBytes = 256 << 10;

std::string FolderOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

absl::Status WriteSynced(FileSystem& fs, const std::string& path, std::string_view data) {
  WEIR_ASSIGN_OR_RETURN(auto file, fs.OpenForWrite(path, FileSystem::WriteMode::kTruncate));
  WEIR_RETURN_IF_ERROR(file->Append(data));
  WEIR_RETURN_IF_ERROR(file->Sync());
  return file->Close();
}

}  // namespace

absl::StatusOr<std::string> ReadFile(FileSystem& fs, const std::string& path, uint64_t max_bytes) {
  WEIR_ASSIGN_OR_RETURN(auto file, fs.OpenForRead(path));
  WEIR_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  const auto too_large = [&](uint64_t at_least) {
    return absl::OutOfRangeError(StrCat("reading '", path, "': it has ", at_least,
                                        " bytes or more, at most ", max_bytes, " are allowed"));
  };
  if (size > max_bytes) return too_large(size);
  std::string content;
  // The size is a hint: files that grow, and those of /proc, are read to their end.
  while (true) {
    const size_t begin = content.size();
    const uint64_t expected = size > begin ? size - begin : 0;
    const size_t chunk =
        static_cast<size_t>(std::min<uint64_t>(std::max<uint64_t>(expected, 1), kReadChunkBytes));
    content.resize(begin + chunk);
    WEIR_ASSIGN_OR_RETURN(const size_t got, file->ReadAt(begin, chunk, content.data() + begin));
    content.resize(begin + got);
    if (content.size() > max_bytes) return too_large(content.size());
    if (got < chunk) return content;
  }
}

absl::Status WriteFileAtomically(FileSystem& fs, const std::string& path, std::string_view data) {
  const std::string temporary = path + ".tmp";
  absl::Status status = WriteSynced(fs, temporary, data);
  if (status.ok()) status = fs.Rename(temporary, path);
  if (!status.ok()) {
    // What went wrong first is what the caller must know; a leftover is overwritten by the next
    // try.
    fs.Delete(temporary).IgnoreError();
    return status;
  }
  return fs.SyncDirectory(FolderOf(path));
}

}  // namespace weir

#include <memory>
#include <utility>
#include <vector>

#include "common/base/hash.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "state/rocksdb/rocksdb_files_internal.h"

namespace weir {
namespace {

absl::Status Damaged(const StoredFile& file, std::string_view what) {
  return absl::DataLossError(StrCat("the file ", file.path, " of a checkpoint is damaged: ", what));
}

// Makes `to` the file, by a hard link where that can be: both stay as they are.
absl::Status CheckedCopy(rocksdb::Env& env, const StoredFile& file, const std::string& to) {
  constexpr size_t kPiece = 1 << 20;
  std::unique_ptr<rocksdb::SequentialFile> source;
  rocksdb::Status status = env.NewSequentialFile(file.path, &source, rocksdb::EnvOptions());
  if (status.IsNotFound() || status.IsPathNotFound()) return Damaged(file, "it is missing");
  if (!status.ok()) {
    return absl::UnavailableError(StrCat("reading ", file.path, ": ", status.ToString()));
  }
  std::unique_ptr<rocksdb::WritableFile> copy;
  // Another disk, or one without links.
  if (!env.LinkFile(file.path, to).ok()) {
    status = env.NewWritableFile(to, &copy, rocksdb::EnvOptions());
    if (!status.ok()) return StoreError(status, to);
  }
  std::vector<char> buffer(kPiece);
  StreamingHash64 digest;
  uint64_t bytes = 0;
  while (true) {
    rocksdb::Slice piece;
    status = source->Read(kPiece, &piece, buffer.data());
    if (!status.ok()) {
      return absl::UnavailableError(StrCat("reading ", file.path, ": ", status.ToString()));
    }
    if (piece.empty()) break;
    bytes += piece.size();
    digest.Append({piece.data(), piece.size()});
    if (copy == nullptr) continue;
    if (status = copy->Append(piece); !status.ok()) return StoreError(status, to);
  }
  if (copy != nullptr) {
    if (status = copy->Close(); !status.ok()) return StoreError(status, to);
  }
  if (bytes != file.bytes) {
    return Damaged(file, StrCat("it has ", bytes, " bytes; the checkpoint says ", file.bytes));
  }
  if (digest.Digest() != file.digest) return Damaged(file, "it has a wrong digest");
  return absl::OkStatus();
}

}  // namespace

absl::Status StoreError(const rocksdb::Status& status, const std::string& path) {
  if (status.ok()) return absl::OkStatus();
  const std::string what = StrCat("the RocksDB state in ", path,
                                  " (state.backend.rocksdb.localdir): ", status.ToString());
  if (status.IsNoSpace()) {
    return absl::ResourceExhaustedError(
        StrCat(what, "; the disk is full: make room, or name a folder on a larger one"));
  }
  if (status.IsCorruption()) {
    return absl::DataLossError(
        StrCat(what, "; the disk may be failing: the job goes on from its last checkpoint"));
  }
  if (what.find("ermission denied") != std::string::npos ||
      what.find("ead-only") != std::string::npos) {
    return absl::PermissionDeniedError(
        StrCat(what, "; make the folder writable for the task manager, or name another"));
  }
  return absl::UnavailableError(what);
}

absl::Status MakeFolders(rocksdb::Env& env, const std::string& path) {
  rocksdb::Status made;
  for (size_t slash = path.find('/', 1); made.ok(); slash = path.find('/', slash + 1)) {
    made = env.CreateDirIfMissing(path.substr(0, slash));
    if (slash == std::string::npos) break;
  }
  return StoreError(made, path);
}

absl::Status DeleteFolder(rocksdb::Env& env, const std::string& path) {
  std::vector<std::string> names;
  const rocksdb::Status listed = env.GetChildren(path, &names);
  if (listed.IsNotFound() || listed.IsPathNotFound()) return absl::OkStatus();
  rocksdb::Status status = listed;
  for (const std::string& name : names) {
    if (name == "." || name == "..") continue;
    const rocksdb::Status deleted = env.DeleteFile(StrCat(path, "/", name));
    if (status.ok()) status = deleted;
  }
  if (status.ok()) status = env.DeleteDir(path);
  return StoreError(status, path);
}

absl::Status FillFolder(rocksdb::Env& env, const StoredFiles& files, const std::string& folder) {
  for (const StoredFile& file : files) {
    if (file.log) continue;
    const std::string to = StrCat(folder, "/", file.name);
    if (file.path.empty()) {
      WEIR_RETURN_IF_ERROR(StoreError(rocksdb::WriteStringToFile(&env, file.content, to), folder));
    } else {
      WEIR_RETURN_IF_ERROR(CheckedCopy(env, file, to));
    }
  }
  return absl::OkStatus();
}

}  // namespace weir

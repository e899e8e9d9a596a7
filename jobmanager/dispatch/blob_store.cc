#include "jobmanager/dispatch/blob_store.h"

#include <utility>

#include "absl/strings/str_format.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace weir::jobmanager {

BlobWriter::BlobWriter(BlobStore& store, std::string sha256, uint64_t bytes, std::string path,
                       std::unique_ptr<WritableFile> file)
    : store_(store),
      sha256_(std::move(sha256)),
      bytes_(bytes),
      path_(std::move(path)),
      file_(std::move(file)) {}

BlobWriter::~BlobWriter() {
  if (committed_) return;
  file_.reset();
  // What cannot be deleted now is when the store is next opened.
  store_.env_.files().Delete(path_).IgnoreError();
}

absl::Status BlobWriter::Append(std::string_view data) {
  if (data.size() > bytes_ - written_) {
    return absl::InvalidArgumentError(
        StrCat("more than the ", bytes_, " bytes came that were announced for the plugin"));
  }
  WEIR_RETURN_IF_ERROR(file_->Append(data));
  hash_.Update(data);
  written_ += data.size();
  return absl::OkStatus();
}

absl::Status BlobWriter::Commit() {
  WEIR_CHECK(!committed_);
  if (written_ != bytes_) {
    return absl::InvalidArgumentError(
        StrCat("the upload ended after ", written_, " of ", bytes_, " bytes"));
  }
  if (const std::string digest = hash_.Finish(); digest != sha256_) {
    return absl::InvalidArgumentError(StrCat("the bytes that came have the sha256 ", digest,
                                             ", not ", sha256_,
                                             "; was the file changed while it was sent?"));
  }
  WEIR_RETURN_IF_ERROR(file_->Sync());
  WEIR_RETURN_IF_ERROR(file_->Close());
  return store_.Install(*this);
}

BlobStore::BlobStore(Env& env, std::string directory, uint64_t max_idle_bytes)
    : env_(env),
      blobs_directory_(StrCat(directory, "/blobs")),
      uploads_directory_(StrCat(directory, "/uploads")),
      max_idle_bytes_(max_idle_bytes) {}

absl::Status BlobStore::Open() {
  WEIR_RETURN_IF_ERROR(env_.files().DeleteRecursively(uploads_directory_));
  WEIR_RETURN_IF_ERROR(env_.files().CreateDirectories(uploads_directory_));
  WEIR_RETURN_IF_ERROR(env_.files().CreateDirectories(blobs_directory_));
  WEIR_ASSIGN_OR_RETURN(std::vector<FileInfo> files, env_.files().List(blobs_directory_));
  for (const FileInfo& file : files) {
    const std::string name = file.path.substr(file.path.rfind('/') + 1);
    // What is not a blob is not ours to touch.
    if (file.is_directory || !IsSha256Hex(name)) continue;
    blobs_[name] = Blob{file.size_bytes, 0};
  }
  Trim();
  return absl::OkStatus();
}

std::string BlobStore::BlobPath(const std::string& sha256) const {
  WEIR_CHECK(IsSha256Hex(sha256));
  return StrCat(blobs_directory_, "/", sha256);
}

void BlobStore::Pin(const std::string& sha256) { ++pins_[sha256]; }

void BlobStore::Unpin(const std::string& sha256) {
  auto pin = pins_.find(sha256);
  WEIR_CHECK(pin != pins_.end());
  if (--pin->second > 0) return;
  pins_.erase(pin);
  if (auto blob = blobs_.find(sha256); blob != blobs_.end()) blob->second.last_use = ++uses_;
  Trim();
}

absl::StatusOr<std::unique_ptr<BlobWriter>> BlobStore::NewWriter(const std::string& sha256,
                                                                 uint64_t bytes) {
  WEIR_CHECK(IsSha256Hex(sha256));
  const std::string path =
      StrCat(uploads_directory_, "/",
             absl::StrFormat("%016x%016x", env_.random().Next(), env_.random().Next()));
  WEIR_ASSIGN_OR_RETURN(std::unique_ptr<WritableFile> file,
                        env_.files().OpenForWrite(path, FileSystem::WriteMode::kCreateNew));
  return std::unique_ptr<BlobWriter>(new BlobWriter(*this, sha256, bytes, path, std::move(file)));
}

absl::Status BlobStore::Install(BlobWriter& writer) {
  // Two uploads of one plugin at once: the second one's file replaces the same bytes.
  WEIR_RETURN_IF_ERROR(env_.files().Rename(writer.path_, BlobPath(writer.sha256_)));
  writer.committed_ = true;
  WEIR_RETURN_IF_ERROR(env_.files().SyncDirectory(blobs_directory_));
  blobs_[writer.sha256_] = Blob{writer.bytes_, ++uses_};
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>> BlobStore::OpenForRead(
    const std::string& sha256) {
  auto blob = blobs_.find(sha256);
  if (blob == blobs_.end()) {
    return absl::NotFoundError(StrCat("there is no plugin with the sha256 '", sha256.substr(0, 64),
                                      "'; it may have been deleted after its jobs ended"));
  }
  blob->second.last_use = ++uses_;
  return env_.files().OpenForRead(BlobPath(sha256));
}

void BlobStore::Trim() {
  while (true) {
    uint64_t idle_bytes = 0;
    auto oldest = blobs_.end();
    for (auto blob = blobs_.begin(); blob != blobs_.end(); ++blob) {
      if (pins_.contains(blob->first)) continue;
      idle_bytes += blob->second.bytes;
      if (oldest == blobs_.end() || blob->second.last_use < oldest->second.last_use) oldest = blob;
    }
    if (idle_bytes <= max_idle_bytes_) return;
    // A file that cannot be deleted is found again when the store is next opened.
    env_.files().Delete(BlobPath(oldest->first)).IgnoreError();
    blobs_.erase(oldest);
  }
}

}  // namespace weir::jobmanager

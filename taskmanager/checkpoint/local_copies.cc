#include "taskmanager/checkpoint/local_copies.h"

#include <charconv>

#include "common/base/hash.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/checkpoint.pb.h"

namespace weir {
namespace {

constexpr size_t kReadBytes = 1 << 20;
constexpr std::string_view kShared = "shared/";
constexpr std::string_view kCheckpoint = "chk-";

std::string_view BaseName(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// "<vertex>-<subtask>" of "<attempt>-<vertex>-<subtask>..."; empty if it has another name.
std::string TaskOf(std::string_view name) {
  size_t dash = name.find('-');
  if (dash == std::string_view::npos) return {};
  name.remove_prefix(dash + 1);
  dash = name.find('-');
  if (dash == std::string_view::npos) return {};
  const size_t end = name.find_first_not_of("0123456789", dash + 1);
  return std::string(name.substr(0, end));
}

// The id of "chk-<id>"; 0 if it has another name.
uint64_t IdOf(std::string_view name) {
  if (!name.starts_with(kCheckpoint)) return 0;
  name.remove_prefix(kCheckpoint.size());
  uint64_t id = 0;
  const auto parsed = std::from_chars(name.data(), name.data() + name.size(), id);
  return parsed.ptr == name.data() + name.size() ? id : 0;
}

}  // namespace

// Writes to both, until the copy cannot be written. A copy that is not closed well goes.
class LocalCopies::CopyingFile final : public WritableFile {
 public:
  CopyingFile(LocalCopies& copies, std::unique_ptr<WritableFile> original,
              std::unique_ptr<WritableFile> copy, std::string copy_path)
      : copies_(copies),
        original_(std::move(original)),
        copy_(std::move(copy)),
        copy_path_(std::move(copy_path)) {}
  ~CopyingFile() override { Drop(); }

  absl::Status Append(std::string_view data) override {
    WEIR_RETURN_IF_ERROR(original_->Append(data));
    if (copy_ != nullptr && (!copies_.Take(data.size()) || !copy_->Append(data).ok())) Drop();
    return absl::OkStatus();
  }
  void NotReadSoon() override {
    // A restart on this host reads the copy.
    original_->NotReadSoon();
  }
  // Of the original alone: a copy that is lost with the host is none.
  absl::Status Sync() override { return original_->Sync(); }
  absl::Status Close() override {
    const absl::Status closed = original_->Close();
    if (!closed.ok() || (copy_ != nullptr && !copy_->Close().ok())) Drop();
    copy_ = nullptr;
    return closed;
  }

 private:
  void Drop() {
    if (copy_ == nullptr) return;
    copy_ = nullptr;
    // What stays of it is not what was written, and is not read.
    copies_.files_.Delete(copy_path_).IgnoreError();
  }

  LocalCopies& copies_;
  const std::unique_ptr<WritableFile> original_;
  std::unique_ptr<WritableFile> copy_;
  const std::string copy_path_;
};

std::string LocalCopies::NameOf(const std::string& path) const {
  const std::string& folder = options_.directory;
  if (folder.empty() || !path.starts_with(folder) || path.size() <= folder.size() + 1 ||
      path[folder.size()] != '/') {
    return {};
  }
  const std::string name = path.substr(folder.size() + 1);
  // Folders of checkpoints and of shared files: what else lies there is not state.
  return name.starts_with(kShared) || name.starts_with(kCheckpoint) ? name : std::string();
}

std::string LocalCopies::CopyOf(const std::string& name) const {
  return StrCat(options_.folder, "/", name);
}

bool LocalCopies::Take(uint64_t bytes) {
  MutexLock lock(mutex_);
  if (bytes_ + bytes > options_.max_bytes) return false;
  bytes_ += bytes;
  return true;
}

void LocalCopies::Expect(const proto::JobRestore& restore) {
  MutexLock lock(mutex_);
  reads_ = Reads();
  expected_.clear();
  const std::string checkpoint = NameOf(StrCat(restore.directory(), "/"));
  if (checkpoint.empty()) return;  // a savepoint, or another job's
  for (const proto::StateFile& file : restore.files()) {
    const bool shared = file.name().starts_with(kShared);
    expected_[shared ? file.name() : StrCat(checkpoint, file.name())] = {file.bytes(),
                                                                         file.digest()};
  }
}

LocalCopies::Reads LocalCopies::reads() const {
  MutexLock lock(mutex_);
  return reads_;
}

std::unique_ptr<RandomAccessFile> LocalCopies::OpenCopy(const std::string& name, uint64_t bytes,
                                                        uint64_t digest) {
  auto copy = files_.OpenForRead(CopyOf(name));
  if (!copy.ok()) return nullptr;
  const auto size = (*copy)->Size();
  if (!size.ok() || *size != bytes) return nullptr;
  StreamingHash64 hash;
  std::string buffer(kReadBytes, '\0');
  for (uint64_t at = 0; at < bytes;) {
    const auto read = (*copy)->ReadAt(at, buffer.size(), buffer.data());
    if (!read.ok() || *read == 0) return nullptr;
    hash.Append(std::string_view(buffer).substr(0, *read));
    at += *read;
  }
  return hash.Digest() == digest ? *std::move(copy) : nullptr;
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>> LocalCopies::OpenForRead(
    const std::string& path) {
  const std::string name = NameOf(path);
  std::pair<uint64_t, uint64_t> expected;
  bool known = false;
  {
    MutexLock lock(mutex_);
    const auto found = expected_.find(name);
    known = !name.empty() && found != expected_.end();
    if (known) expected = found->second;
  }
  if (!known) return files_.OpenForRead(path);
  auto copy = OpenCopy(name, expected.first, expected.second);
  {
    MutexLock lock(mutex_);
    ++(copy != nullptr ? reads_.copies : reads_.originals);
  }
  if (copy != nullptr) return copy;
  return files_.OpenForRead(path);
}

absl::StatusOr<std::unique_ptr<WritableFile>> LocalCopies::OpenForWrite(const std::string& path,
                                                                        WriteMode mode) {
  WEIR_ASSIGN_OR_RETURN(auto original, files_.OpenForWrite(path, mode));
  const std::string name = NameOf(path);
  if (name.empty() || mode != WriteMode::kCreateNew) return original;
  {
    MutexLock lock(mutex_);
    fresh_.insert(name);
  }
  const std::string copy_path = CopyOf(name);
  std::unique_ptr<WritableFile> copy;
  if (files_.CreateDirectories(copy_path.substr(0, copy_path.rfind('/'))).ok()) {
    auto made = files_.OpenForWrite(copy_path, WriteMode::kTruncate);
    if (made.ok()) copy = *std::move(made);
  }
  return std::unique_ptr<WritableFile>(
      std::make_unique<CopyingFile>(*this, std::move(original), std::move(copy), copy_path));
}

absl::Status LocalCopies::Delete(const std::string& path) {
  const std::string name = NameOf(path);
  // It may never have been made, and is not read if it stays.
  if (!name.empty()) files_.Delete(CopyOf(name)).IgnoreError();
  return files_.Delete(path);
}

void LocalCopies::Note(uint64_t id, uint32_t vertex, uint32_t subtask,
                       const std::vector<std::string>& names) {
  MutexLock lock(mutex_);
  tasks_.insert(StrCat(vertex, "-", subtask));
  std::set<std::string>& noted = noted_[id];
  for (const std::string& name : names) {
    const std::string whole = name.starts_with(kShared) ? name : StrCat(kCheckpoint, id, "/", name);
    noted.insert(whole);
    fresh_.erase(whole);
  }
}

void LocalCopies::Tidy(uint64_t completed) {
  std::set<std::string> kept;
  std::set<std::string> tasks;
  {
    MutexLock lock(mutex_);
    std::erase_if(noted_,
                  [&](const auto& entry) { return entry.first != 0 && entry.first < completed; });
    for (const auto& [id, names] : noted_) kept.insert(names.begin(), names.end());
    kept.insert(fresh_.begin(), fresh_.end());
    tasks = tasks_;
  }
  uint64_t bytes = 0;
  const auto folders = files_.List(options_.folder);
  if (!folders.ok()) return;  // nothing was copied yet
  for (const FileInfo& folder : *folders) {
    const uint64_t id = IdOf(BaseName(folder.path));
    if (id != 0 && id < completed) {
      // What stays is tried again with the next one.
      files_.DeleteRecursively(folder.path).IgnoreError();
      continue;
    }
    const auto entries = files_.List(folder.path);
    if (!entries.ok()) continue;
    for (const FileInfo& file : *entries) {
      const std::string name = StrCat(BaseName(folder.path), "/", BaseName(file.path));
      const bool over =
          id == 0 && !kept.contains(name) && tasks.contains(TaskOf(BaseName(file.path)));
      if (over && files_.Delete(file.path).ok()) continue;
      bytes += file.size_bytes;
    }
  }
  MutexLock lock(mutex_);
  bytes_ = bytes;
}

}  // namespace weir

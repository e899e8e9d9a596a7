#include "connectors/files/files_committer.h"

#include <charconv>
#include <set>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace weir {
namespace {

constexpr std::string_view kVersion = "1";

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Takes "<digits> " off the front.
bool TakeNumber(std::string_view& in, uint64_t& number) {
  const auto parsed = std::from_chars(in.data(), in.data() + in.size(), number);
  if (parsed.ec != std::errc() || parsed.ptr == in.data() + in.size() || *parsed.ptr != ' ') {
    return false;
  }
  in.remove_prefix(static_cast<size_t>(parsed.ptr - in.data()) + 1);
  return true;
}

bool TakeText(std::string_view& in, std::string& text) {
  uint64_t size = 0;
  if (!TakeNumber(in, size) || size > in.size()) return false;
  text = in.substr(0, size);
  in.remove_prefix(size);
  return true;
}

// kNotFound is no error but an answer.
absl::StatusOr<bool> Exists(FileSystem& files, const std::string& path, uint64_t& bytes) {
  const absl::StatusOr<FileInfo> info = files.Stat(path);
  if (absl::IsNotFound(info.status())) return false;
  WEIR_RETURN_IF_ERROR(info.status());
  bytes = info->size_bytes;
  return true;
}

// Makes the folder and syncs the one above each folder that was not there.
absl::Status MakeFolder(FileSystem& files, const std::string& folder) {
  uint64_t ignored = 0;
  WEIR_ASSIGN_OR_RETURN(const bool there, Exists(files, folder, ignored));
  if (there) return absl::OkStatus();
  const std::string parent = FolderOf(folder);
  if (parent != folder && parent != ".") WEIR_RETURN_IF_ERROR(MakeFolder(files, parent));
  WEIR_RETURN_IF_ERROR(files.CreateDirectories(folder));
  return files.SyncDirectory(parent);
}

}  // namespace

std::string EncodeCommittable(const FileCommittable& file) {
  return StrCat(kVersion, " ", file.bytes, " ", file.replaces ? 1 : 0, " ", file.hidden.size(), " ",
                file.hidden, file.visible.size(), " ", file.visible);
}

absl::StatusOr<FileCommittable> DecodeCommittable(std::string_view bytes) {
  std::string_view in = bytes;
  FileCommittable file;
  uint64_t version = 0;
  uint64_t replaces = 0;
  if (!TakeNumber(in, version) || version != 1 || !TakeNumber(in, file.bytes) ||
      !TakeNumber(in, replaces) || replaces > 1 || !TakeText(in, file.hidden) ||
      !TakeText(in, file.visible) || !in.empty() || file.hidden.empty() || file.visible.empty()) {
    return absl::DataLossError(
        StrCat("'", bytes, "' is no finished file of a sink: the checkpoint is damaged"));
  }
  file.replaces = replaces == 1;
  return file;
}

absl::Status FilesCommitter::CommitOne(const FileCommittable& file, bool again) {
  uint64_t hidden_bytes = 0;
  uint64_t visible_bytes = 0;
  WEIR_ASSIGN_OR_RETURN(const bool hidden, Exists(files_, file.hidden, hidden_bytes));
  WEIR_ASSIGN_OR_RETURN(const bool visible, Exists(files_, file.visible, visible_bytes));
  if (!hidden) {
    if (visible) return absl::OkStatus();
    if (!again) {
      return absl::DataLossError(StrCat("the finished file '", file.hidden,
                                        "' has vanished before it was committed as '", file.visible,
                                        "'"));
    }
    vanished_->fetch_add(1);
    return absl::OkStatus();
  }
  if (hidden_bytes != file.bytes) {
    return absl::DataLossError(StrCat("the finished file '", file.hidden, "' has ", hidden_bytes,
                                      " bytes, not ", file.bytes, ": it is damaged"));
  }
  // After a crash of the host both names may be there. Names are never used twice, so that a file
  // of that name and size is this one.
  const bool both = visible && again && visible_bytes == file.bytes;
  if (visible && !file.replaces && !both) {
    return absl::AlreadyExistsError(
        StrCat("the file '", file.visible,
               "' exists already: delete it, choose another path, or set .overwrite = true"));
  }
  absl::Status renamed = files_.Rename(file.hidden, file.visible);
  // An earlier attempt that still runs may have been faster.
  if (absl::IsNotFound(renamed)) {
    WEIR_ASSIGN_OR_RETURN(const bool done, Exists(files_, file.visible, visible_bytes));
    if (done) return absl::OkStatus();
  }
  return renamed;
}

absl::Status FilesCommitter::Commit(const std::vector<Committable>& committables) {
  std::vector<FileCommittable> files;
  std::set<std::string> folders;
  for (const Committable& committable : committables) {
    WEIR_ASSIGN_OR_RETURN(files.emplace_back(), DecodeCommittable(committable.bytes));
    folders.insert(FolderOf(files.back().visible));
  }
  for (const std::string& folder : folders) {
    if (folder != ".") WEIR_RETURN_IF_ERROR(MakeFolder(files_, folder));
  }
  for (size_t i = 0; i < files.size(); ++i) {
    WEIR_RETURN_IF_ERROR(CommitOne(files[i], committables[i].again));
  }
  // Also where nothing was renamed: an earlier try may have got no further.
  for (const std::string& folder : folders) WEIR_RETURN_IF_ERROR(files_.SyncDirectory(folder));
  return absl::OkStatus();
}

}  // namespace weir

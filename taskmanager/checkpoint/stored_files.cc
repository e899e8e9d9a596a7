#include "taskmanager/checkpoint/stored_files.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/functional/function_ref.h"
#include "common/base/hash.h"
#include "common/base/little_endian.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/checkpoint.pb.h"
#include "state/snapshot/storage_error.h"
#include "state/store/checkpoint_folder.h"

namespace weir {
namespace {

constexpr std::string_view kSharedPrefix = "shared/";
constexpr char kInline = 0;
constexpr char kShared = 1;
constexpr char kSharedLog = 2;
// What a manifest may have; others are much smaller.
constexpr uint64_t kMaxInlineBytes = 64 << 20;
constexpr size_t kPieceBytes = 1 << 20;

void AppendText(std::string& out, std::string_view text) {
  AppendLittleEndian(out, static_cast<uint32_t>(text.size()));
  out += text;
}

bool TakeText(std::string_view& bytes, std::string& text) {
  if (bytes.size() < sizeof(uint32_t)) return false;
  const auto size = LoadLittleEndian<uint32_t>(bytes.data());
  bytes.remove_prefix(sizeof(uint32_t));
  if (size > bytes.size()) return false;
  text = bytes.substr(0, size);
  bytes.remove_prefix(size);
  return true;
}

// Of one file in a folder.
bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return c != '/' && static_cast<unsigned char>(c) >= 32; });
}

// Calls use(bytes) for the content of a file, piece by piece.
absl::Status ReadPieces(FileSystem& files, const StoreCheckpoint::File& file,
                        absl::FunctionRef<absl::Status(std::string_view)> use) {
  if (file.log != nullptr) {
    // Pieces that a core's cache still has when they are copied.
    for (std::string_view rest = *file.log; !rest.empty();) {
      const std::string_view piece = rest.substr(0, kPieceBytes);
      WEIR_RETURN_IF_ERROR(use(piece));
      rest.remove_prefix(piece.size());
    }
    return absl::OkStatus();
  }
  WEIR_ASSIGN_OR_RETURN(const auto source, files.OpenForRead(file.path));
  std::string piece(kPieceBytes, '\0');
  for (uint64_t at = 0; at < file.bytes;) {
    WEIR_ASSIGN_OR_RETURN(
        const size_t got,
        source->ReadAt(at, std::min<uint64_t>(piece.size(), file.bytes - at), piece.data()));
    if (got == 0) return absl::DataLossError(StrCat(file.path, " has become shorter"));
    WEIR_RETURN_IF_ERROR(use(std::string_view(piece).substr(0, got)));
    at += got;
  }
  return absl::OkStatus();
}

// Copies a file to a new one of the shared folder and makes it durable.
absl::StatusOr<uint64_t> Upload(FileSystem& files, const StoreCheckpoint::File& file,
                                const std::string& to) {
  auto made = files.OpenForWrite(to, FileSystem::WriteMode::kCreateNew);
  if (!made.ok()) return StorageError(made.status(), "making a file of state");
  WritableFile& copy = **made;
  StreamingHash64 digest;
  const auto write = [&]() -> absl::Status {
    WEIR_RETURN_IF_ERROR(ReadPieces(files, file, [&](std::string_view piece) {
      digest.Append(piece);
      return copy.Append(piece);
    }));
    WEIR_RETURN_IF_ERROR(copy.Sync());
    return copy.Close();
  };
  if (const absl::Status written = write(); !written.ok()) {
    // Nobody knows of it; what stays is a leftover.
    files.Delete(to).IgnoreError();
    return StorageError(written, "writing a file of state");
  }
  return digest.Digest();
}

absl::Status AppendItem(StateFileWriter& writer, const StoredFile& file) {
  WEIR_RETURN_IF_ERROR(writer.BeginItem());
  return writer.Append(EncodeStoredFile(file));
}

}  // namespace

std::string EncodeStoredFile(const StoredFile& file) {
  std::string bytes;
  bytes += file.shared_name.empty() ? kInline : file.log ? kSharedLog : kShared;
  AppendText(bytes, file.name);
  if (file.shared_name.empty()) {
    bytes += file.content;
    return bytes;
  }
  AppendText(bytes, file.shared_name);
  AppendLittleEndian(bytes, file.bytes);
  AppendLittleEndian(bytes, file.digest);
  return bytes;
}

absl::StatusOr<StoredFile> DecodeStoredFile(std::string_view bytes, StateKind kind) {
  const absl::Status damaged =
      absl::DataLossError("a file of a store is named in a way that is none");
  if (bytes.empty() || bytes[0] < kInline || bytes[0] > kSharedLog) return damaged;
  const bool shared = bytes[0] != kInline;
  StoredFile file;
  file.log = bytes[0] == kSharedLog;
  if (file.log && kind != StateKind::kStoreWithLogs) return damaged;
  bytes.remove_prefix(1);
  if (!TakeText(bytes, file.name) || !IsName(file.name)) return damaged;
  if (!shared) {
    file.content = bytes;
    file.bytes = bytes.size();
    return file;
  }
  if (!TakeText(bytes, file.shared_name) || bytes.size() != 2 * sizeof(uint64_t) ||
      !file.shared_name.starts_with(kSharedPrefix) ||
      !IsName(std::string_view(file.shared_name).substr(kSharedPrefix.size()))) {
    return damaged;
  }
  file.bytes = LoadLittleEndian<uint64_t>(bytes.data());
  file.digest = LoadLittleEndian<uint64_t>(bytes.data() + sizeof(uint64_t));
  return file;
}

std::string SharedFilePrefix(const SnapshotPlace& place, const TaskCheckpoint& checkpoint,
                             uint32_t node) {
  return StrCat(place.attempt, "-", checkpoint.vertex, "-", checkpoint.subtask, "-", node, "-",
                checkpoint.barrier.id, "-");
}

StateKind StoreKindOf(const StoreCheckpoint& store) {
  return std::any_of(store.files().begin(), store.files().end(),
                     [](const StoreCheckpoint::File& file) { return file.log != nullptr; })
             ? StateKind::kStoreWithLogs
             : StateKind::kStore;
}

absl::Status WriteStore(FileSystem& files, const SnapshotPlace& place, const std::string& prefix,
                        const std::string& uid, StoreCheckpoint& store, uint64_t checkpoint_id,
                        StateFileWriter& writer, proto::TaskSnapshot& told,
                        proto::TaskSnapshot_OperatorSnapshot& of_operator) {
  WEIR_RETURN_IF_ERROR(writer.BeginSection({uid, "", "rocksdb", StoreKindOf(store)}));
  const std::string folder = StrCat(place.directory, "/shared");
  bool prepared = false;
  uint64_t whole = 0;
  std::set<std::string> names;
  for (const StoreCheckpoint::File& file : store.files()) {
    StoredFile stored;
    stored.name = file.name;
    stored.log = file.log != nullptr;
    if (!file.immutable) {
      auto content = ReadFile(files, file.path, kMaxInlineBytes);
      if (!content.ok()) return content.status();
      stored.content = *std::move(content);
      WEIR_RETURN_IF_ERROR(AppendItem(writer, stored));
      continue;
    }
    auto known = store.uploaded().Find(file.name, place.complete, place.directory);
    if (!known.has_value()) {
      if (!std::exchange(prepared, true)) {
        WEIR_RETURN_IF_ERROR(CheckpointFolder(files, folder).Prepare());
      }
      UploadedFiles::Shared shared;
      shared.name = StrCat(kSharedPrefix, prefix, file.name);
      shared.path = StrCat(place.directory, "/", shared.name);
      shared.bytes = file.bytes;
      shared.checkpoint = checkpoint_id;
      WEIR_ASSIGN_OR_RETURN(shared.digest, Upload(files, file, shared.path));
      told.set_new_bytes(told.new_bytes() + file.bytes);
      store.uploaded().Add(file.name, shared);
      known = std::move(shared);
    }
    stored.shared_name = known->name;
    stored.bytes = known->bytes;
    stored.digest = known->digest;
    WEIR_RETURN_IF_ERROR(AppendItem(writer, stored));
    // Two may have taken up one, each for other key groups.
    if (!names.insert(known->name).second) continue;
    whole += known->bytes;
    of_operator.add_files(static_cast<uint32_t>(told.files_size()));
    proto::StateFile& told_file = *told.add_files();
    told_file.set_name(known->name);
    told_file.set_bytes(known->bytes);
    told_file.set_digest(known->digest);
  }
  if (prepared) WEIR_RETURN_IF_ERROR(files.SyncDirectory(folder));
  store.uploaded().Retain([&](const std::string& name) {
    return std::any_of(store.files().begin(), store.files().end(),
                       [&](const StoreCheckpoint::File& file) { return file.name == name; });
  });
  of_operator.set_bytes(of_operator.bytes() + whole);
  return absl::OkStatus();
}

}  // namespace weir

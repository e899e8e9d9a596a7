#include <algorithm>
#include <cstddef>
#include <string_view>
#include <utility>

#include "common/base/hash.h"
#include "common/base/little_endian.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "state/rocksdb/rocksdb_databases_internal.h"
#include "state/rocksdb/rocksdb_files_internal.h"
#include "state/rocksdb/rocksdb_logs_internal.h"
#include "weir/encoding.h"
#include "weir/stored_entries.h"

namespace weir {
namespace {

constexpr std::string_view kMagic = "WEIRLOG\n";
constexpr uint32_t kVersion = 1;
constexpr unsigned char kErased = 0;
constexpr unsigned char kWritten = 1;

void AppendVarint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

absl::Status Damaged(const StoredFile& log, std::string_view what) {
  return absl::DataLossError(
      StrCat("the log of state ", log.path, " of a checkpoint is damaged: ", what));
}

// All of it, as the checkpoint says it is.
absl::StatusOr<std::string> ReadLog(rocksdb::Env& env, const StoredFile& log) {
  std::unique_ptr<rocksdb::SequentialFile> file;
  rocksdb::Status status = env.NewSequentialFile(log.path, &file, rocksdb::EnvOptions());
  if (status.IsNotFound() || status.IsPathNotFound()) return Damaged(log, "it is missing");
  std::string content;
  std::string piece(1 << 20, '\0');
  while (status.ok()) {
    rocksdb::Slice got;
    status = file->Read(piece.size(), &got, piece.data());
    if (!status.ok() || got.empty()) break;
    content.append(got.data(), got.size());
    if (content.size() > log.bytes) break;
  }
  if (!status.ok())
    return absl::UnavailableError(StrCat("reading ", log.path, ": ", status.ToString()));
  if (content.size() != log.bytes) {
    return Damaged(log, StrCat("it has ", content.size() > log.bytes ? "more" : "fewer",
                               " bytes than the ", log.bytes, " that the checkpoint says"));
  }
  if (Hash64(content) != log.digest) return Damaged(log, "it has a wrong digest");
  return content;
}

}  // namespace

void RocksDbLogs::Make(const std::string& state, const StateChanges& changes,
                       const RocksDbDatabases& databases) {
  const std::string_view bytes = changes.bytes;
  // By database.
  std::vector<std::string> logs(databases.size());
  for (const StateChanges::Change& change : changes.changes) {
    const std::string_view key = bytes.substr(change.begin, change.key_end - change.begin);
    std::string& log = logs[databases.IndexOf(key)];
    if (log.empty()) {
      constexpr size_t kMostLengths = 2;
      log.reserve((bytes.size() + changes.changes.size() * (1 + 2 * kMostLengths)) / logs.size() +
                  state.size() + 64);
      log += kMagic;
      AppendLittleEndian(log, kVersion);
      AppendLittleEndian(log, static_cast<uint32_t>(state.size()));
      log += state;
    }
    log += static_cast<char>(change.erases ? kErased : kWritten);
    AppendVarint(log, key.size());
    log += key;
    if (change.erases) continue;
    AppendVarint(log, change.end - change.key_end);
    log += bytes.substr(change.key_end, change.end - change.key_end);
  }
  std::vector<File> files;
  for (size_t i = 0; i < logs.size(); ++i) {
    if (logs[i].empty()) continue;
    files.push_back({StrCat(databases.FilePrefix(i), "log-", ++last_),
                     std::make_shared<const std::string>(std::move(logs[i]))});
  }
  logs_[state] = std::move(files);
}

std::vector<RocksDbLogs::File> RocksDbLogs::All() const {
  std::vector<File> all;
  for (const auto& [state, files] : logs_) all.insert(all.end(), files.begin(), files.end());
  return all;
}

absl::Status StoreLog(rocksdb::Env& env, const StoredFile& log, RocksDbDatabase& database) {
  WEIR_ASSIGN_OR_RETURN(const std::string content, ReadLog(env, log));
  std::string_view bytes = content;
  constexpr size_t kHeader = kMagic.size() + 2 * sizeof(uint32_t);
  if (bytes.size() < kHeader || !bytes.starts_with(kMagic)) return Damaged(log, "it is none");
  const auto version = LoadLittleEndian<uint32_t>(bytes.data() + kMagic.size());
  if (version != kVersion) {
    return absl::FailedPreconditionError(StrCat("the log of state ", log.path, " has version ",
                                                version, "; this program reads version ", kVersion,
                                                ": use a newer one"));
  }
  const auto name = LoadLittleEndian<uint32_t>(bytes.data() + kHeader - sizeof(uint32_t));
  bytes.remove_prefix(kHeader);
  if (name > bytes.size()) return Damaged(log, "it ends in its header");
  const std::string state(bytes.substr(0, name));
  bytes.remove_prefix(name);
  const RocksDbDatabase::Column* const column = database.FindColumn(state);
  if (column == nullptr) return Damaged(log, StrCat("there is no state '", state, "'"));

  struct Entry {
    uint64_t order;
    StateChange change;
  };
  std::vector<Entry> entries;
  Decoder in(bytes);
  while (in.remaining() > 0) {
    unsigned char kind = 0;
    std::string_view key;
    std::string_view value;
    const bool sound = in.Fixed(kind) && kind <= kWritten && in.String(key) &&
                       key.size() >= internal::kKeyGroupBytes &&
                       (kind == kErased || in.String(value));
    if (!sound) return Damaged(log, "an entry is malformed");
    entries.push_back({StateChanges::OrderOf(key), {key, value, kind == kErased}});
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.order != b.order ? a.order < b.order : a.change.key < b.change.key;
  });
  std::vector<StateChange> sorted;
  sorted.reserve(entries.size());
  for (const Entry& entry : entries) {
    if (!sorted.empty() && sorted.back().key == entry.change.key)
      return Damaged(log, "it has a key twice");
    sorted.push_back(entry.change);
  }
  GivenChanges changes(sorted);
  return database.Write(column->handle, changes, /*flushed_soon=*/true);
}

}  // namespace weir

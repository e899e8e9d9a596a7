#include <rocksdb/utilities/checkpoint.h>

#include <algorithm>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "state/rocksdb/rocksdb_checkpoint_internal.h"
#include "state/rocksdb/rocksdb_databases_internal.h"
#include "state/rocksdb/rocksdb_files_internal.h"

namespace weir {

absl::StatusOr<std::shared_ptr<const RocksDbLinks>> RocksDbLinks::Make(RocksDbDatabases& databases,
                                                                       uint64_t number) {
  std::shared_ptr<RocksDbLinks> links(new RocksDbLinks(databases.env()));
  for (size_t i = 0; i < databases.size(); ++i) {
    WEIR_RETURN_IF_ERROR(links->Add(databases, i, StrCat(databases[i].path(), "-links-", number)));
  }
  return std::shared_ptr<const RocksDbLinks>(std::move(links));
}

absl::Status RocksDbLinks::Add(RocksDbDatabases& databases, size_t index, std::string folder) {
  rocksdb::Checkpoint* made = nullptr;
  rocksdb::Status status = rocksdb::Checkpoint::Create(&databases[index].db(), &made);
  if (!status.ok()) return StoreError(status, folder);
  const std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
  folders_.push_back(folder);
  status = checkpoint->CreateCheckpoint(folder);
  if (!status.ok()) return StoreError(status, folder);
  std::vector<std::string> names;
  status = env_.GetChildren(folder, &names);
  if (!status.ok()) return StoreError(status, folder);
  std::sort(names.begin(), names.end());
  const std::string prefix = databases.FilePrefix(index);
  for (const std::string& name : names) {
    // Options are ours whatever a file says.
    if (name == "." || name == ".." || name.starts_with("OPTIONS")) continue;
    StoreCheckpoint::File& file = files_.emplace_back();
    file.name = StrCat(prefix, name);
    file.path = StrCat(folder, "/", name);
    file.immutable = name.ends_with(".sst");
    status = env_.GetFileSize(file.path, &file.bytes);
    if (!status.ok()) return StoreError(status, folder);
  }
  return absl::OkStatus();
}

RocksDbLinks::~RocksDbLinks() {
  // What stays goes with the worker's folder.
  for (const std::string& folder : folders_) DeleteFolder(env_, folder).IgnoreError();
}

std::shared_ptr<StoreCheckpoint> RocksDbCheckpoint::Defer(
    std::shared_ptr<RocksDbDatabases> databases) {
  RocksDbDatabases& of = *databases;
  std::shared_ptr<RocksDbCheckpoint> checkpoint(new RocksDbCheckpoint(std::move(databases)));
  // Nobody may wait for it any more by then. Why it fails is told to whoever takes it.
  of.Defer([weak = std::weak_ptr<RocksDbCheckpoint>(checkpoint)] {
    if (const auto taken = weak.lock(); taken != nullptr) taken->TakeNow();
    return absl::OkStatus();
  });
  return checkpoint;
}

absl::Status RocksDbCheckpoint::Take() {
  WEIR_RETURN_IF_ERROR(databases_->CatchUp());
  return taken_;
}

UploadedFiles& RocksDbCheckpoint::uploaded() { return databases_->uploaded(); }

void RocksDbCheckpoint::TakeNow() {
  absl::StatusOr<std::shared_ptr<const RocksDbLinks>> links = databases_->Links();
  if (!links.ok()) {
    taken_ = links.status();
    return;
  }
  links_ = *std::move(links);
  files_ = links_->files();
  for (RocksDbLogs::File& log : databases_->logs().All()) {
    const uint64_t bytes = log.content->size();
    files_.push_back({std::move(log.name), "", bytes, /*immutable=*/true, std::move(log.content)});
  }
}

}  // namespace weir

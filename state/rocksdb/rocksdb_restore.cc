#include <rocksdb/options.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "state/rocksdb/rocksdb_databases_internal.h"
#include "state/rocksdb/rocksdb_ingestion_internal.h"
#include "state/rocksdb/rocksdb_logs_internal.h"
#include "weir/stored_entries.h"

namespace weir {
namespace {

// With what the keys of a key group begin; of all after the last key group, for it and one.
std::string PrefixOf(uint32_t key_group) {
  std::string prefix;
  internal::AppendKeyGroup(key_group, prefix);
  return prefix;
}

// Key groups [first, last) go.
absl::Status Erase(RocksDbDatabase& database, const RocksDbDatabase::Column& column, uint32_t first,
                   uint32_t last) {
  if (first >= last) return absl::OkStatus();
  return database.DropRange(column.handle, PrefixOf(first), PrefixOf(last));
}

// Takes the key groups of one state out of a database and into another that has none of them.
absl::Status Move(RocksDbDatabase& from, const RocksDbDatabase::Column& column, KeyGroupRange keeps,
                  RocksDbDatabase& to, const RocksDbDatabase::Column& into) {
  const std::string begin = PrefixOf(keeps.first);
  const std::string end = PrefixOf(keeps.last + 1);
  const rocksdb::Slice upper(end);
  rocksdb::ReadOptions reading;
  reading.iterate_upper_bound = &upper;
  reading.fill_cache = false;
  reading.total_order_seek = true;
  reading.readahead_size = 2 << 20;
  const std::unique_ptr<rocksdb::Iterator> it(from.db().NewIterator(reading, column.handle));
  RocksDbIngestion moved(to, into.handle, /*lasting=*/true);
  for (it->Seek(begin); it->Valid(); it->Next()) {
    WEIR_RETURN_IF_ERROR(moved.Append(it->key(), it->value(), /*erases=*/false));
  }
  WEIR_RETURN_IF_ERROR(StoreError(it->status(), from.path()));
  return moved.Ingest();
}

// One database of a store, and the key groups of it that another store takes over.
struct Source {
  KeyGroupRange had;
  KeyGroupRange keeps;
  // By their names in the database.
  StoredFiles files;
  // Of what it keeps, if all key groups are alike.
  uint64_t bytes = 0;
};

// By the first key group of each database of a store, whose files begin their names with it.
absl::StatusOr<std::map<uint32_t, StoredFiles>> ByDatabase(const StoredFiles& files) {
  std::map<uint32_t, StoredFiles> databases;
  for (const StoredFile& file : files) {
    uint32_t first = 0;
    std::string_view name = file.name;
    if (!RocksDbDatabases::TakeFilePrefix(name, first)) {
      return absl::DataLossError(
          StrCat("'", file.name, "' is no name of a file of the RocksDB state of a checkpoint"));
    }
    StoredFile& added = databases[first].emplace_back(file);
    added.name = std::string(name);
  }
  return databases;
}

// In the order of their key groups.
absl::StatusOr<std::vector<Source>> SourcesOf(const StoredParts& parts) {
  std::vector<Source> sources;
  for (const StoredPart& part : parts) {
    WEIR_ASSIGN_OR_RETURN(auto databases, ByDatabase(part.files));
    KeyGroupRange had = part.had;
    for (auto database = databases.begin(); database != databases.end(); had.first = had.last + 1) {
      StoredFiles& files = database->second;
      had.last = ++database != databases.end() ? database->first - 1 : part.had.last;
      const KeyGroupRange keeps = {std::max(had.first, part.keeps.first),
                                   std::min(had.last, part.keeps.last)};
      if (keeps.first > keeps.last) continue;
      uint64_t bytes = 0;
      for (const StoredFile& file : files) bytes += file.bytes;
      sources.push_back({had, keeps, std::move(files), bytes * keeps.size() / had.size()});
    }
  }
  std::sort(sources.begin(), sources.end(),
            [](const Source& a, const Source& b) { return a.keeps.first < b.keeps.first; });
  return sources;
}

// What becomes one database: key groups that lie side by side, the largest source before others.
struct Joined {
  std::vector<Source> sources;
  uint32_t first_key_group = 0;
  uint64_t bytes = 0;
};

// As few bytes are written anew as there can be with joining two at a time.
std::vector<Joined> Join(std::vector<Source> sources) {
  std::vector<Joined> all;
  for (Source& source : sources) {
    Joined& one = all.emplace_back();
    one.first_key_group = source.keeps.first;
    one.bytes = source.bytes;
    one.sources.push_back(std::move(source));
  }
  const auto smaller = [](const Joined& a, const Joined& b) { return a.bytes < b.bytes; };
  while (all.size() > RocksDbDatabases::kMost) {
    const auto smallest = std::min_element(all.begin(), all.end(), smaller);
    const bool goes_left = smallest + 1 == all.end() ||
                           (smallest != all.begin() && smaller(smallest[-1], smallest[1]));
    const auto left = goes_left ? smallest - 1 : smallest;
    Joined& right = left[1];
    left->bytes += right.bytes;
    std::move(right.sources.begin(), right.sources.end(), std::back_inserter(left->sources));
    all.erase(left + 1);
  }
  for (Joined& one : all) {
    std::stable_sort(one.sources.begin(), one.sources.end(),
                     [](const Source& a, const Source& b) { return a.bytes > b.bytes; });
  }
  return all;
}

// A database with what the files have, and what they log.
absl::StatusOr<std::unique_ptr<RocksDbDatabase>> OpenSource(
    const std::shared_ptr<RocksDbBackend::Shared>& shared, std::string path,
    const StoredFiles& files) {
  WEIR_ASSIGN_OR_RETURN(auto database, RocksDbDatabase::Open(shared, std::move(path), &files));
  for (const StoredFile& file : files) {
    if (file.log) WEIR_RETURN_IF_ERROR(StoreLog(*shared->env, file, *database));
  }
  return database;
}

// Takes up the files of the first source; what the others have is written to new ones, in the order
// of the keys.
absl::StatusOr<std::unique_ptr<RocksDbDatabase>> OpenJoined(
    const std::shared_ptr<RocksDbBackend::Shared>& shared, const std::string& path,
    const Joined& joined) {
  const Source& largest = joined.sources.front();
  WEIR_ASSIGN_OR_RETURN(auto database, OpenSource(shared, path, largest.files));
  for (const auto& [state, column] : database->columns()) {
    WEIR_RETURN_IF_ERROR(Erase(*database, column, largest.had.first, largest.keeps.first));
    WEIR_RETURN_IF_ERROR(Erase(*database, column, largest.keeps.last + 1, largest.had.last + 1));
  }
  for (size_t i = 1; i < joined.sources.size(); ++i) {
    const Source& source = joined.sources[i];
    WEIR_ASSIGN_OR_RETURN(const auto other,
                          OpenSource(shared, StrCat(path, "-joined-", i), source.files));
    for (const auto& [state, column] : other->columns()) {
      WEIR_ASSIGN_OR_RETURN(const RocksDbDatabase::Column into,
                            database->AddColumn(state, column.layout));
      WEIR_RETURN_IF_ERROR(Move(*other, column, source.keeps, *database, into));
    }
  }
  return database;
}

}  // namespace

absl::StatusOr<std::shared_ptr<RocksDbDatabases>> RocksDbDatabases::Open(
    std::shared_ptr<RocksDbBackend::Shared> shared, const std::string& path,
    const StoredParts* parts) {
  std::shared_ptr<RocksDbDatabases> opened(new RocksDbDatabases(shared));
  if (parts == nullptr) {
    opened->first_key_groups_.push_back(0);
    WEIR_ASSIGN_OR_RETURN(opened->databases_.emplace_back(),
                          RocksDbDatabase::Open(std::move(shared), path, nullptr));
    return opened;
  }
  WEIR_ASSIGN_OR_RETURN(std::vector<Source> sources, SourcesOf(*parts));
  if (sources.empty()) {
    return absl::DataLossError("no files of the RocksDB state are in a checkpoint that has some");
  }
  const std::vector<Joined> all = Join(std::move(sources));
  for (size_t i = 0; i < all.size(); ++i) {
    opened->first_key_groups_.push_back(all[i].first_key_group);
    WEIR_ASSIGN_OR_RETURN(opened->databases_.emplace_back(),
                          OpenJoined(shared, i == 0 ? path : StrCat(path, "-part-", i), all[i]));
  }
  for (size_t i = 0; i < all.size(); ++i) {
    for (const StoredFile& file : all[i].sources.front().files) {
      if (file.shared_name.empty() || file.log) continue;
      opened->uploaded_.Add(StrCat(opened->FilePrefix(i), file.name),
                            {file.shared_name, file.path, file.bytes, file.digest, 0});
    }
  }
  return opened;
}

}  // namespace weir

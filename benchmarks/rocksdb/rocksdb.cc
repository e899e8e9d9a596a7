// Updates of keyed state in RocksDB, through the table that operators have, against one Get and one
// Put a record.

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/write_buffer_manager.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "benchmarks/lib/comparison.h"
#include "common/base/strings.h"
#include "state/rocksdb/rocksdb_backend.h"
#include "weir/state_codec.h"

namespace weir::bench {
namespace {

// What a key holds.
struct Account {
  std::int64_t count = 0;
  std::int64_t sum = 0;
  std::array<std::int64_t, 8> more{};
};

constexpr std::size_t kBatch = 1'024;

[[noreturn]] void Die(const std::string& why) {
  fprintf(stderr, "bench_rocksdb: %s\n", why.c_str());
  std::exit(1);
}

// What a program leaves to RocksDB's threads is part of its costs, not of the other's.
void FinishMerges() {
  if (!WaitUntilIdle()) Die("RocksDB does not come to an end with merging");
}

// Keys drawn uniformly, others in each round; the same for both programs.
class Keys {
 public:
  explicit Keys(std::uint64_t count) : count_(count) {}
  std::int64_t At(std::uint64_t n) const {
    return static_cast<std::int64_t>((n % count_) * 0xD6E8FEB86659FD93ULL >> 1);
  }
  std::uint64_t count() const { return count_; }
  template <class Use>
  void Draw(std::uint64_t round, std::uint64_t records, Use&& use) const {
    std::mt19937_64 random(round);
    std::vector<std::int64_t> batch;
    for (std::uint64_t i = 0; i < records; i += batch.size()) {
      batch.clear();
      while (batch.size() < std::min<std::uint64_t>(kBatch, records - i))
        batch.push_back(At(random()));
      use(batch);
    }
  }

 private:
  const std::uint64_t count_;
};

void Update(Account& account, std::int64_t key, Outcome& out) {
  ++account.count;
  account.sum += key;
  out.Add(static_cast<std::uint64_t>(key), static_cast<std::uint64_t>(account.count),
          static_cast<std::uint64_t>(account.sum));
}

// As operators have it.
class Table {
 public:
  Table(const std::string& folder, std::size_t memory, const Keys& keys)
      : keys_(keys),
        backend_({.directory = folder, .memory_bytes = memory / 2, .decoded_bytes = memory / 2}) {
    auto store = backend_.Open(0, 0, nullptr);
    if (!store.ok()) Die(store.status().ToString());
    store_ = *std::move(store);
    table_ = std::make_unique<State>("accounts", KeyGroupRange{0, 127}, 128,
                                     internal::RecordLayout<Account>(), store_.get());
    for (std::uint64_t n = 0; n < keys_.count(); ++n)
      table_->in_store()->Overwrite(keys_.At(n), KeyHash(keys_.At(n)));
    table_->Flush();
    FinishMerges();
  }
  Outcome Run(std::uint64_t records) {
    Outcome out;
    auto& table = *table_->in_store();
    std::vector<std::uint64_t> hashes;
    std::vector<const std::int64_t*> pointers;
    keys_.Draw(round_++, records, [&](const std::vector<std::int64_t>& batch) {
      hashes.clear();
      pointers.clear();
      for (const std::int64_t& key : batch) {
        hashes.push_back(KeyHash(key));
        pointers.push_back(&key);
      }
      table.Load(pointers.data(), hashes.data(), batch.size());
      for (std::size_t i = 0; i < batch.size(); ++i)
        Update(*table.FindOrInsert(batch[i], hashes[i]).first, batch[i], out);
    });
    // What a checkpoint would write.
    table.Flush();
    FinishMerges();
    return out;
  }

 private:
  using State = internal::NamedTable<std::int64_t, Account>;
  const Keys keys_;
  RocksDbBackend backend_;
  std::unique_ptr<StateStore> store_;
  std::unique_ptr<State> table_;
  std::uint64_t round_ = 0;
};

// What a plain program sets: as much memory as the table has and bloom filters, all else as RocksDB
// has it, or all that the backend sets.
enum class PlainOptions { kUsual, kOfTheBackend };

// One Get and one Put a record, without a log either.
class Plain {
 public:
  Plain(const std::string& folder, std::size_t memory, PlainOptions set, const Keys& keys)
      : keys_(keys) {
    const bool as_backend = set == PlainOptions::kOfTheBackend;
    rocksdb::Options options;
    options.create_if_missing = true;
    const auto cache = as_backend ? rocksdb::NewLRUCache(memory, /*num_shard_bits=*/2,
                                                         /*strict_capacity_limit=*/false,
                                                         /*high_pri_pool_ratio=*/0.5)
                                  : rocksdb::NewLRUCache(memory);
    options.write_buffer_manager = std::make_shared<rocksdb::WriteBufferManager>(memory / 2, cache);
    options.write_buffer_size = std::min<std::size_t>(memory / 8, 64 << 20);
    rocksdb::BlockBasedTableOptions table;
    table.block_cache = cache;
    table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10, false));
    if (as_backend) SetAsBackend(options, table);
    options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    rocksdb::DB* db = nullptr;
    Check(rocksdb::DB::Open(options, folder, &db));
    db_.reset(db);
    no_log_.disableWAL = true;
    for (std::uint64_t n = 0; n < keys_.count(); ++n) Put(keys_.At(n), Account());
    FinishMerges();
  }
  Outcome Run(std::uint64_t records) {
    Outcome out;
    std::string bytes;
    keys_.Draw(round_++, records, [&](const std::vector<std::int64_t>& batch) {
      for (const std::int64_t key : batch) {
        Check(db_->Get({}, KeyOf(key), &bytes));
        Account account;
        Decoder in(bytes);
        if (!DecodeValue(in, account)) Die("a value cannot be decoded");
        Update(account, key, out);
        Put(key, account);
      }
    });
    FinishMerges();
    return out;
  }

 private:
  static void SetAsBackend(rocksdb::Options& options, rocksdb::BlockBasedTableOptions& table) {
    options.max_write_buffer_number = 3;
    options.memtable_whole_key_filtering = true;
    options.memtable_prefix_bloom_size_ratio = 0.02;
    options.target_file_size_base = std::max<std::size_t>(options.write_buffer_size, 2 << 20);
    options.compaction_style = rocksdb::kCompactionStyleUniversal;
    options.compaction_options_universal.max_size_amplification_percent = 100;
    options.level0_file_num_compaction_trigger = 8;
    options.compression_per_level = {rocksdb::kNoCompression, rocksdb::kNoCompression,
                                     rocksdb::kLZ4Compression};
    options.max_background_jobs = 3;
    table.cache_index_and_filter_blocks = true;
    table.cache_index_and_filter_blocks_with_high_priority = true;
    table.pin_l0_filter_and_index_blocks_in_cache = true;
    table.data_block_index_type = rocksdb::BlockBasedTableOptions::kDataBlockBinaryAndHash;
  }
  static void Check(const rocksdb::Status& status) {
    if (!status.ok()) Die(status.ToString());
  }
  const std::string& KeyOf(std::int64_t key) {
    key_.clear();
    internal::AppendKeyGroup(KeyGroupOf(KeyHash(key), 128), key_);
    EncodeValue(key, key_);
    return key_;
  }
  void Put(std::int64_t key, const Account& account) {
    value_.clear();
    EncodeValue(account, value_);
    Check(db_->Put(no_log_, KeyOf(key), value_));
  }

  const Keys keys_;
  std::unique_ptr<rocksdb::DB> db_;
  rocksdb::WriteOptions no_log_;
  std::string key_;
  std::string value_;
  std::uint64_t round_ = 0;
};

}  // namespace

int Main(int argc, char** argv) {
  const BenchOptions options = BenchOptions::Parse(
      argc, argv, "Updates of keyed state in RocksDB, against one Get and one Put a record.");
  struct Case {
    std::string name;
    std::uint64_t keys;
    std::size_t memory;
    std::uint64_t records;
    double goal;
    PlainOptions plain = PlainOptions::kOfTheBackend;
  };
  // A key and its value have 90 bytes. Where most is in files there are many records a round, since
  // RocksDB merges large ones now and then.
  const std::vector<Case> cases = {
      {"working set in memory, 100 k keys", 100'000, 256 << 20, 2'000'000, 10},
      {"uniform, 10 x the memory, 4 M keys", 4'000'000, 36 << 20, 2'000'000, 2},
      {"the same beside RocksDB's own settings", 4'000'000, 36 << 20, 2'000'000, 2,
       PlainOptions::kUsual},
  };
  const std::string folder =
      StrCat(std::filesystem::temp_directory_path().string(), "/weir_bench_rocksdb-", getpid());
  for (const Case& c : cases) {
    if (c.name.find(options.only) == std::string::npos) continue;
    const Keys keys(options.Scaled(c.keys));
    const std::size_t memory = options.Scaled(c.memory);
    std::filesystem::create_directories(folder);
    {
      Table table(folder + "/table", memory, keys);
      Plain plain(folder + "/plain", memory, c.plain, keys);
      const std::uint64_t records = options.Scaled(c.records);
      Compare(
          options, c.name, records, c.goal, [&] { return plain.Run(records); },
          [&] { return table.Run(records); });
    }
    std::filesystem::remove_all(folder);
  }
  return 0;
}

}  // namespace weir::bench

int main(int argc, char** argv) { return weir::bench::Main(argc, argv); }

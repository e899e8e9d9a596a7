#include "taskmanager/main/state_backends.h"

#include "state/rocksdb/rocksdb_backend.h"

namespace weir {

std::unique_ptr<StateBackend> MakeRocksDb(const Settings& settings, const std::string& folder) {
  RocksDbBackend::Options rocksdb;
  rocksdb.directory = folder;
  rocksdb.memory_bytes = static_cast<size_t>(settings.Get(options::kRocksDbMemory));
  rocksdb.decoded_bytes = static_cast<size_t>(settings.Get(options::kRocksDbDecodedMemory));
  return std::make_unique<RocksDbBackend>(std::move(rocksdb));
}

}  // namespace weir

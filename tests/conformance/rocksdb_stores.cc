#include "tests/conformance/rocksdb_stores.h"

#include <rocksdb/env.h>

#include <string>

#include "common/base/check.h"
#include "state/rocksdb/rocksdb_backend.h"

namespace weir::conformance {

class RocksDbStores::Backend {
 public:
  std::unique_ptr<StateStore> Open() {
    auto store = backend_.Open(0, 0, nullptr);
    WEIR_CHECK_EQ(store.status().ToString(), std::string("OK"));
    return *std::move(store);
  }

 private:
  // With as little of it for caches as is allowed, so that the files are read.
  const std::unique_ptr<rocksdb::Env> env_{rocksdb::NewMemEnv(rocksdb::Env::Default())};
  RocksDbBackend backend_{{.directory = "/state",
                           .memory_bytes = 1 << 20,
                           .decoded_bytes = 64 << 10,
                           .env = env_.get()}};
};

RocksDbStores::RocksDbStores() : backend_(std::make_unique<Backend>()) {}
RocksDbStores::~RocksDbStores() = default;

std::function<std::unique_ptr<StateStore>()> RocksDbStores::Maker() {
  return [this] { return backend_->Open(); };
}

}  // namespace weir::conformance

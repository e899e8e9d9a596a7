#pragma once

#include <functional>
#include <memory>

#include "weir/state_store.h"

namespace weir::conformance {

// State stores of the RocksDB backend, as a job with it has them, but with their files in memory.
class RocksDbStores {
 public:
  RocksDbStores();
  ~RocksDbStores();

  // Makes a store with nothing in it; ends the process if it cannot. This outlives the stores.
  std::function<std::unique_ptr<StateStore>()> Maker();

 private:
  class Backend;
  const std::unique_ptr<Backend> backend_;
};

}  // namespace weir::conformance

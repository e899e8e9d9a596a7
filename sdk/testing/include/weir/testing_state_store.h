#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "weir/state_store.h"

namespace weir::testing {

// A StateStore in sorted maps, with the disk left out: deterministic, and made to fail at will.
class MapStateStore final : public StateStore {
 public:
  // The entries of one column.
  using Entries = std::map<std::string, std::string, std::less<>>;

  // `cache_bytes`: of each column, for decoded values; so few that the cache is always full are fit
  // for tests. `log_bytes`: what each column takes in its log.
  explicit MapStateStore(std::size_t cache_bytes = 1 << 20, std::size_t log_bytes = 0)
      : cache_bytes_(cache_bytes), log_bytes_(log_bytes) {}

  absl::StatusOr<std::unique_ptr<StateColumn>> OpenColumn(const std::string& state,
                                                          ColumnLayout layout) override;
  absl::StatusOr<std::unique_ptr<StateScratch>> OpenScratch(const std::string& name) override;

  // Writes what was put off: here that is never done by itself, nor before Get and MultiGet.
  absl::Status CatchUp();

  // What checkpoints have of a column: what is stored, changed by the log.
  Entries Logged(const std::string& state) const;
  // Does what a restart does: what was logged is stored.
  absl::Status StoreLogs();

  // What all columns hold, by state. Shared with views; replaced, never changed, while it is.
  std::map<std::string, std::shared_ptr<Entries>> columns;
  // What of a column is only in its log, by state; nothing: it was erased.
  std::map<std::string, std::map<std::string, std::optional<std::string>>> logs;
  // What all scratches hold, by name, and entries that were ever written to them.
  std::map<std::string, Entries> scratches;
  std::size_t scratch_writes = 0;
  // What every call of a column or scratch returns, if it is an error.
  absl::Status failure;
  // Calls of Get, keys asked for by MultiGet, and changes written.
  std::size_t gets = 0;
  std::size_t keys_got_at_once = 0;
  std::size_t changes = 0;
  // Of keys and values that a column was given at once, the most.
  std::size_t most_bytes_at_once = 0;

  // What is put off, in its order.
  std::deque<absl::AnyInvocable<absl::Status()>> put_off;

 private:
  const std::size_t cache_bytes_;
  const std::size_t log_bytes_;
};

}  // namespace weir::testing

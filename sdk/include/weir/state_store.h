#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "weir/state_changes.h"
#include "weir/time.h"

namespace weir {

// Thrown where state is used and its store fails: a full disk, a damaged file. It passes through
// the function that asked, so that nothing is computed from state that could not be read, and fails
// the task.
class StateError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// What a column held at one moment.
class StateView {
 public:
  virtual ~StateView() = default;
  // Calls visit(key, value) for each entry with from <= key < to, in the order of the keys' bytes,
  // while it returns true. Any thread, one at a time.
  virtual absl::Status Scan(std::string_view from, std::string_view to,
                            absl::FunctionRef<bool(std::string_view, std::string_view)> visit) = 0;
};

// The entries of one keyed state of one subtask: bytes by key, in the order of the bytes. Keys
// begin with their key group (docs/FORMATS.md, "State stores"). Owned by the task's thread; every
// call may read or write files, and so blocks for as long as a disk takes.
class StateColumn {
 public:
  virtual ~StateColumn() = default;

  // Nothing if there is no such entry. What WriteLater has put off is not seen, nor waited for.
  virtual absl::StatusOr<bool> Get(std::string_view key, std::string& value) = 0;
  // Many at once, likewise: `values` gets as many as there are keys.
  virtual absl::Status MultiGet(std::span<const std::string_view> keys,
                                std::vector<std::optional<std::string>>& values) = 0;
  // All or, after an error, any of the changes. What they throw passes through.
  virtual absl::Status Write(SortedChanges& changes) = 0;
  absl::Status Write(std::span<const StateChange> changes) {
    GivenChanges given(changes);
    return Write(given);
  }
  // Like Write, but it may be put off, and be done on another thread: before CatchUp, or Write,
  // EraseRange, Scan or View here return, and before a checkpoint of the store is taken that is
  // asked for later. What fails then, or what the changes throw, fails those.
  virtual absl::Status WriteLater(std::unique_ptr<SortedChanges> changes) = 0;
  // Like WriteLater of what `make` returns, which is called once, but nothing is stored, and reads
  // do not see it: only the checkpoints of the store have it that are asked for later, beside what
  // is stored, until the next LogLater, Write, WriteLater or EraseRange, of which the changes must
  // have these keys too, or the range.
  virtual absl::Status LogLater(absl::AnyInvocable<StateChanges()> make) = 0;
  // Whether as many bytes may be logged, which a restart then has to store.
  virtual bool TakesLog(std::size_t bytes) const = 0;
  // Whether something that was put off, of any column of the store, is not written yet.
  virtual bool IsBehind() const = 0;
  // Writes what was put off, or waits until it is.
  virtual absl::Status CatchUp() = 0;
  // All with from <= key < to.
  virtual absl::Status EraseRange(std::string_view from, std::string_view to) = 0;
  // Like StateView::Scan, of what is there now. For a part of it: hardly more is read.
  virtual absl::Status Scan(std::string_view from, std::string_view to,
                            absl::FunctionRef<bool(std::string_view, std::string_view)> visit) = 0;
  // What is there now, to be read whole. May outlive the column, but not the plugin.
  virtual absl::StatusOr<std::unique_ptr<StateView>> View() = 0;

  // Of a state with a TTL, whose values begin with the time of the last access: entries that were
  // not accessed after `last_access` may go, whenever it is convenient.
  virtual void ExpireThrough(Ticks last_access) = 0;
  // What the decoded values of this column may take in memory; changes with the number of columns.
  virtual std::size_t cache_bytes() const = 0;
  virtual std::uint64_t EstimatedEntries() const = 0;
};

// How the entries of a column are made. Their keys begin with two bytes of key group, big endian.
enum class ColumnLayout {
  // Then the encoded key; the value is encoded.
  kEntries,
  // Likewise, and before the value is the time of the last access, 8 bytes, little endian.
  kExpiring,
  // Then the start of a slice of time, 8 bytes that sort as the times do, and the encoded key. The
  // entry with the key group alone is there if any is: up to which time its windows have fired.
  kSlices,
};

// What an operator puts aside because it does not fit into memory, and takes back in the order of
// the keys' bytes: it can be made again from state, so no checkpoint has it and no restore brings
// it back. Owned by the task's thread; its calls block for as long as a disk takes.
class StateScratch {
 public:
  virtual ~StateScratch() = default;

  // The keys ascend.
  virtual absl::Status Write(std::span<const StateChange> changes) = 0;
  // As that of a StateView, of what is there now.
  virtual absl::Status Scan(std::string_view from, std::string_view to,
                            absl::FunctionRef<bool(std::string_view, std::string_view)> visit) = 0;
  // All with from <= key < to.
  virtual absl::Status EraseRange(std::string_view from, std::string_view to) = 0;
  // What its owner may keep in memory beside it: as much as the decoded values of a column.
  virtual std::size_t cache_bytes() const = 0;
};

// Where the keyed state of one operator of one subtask is kept that need not fit into memory. Owned
// by the task's thread.
class StateStore {
 public:
  virtual ~StateStore() = default;
  // Once for each state, when the operator is opened; with what a restore has put there.
  // kFailedPrecondition: that has another layout.
  virtual absl::StatusOr<std::unique_ptr<StateColumn>> OpenColumn(const std::string& state,
                                                                  ColumnLayout layout) = 0;
  // Once for each name, with nothing in it; not after the store. What it needs is made when
  // something is written.
  virtual absl::StatusOr<std::unique_ptr<StateScratch>> OpenScratch(const std::string& name) = 0;
};

namespace internal {

inline void ThrowIfError(const absl::Status& status, std::string_view state) {
  if (status.ok()) [[likely]] {
    return;
  }
  throw StateError("state '" + std::string(state) +
                   "': " + std::string(status.message().data(), status.message().size()));
}

}  // namespace internal
}  // namespace weir

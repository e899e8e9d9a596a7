#include <algorithm>
#include <charconv>
#include <limits>
#include <span>
#include <system_error>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "state/rocksdb/rocksdb_databases_internal.h"
#include "weir/stored_entries.h"

namespace weir {
namespace {

// No file that RocksDB makes is called so.
constexpr std::string_view kFilePrefix = "from-";

// Of changes those of one database, up to the first one of another.
class ChangesOfOne final : public SortedChanges {
 public:
  // `next`: what was got of `changes` and not given yet.
  ChangesOfOne(const RocksDbDatabases& databases, size_t index, SortedChanges& changes,
               std::span<const StateChange>& next)
      : databases_(databases), index_(index), changes_(changes), next_(next) {}
  size_t bytes() const override { return changes_.bytes() / databases_.size(); }
  std::span<const StateChange> Next() override {
    if (next_.empty()) next_ = changes_.Next();
    const auto end = std::partition_point(
        next_.begin(), next_.end(),
        [this](const StateChange& change) { return databases_.IndexOf(change.key) == index_; });
    const auto count = static_cast<size_t>(end - next_.begin());
    const auto given = next_.subspan(0, count);
    next_ = next_.subspan(count);
    return given;
  }

 private:
  const RocksDbDatabases& databases_;
  const size_t index_;
  SortedChanges& changes_;
  std::span<const StateChange>& next_;
};

}  // namespace

std::pair<size_t, size_t> RocksDbDatabases::Between(std::string_view from,
                                                    std::string_view to) const {
  const size_t first = IndexOf(from);
  size_t end = first + 1;
  for (; end < databases_.size(); ++end) {
    std::string begin;
    internal::AppendKeyGroup(first_key_groups_[end], begin);
    if (begin >= to) break;
  }
  return {first, end};
}

std::string RocksDbDatabases::FilePrefix(size_t index) const {
  return databases_.size() == 1 ? "" : StrCat(kFilePrefix, first_key_groups_[index], "-");
}

bool RocksDbDatabases::TakeFilePrefix(std::string_view& name, uint32_t& first_key_group) {
  first_key_group = 0;
  if (!name.starts_with(kFilePrefix)) return true;
  name.remove_prefix(kFilePrefix.size());
  const char* const end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data(), end, first_key_group);
  if (error != std::errc() || rest == end || *rest != '-') return false;
  name.remove_prefix(static_cast<size_t>(rest + 1 - name.data()));
  return !name.empty() && first_key_group <= std::numeric_limits<uint16_t>::max();
}

absl::StatusOr<RocksDbColumns> RocksDbDatabases::AddColumn(const std::string& state,
                                                           ColumnLayout layout) {
  WEIR_RETURN_IF_ERROR(CatchUp());
  RocksDbColumns columns;
  for (const auto& database : databases_) {
    links_.reset();
    WEIR_ASSIGN_OR_RETURN(columns.emplace_back(), database->AddColumn(state, layout));
  }
  return columns;
}

void RocksDbDatabases::Defer(absl::AnyInvocable<absl::Status()> work) {
  MutexLock lock(mutex_);
  deferred_.push_back(std::move(work));
  behind_.store(true, std::memory_order_release);
}

absl::Status RocksDbDatabases::CatchUp() {
  if (!IsBehind()) [[likely]] {
    return absl::OkStatus();
  }
  MutexLock lock(mutex_);
  for (; failed_.ok() && !deferred_.empty(); deferred_.pop_front()) failed_ = deferred_.front()();
  // After a failure it stays behind.
  if (failed_.ok()) behind_.store(false, std::memory_order_release);
  return failed_;
}

absl::Status RocksDbDatabases::EraseRange(const std::string& state, const RocksDbColumns& columns,
                                          std::string_view from, std::string_view to) {
  logs_.End(state);
  links_.reset();
  const auto [begin, end] = Between(from, to);
  for (size_t i = begin; i < end; ++i)
    WEIR_RETURN_IF_ERROR(databases_[i]->EraseRange(columns[i].handle, from, to));
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const RocksDbLinks>> RocksDbDatabases::Links() {
  if (links_ == nullptr) {
    WEIR_ASSIGN_OR_RETURN(links_, RocksDbLinks::Make(*this, ++links_made_));
  }
  return links_;
}

absl::Status RocksDbDatabases::Write(const std::string& state, const RocksDbColumns& columns,
                                     SortedChanges& changes, bool flushed_soon) {
  logs_.End(state);
  links_.reset();
  auto next = changes.Next();
  while (!next.empty()) {
    const size_t index = IndexOf(next.front().key);
    ChangesOfOne of_one(*this, index, changes, next);
    WEIR_RETURN_IF_ERROR(databases_[index]->Write(columns[index].handle, of_one, flushed_soon));
  }
  return absl::OkStatus();
}

}  // namespace weir

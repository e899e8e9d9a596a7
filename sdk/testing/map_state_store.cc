#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "weir/operator.h"
#include "weir/testing_state_store.h"

namespace weir::testing {
namespace {

using Entries = MapStateStore::Entries;

void Scan(const Entries& entries, std::string_view from, std::string_view to,
          absl::FunctionRef<bool(std::string_view, std::string_view)> visit) {
  for (auto it = entries.lower_bound(from); it != entries.end() && it->first < to; ++it) {
    if (!visit(it->first, it->second)) break;
  }
}

class MapView final : public StateView {
 public:
  explicit MapView(std::shared_ptr<const Entries> entries) : entries_(std::move(entries)) {}
  absl::Status Scan(std::string_view from, std::string_view to,
                    absl::FunctionRef<bool(std::string_view, std::string_view)> visit) override {
    weir::testing::Scan(*entries_, from, to, visit);
    return absl::OkStatus();
  }

 private:
  const std::shared_ptr<const Entries> entries_;
};

// Not to be seen in views.
Entries& Changed(std::shared_ptr<Entries>& entries) {
  if (entries.use_count() > 1) entries = std::make_shared<Entries>(*entries);
  return *entries;
}

// `last`: the key of the change before.
absl::Status Apply(std::span<const StateChange> changes, std::optional<std::string>& last,
                   Entries& entries) {
  for (const StateChange& change : changes) {
    if (last.has_value() && !(*last < change.key))
      return absl::InternalError("the keys of changes do not ascend");
    last = change.key;
    if (change.erases) {
      entries.erase(std::string(change.key));
    } else {
      entries[std::string(change.key)] = change.value;
    }
  }
  return absl::OkStatus();
}

using Log = std::map<std::string, std::optional<std::string>>;

void TakeFromLog(std::span<const StateChange> changes, Log& log) {
  for (const StateChange& change : changes) log.erase(std::string(change.key));
}
// Changes that end a log must have what is in it.
absl::Status EndLog(const Log& log) {
  return log.empty() ? absl::OkStatus() : absl::InternalError("what was logged is not stored");
}

absl::Status Apply(MapStateStore& store, SortedChanges& changes, Log& log, Entries& entries) {
  std::optional<std::string> last;
  for (auto some = changes.Next(); !some.empty(); some = changes.Next()) {
    store.changes += some.size();
    store.most_bytes_at_once = std::max(store.most_bytes_at_once, GivenChanges(some).bytes());
    TakeFromLog(some, log);
    WEIR_SDK_RETURN_IF_ERROR(Apply(some, last, entries));
  }
  return EndLog(log);
}

class MapColumn final : public StateColumn {
 public:
  MapColumn(MapStateStore& store, std::shared_ptr<Entries>& entries, Log& log, bool expires,
            std::size_t cache_bytes, std::size_t log_bytes)
      : store_(store),
        entries_(entries),
        log_(log),
        expires_(expires),
        cache_bytes_(cache_bytes),
        log_bytes_(log_bytes) {}

  absl::StatusOr<bool> Get(std::string_view key, std::string& value) override {
    if (!store_.failure.ok()) return store_.failure;
    ++store_.gets;
    const auto found = entries_->find(key);
    if (found != entries_->end()) value = found->second;
    return found != entries_->end();
  }
  absl::Status MultiGet(std::span<const std::string_view> keys,
                        std::vector<std::optional<std::string>>& values) override {
    values.clear();
    store_.keys_got_at_once += keys.size();
    for (const std::string_view key : keys) {
      const auto found = entries_->find(key);
      values.push_back(found == entries_->end() ? std::nullopt : std::optional(found->second));
    }
    return store_.failure;
  }
  using StateColumn::Write;
  absl::Status Write(SortedChanges& changes) override {
    WEIR_SDK_RETURN_IF_ERROR(store_.CatchUp());
    return Apply(store_, changes, log_, Changed(entries_));
  }
  absl::Status WriteLater(std::unique_ptr<SortedChanges> changes) override {
    if (!store_.failure.ok()) return store_.failure;
    store_.put_off.push_back(
        [&store = store_, &entries = entries_, &log = log_, changes = std::move(changes)] {
          return Apply(store, *changes, log, Changed(entries));
        });
    return absl::OkStatus();
  }
  absl::Status LogLater(absl::AnyInvocable<StateChanges()> make) override {
    if (!store_.failure.ok()) return store_.failure;
    store_.put_off.push_back([&log = log_, make = std::move(make)]() mutable {
      StateChanges changes = make();
      const std::vector<StateChange> sorted = changes.Sorted();
      TakeFromLog(sorted, log);
      WEIR_SDK_RETURN_IF_ERROR(EndLog(log));
      for (const StateChange& change : sorted) {
        log[std::string(change.key)] =
            change.erases ? std::nullopt : std::optional(std::string(change.value));
      }
      return absl::OkStatus();
    });
    return absl::OkStatus();
  }
  bool TakesLog(std::size_t bytes) const override { return bytes <= log_bytes_; }
  bool IsBehind() const override { return !store_.put_off.empty(); }
  absl::Status CatchUp() override { return store_.CatchUp(); }
  absl::Status EraseRange(std::string_view from, std::string_view to) override {
    WEIR_SDK_RETURN_IF_ERROR(store_.CatchUp());
    std::erase_if(log_, [&](const auto& of) { return of.first >= from && of.first < to; });
    WEIR_SDK_RETURN_IF_ERROR(EndLog(log_));
    Entries& entries = Changed(entries_);
    entries.erase(entries.lower_bound(from), entries.lower_bound(to));
    return absl::OkStatus();
  }
  absl::Status Scan(std::string_view from, std::string_view to,
                    absl::FunctionRef<bool(std::string_view, std::string_view)> visit) override {
    WEIR_SDK_RETURN_IF_ERROR(store_.CatchUp());
    // What is visited may change it.
    const std::shared_ptr<const Entries> now = entries_;
    weir::testing::Scan(*now, from, to, visit);
    return absl::OkStatus();
  }
  absl::StatusOr<std::unique_ptr<StateView>> View() override {
    WEIR_SDK_RETURN_IF_ERROR(store_.CatchUp());
    return std::unique_ptr<StateView>(std::make_unique<MapView>(entries_));
  }
  void ExpireThrough(Ticks last_access) override {
    if (!expires_) return;
    std::erase_if(Changed(entries_), [&](const auto& entry) {
      Ticks accessed = 0;
      if (entry.second.size() < sizeof(accessed)) return false;
      std::memcpy(&accessed, entry.second.data(), sizeof(accessed));
      return accessed != kMinTicks && accessed <= last_access;
    });
  }
  std::size_t cache_bytes() const override { return cache_bytes_; }
  std::uint64_t EstimatedEntries() const override { return entries_->size(); }

 private:
  MapStateStore& store_;
  std::shared_ptr<Entries>& entries_;
  Log& log_;
  const bool expires_;
  const std::size_t cache_bytes_;
  const std::size_t log_bytes_;
};

class MapScratch final : public StateScratch {
 public:
  MapScratch(MapStateStore& store, Entries& entries, std::size_t cache_bytes)
      : store_(store), entries_(entries), cache_bytes_(cache_bytes) {}

  absl::Status Write(std::span<const StateChange> changes) override {
    if (!store_.failure.ok()) return store_.failure;
    store_.scratch_writes += changes.size();
    std::optional<std::string> last;
    return Apply(changes, last, entries_);
  }
  absl::Status Scan(std::string_view from, std::string_view to,
                    absl::FunctionRef<bool(std::string_view, std::string_view)> visit) override {
    if (!store_.failure.ok()) return store_.failure;
    weir::testing::Scan(entries_, from, to, visit);
    return absl::OkStatus();
  }
  absl::Status EraseRange(std::string_view from, std::string_view to) override {
    if (!store_.failure.ok()) return store_.failure;
    entries_.erase(entries_.lower_bound(from), entries_.lower_bound(to));
    return absl::OkStatus();
  }
  std::size_t cache_bytes() const override { return cache_bytes_; }

 private:
  MapStateStore& store_;
  Entries& entries_;
  const std::size_t cache_bytes_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<StateColumn>> MapStateStore::OpenColumn(const std::string& state,
                                                                       ColumnLayout layout) {
  if (!failure.ok()) return failure;
  std::shared_ptr<Entries>& entries = columns[state];
  if (entries == nullptr) entries = std::make_shared<Entries>();
  return std::unique_ptr<StateColumn>(std::make_unique<MapColumn>(
      *this, entries, logs[state], layout == ColumnLayout::kExpiring, cache_bytes_, log_bytes_));
}

absl::StatusOr<std::unique_ptr<StateScratch>> MapStateStore::OpenScratch(const std::string& name) {
  if (!failure.ok()) return failure;
  return std::unique_ptr<StateScratch>(
      std::make_unique<MapScratch>(*this, scratches[name], cache_bytes_));
}

absl::Status MapStateStore::CatchUp() {
  if (!failure.ok()) return failure;
  for (; !put_off.empty(); put_off.pop_front()) WEIR_SDK_RETURN_IF_ERROR(put_off.front()());
  return absl::OkStatus();
}

Entries MapStateStore::Logged(const std::string& state) const {
  Entries entries = *columns.at(state);
  const auto log = logs.find(state);
  if (log == logs.end()) return entries;
  for (const auto& [key, value] : log->second) {
    if (value.has_value()) {
      entries[key] = *value;
    } else {
      entries.erase(key);
    }
  }
  return entries;
}

absl::Status MapStateStore::StoreLogs() {
  WEIR_SDK_RETURN_IF_ERROR(CatchUp());
  for (auto& [state, entries] : columns) {
    Changed(entries) = Logged(state);
    logs[state].clear();
  }
  return absl::OkStatus();
}

}  // namespace weir::testing

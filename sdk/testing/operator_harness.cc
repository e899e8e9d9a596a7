#include <algorithm>
#include <atomic>
#include <exception>
#include <typeinfo>

#include "absl/strings/str_cat.h"
#include "weir/testing.h"
#include "weir/testing_state_store.h"

namespace weir::testing {
namespace {

// Calls that may stop for a blocked output in a row: more means that the operator makes no
// progress.
constexpr int kMaxRefusedCalls = 1'000'000;

// Room for a few values only.
constexpr std::size_t kStoreCacheBytes = 512;

class HarnessMetrics final : public MetricGroup {
 public:
  Counter& counter(std::string_view name) override { return counters[std::string(name)]; }
  Gauge& gauge(std::string_view name) override { return gauges[std::string(name)]; }

  std::map<std::string, Counter> counters;
  std::map<std::string, Gauge> gauges;
};

// Makes each call at once.
class CallingThread final : public OperatorThread {
 public:
  void Post(std::function<void()> call) override { call(); }
};

}  // namespace

class OperatorHarness::Context final : public OperatorContext {
 public:
  explicit Context(OperatorHarness& harness)
      : harness_(harness), now(harness.options_.processing_time) {}

  const std::string& uid() const override { return harness_.options_.uid; }
  std::uint32_t subtask() const override { return harness_.options_.subtask; }
  std::uint32_t parallelism() const override { return harness_.options_.parallelism; }
  std::uint32_t max_parallelism() const override { return harness_.options_.max_parallelism; }
  KeyGroupRange key_groups() const override {  // semantics rule 48
    const std::uint64_t i = subtask();
    const std::uint64_t p = parallelism();
    const std::uint64_t m = max_parallelism();
    return {static_cast<std::uint32_t>((i * m + p - 1) / p),
            static_cast<std::uint32_t>(((i + 1) * m - 1) / p)};
  }
  const RunInfo& run() const override { return run_; }
  StateStore* state_store() override { return harness_.store_.get(); }
  Output& output(std::size_t port) override { return *harness_.ports_.at(port); }
  Ticks ProcessingTime() const override { return now; }
  void WakeAt(Ticks at) override { wake_at = at; }
  void WakeNow() override { wake_now.store(true); }
  std::unique_ptr<OperatorThread> NewThread() override { return std::make_unique<CallingThread>(); }
  MetricGroup& metrics() override { return metrics_; }
  void OnLateRecord(const LateRecord& record,
                    absl::FunctionRef<void(std::string&)> write_key) override {
    if (record.fate == LateRecord::Fate::kDropped) late.Add();
    late_records.push_back({record, ""});
    write_key(late_records.back().key);
  }
  void OnThrown(std::string_view key, std::string_view record) override {
    if (!thrown_on.empty()) return;
    if (!key.empty())
      thrown_on += absl::StrCat(", for the key ", absl::string_view(key.data(), key.size()));
    if (!record.empty())
      thrown_on +=
          absl::StrCat(", on the record ", absl::string_view(record.data(), record.size()));
  }
  void Log(std::string_view level, std::string_view text) override {
    log.push_back(std::string(level) + ": " + std::string(text));
  }

  HarnessMetrics& harness_metrics() { return metrics_; }

 private:
  OperatorHarness& harness_;
  HarnessMetrics metrics_;
  const RunInfo run_;

 public:
  Ticks now;
  Ticks wake_at = kMaxTicks;
  std::atomic<bool> wake_now{false};
  Counter late;
  std::vector<LateExample> late_records;
  std::string thrown_on;
  std::vector<std::string> log;
};

std::vector<HarnessMode> AllHarnessModes() {
  std::vector<HarnessMode> modes;
  for (const bool in_store : {false, true}) {
    for (const bool refuse : {false, true}) {
      for (const bool restore : {false, true}) {
        const std::string suffix = std::string(refuse ? ", refusing" : "") +
                                   (restore ? ", restoring" : "") + (in_store ? ", in store" : "");
        modes.push_back({"all at once" + suffix, 0, 0, refuse, restore, in_store});
        modes.push_back({"one by one" + suffix, 1, 0, refuse, restore, in_store});
        modes.push_back({"random batches" + suffix, 0, 20260117, refuse, restore, in_store});
      }
    }
  }
  return modes;
}

HarnessSnapshot Rescaled(const std::vector<HarnessSnapshot>& snapshots, std::uint32_t subtask,
                         std::uint32_t parallelism) {
  HarnessSnapshot rescaled;
  rescaled.watermark = kMaxTicks;
  for (const HarnessSnapshot& old : snapshots) {
    rescaled.watermark = std::min(rescaled.watermark, old.watermark);
    for (const auto& [name, table] : old.tables) {
      HarnessSnapshot::Table& merged = rescaled.tables[name];
      merged.type = table.type;
      merged.key_groups.insert(table.key_groups.begin(), table.key_groups.end());
    }
  }
  for (const auto& [name, first] : snapshots.front().lists) {
    HarnessSnapshot::List& list = rescaled.lists[name];
    list.type = first.type;
    list.redistribution = first.redistribution;
    std::size_t position = 0;
    for (std::size_t i = 0; i < snapshots.size(); ++i) {
      for (const std::string& item : snapshots[i].lists.at(name).items) {
        const bool mine =
            first.redistribution == Redistribution::kUnion ||
            (first.redistribution == Redistribution::kBroadcast ? i == subtask % snapshots.size()
             : snapshots.size() == parallelism                  ? i == subtask
                                               : position % parallelism == subtask);
        if (mine) list.items.push_back(item);
        ++position;
      }
    }
  }
  return rescaled;
}

OperatorHarness::OperatorHarness(Factory make, HarnessOptions options)
    : make_(std::move(make)),
      options_(std::move(options)),
      context_(std::make_unique<Context>(*this)),
      random_state_(options_.mode.random_batches_seed) {}

OperatorHarness::~OperatorHarness() {
  if (operator_ != nullptr) {
    // A test that cares for what Close throws calls it itself.
    Guard("Close", [this] {
      operator_->Close();
      return absl::OkStatus();
    }).IgnoreError();
  }
}

void OperatorHarness::AddPort(std::unique_ptr<internal::CollectingOutput> port) {
  port->set_refuse(options_.mode.refuse_outputs);
  ports_.push_back(std::move(port));
}

absl::Status OperatorHarness::Open() {
  if (opened_) return absl::FailedPreconditionError("Open was called twice");
  opened_ = true;
  return OpenNew(kMinTicks);
}

absl::Status OperatorHarness::OpenNew(Ticks watermark) {
  operator_.reset();
  if (options_.make_store != nullptr) {
    store_ = options_.make_store();
  } else if (options_.mode.in_store) {
    store_ = std::make_unique<MapStateStore>(kStoreCacheBytes);
  }
  operator_ = make_();
  if (operator_ == nullptr) return absl::InternalError("the factory made no operator");
  context_->wake_at = kMaxTicks;
  absl::Status status = Guard("Open", [this] { return operator_->Open(*context_); });
  if (!status.ok()) return status;
  if (watermark == kMinTicks) return status;
  return RunToEnd("OnWatermark", [this, watermark] { return operator_->OnWatermark(watermark); });
}

absl::Status OperatorHarness::ProcessBatch(std::size_t input, BatchBase& batch) {
  absl::Status status = RestoreIfAsked();
  if (!status.ok()) return status;
  if (input < options_.hashers.size() && options_.hashers[input] != nullptr) {
    batch.hashes.clear();
    options_.hashers[input]->Hash(batch);
  }
  status = Guard("ProcessBatch", [&] { return operator_->ProcessBatch(input, batch); });
  if (!status.ok()) return status;
  return FireDue();
}

absl::Status OperatorHarness::Watermark(Ticks watermark) {
  absl::Status status = RestoreIfAsked();
  if (!status.ok() || watermark <= watermark_) return status;
  watermark_ = watermark;
  status = TellWatermark(watermark);
  if (!status.ok()) return status;
  return FireDue();
}

absl::Status OperatorHarness::TellWatermark(Ticks watermark) {
  if (!options_.answers_later) {
    absl::Status status =
        RunToEnd("OnWatermark", [this, watermark] { return operator_->OnWatermark(watermark); });
    if (status.ok()) passed_ = watermark;
    return status;
  }
  held_.push_back(watermark);
  return Guard("OnMark", [this] {
    operator_->OnMark();
    return absl::OkStatus();
  });
}

absl::Status OperatorHarness::Wake() { return FireDue(); }

absl::Status OperatorHarness::SetProcessingTime(Ticks now) {
  absl::Status status = RestoreIfAsked();
  if (!status.ok()) return status;
  context_->now = now;
  return FireDue();
}

absl::Status OperatorHarness::Finish() {
  absl::Status status = Watermark(kMaxTicks);
  if (!status.ok()) return status;
  status = RestoreIfAsked();
  if (!status.ok()) return status;
  return RunToEnd("Finish", [this] { return operator_->Finish(); });
}

HarnessSnapshot OperatorHarness::Snapshot() const {
  HarnessSnapshot snapshot;
  snapshot.watermark = passed_;
  const KeyGroupRange range = context_->key_groups();
  for (KeyedStateTable* table : operator_->keyed_state()) {
    const auto taken = table->TakeSnapshot(SnapshotUse::kFinal);
    HarnessSnapshot::Table& written = snapshot.tables[table->name()];
    written.type = table->type();
    for (std::uint32_t key_group = range.first; key_group <= range.last; ++key_group) {
      std::string bytes;
      taken->WriteKeyGroup(key_group, bytes);
      if (!bytes.empty()) written.key_groups[key_group] = std::move(bytes);
    }
  }
  for (const OperatorListState* list : operator_->list_state()) {
    HarnessSnapshot::List& written = snapshot.lists[list->name()];
    written.type = list->type();
    written.redistribution = list->redistribution();
    list->Write(written.items);
  }
  return snapshot;
}

absl::Status OperatorHarness::Restore(const HarnessSnapshot& snapshot) {
  if (operator_ != nullptr) {
    absl::Status closed = Guard("Close", [this] {
      operator_->Close();
      return absl::OkStatus();
    });
    if (!closed.ok()) return closed;
  }
  opened_ = true;
  // The watermark first: the state read after it may hold timers for times before it, which wait
  // for the next one (rule 19).
  watermark_ = passed_ = snapshot.watermark;
  held_.clear();
  absl::Status status = OpenNew(snapshot.watermark);
  if (!status.ok()) return status;
  status = RestoreTables(snapshot);
  if (!status.ok()) return status;
  status = RestoreLists(snapshot);
  if (!status.ok()) return status;
  return RunToEnd("OnProcessingTime",
                  [this] { return operator_->OnProcessingTime(context_->now); });
}

absl::Status OperatorHarness::RestoreTables(const HarnessSnapshot& snapshot) {
  const KeyGroupRange range = context_->key_groups();
  std::size_t restored = 0;
  for (KeyedStateTable* table : operator_->keyed_state()) {
    const auto it = snapshot.tables.find(table->name());
    if (it == snapshot.tables.end()) continue;
    ++restored;
    if (it->second.type != table->type()) {
      return absl::InternalError(absl::StrCat("state '", table->name(), "' has type ",
                                              table->type(), " but was written as ",
                                              it->second.type));
    }
    for (const auto& [key_group, bytes] : it->second.key_groups) {
      if (!range.Contains(key_group)) continue;
      absl::Status status = table->ReadKeyGroup(key_group, bytes);
      if (!status.ok()) {
        return absl::Status(status.code(),
                            absl::StrCat("reading key group ", key_group, " of state '",
                                         table->name(), "': ", status.message()));
      }
      std::string again;
      table->TakeSnapshot(SnapshotUse::kFinal)->WriteKeyGroup(key_group, again);
      if (again != bytes) {
        return absl::InternalError(absl::StrCat("key group ", key_group, " of state '",
                                                table->name(),
                                                "' is written as other bytes after it was read"));
      }
    }
  }
  if (restored != snapshot.tables.size()) {
    return absl::InternalError("the snapshot has state that the operator does not declare");
  }
  for (KeyedStateTable* table : operator_->keyed_state()) table->Restored();
  return absl::OkStatus();
}

absl::Status OperatorHarness::RestoreLists(const HarnessSnapshot& snapshot) {
  std::size_t restored = 0;
  for (OperatorListState* list : operator_->list_state()) {
    const auto it = snapshot.lists.find(list->name());
    if (it == snapshot.lists.end()) continue;
    ++restored;
    const HarnessSnapshot::List& written = it->second;
    if (written.type != list->type() || written.redistribution != list->redistribution()) {
      return absl::InternalError(absl::StrCat("list state '", list->name(), "' has type ",
                                              list->type(), " but was written as ", written.type,
                                              ", or is dealt out in another way"));
    }
    const std::vector<std::string_view> items(written.items.begin(), written.items.end());
    absl::Status status = list->Read(items);
    if (!status.ok()) {
      return absl::Status(status.code(), absl::StrCat("reading list state '", list->name(),
                                                      "': ", status.message()));
    }
    std::vector<std::string> again;
    list->Write(again);
    if (again != written.items) {
      return absl::InternalError(absl::StrCat("list state '", list->name(),
                                              "' is written as other items after it was read"));
    }
  }
  if (restored != snapshot.lists.size()) {
    return absl::InternalError("the snapshot has a list that the operator does not declare");
  }
  return absl::OkStatus();
}

absl::Status OperatorHarness::SnapshotAndRestore() {
  const Ticks told = watermark_;
  absl::Status status = Restore(Snapshot());
  if (!status.ok() || told == watermark_) return status;
  watermark_ = told;
  return TellWatermark(told);
}

absl::Status OperatorHarness::RestoreIfAsked() {
  if (operator_ == nullptr) return absl::FailedPreconditionError("Open was not called, or failed");
  return options_.mode.restore_between_inputs ? SnapshotAndRestore() : absl::OkStatus();
}

absl::Status OperatorHarness::FireDue() {
  for (int i = 0; i < kMaxRefusedCalls; ++i) {
    if (context_->wake_now.exchange(false)) {
      absl::Status status = RunToEnd("OnWake", [this] { return operator_->OnWake(); });
      if (!status.ok()) return status;
    } else if (context_->wake_at < context_->now) {
      context_->wake_at = kMaxTicks;
      absl::Status status = RunToEnd("OnProcessingTime",
                                     [this] { return operator_->OnProcessingTime(context_->now); });
      if (!status.ok()) return status;
    } else {
      return absl::OkStatus();
    }
  }
  return absl::InternalError("the operator asks to be woken without end");
}

absl::Status OperatorHarness::RunToEnd(std::string_view name,
                                       const std::function<absl::StatusOr<bool>()>& call) {
  for (int refused = 0; refused < kMaxRefusedCalls; ++refused) {
    bool done = false;
    absl::Status status = Guard(name, [&] {
      absl::StatusOr<bool> result = call();
      if (result.ok()) done = *result;
      return std::move(result).status();
    });
    if (!status.ok()) return status;
    for (std::size_t passed = operator_->TakePassed(); passed > 0; --passed) {
      if (held_.empty()) return absl::InternalError("more marks have passed than there were");
      passed_ = held_.front();
      held_.pop_front();
    }
    if (done) return status;
    if (options_.answers_later && !options_.mode.refuse_outputs) {
      if (context_->wake_now.exchange(false)) continue;
      return absl::UnavailableError(std::string(name) + " waits for answers");
    }
    if (!options_.mode.refuse_outputs) {
      return absl::InternalError(std::string(name) + " stopped although no output was blocked");
    }
  }
  return absl::InternalError(std::string(name) +
                             " makes no progress while outputs are blocked now and then");
}

absl::Status OperatorHarness::Guard(std::string_view call,
                                    const std::function<absl::Status()>& body) {
  const std::string where = "operator '" + options_.uid + "' threw ";
  context_->thrown_on.clear();
  try {
    return body();
  } catch (const std::exception& e) {
    return absl::InternalError(where + typeid(e).name() + " in " + std::string(call) + ": " +
                               e.what() + context_->thrown_on);
  } catch (...) {
    return absl::InternalError(where + "something that is no std::exception in " +
                               std::string(call) + context_->thrown_on);
  }
}

std::size_t OperatorHarness::NextBatchSize(std::size_t left) {
  std::size_t size = left;
  if (options_.mode.random_batches_seed != 0) {
    // A step of SplitMix64.
    std::uint64_t z = (random_state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    size = 1 + static_cast<std::size_t>((z ^ (z >> 31)) % 7);
  } else if (options_.mode.batch_size != 0) {
    size = options_.mode.batch_size;
  }
  return std::min({size, left, kBatchRecords});
}

Ticks OperatorHarness::wake_at() const { return context_->wake_at; }
std::uint64_t OperatorHarness::late_records_dropped() const { return context_->late.value(); }
const std::vector<LateExample>& OperatorHarness::late_records() const {
  return context_->late_records;
}
std::uint64_t OperatorHarness::counter(std::string_view name) const {
  return context_->harness_metrics().counter(name).value();
}
std::int64_t OperatorHarness::gauge(std::string_view name) const {
  return context_->harness_metrics().gauge(name).value();
}
const std::vector<std::string>& OperatorHarness::log() const { return context_->log; }

}  // namespace weir::testing

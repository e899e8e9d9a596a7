#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "weir/aggregates.h"
#include "weir/due_queue.h"
#include "weir/in_loop.h"
#include "weir/json_write.h"
#include "weir/late_records.h"
#include "weir/results.h"
#include "weir/session_state.h"
#include "weir/thrown.h"
#include "weir/timers.h"
#include "weir/window_batch.h"
#include "weir/window_listing.h"
#include "weir/window_process.h"

namespace weir::internal {

// What is the same for the subtasks of a SessionOperator.
template <class T, class Key, class Aggregator_, class Finish>
struct SessionPlan {
  WindowingPlan<T, NoTriggerState> windows;
  Key key;
  Aggregator_ aggregator;
  // (const K&, const TimeWindow&, AggregateResult&&) -> the record put out.
  Finish finish;
};

// Sessions in event time with an aggregate, their own trigger and no evictor, in memory: the
// results and the state of WindowEngine (semantics rules 5 to 13), at less cost. A key's session
// lies in the slot of a table; only a key that has several at a time has memory of its own for the
// others. A session that grows is changed in place and stays where it is in the queue of what is
// due.
template <class K, class T, class Out, class Plan>
class SessionOperator final : public Operator {
 public:
  using Aggregator = decltype(Plan::aggregator);
  using A = typename Aggregator::Accumulator;

  SessionOperator(std::shared_ptr<const Plan> plan, std::shared_ptr<const SidePorts> ports)
      : plan_(std::move(plan)),
        ports_(std::move(ports)),
        gap_(*plan_->windows.session_gap),
        lateness_(plan_->windows.lateness),
        queue_(std::max(gap_ > 0 ? gap_ : kUsualTimerAhead, lateness_ / 2)) {}

  absl::Status Open(OperatorContext& context) override {
    context_ = &context;
    results_.Open(context, ports_);
    sessions_ = std::make_unique<NamedTable<K, Sessions, Layout>>(
        "windows", context.key_groups(), context.max_parallelism(), Layout{lateness_});
    table_ = &sessions_->table;
    timers_ =
        std::make_unique<SessionTimers<K, A>>("windows.event", *table_, queue_, context, lateness_);
    processing_.Open(context);
    return absl::OkStatus();
  }

  absl::Status ProcessBatch(std::size_t, BatchBase& base) override {
    auto& batch = static_cast<Batch<T>&>(base);
    if (batch.records.empty()) return absl::OkStatus();
    if (batch.timestamps.empty()) return NoTimestamp();
    at_ = 0;
    try {
      WEIR_SDK_RETURN_IF_ERROR(Process(batch));
    } catch (...) {
      const auto& records = std::as_const(batch).records;
      TellThrownOn(*context_, plan_->key, records[ThrownAt(plan_->key, records, at_, kAhead)]);
      throw;
    }
    return results_.Flush();
  }

  absl::StatusOr<bool> OnWatermark(Ticks watermark) override {
    watermark_ = watermark;
    if (!queue_.MayBeDue(watermark)) return true;
    const bool done = FireDue();
    WEIR_SDK_RETURN_IF_ERROR(results_.Flush());
    return done;
  }

  std::vector<KeyedStateTable*> keyed_state() override {
    return {sessions_.get(), timers_.get(), processing_.table()};
  }
  bool ListWindows(WindowListing& listing) override {
    listing.by_key = true;
    listing.there_are += sessions_->entries();
    sessions_->Peek(listing.most_looks, [&](const K& key, const Sessions& all) {
      all.ForEach([&](const Session& session) {
        if (!listing.Full()) listing.Add(Listed(key, session));
      });
      ++listing.looked;
      return !listing.Full();
    });
    return true;
  }

 private:
  using Session = OpenSession<A>;
  using Sessions = OpenSessions<A>;
  using Table = KeyedTable<K, Sessions>;
  using Layout = SessionsLayout<A>;
  using Entry = typename DueQueue<K>::Entry;

  static constexpr std::size_t kAhead = 16;
  static constexpr std::size_t kSpareLists = 4096;
  static constexpr std::size_t kSpareSessions = 8;

  // ---- Records.

  absl::Status Process(Batch<T>& batch) {
    if constexpr (!std::is_integral_v<K>) {
      if (batch.hashes.empty()) HashBatch(batch, plan_->key);
    }
    if (batch.hashes.empty())
      return AddAll(batch, [](const K& key, std::size_t) { return KeyHash(key); });
    const std::uint64_t* const hashes = batch.hashes.data();
    return AddAll(batch, [hashes](const K&, std::size_t i) { return hashes[i]; });
  }
  template <class HashOf>
  absl::Status AddAll(Batch<T>& batch, const HashOf& hash_of) {
    return table_->IsWhole() ? AddAhead<true>(batch, hash_of) : AddAhead<false>(batch, hash_of);
  }
  // The sessions of a record are on their way from memory while the kAhead records before it are
  // added.
  template <bool kWhole, class HashOf>
  [[gnu::noinline]] absl::Status AddAhead(Batch<T>& batch, const HashOf hash_of) {
    using Locator = typename Table::template Locator<kWhole>;
    const Locator locator(*table_);
    typename Table::Slot* homes[kAhead];
    const std::size_t n = batch.records.size();
    T* const records = batch.records.data();
    const Ticks* const times = batch.timestamps.data();
    const InLoop<decltype(Plan::key)> key_of = plan_->key;
    // Somebody may be writing what was there, or not all is there.
    const bool looks_home = !table_->IsShared();
    const auto locate = [&](std::size_t i) __attribute__((always_inline)) {
      homes[i % kAhead] = locator.Home(hash_of(std::invoke(key_of, std::as_const(records[i])), i));
      Table::PrefetchAt(homes[i % kAhead]);
    };
    for (std::size_t i = 0; i < std::min(kAhead, n); ++i) locate(i);
    for (std::size_t i = 0; i < n; ++i) {
      at_ = i;
      typename Table::Slot* const home = homes[i % kAhead];
      if (i + kAhead < n) locate(i + kAhead);
      if (times[i] == kMinTicks) [[unlikely]] {
        return NoTimestamp();
      }
      const K& key = std::invoke(key_of, std::as_const(records[i]));
      const std::uint64_t hash = hash_of(key, i);
      Sessions* all = looks_home ? Locator::FindAt(home, key, hash) : nullptr;
      if (all == nullptr) all = table_->Find(key, hash);
      const std::uint64_t moves = table_->moves();
      Add(records[i], times[i], key, hash, all);
      if (table_->moves() != moves) [[unlikely]] {
        for (std::size_t j = i + 1; j < std::min(i + kAhead + 1, n); ++j) locate(j);
      }
    }
    return absl::OkStatus();
  }

  // `all`: those of the key, or null.
  void Add(T& record, Ticks time, const K& key, std::uint64_t hash, Sessions* all) {
    const WindowSpan span = SpanOf(record, time);
    if (all == nullptr) return AddFirst(record, span, key, hash);
    Session& last = all->last;
    const Ticks max_timestamp = std::max(last.max_timestamp, span.max_timestamp);
    if (max_timestamp <= watermark_ || !Touches(last, span) ||
        (time < last.start && all->before != nullptr)) [[unlikely]] {
      if (time > last.max_timestamp && !IsLate(span))
        return AddAfter(record, span, key, hash, *all);
      return AddToSome(record, span, key, hash, *all);
    }
    last.start = std::min(last.start, time);
    last.max_timestamp = max_timestamp;
    last.fires = true;
    Take(last, record);
    Queue(*all, max_timestamp, key, hash);
    table_->MarkChanged(all, hash);
  }

  WindowSpan SpanOf(const T& record, Ticks time) {
    if (gap_ > 0) return {time, SaturatingAdd(time, gap_ - 1)};
    spans_.clear();
    plan_->windows.assigner->Assign(record, time, spans_);
    return spans_.front();
  }
  // Rule 10.
  static bool Touches(const Session& session, const WindowSpan& span) {
    return span.start <= SaturatingAdd(session.max_timestamp, 1) &&
           session.start <= SaturatingAdd(span.max_timestamp, 1);
  }
  bool IsLate(const WindowSpan& span) const {
    return SaturatingAdd(span.max_timestamp, lateness_) <= watermark_;
  }
  // Rule 7.
  void Reject(T& record, const WindowSpan& span, const K& key) {
    RejectLate(*context_, results_, plan_->windows.late_tag, std::move(record), K(key),
               {.time = span.start,
                .watermark = watermark_,
                .late_from = SaturatingAdd(span.max_timestamp, lateness_)});
  }
  absl::Status NoTimestamp() const {
    return absl::InvalidArgumentError(
        "operator '" + context_->uid() +
        "': a record without a timestamp cannot be put into an event-time window; give the "
        "source a timestamp ({.timestamp = &Record::field})");
  }
  void Take(Session& session, const T& record) {
    session.any = true;
    plan_->aggregator.Add(session.value, record);
  }
  // Something of the key is due at `due`.
  void Queue(Sessions& all, Ticks due, const K& key, std::uint64_t hash) {
    if (all.in_queue && all.queued <= due) [[likely]] {
      return;
    }
    all.in_queue = all.FirstDue(lateness_, all.queued);
    if (all.in_queue) queue_.Push({all.queued, hash, key});
  }

  void AddFirst(T& record, const WindowSpan& span, const K& key, std::uint64_t hash) {
    if (IsLate(span)) return Reject(record, span, key);
    Sessions& all = *table_->FindOrInsert(key, hash).first;
    all.last.start = span.start;
    all.last.max_timestamp = span.max_timestamp;
    Queue(all, Finish(all.last, record, key), key, hash);
  }

  // Fires at once, or when it is due (rules 5, 6 and 12), which is returned; kMaxTicks also stands
  // for never.
  Ticks Finish(Session& session, const T& record, const K& key) {
    Take(session, record);
    if (session.max_timestamp <= watermark_) {
      Emit(key, session);
    } else {
      session.fires = true;
    }
    return session.Due(lateness_);
  }

  // To a session after all others of the key.
  void AddAfter(T& record, const WindowSpan& span, const K& key, std::uint64_t hash,
                Sessions& all) {
    if (Touches(all.last, span)) return AddToSome(record, span, key, hash, all);
    table_->MarkChanged(&all, hash);
    ListOf(all).push_back(std::move(all.last));
    all.last = Session();
    all.last.start = span.start;
    all.last.max_timestamp = span.max_timestamp;
    Queue(all, Finish(all.last, record, key), key, hash);
  }

  // To a new session, to one of several, to one that was fired, or to one that several become.
  void AddToSome(T& record, const WindowSpan& span, const K& key, std::uint64_t hash,
                 Sessions& all) {
    WindowSpan cover = span;
    all.ForEach([&](const Session& session) {
      if (!Touches(session, span)) return;
      cover.start = std::min(cover.start, session.start);
      cover.max_timestamp = std::max(cover.max_timestamp, session.max_timestamp);
    });
    if (IsLate(cover)) return Reject(record, span, key);
    table_->MarkChanged(&all, hash);
    std::vector<Session>& list = ListOf(all);
    list.push_back(std::move(all.last));
    const auto inside = [&](const Session& session) {
      return session.start >= cover.start && session.max_timestamp <= cover.max_timestamp;
    };
    auto at = std::find_if(list.begin(), list.end(), inside);
    if (at == list.end()) {
      at = std::find_if(list.begin(), list.end(),
                        [&](const Session& session) { return session.start > cover.start; });
      at = list.insert(at, Session());
    } else if (at->start != cover.start || at->max_timestamp != cover.max_timestamp) {
      const auto end = std::find_if_not(at, list.end(), inside);
      for (auto other = at + 1; other != end; ++other) MergeInto(*at, *other);
      list.erase(at + 1, end);
      at->fires = cover.max_timestamp > watermark_;
    }
    at->start = cover.start;
    at->max_timestamp = cover.max_timestamp;
    const Ticks due = Finish(*at, record, key);
    LastFromList(all);
    Queue(all, due, key, hash);
  }
  // Rule 11: the older ones first.
  void MergeInto(Session& into, Session& other) {
    if (!other.any) return;
    if (into.any) {
      plan_->aggregator.Merge(into.value, other.value);
    } else {
      into.value = std::move(other.value);
      into.any = true;
    }
  }
  void LastFromList(Sessions& all) {
    all.last = std::move(all.before->back());
    all.before->pop_back();
    FreeListIfEmpty(all);
  }
  std::vector<Session>& ListOf(Sessions& all) {
    if (all.before == nullptr) {
      if (spare_lists_.empty()) {
        all.before = std::make_unique<std::vector<Session>>();
      } else {
        all.before = std::move(spare_lists_.back());
        spare_lists_.pop_back();
      }
    }
    return *all.before;
  }
  void FreeListIfEmpty(Sessions& all) {
    if (!all.before->empty()) return;
    if (spare_lists_.size() < kSpareLists && all.before->capacity() <= kSpareSessions)
      spare_lists_.push_back(std::move(all.before));
    all.before.reset();
  }

  ListedWindow Listed(const K& key, const Session& session) const {
    ListedWindow listed{.start = session.start,
                        .end = SaturatingAdd(session.max_timestamp, 1),
                        .gone_at = session.CleanupTime(lateness_),
                        .entries = session.any ? 1U : 0U,
                        .bytes = sizeof(Session)};
    if constexpr (!std::is_same_v<K, AllRecords>) WriteJsonValue(key, listed.key);
    if (session.fires) {
      listed.fires = ListedWindow::Fires::kAtWatermark;
      listed.at = session.max_timestamp;
    } else if (listed.gone_at != kMaxTicks) {
      listed.fires = ListedWindow::Fires::kFired;
    }
    return listed;
  }

  // ---- Firing.

  // False: stopped because an output is blocked.
  bool FireDue() {
    Entry entry{};
    for (;;) {
      if (results_.Blocked()) return false;
      const bool any = queue_.Pop(
          watermark_, entry, [this](std::uint64_t hash) { table_->Prefetch(hash); },
          [this](Entry& of) { return PutOff(of); });
      if (!any) return true;
      try {
        Fire(entry);
      } catch (...) {
        TellThrownFor(*context_, entry.key);
        throw;
      }
    }
  }

  // Gives an entry the time for which there is something to do; false: there is none.
  bool PutOff(Entry& entry) {
    Sessions* const all = table_->Find(entry.key, entry.hash);
    if (all == nullptr || !all->IsQueuedFor(entry.time)) return false;
    // Of several the first rarely grows: they are not looked at before it is due.
    if (all->before != nullptr && all->queued == entry.time) return true;
    all->in_queue = all->FirstDue(lateness_, all->queued);
    entry.time = all->queued;
    return all->in_queue;
  }

  void Fire(Entry& entry) {
    Sessions* const all = table_->Find(entry.key, entry.hash);
    if (all == nullptr || !all->IsQueuedFor(entry.time)) return;
    Ticks due = 0;
    if (all->FirstDue(lateness_, due) && due <= entry.time) {
      table_->MarkChanged(all, entry.hash);
      if (all->before != nullptr) {
        auto kept = all->before->begin();
        for (Session& session : *all->before) {
          if (FireAt(due, session, entry.key)) continue;
          if (&session != &*kept) *kept = std::move(session);
          ++kept;
        }
        all->before->erase(kept, all->before->end());
        FreeListIfEmpty(*all);
      }
      if (FireAt(due, all->last, entry.key)) {
        if (all->before == nullptr) {
          table_->Erase(entry.key, entry.hash);
          return;
        }
        LastFromList(*all);
      }
    }
    all->in_queue = all->FirstDue(lateness_, all->queued);
    if (!all->in_queue) return;
    entry.time = all->queued;
    queue_.Push(entry);
  }

  // What a session does at a time; whether that was its end.
  bool FireAt(Ticks time, Session& session, const K& key) {
    if (!session.IsDueEver(lateness_) || session.Due(lateness_) != time) return false;
    if (session.fires && session.any) Emit(key, session);
    session.fires = false;
    return session.CleanupTime(lateness_) == time;
  }

  void Emit(const K& key, const Session& session) {
    const TimeWindow window = WindowSpan{session.start, session.max_timestamp}.Public();
    results_.Emit(
        plan_->finish(key, window,
                      AggregateResult<Aggregator>(plan_->aggregator.Result(session.value))),
        session.max_timestamp);
  }

  const std::shared_ptr<const Plan> plan_;
  const std::shared_ptr<const SidePorts> ports_;
  // 0: of each record.
  const Ticks gap_;
  const Ticks lateness_;
  OperatorContext* context_ = nullptr;
  Results<Out> results_;

  Ticks watermark_ = kMinTicks;
  std::unique_ptr<NamedTable<K, Sessions, Layout>> sessions_;
  // That of `sessions_`.
  Table* table_ = nullptr;
  DueQueue<K> queue_;
  std::unique_ptr<SessionTimers<K, A>> timers_;
  // The record of the batch that is worked on.
  std::size_t at_ = 0;
  std::vector<WindowSpan> spans_;
  // With room, for keys that get a second session.
  std::vector<std::unique_ptr<std::vector<Session>>> spare_lists_;

  // Sessions with another trigger may have set timers of processing time, which nobody waits for
  // here: they are kept as state.
  CurrentKey<K> no_key_;
  TimerQueue<K> no_queue_{kUsualTimerAhead};
  const bool not_closed_ = false;
  std::uint64_t none_dropped_ = 0;
  KeyedTimer<K> processing_{no_key_,      no_queue_,     0, "windows.processing",
                            &not_closed_, &none_dropped_};
};

}  // namespace weir::internal

#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "weir/connected.h"
#include "weir/custom_state.h"
#include "weir/interval_join.h"
#include "weir/late_records.h"
#include "weir/state_codec.h"
#include "weir/timers.h"
#include "weir/usage_error.h"

namespace weir {

namespace internal {

template <class A>
struct WaitingRecord {
  Ticks time = 0;
  A record{};
};
// What a table's key has from a time on.
template <class B>
struct TableVersion {
  Ticks time = 0;
  B record{};
  bool deleted = false;
};
// What a temporal join has of a key, as it is written.
template <class A, class B>
struct TemporalRecords {
  // In the order in which they came.
  std::vector<WaitingRecord<A>> waiting;
  // By time, one a time.
  std::vector<TableVersion<B>> versions;
};
template <class A, class B>
struct TemporalCell {
  std::unique_ptr<TemporalRecords<A, B>> records;
};
template <class A, class B>
struct TemporalLayout {
  static constexpr bool kWritesAll = true;
  template <class Fields>
  static std::string Notation() {
    return TypeNotation<TemporalRecords<A, B>, Fields>();
  }
  bool Writes(const TemporalCell<A, B>& cell) const { return cell.records != nullptr; }
  void Encode(const TemporalCell<A, B>& cell, std::string& out) const {
    EncodeValue(*cell.records, out);
  }
  TemporalLayout Frozen() const { return *this; }
  bool Decode(Decoder& in, TemporalCell<A, B>& cell) const {
    cell.records = std::make_unique<TemporalRecords<A, B>>();
    if (!DecodeValue(in, *cell.records)) return false;
    const auto& versions = cell.records->versions;
    const auto not_before = [](const auto& a, const auto& b) { return a.time >= b.time; };
    return std::adjacent_find(versions.begin(), versions.end(), not_before) == versions.end() ||
           in.FailedIn("versions");
  }
};

// Semantics rule 34. `join(left, version)`: a pointer, which is null in a left join where there is
// none.
template <class K, class A, class B, class O, class Join>
class TemporalJoinFunction final : public KeyedTwoInputProcess<K, A, B, O> {
 public:
  using typename KeyedTwoInputProcess<K, A, B, O>::Context;

  TemporalJoinFunction(bool keeps_left, std::function<bool(const B&)> deleted, Join join)
      : keeps_left_(keeps_left),
        deleted_(std::move(deleted)),
        join_(std::move(join)),
        records_(this->template AddState<State>("records")) {}

  void Process(const A& record, Context& context) override {
    const Ticks time = TimeOf(context);
    if (time <= context.watermark_ticks()) {
      records_->context().metrics().counter("numLateRecordsJoined").Add();
      NoteLate(records_->context(), context.key(),
               {.time = time,
                .watermark = context.watermark_ticks(),
                .late_from = time,
                .fate = LateRecord::Fate::kJoinedLate});
    }
    Records().waiting.push_back({time, record});
    WaitUntil(time);
  }
  void ProcessSecond(const B& record, Context& context) override {
    const Ticks time = TimeOf(context);
    auto& versions = Records().versions;
    TableVersion<B> version{time, record, deleted_ && deleted_(record)};
    const auto at =
        std::lower_bound(versions.begin(), versions.end(), time,
                         [](const TableVersion<B>& other, Ticks t) { return other.time < t; });
    if (at != versions.end() && at->time == time) {
      *at = std::move(version);
    } else {
      versions.insert(at, std::move(version));
    }
    WaitUntil(time);
  }

  void OnTimer(const EventTimer&, Context& context) override {
    auto* const cell = records_->Find();
    if (cell == nullptr) return;
    TemporalRecords<A, B>& records = *cell->records;
    const Ticks watermark = context.watermark_ticks();
    Ticks next = kMaxTicks;
    const auto waits = [&](const WaitingRecord<A>& left) {
      if (left.time > watermark) {
        next = std::min(next, left.time);
        return true;
      }
      const TableVersion<B>* const version = VersionAt(records.versions, left.time);
      const bool found = version != nullptr && !version->deleted;
      if (found || keeps_left_) {
        context.set_timestamp(left.time);
        context.Emit(join_(left.record, found ? &version->record : nullptr));
      }
      return false;
    };
    std::size_t kept = 0;
    for (std::size_t i = 0; i < records.waiting.size(); ++i) {
      if (!waits(records.waiting[i])) continue;
      if (kept != i) records.waiting[kept] = std::move(records.waiting[i]);
      ++kept;
    }
    records.waiting.erase(records.waiting.begin() + static_cast<std::ptrdiff_t>(kept),
                          records.waiting.end());
    // No record at or after the watermark needs a version before the newest one there.
    if (const TableVersion<B>* const newest = VersionAt(records.versions, watermark))
      records.versions.erase(records.versions.begin(),
                             records.versions.begin() + (newest - records.versions.data()));
    if (next != kMaxTicks) due_.Set(EventTime::FromTicks(next));
    if (records.waiting.empty() && records.versions.empty()) records_->Erase();
  }

 private:
  using State = CustomState<K, TemporalCell<A, B>, TemporalLayout<A, B>>;

  static Ticks TimeOf(const Context& context) {
    if (!context.has_timestamp()) ThrowNoJoinTime();
    return context.timestamp().ticks();
  }
  TemporalRecords<A, B>& Records() {
    auto& cell = records_->FindOrInsert();
    if (cell.records == nullptr) cell.records = std::make_unique<TemporalRecords<A, B>>();
    return *cell.records;
  }
  // The newest that is not after `time`; null: none.
  static const TableVersion<B>* VersionAt(const std::vector<TableVersion<B>>& versions,
                                          Ticks time) {
    const auto after =
        std::upper_bound(versions.begin(), versions.end(), time,
                         [](Ticks t, const TableVersion<B>& version) { return t < version.time; });
    return after == versions.begin() ? nullptr : &*(after - 1);
  }
  void WaitUntil(Ticks time) {
    const auto set = due_.Time();
    if (!set.has_value() || time < set->ticks()) due_.Set(EventTime::FromTicks(time));
  }

  const bool keeps_left_;
  const std::function<bool(const B&)> deleted_;
  const Join join_;
  State* const records_;
  EventTimer due_{this, "due"};
};

}  // namespace internal

// A keyed stream and a table, which is a stream of versions: each holds for its key from its time
// on, until the next one.
template <class A, class FA, class B, class FB>
class TemporalJoinedStreams {
 public:
  using Key = internal::KeyOf<FA, A>;

  explicit TemporalJoinedStreams(internal::KeyedUpstreams<A, FA, B, FB> upstreams)
      : upstreams_(std::move(upstreams)) {}

  // Versions that are none: from their time on the key has nothing.
  template <std::predicate<const B&> F>
  TemporalJoinedStreams Deleted(F f) const {
    TemporalJoinedStreams copy = *this;
    copy.deleted_ = std::move(f);
    return copy;
  }

  // A record f(left, version) for each left one whose key has a version at its time, with its time;
  // once the watermark of both streams has reached that. A late one is joined with the versions
  // that are left, and counted in numLateRecordsJoined.
  template <class F>
    requires std::is_invocable_v<const F&, const A&, const B&>
  auto Join(internal::PlacedUid uid, F f) const {
    return Add(std::move(uid), "TemporalJoin", false,
               [f](const A& left, const B* version) { return std::invoke(f, left, *version); });
  }
  // For each left record: f(left, nullptr) if its key has no version at its time.
  template <class F>
    requires std::is_invocable_v<const F&, const A&, const B*>
  auto LeftJoin(internal::PlacedUid uid, F f) const {
    return Add(std::move(uid), "TemporalLeftJoin", true, std::move(f));
  }
  template <class F>
    requires(!std::is_invocable_v<const F&, const A&, const B&>)
  WEIR_USAGE_ERROR(
      "Join(uid, f): f must take (const A& left, const B& version), where A and B are the record "
      "types of the stream and of the table, and return a record")
  internal::AfterMistake Join(internal::PlacedUid, const F&) const {
    return {};
  }
  template <class F>
    requires(!std::is_invocable_v<const F&, const A&, const B*>)
  WEIR_USAGE_ERROR(
      "LeftJoin(uid, f): f must take (const A& left, const B* version), where A and B are the "
      "record types of the stream and of the table, and return a record")
  internal::AfterMistake LeftJoin(internal::PlacedUid, const F&) const {
    return {};
  }

 private:
  template <class Join>
  auto Add(internal::PlacedUid uid, const char* description, bool keeps_left, Join join) const {
    using Out = std::remove_cvref_t<std::invoke_result_t<const Join&, const A&, const B*>>;
    using Function = internal::TemporalJoinFunction<Key, A, B, Out, Join>;
    if constexpr (CheckRecord<Out>()) {
      NodeDefinition node;
      node.uid = std::move(uid.text);
      node.description = description;
      return upstreams_.template Add<Function>(
          std::move(node), uid.where, [keeps_left, deleted = deleted_, join] {
            return std::make_unique<Function>(keeps_left, deleted, join);
          });
    } else {
      return internal::AfterMistake();
    }
  }

  internal::KeyedUpstreams<A, FA, B, FB> upstreams_;
  std::function<bool(const B&)> deleted_;
};

template <class T, class F>
template <class B, class FB>
auto KeyedStream<T, F>::TemporalJoin(const KeyedStream<B, FB>& versions) const {
  static_assert(std::is_same_v<Key, typename KeyedStream<B, FB>::Key>,
                "TemporalJoin(versions): both streams must have keys of the same type");
  return TemporalJoinedStreams<T, F, B, FB>({keyed_, versions.upstream()});
}

}  // namespace weir

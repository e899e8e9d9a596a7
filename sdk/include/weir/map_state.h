#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "weir/entry_map.h"
#include "weir/state.h"

namespace weir {

namespace internal {

// Typed access for MapState<MK, MV>, which does not know the key type. `Visit` is called with
// `what` for each entry and says whether it goes on (ForEach) or the entry is to go (EraseIf).
template <class MK, class MV>
class MapAccess : public StateMember {
 public:
  using Visit = bool (*)(void* what, const MK&, const MV&);

  // To be read; null if there is none.
  virtual const MV* Find(const MK& key) = 0;
  // To be written; made as MV{} if there is none.
  virtual MV& FindOrInsert(const MK& key) = 0;
  virtual bool Erase(const MK& key) = 0;
  virtual void ForEach(void* what, Visit visit) = 0;
  virtual void EraseIf(void* what, Visit visit) = 0;
  virtual std::size_t size() = 0;
  virtual void Clear() = 0;
};

// Calls use(const MK&, const V&) in the order of the notation map<MK,...>.
template <class MK, class V, class Use>
void ForEachSorted(const EntryMap<MK, V>& map, Use&& use) {
  std::vector<std::pair<const MK*, const V*>> entries;
  entries.reserve(map.size());
  map.ForEach([&](const MK& key, const V& value) {
    entries.emplace_back(&key, &value);
    return true;
  });
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return RecordCompare(*a.first, *b.first) < 0; });
  for (const auto& [key, value] : entries) use(*key, *value);
}

// Reads what is written so: decode_value(V&) reads the value of an entry.
template <class MK, class V, class DecodeEntry>
bool DecodeSorted(Decoder& in, std::size_t min_value_size, EntryMap<MK, V>& map,
                  DecodeEntry&& decode_value) {
  std::size_t count = 0;
  if (!in.Count(kMinSize<MK> + min_value_size, count) || !in.Enter()) return false;
  MK last{};
  for (std::size_t i = 0; i < count; ++i) {
    MK key{};
    if (!DecodeValue(in, key)) return in.FailedIn("key " + std::to_string(i));
    if (i > 0 && RecordCompare(last, key) >= 0) return in.Fail("keys that are not in their order");
    if (!decode_value(*map.FindOrInsert(key).first))
      return in.FailedIn("value " + std::to_string(i));
    last = std::move(key);
  }
  in.Leave();
  return true;
}

// The notation map<MK,MV>.
template <class MK, class MV>
struct MapLayout {
  static constexpr bool kWritesAll = true;
  using Map = EntryMap<MK, MV>;
  template <class Fields>
  static std::string Notation() {
    return "map<" + TypeNotation<MK, Fields>() + "," + TypeNotation<MV, Fields>() + ">";
  }
  bool Writes(const Map&) const { return true; }
  void Encode(const Map& map, std::string& out) const {
    Encoder encoder(out);
    encoder.Varint(map.size());
    ForEachSorted(map, [&](const MK& key, const MV& value) {
      EncodeValue(key, encoder);
      EncodeValue(value, encoder);
    });
  }
  MapLayout Frozen() const { return *this; }
  bool Decode(Decoder& in, Map& map) const {
    return DecodeSorted(in, kMinSize<MV>, map, [&](MV& value) { return DecodeValue(in, value); });
  }
};

template <class K, class MK, class MV>
class KeyedMap final : public MapAccess<MK, MV> {
 public:
  using Visit = typename MapAccess<MK, MV>::Visit;

  KeyedMap(const CurrentKey<K>& current, std::string name) : entry_(current, std::move(name)) {}

  StateDefinition Describe() const override { return entry_.Describe(); }
  void Open(OperatorContext& context) override { entry_.Open(context); }
  KeyedStateTable* table() override { return entry_.table(); }
  void LoadBatch(const void* const* keys, const std::uint64_t* hashes,
                 std::size_t records) override {
    entry_.LoadBatch(reinterpret_cast<const K* const*>(keys), hashes, records);
  }

  const MV* Find(const MK& key) override {
    Map* const map = entry_.Find();
    return map != nullptr ? map->Find(key) : nullptr;
  }
  MV& FindOrInsert(const MK& key) override {
    return *entry_.FindOrInsert().FindOrInsert(key).first;
  }
  bool Erase(const MK& key) override {
    Map* const map = entry_.Find();
    if (map == nullptr || !map->Erase(key)) return false;
    entry_.Written();
    if (map->empty()) entry_.Erase();
    return true;
  }
  void ForEach(void* what, Visit visit) override {
    if (Map* const map = entry_.Find(); map != nullptr)
      map->ForEach([&](const MK& key, const MV& value) { return visit(what, key, value); });
  }
  void EraseIf(void* what, Visit visit) override {
    Map* const map = entry_.Find();
    if (map == nullptr) return;
    entry_.Written();
    map->EraseIf([&](const MK& key, const MV& value) { return visit(what, key, value); });
    if (map->empty()) entry_.Erase();
  }
  std::size_t size() override {
    const Map* const map = entry_.Find();
    return map != nullptr ? map->size() : 0;
  }
  void Clear() override { entry_.Erase(); }

 private:
  using Map = EntryMap<MK, MV>;
  CurrentEntry<K, Map, MapLayout<MK, MV>> entry_;
};

// The entries of one key, and where the search for expired ones goes on.
template <class MK, class MV>
struct ExpiringEntries {
  EntryMap<MK, Stamped<MV>> map;
  // No entry has been accessed before `oldest` or after `newest`.
  Ticks oldest = kMaxTicks;
  Ticks newest = kMinTicks;
  std::uint32_t cursor = 0;

  void Touch(Stamped<MV>& entry, Ticks now) {
    entry.last_access = now;
    oldest = std::min(oldest, now);
    newest = std::max(newest, now);
  }
  void RemoveExpired(const TtlClock& clock, Ticks now) {
    if (map.empty() || !clock.Expired(oldest, now)) return;
    oldest = kMaxTicks;
    newest = kMinTicks;
    map.EraseIf([&](const MK&, Stamped<MV>& entry) {
      if (clock.Expired(entry.last_access, now)) return true;
      oldest = std::min(oldest, entry.last_access);
      newest = std::max(newest, entry.last_access);
      return false;
    });
  }
  // Looks at a few entries only.
  void RemoveSomeExpired(const TtlClock& clock, Ticks now) {
    if (!clock.Expired(oldest, now)) return;
    map.Sweep(cursor, kSweepSlots, [&](const MK&, const Stamped<MV>& entry) {
      return clock.Expired(entry.last_access, now);
    });
  }
};

// The notation map<MK,ttl<MV>>.
template <class MK, class MV>
struct FrozenExpiringMapLayout {
  using Entries = ExpiringEntries<MK, MV>;
  TtlMoment moment;
  bool Writes(const Entries& entries) const { return CountLive(entries) > 0; }
  Ticks Newest(const Entries& entries) const { return moment.Effective(entries.newest); }
  void Encode(const Entries& entries, std::string& out) const {
    Encoder encoder(out);
    encoder.Varint(CountLive(entries));
    ForEachSorted(entries.map, [&](const MK& key, const Stamped<MV>& entry) {
      if (moment.Expired(entry.last_access)) return;
      EncodeValue(key, encoder);
      EncodeValue(moment.Effective(entry.last_access), encoder);
      EncodeValue(entry.value, encoder);
    });
  }
  std::size_t CountLive(const Entries& entries) const {
    std::size_t live = 0;
    entries.map.ForEach([&](const MK&, const Stamped<MV>& entry) {
      if (!moment.Expired(entry.last_access)) ++live;
      return true;
    });
    return live;
  }
};

template <class MK, class MV>
class ExpiringMapLayout {
 public:
  using Entries = ExpiringEntries<MK, MV>;

  explicit ExpiringMapLayout(const TtlClock& clock) : clock_(clock) {}
  template <class Fields>
  static std::string Notation() {
    return "map<" + TypeNotation<MK, Fields>() + ",ttl<" + TypeNotation<MV, Fields>() + ">>";
  }
  FrozenExpiringMapLayout<MK, MV> Frozen() const { return {clock_.Moment()}; }
  bool Tracks() const { return clock_.Settled(); }
  bool Decode(Decoder& in, Entries& entries) const {
    return DecodeSorted(in, sizeof(Ticks) + kMinSize<MV>, entries.map, [&](Stamped<MV>& entry) {
      if (!DecodeValue(in, entry.last_access) || !DecodeValue(in, entry.value)) return false;
      entries.Touch(entry, entry.last_access);
      return true;
    });
  }

 private:
  const TtlClock& clock_;
};

template <class K, class MK, class MV>
class ExpiringMap final : public MapAccess<MK, MV> {
 public:
  using Visit = typename MapAccess<MK, MV>::Visit;

  ExpiringMap(const CurrentKey<K>& current, std::string name, const Ttl& ttl)
      : entry_(current, std::move(name), ttl) {}

  StateDefinition Describe() const override { return entry_.Describe(); }
  std::string Mistake() const override { return entry_.Mistake(); }
  void Open(OperatorContext& context) override { entry_.Open(context); }
  KeyedStateTable* table() override { return entry_.table(); }
  void LoadBatch(const void* const* keys, const std::uint64_t* hashes,
                 std::size_t records) override {
    entry_.LoadBatch(reinterpret_cast<const K* const*>(keys), hashes, records);
  }

  const MV* Find(const MK& key) override {
    const Ticks now = entry_.clock().Now();
    Entries* const entries = entry_.Find(now, Dead());
    if (entries == nullptr) return nullptr;
    Stamped<MV>* const found = entries->map.Find(key);
    if (found == nullptr || entry_.clock().Expired(found->last_access, now)) return nullptr;
    if (entry_.clock().renews_on_read()) {
      entry_.Written();
      entries->Touch(*found, now);
    }
    return &found->value;
  }
  MV& FindOrInsert(const MK& key) override {
    const Ticks now = entry_.clock().Now();
    Entries& entries = entry_.FindOrInsert(now, Dead());
    entries.RemoveSomeExpired(entry_.clock(), now);
    Stamped<MV>& entry = *entries.map.FindOrInsert(key).first;
    if (entry_.clock().Expired(entry.last_access, now)) entry.value = MV{};
    entries.Touch(entry, now);
    return entry.value;
  }
  bool Erase(const MK& key) override {
    const Ticks now = entry_.clock().Now();
    Entries* const entries = entry_.Find(now, Dead());
    if (entries == nullptr) return false;
    const Stamped<MV>* const found = entries->map.Find(key);
    const bool live = found != nullptr && !entry_.clock().Expired(found->last_access, now);
    entry_.Written();
    entries->map.Erase(key);
    if (entries->map.empty()) entry_.Erase();
    return live;
  }
  void ForEach(void* what, Visit visit) override {
    const Ticks now = entry_.clock().Now();
    Entries* const entries = FindLive(now);
    if (entries == nullptr) return;
    const bool renew = entry_.clock().renews_on_read();
    if (renew) entry_.Written();
    entries->map.ForEach([&](const MK& key, Stamped<MV>& entry) {
      if (renew) entries->Touch(entry, now);
      return visit(what, key, entry.value);
    });
  }
  void EraseIf(void* what, Visit visit) override {
    Entries* const entries = FindLive(entry_.clock().Now());
    if (entries == nullptr) return;
    entry_.Written();
    entries->map.EraseIf(
        [&](const MK& key, const Stamped<MV>& entry) { return visit(what, key, entry.value); });
    if (entries->map.empty()) entry_.Erase();
  }
  std::size_t size() override {
    const Entries* const entries = FindLive(entry_.clock().Now());
    return entries != nullptr ? entries->map.size() : 0;
  }
  void Clear() override { entry_.Erase(); }

 private:
  using Entries = ExpiringEntries<MK, MV>;

  auto Dead() const {
    return [this](Entries& entries, Ticks now) {
      if (entries.map.empty() || entry_.clock().Expired(entries.newest, now)) return true;
      entries.RemoveSomeExpired(entry_.clock(), now);
      return entries.map.empty();
    };
  }
  // The entries without the expired ones; null if nothing is left.
  Entries* FindLive(Ticks now) {
    Entries* const entries = entry_.Find(now, Dead());
    if (entries == nullptr) return nullptr;
    entries->RemoveExpired(entry_.clock(), now);
    if (!entries->map.empty()) return entries;
    entry_.Erase();
    return nullptr;
  }

  ExpiringEntry<K, Entries, ExpiringMapLayout<MK, MV>> entry_;
};

}  // namespace internal

// A map a key, a member of a KeyedProcess:
//   weir::MapState<std::string, std::int64_t> visits{this, "visits"};
// Each entry is read and written by itself, whatever the number of entries. It may be used in
// Process and OnTimer, where there is a current key. MK and MV must be record types; map keys are
// the same iff their encodings are.
//
// Pointers and references to values are valid until the map changes or another key comes. The
// functions that are given to ForEach and RemoveIf must not change the map.
template <class MK, class MV>
class MapState {
 public:
  // `name` is unique within the function and identifies the state in snapshots.
  template <class Function>
  MapState(Function* function, std::string_view name) : access_(Make(*function, name, nullptr)) {}
  // Each entry expires by itself. Get, Find and Contains can renew the entry they are asked for,
  // ForEach and Keys all; Put and Mutable renew the one they write.
  template <class Function>
  MapState(Function* function, std::string_view name, const Ttl& ttl)
      : access_(Make(*function, name, &ttl)) {}
  MapState(const MapState&) = delete;
  MapState& operator=(const MapState&) = delete;

  // A copy of the value; nothing if there is none.
  std::optional<MV> Get(const MK& key) const {
    const MV* const value = access_->Find(key);
    return value != nullptr ? std::optional<MV>(*value) : std::nullopt;
  }
  // The value where it is; null if there is none.
  const MV* Find(const MK& key) const { return access_->Find(key); }
  bool Contains(const MK& key) const { return access_->Find(key) != nullptr; }

  void Put(const MK& key, MV value) { access_->FindOrInsert(key) = std::move(value); }
  // The value, made as MV{} if there is none.
  MV& Mutable(const MK& key) { return access_->FindOrInsert(key); }
  // Whether there was such an entry.
  bool Remove(const MK& key) { return access_->Erase(key); }
  // Removes the entries for which f(const MK&, const MV&) is true.
  template <class F>
    requires std::predicate<F&, const MK&, const MV&>
  void RemoveIf(F&& f) {
    access_->EraseIf(Erased(f), [](void* what, const MK& key, const MV& value) -> bool {
      return std::invoke(*static_cast<std::remove_reference_t<F>*>(what), key, value);
    });
  }

  // Calls f(const MK&, const MV&) for each entry; if it returns a bool, until that is false. The
  // order is that of hashes of the keys: the same in every run and after every restore, but none
  // that means anything.
  template <class F>
    requires std::invocable<F&, const MK&, const MV&>
  void ForEach(F&& f) const {
    access_->ForEach(Erased(f), [](void* what, const MK& key, const MV& value) -> bool {
      auto& function = *static_cast<std::remove_reference_t<F>*>(what);
      if constexpr (std::is_same_v<std::invoke_result_t<F&, const MK&, const MV&>, bool>) {
        return std::invoke(function, key, value);
      } else {
        std::invoke(function, key, value);
        return true;
      }
    });
  }
  // Copies of the keys, in the order of ForEach.
  std::vector<MK> Keys() const {
    std::vector<MK> keys;
    ForEach([&](const MK& key, const MV&) { keys.push_back(key); });
    return keys;
  }
  // Does not renew.
  std::size_t size() const { return access_->size(); }
  bool empty() const { return size() == 0; }
  void Clear() { access_->Clear(); }

 private:
  template <class Function>
  static internal::MapAccess<MK, MV>* Make(Function& function, std::string_view name,
                                           const Ttl* ttl) {
    return internal::AddKeyedState<internal::MapAccess<MK, MV>, internal::KeyedMap,
                                   internal::ExpiringMap, MK, MV>(function, name, ttl);
  }

  template <class F>
  static void* Erased(F& f) {
    return const_cast<void*>(static_cast<const void*>(&f));
  }

  internal::MapAccess<MK, MV>* access_;
};

}  // namespace weir

#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "weir/codec.h"
#include "weir/graph.h"
#include "weir/state_codec.h"
#include "weir/time.h"
#include "weir/ttl.h"

namespace weir {

namespace internal {

// The key that a keyed function is being called for. One object a function; states and timers read
// it.
template <class K>
struct CurrentKey {
  const K* key = nullptr;
  std::uint64_t hash = 0;
  // Raised when the key changes: what a state has cached for the last key is void.
  std::uint64_t generation = 0;
  // Told by the operator, for state with an event-time TTL.
  EventClock events;
};

// What a state member does once it is told where it runs; the part of it that knows the key type.
class StateMember {
 public:
  virtual ~StateMember() = default;
  virtual StateDefinition Describe() const = 0;
  // What is wrong with how it was declared; empty: nothing.
  virtual std::string Mistake() const { return {}; }
  virtual void Open(OperatorContext& context) = 0;
  virtual KeyedStateTable* table() = 0;
  // Ahead of a batch of records with these keys, each a `const K*` of the function's key type: may
  // have what is stored of them, or still to be read after a restore, read at once.
  virtual void LoadBatch(const void* const* keys, const std::uint64_t* hashes,
                         std::size_t records) {
    (void)keys, (void)hashes, (void)records;
  }
  // Some records ahead of a key with this hash: may bring its place in memory closer.
  virtual void Prefetch(std::uint64_t hash) const { (void)hash; }
  // Whether entries have memory of their own that PrefetchContents brings closer.
  virtual bool HasContents() const { return false; }
  // Likewise after Prefetch, of the `const K*` key: first what the entry points to, then `all` that
  // it points to in turn.
  virtual void PrefetchContents(const void* key, std::uint64_t hash, bool all) const {
    (void)key, (void)hash, (void)all;
  }
};

template <class F>
concept KeyedFunction = requires(F& f) {
  typename F::Key;
  f.members();
};

#define WEIR_KEYED_STATE_ONLY                                                                 \
  "state of a key (ValueState, ListState, MapState, ...) belongs in a weir::KeyedProcess; a " \
  "weir::ProcessFunction has no key: use weir::OperatorList"

// The entry of the current key in a table, looked up once a call.
template <class K, class V, class Layout = RecordLayout<V>>
class CurrentEntry {
 public:
  using Table = NamedTable<K, V, Layout>;

  CurrentEntry(const CurrentKey<K>& current, std::string name)
      : current_(current), name_(std::move(name)) {}

  StateDefinition Describe() const { return Table::Describe(name_); }
  const std::string& name() const { return name_; }
  void Open(OperatorContext& context, const Layout& layout = Layout()) {
    table_ = std::make_unique<Table>(name_, context.key_groups(), context.max_parallelism(), layout,
                                     context.state_store());
    stored_ = table_->in_store();
  }
  Table* table() const { return table_.get(); }
  const CurrentKey<K>& current() const { return current_; }
  // Whether the key is not the one of the last Find.
  bool IsNewKey() const { return generation_ != current_.generation; }

  void Prefetch(std::uint64_t hash) const {
    if (stored_ == nullptr) table_->table.Prefetch(hash);
  }
  // Calls f(const V&) with the entry of any key if it is in memory and found at once.
  template <class F>
  void Glance(const K& key, std::uint64_t hash, F&& f) const {
    if (stored_ != nullptr) return;
    const typename KeyedTable<K, V>::template Locator<false> locator(table_->table);
    if (const V* const value = locator.FindAt(locator.Home(hash), key, hash); value != nullptr)
      f(*value);
  }

  // Null if there is none. Valid until the next call of another member than Find. What is changed
  // in it counts once Written was called.
  V* Find() {
    if (stored_ != nullptr) [[unlikely]] {
      return FindStored();
    }
    // What is being written is looked up anew, which preserves it.
    if (generation_ != current_.generation || table_->table.IsShared()) {
      cached_ = table_->table.Find(*current_.key, current_.hash);
      generation_ = current_.generation;
    }
    return cached_;
  }
  // The entry that Find has returned was changed, or is about to be.
  void Written() {
    if (stored_ != nullptr) [[unlikely]] {
      return stored_->Touch(*cell_, *current_.key, current_.hash);
    }
    table_->table.MarkChanged(cached_, current_.hash);
  }
  // Written.
  V& FindOrInsert() {
    if (stored_ != nullptr) [[unlikely]] {
      return FindOrInsertStored();
    }
    auto& table = table_->table;
    if (generation_ != current_.generation || cached_ == nullptr || table.IsShared()) {
      cached_ = table.FindOrInsert(*current_.key, current_.hash).first;
      generation_ = current_.generation;
    }
    table.MarkChanged(cached_, current_.hash);
    return *cached_;
  }
  void Erase() {
    if (stored_ != nullptr) [[unlikely]] {
      stored_->Erase(*current_.key, current_.hash);
      return;
    }
    table_->table.Erase(*current_.key, current_.hash);
    cached_ = nullptr;
    generation_ = current_.generation;
  }

  // Of a batch about to be processed; what is in memory is found without.
  void LoadBatch(const K* const* keys, const std::uint64_t* hashes, std::size_t records) {
    if (stored_ == nullptr) {
      table_->table.WillFind({hashes, records});
    } else if (stored_->IsUsedBy(records)) {
      stored_->Load(keys, hashes, records);
    }
  }

 private:
  using Stored = typename Table::Stored;

  [[gnu::noinline]] V& FindOrInsertStored() {
    FindStored();
    Written();
    cell_->present = true;
    return cell_->value;
  }
  V* FindStored() {
    if (generation_ != current_.generation) {
      cell_ = &stored_->Look(*current_.key, current_.hash);
      generation_ = current_.generation;
    }
    return cell_->present ? &cell_->value : nullptr;
  }

  const CurrentKey<K>& current_;
  std::string name_;
  std::unique_ptr<Table> table_;
  // Null: in memory, and `cached_` is what counts; else `cell_`.
  Stored* stored_ = nullptr;
  V* cached_ = nullptr;
  typename Stored::Cell* cell_ = nullptr;
  std::uint64_t generation_ = ~std::uint64_t{0};
};

// What all states with a TTL have in common: an entry whose V expires, and the clock. Looks for
// other expired entries whenever the key changes.
template <class K, class V, class Layout>
class ExpiringEntry {
 public:
  ExpiringEntry(const CurrentKey<K>& current, std::string name, const Ttl& ttl)
      : entry_(current, std::move(name)), ttl_(ttl) {}

  StateDefinition Describe() const { return entry_.Describe(); }
  std::string Mistake() const {
    if (ttl_.after > Duration::zero()) return {};
    return "state '" + entry_.name() + "': the TTL must be positive";
  }
  void Open(OperatorContext& context) {
    clock_.emplace(ttl_, context, entry_.current().events);
    entry_.Open(context, Layout(*clock_));
  }
  KeyedStateTable* table() const { return entry_.table(); }
  const TtlClock& clock() const { return *clock_; }

  // The entry that was found was changed.
  void Written() { entry_.Written(); }
  void LoadBatch(const K* const* keys, const std::uint64_t* hashes, std::size_t records) {
    entry_.LoadBatch(keys, hashes, records);
  }
  void Prefetch(std::uint64_t hash) const { entry_.Prefetch(hash); }

  // The entry, some of which may have expired. `dead(V&, now)` says of the entry of any key whether
  // all of it has.
  template <class Dead>
  V* Find(Ticks now, Dead&& dead) {
    SweepIfNewKey(now, dead);
    return entry_.Find();
  }
  template <class Dead>
  V& FindOrInsert(Ticks now, Dead&& dead) {
    SweepIfNewKey(now, dead);
    return entry_.FindOrInsert();
  }
  void Erase() { entry_.Erase(); }
  // Some of their entries may have expired.
  std::vector<K> Keys() { return entry_.table()->Keys(); }

 private:
  template <class Dead>
  void SweepIfNewKey(Ticks now, Dead& dead) {
    // What expires in a store goes when that is compacted.
    if (!entry_.IsNewKey() || entry_.table()->stored()) return;
    entry_.table()->table.Sweep(cursor_, kSweepSlots, [&](V& value) { return dead(value, now); });
  }

  CurrentEntry<K, V, Layout> entry_;
  const Ttl ttl_;
  std::optional<TtlClock> clock_;
  TableCursor cursor_;
};

// Typed access for ValueState<V>, which does not know the key type.
template <class V>
class ValueAccess : public StateMember {
 public:
  // The value of the current key, or null if there is none. Valid until the next call.
  virtual V* Find() = 0;
  // The value, made as V{} if there is none, and whether it was made now.
  virtual std::pair<V*, bool> FindOrInsert() = 0;
  virtual void Erase() = 0;
  // Calls f(key) with each key that has an entry now, a `const K*`, in no order.
  virtual void ForEachKey(absl::FunctionRef<void(const void*)> f) = 0;
};

template <class K, class V>
class KeyedValue final : public ValueAccess<V> {
 public:
  KeyedValue(const CurrentKey<K>& current, std::string name) : entry_(current, std::move(name)) {}

  StateDefinition Describe() const override { return entry_.Describe(); }
  void Open(OperatorContext& context) override { entry_.Open(context); }
  KeyedStateTable* table() override { return entry_.table(); }
  void LoadBatch(const void* const* keys, const std::uint64_t* hashes,
                 std::size_t records) override {
    entry_.LoadBatch(reinterpret_cast<const K* const*>(keys), hashes, records);
  }
  void Prefetch(std::uint64_t hash) const override { entry_.Prefetch(hash); }

  V* Find() override { return entry_.Find(); }
  std::pair<V*, bool> FindOrInsert() override {
    if (V* value = entry_.Find(); value != nullptr) {
      entry_.Written();
      return {value, false};
    }
    return {&entry_.FindOrInsert(), true};
  }
  void Erase() override { entry_.Erase(); }
  void ForEachKey(absl::FunctionRef<void(const void*)> f) override {
    for (const K& key : entry_.table()->Keys()) f(&key);
  }

 private:
  CurrentEntry<K, V> entry_;
};

// A value that has not expired, with its time in front.
template <class V>
struct FrozenStampedLayout {
  TtlMoment moment;
  bool Writes(const Stamped<V>& entry) const { return !moment.Expired(entry.last_access); }
  Ticks Newest(const Stamped<V>& entry) const { return moment.Effective(entry.last_access); }
  void Encode(const Stamped<V>& entry, std::string& out) const {
    EncodeValue(moment.Effective(entry.last_access), out);
    EncodeValue(entry.value, out);
  }
};

template <class V>
class StampedLayout {
 public:
  explicit StampedLayout(const TtlClock& clock) : clock_(clock) {}
  template <class Fields>
  static std::string Notation() {
    return "ttl<" + TypeNotation<V, Fields>() + ">";
  }
  FrozenStampedLayout<V> Frozen() const { return {clock_.Moment()}; }
  bool Tracks() const { return clock_.Settled(); }
  bool Decode(Decoder& in, Stamped<V>& entry) const {
    return DecodeValue(in, entry.last_access) && DecodeValue(in, entry.value);
  }

 private:
  const TtlClock& clock_;
};

template <class K, class V>
class ExpiringValue final : public ValueAccess<V> {
 public:
  ExpiringValue(const CurrentKey<K>& current, std::string name, const Ttl& ttl)
      : entry_(current, std::move(name), ttl) {}

  StateDefinition Describe() const override { return entry_.Describe(); }
  std::string Mistake() const override { return entry_.Mistake(); }
  void Open(OperatorContext& context) override { entry_.Open(context); }
  KeyedStateTable* table() override { return entry_.table(); }
  void LoadBatch(const void* const* keys, const std::uint64_t* hashes,
                 std::size_t records) override {
    entry_.LoadBatch(reinterpret_cast<const K* const*>(keys), hashes, records);
  }
  void Prefetch(std::uint64_t hash) const override { entry_.Prefetch(hash); }

  V* Find() override {
    const Ticks now = entry_.clock().Now();
    Stamped<V>* const found = entry_.Find(now, Dead());
    if (found == nullptr) return nullptr;
    if (entry_.clock().Expired(found->last_access, now)) {
      entry_.Erase();
      return nullptr;
    }
    if (entry_.clock().renews_on_read()) {
      entry_.Written();
      found->last_access = now;
    }
    return &found->value;
  }
  std::pair<V*, bool> FindOrInsert() override {
    const Ticks now = entry_.clock().Now();
    Stamped<V>* found = entry_.Find(now, Dead());
    const bool fresh = found == nullptr || entry_.clock().Expired(found->last_access, now);
    if (found == nullptr) {
      found = &entry_.FindOrInsert(now, Dead());
    } else {
      entry_.Written();
      if (fresh) found->value = V{};
    }
    found->last_access = now;
    return {&found->value, fresh};
  }
  void Erase() override { entry_.Erase(); }
  void ForEachKey(absl::FunctionRef<void(const void*)> f) override {
    for (const K& key : entry_.Keys()) f(&key);
  }

 private:
  auto Dead() const {
    return [this](const Stamped<V>& entry, Ticks now) {
      return entry_.clock().Expired(entry.last_access, now);
    };
  }
  ExpiringEntry<K, Stamped<V>, StampedLayout<V>> entry_;
};

// Registers the access to a state: a `Plain<K, V...>`, or with a TTL an `Expiring<K, V...>`. Null,
// and a compile error, where that cannot be.
template <class Access, template <class...> class Plain, template <class...> class Expiring,
          class... V, class Function>
Access* AddKeyedState(Function& function, std::string_view name, const Ttl* ttl) {
  if constexpr (!KeyedFunction<Function>) {
    static_assert(KeyedFunction<Function>, WEIR_KEYED_STATE_ONLY);
    return nullptr;
  } else if constexpr ((CheckRecord<V>() && ...)) {
    using K = typename Function::Key;
    if (ttl != nullptr) {
      return function.template AddState<Expiring<K, V...>>(std::string(name), *ttl);
    }
    return function.template AddState<Plain<K, V...>>(std::string(name));
  } else {
    return nullptr;  // does not compile
  }
}

template <class V, class Function>
ValueAccess<V>* AddValue(Function& function, std::string_view name, const Ttl* ttl) {
  return AddKeyedState<ValueAccess<V>, KeyedValue, ExpiringValue, V>(function, name, ttl);
}

}  // namespace internal

// One value a key, a member of a KeyedProcess that registers itself:
//   weir::ValueState<std::int64_t> clicks{this, "clicks"};
// It may be used in Process and OnTimer, where there is a current key. V must be a record type.
template <class V>
class ValueState {
 public:
  // `name` is unique within the function and identifies the state in snapshots.
  template <class Function>
  ValueState(Function* function, std::string_view name)
      : access_(internal::AddValue<V>(*function, name, nullptr)) {}
  // With a TTL a read of the value (Get, Exists) can renew it, and Set and Mutable do.
  template <class Function>
  ValueState(Function* function, std::string_view name, const Ttl& ttl)
      : access_(internal::AddValue<V>(*function, name, &ttl)) {}
  ValueState(const ValueState&) = delete;
  ValueState& operator=(const ValueState&) = delete;

  bool Exists() const { return access_->Find() != nullptr; }
  // A copy of the value of the current key; V{} if there is none.
  V Get() const {
    const V* value = access_->Find();
    return value != nullptr ? *value : V{};
  }
  // The value, made as V{} if there is none. The reference is valid until another key or a Clear.
  V& Mutable() { return *access_->FindOrInsert().first; }
  void Set(V value) { *access_->FindOrInsert().first = std::move(value); }
  void Clear() { access_->Erase(); }

  // For the functions that have this.
  internal::ValueAccess<V>& access() const { return *access_; }

 private:
  internal::ValueAccess<V>* access_;
};

}  // namespace weir

#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <memory>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/column.h"
#include "weir/state.h"

namespace weir {

namespace internal {

// Typed access for ListState<V>, which does not know the key type.
template <class V>
class ListAccess : public StateMember {
 public:
  virtual std::span<const V> Get() = 0;
  virtual std::size_t size() = 0;
  // `values` is not part of the list.
  virtual void Append(std::span<const V> values) = 0;
  virtual void Append(V value) = 0;
  virtual void Erase() = 0;
};

// Room for `more` elements. Many lists are short.
template <class V>
void ReserveMore(Column<V>& column, std::size_t more) {
  const std::size_t needed = column.size() + more;
  if (needed > column.capacity())
    column.reserve(std::max({needed, column.capacity() * 2, std::size_t{2}}));
}

// A list of the notation list<V>.
template <class V>
struct ListLayout {
  static constexpr bool kWritesAll = true;
  template <class Fields>
  static std::string Notation() {
    return "list<" + TypeNotation<V, Fields>() + ">";
  }
  bool Writes(const Column<V>&) const { return true; }
  void Encode(const Column<V>& list, std::string& out) const {
    Encoder encoder(out);
    encoder.Varint(list.size());
    if constexpr (kIsFlat<V>) {
      encoder.Bytes(list.data(), list.size() * sizeof(V));
    } else {
      for (const V& value : list) EncodeValue(value, encoder);
    }
  }
  ListLayout Frozen() const { return *this; }
  bool Decode(Decoder& in, Column<V>& list) const {
    std::size_t count = 0;
    if (!in.Count(kMinSize<V>, count) || !in.Enter()) return false;
    list.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      V value{};
      if (!DecodeValue(in, value)) return in.FailedIn(std::to_string(i));
      list.emplace_back(std::move(value));
    }
    in.Leave();
    return true;
  }
};

template <class K, class V>
class KeyedList final : public ListAccess<V> {
 public:
  KeyedList(const CurrentKey<K>& current, std::string name) : entry_(current, std::move(name)) {}

  StateDefinition Describe() const override { return entry_.Describe(); }
  void Open(OperatorContext& context) override { entry_.Open(context); }
  KeyedStateTable* table() override { return entry_.table(); }
  void LoadBatch(const void* const* keys, const std::uint64_t* hashes,
                 std::size_t records) override {
    entry_.LoadBatch(reinterpret_cast<const K* const*>(keys), hashes, records);
  }

  std::span<const V> Get() override {
    const Column<V>* const list = entry_.Find();
    return list != nullptr ? std::span<const V>(list->data(), list->size()) : std::span<const V>();
  }
  std::size_t size() override { return Get().size(); }
  void Append(std::span<const V> values) override {
    if (values.empty()) return;
    Column<V>& list = entry_.FindOrInsert();
    ReserveMore(list, values.size());
    for (const V& value : values) list.emplace_unchecked(value);
  }
  void Append(V value) override {
    Column<V>& list = entry_.FindOrInsert();
    ReserveMore(list, 1);
    list.emplace_unchecked(std::move(value));
  }
  void Erase() override { entry_.Erase(); }

 private:
  CurrentEntry<K, Column<V>, ListLayout<V>> entry_;
};

// The elements beside the times of their last access.
template <class V>
struct ExpiringElements {
  Column<V> values;
  Column<Ticks> accesses;
  // No element has been accessed before `oldest` or after `newest`.
  Ticks oldest = kMaxTicks;
  Ticks newest = kMinTicks;
  // Elements at the last removal of expired ones.
  std::size_t kept = 0;

  void Add(V value, Ticks now) {
    ReserveMore(values, 1);
    values.emplace_unchecked(std::move(value));
    ReserveMore(accesses, 1);
    accesses.emplace_unchecked(now);
    oldest = std::min(oldest, now);
    newest = std::max(newest, now);
  }
  void RemoveExpired(const TtlClock& clock, Ticks now) {
    if (values.empty() || !clock.Expired(oldest, now)) return;
    oldest = kMaxTicks;
    newest = kMinTicks;
    kept = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (clock.Expired(accesses[i], now)) continue;
      if (kept != i) values[kept] = std::move(values[i]);
      accesses[kept] = accesses[i];
      oldest = std::min(oldest, accesses[i]);
      newest = std::max(newest, accesses[i]);
      ++kept;
    }
    values.truncate(kept);
    accesses.truncate(kept);
  }
  void Renew(Ticks now) {
    std::fill(accesses.begin(), accesses.end(), now);
    oldest = newest = now;
  }
};

// A list of the notation list<ttl<V>>.
template <class V>
struct FrozenExpiringListLayout {
  TtlMoment moment;
  bool Writes(const ExpiringElements<V>& list) const { return CountLive(list) > 0; }
  Ticks Newest(const ExpiringElements<V>& list) const { return moment.Effective(list.newest); }
  void Encode(const ExpiringElements<V>& list, std::string& out) const {
    Encoder encoder(out);
    encoder.Varint(CountLive(list));
    for (std::size_t i = 0; i < list.values.size(); ++i) {
      if (moment.Expired(list.accesses[i])) continue;
      EncodeValue(moment.Effective(list.accesses[i]), encoder);
      EncodeValue(list.values[i], encoder);
    }
  }
  std::size_t CountLive(const ExpiringElements<V>& list) const {
    return static_cast<std::size_t>(
        std::count_if(list.accesses.begin(), list.accesses.end(),
                      [&](Ticks access) { return !moment.Expired(access); }));
  }
};

template <class V>
class ExpiringListLayout {
 public:
  using List = ExpiringElements<V>;

  explicit ExpiringListLayout(const TtlClock& clock) : clock_(clock) {}
  template <class Fields>
  static std::string Notation() {
    return "list<ttl<" + TypeNotation<V, Fields>() + ">>";
  }
  FrozenExpiringListLayout<V> Frozen() const { return {clock_.Moment()}; }
  bool Tracks() const { return clock_.Settled(); }
  bool Decode(Decoder& in, List& list) const {
    std::size_t count = 0;
    if (!in.Count(sizeof(Ticks) + kMinSize<V>, count) || !in.Enter()) return false;
    for (std::size_t i = 0; i < count; ++i) {
      Ticks access = 0;
      V value{};
      if (!DecodeValue(in, access) || !DecodeValue(in, value))
        return in.FailedIn(std::to_string(i));
      list.Add(std::move(value), access);
    }
    in.Leave();
    return true;
  }

 private:
  const TtlClock& clock_;
};

template <class K, class V>
class ExpiringList final : public ListAccess<V> {
 public:
  ExpiringList(const CurrentKey<K>& current, std::string name, const Ttl& ttl)
      : entry_(current, std::move(name), ttl) {}

  StateDefinition Describe() const override { return entry_.Describe(); }
  std::string Mistake() const override { return entry_.Mistake(); }
  void Open(OperatorContext& context) override { entry_.Open(context); }
  KeyedStateTable* table() override { return entry_.table(); }
  void LoadBatch(const void* const* keys, const std::uint64_t* hashes,
                 std::size_t records) override {
    entry_.LoadBatch(reinterpret_cast<const K* const*>(keys), hashes, records);
  }

  std::span<const V> Get() override {
    const Ticks now = entry_.clock().Now();
    List* const list = FindLive(now);
    if (list == nullptr) return {};
    if (entry_.clock().renews_on_read()) {
      entry_.Written();
      list->Renew(now);
    }
    return {list->values.data(), list->values.size()};
  }
  std::size_t size() override {
    const List* const list = FindLive(entry_.clock().Now());
    return list != nullptr ? list->values.size() : 0;
  }
  void Append(std::span<const V> values) override {
    if (values.empty()) return;
    const Ticks now = entry_.clock().Now();
    List& list = ToAppendTo(now);
    for (const V& value : values) list.Add(value, now);
  }
  void Append(V value) override {
    const Ticks now = entry_.clock().Now();
    ToAppendTo(now).Add(std::move(value), now);
  }
  void Erase() override { entry_.Erase(); }

 private:
  using List = ExpiringElements<V>;
  // Shorter lists are not searched for expired elements when one is added.
  static constexpr std::size_t kShort = 16;

  auto Dead() const {
    return [this](const List& list, Ticks now) {
      return list.values.empty() || entry_.clock().Expired(list.newest, now);
    };
  }
  // The list without its expired elements; null if nothing is left.
  List* FindLive(Ticks now) {
    List* const list = entry_.Find(now, Dead());
    if (list == nullptr) return nullptr;
    list->RemoveExpired(entry_.clock(), now);
    if (!list->values.empty()) return list;
    entry_.Erase();
    return nullptr;
  }
  // Adding looks for expired elements only when the list has doubled, so that it costs the same
  // whatever the length.
  List& ToAppendTo(Ticks now) {
    List& list = entry_.FindOrInsert(now, Dead());
    if (list.values.size() >= std::max(kShort, 2 * list.kept)) {
      list.RemoveExpired(entry_.clock(), now);
      list.kept = list.values.size();
    }
    return list;
  }

  ExpiringEntry<K, List, ExpiringListLayout<V>> entry_;
};

}  // namespace internal

// A list of values a key, in the order in which they were added; a member of a KeyedProcess:
//   weir::ListState<Click> recent{this, "recent"};
// It may be used in Process and OnTimer, where there is a current key. V must be a record type.
template <class V>
class ListState {
 public:
  // `name` is unique within the function and identifies the state in snapshots.
  template <class Function>
  ListState(Function* function, std::string_view name) : access_(Make(*function, name, nullptr)) {}
  // Each element expires by itself. Get can renew all that are left; Set does.
  template <class Function>
  ListState(Function* function, std::string_view name, const Ttl& ttl)
      : access_(Make(*function, name, &ttl)) {}
  ListState(const ListState&) = delete;
  ListState& operator=(const ListState&) = delete;

  // The elements, where they are: valid until the list changes or another key comes.
  std::span<const V> Get() const { return access_->Get(); }
  std::size_t size() const { return access_->size(); }
  bool empty() const { return size() == 0; }

  void Add(V value) { access_->Append(std::move(value)); }
  // Any range of V, but not of this list's own elements.
  template <std::ranges::input_range Range>
    requires std::convertible_to<std::ranges::range_reference_t<const Range&>, V>
  void AddAll(const Range& values) {
    if constexpr (std::convertible_to<const Range&, std::span<const V>>) {
      access_->Append(std::span<const V>(values));
    } else {
      for (const auto& value : values) access_->Append(static_cast<V>(value));
    }
  }
  void AddAll(std::initializer_list<V> values) {
    access_->Append(std::span<const V>(values.begin(), values.size()));
  }
  // Replaces all elements.
  template <std::ranges::input_range Range>
    requires std::convertible_to<std::ranges::range_reference_t<const Range&>, V>
  void Set(const Range& values) {
    Clear();
    AddAll(values);
  }
  void Set(std::initializer_list<V> values) {
    Clear();
    AddAll(values);
  }
  void Clear() { access_->Erase(); }

 private:
  template <class Function>
  static internal::ListAccess<V>* Make(Function& function, std::string_view name, const Ttl* ttl) {
    return internal::AddKeyedState<internal::ListAccess<V>, internal::KeyedList,
                                   internal::ExpiringList, V>(function, name, ttl);
  }

  internal::ListAccess<V>* access_;
};

}  // namespace weir

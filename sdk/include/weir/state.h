#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/codec.h"
#include "weir/graph.h"
#include "weir/state_codec.h"
#include "weir/time.h"

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
};

// What a state member does once it is told where it runs; the part of it that knows the key type.
class StateMember {
 public:
  virtual ~StateMember() = default;
  virtual StateDefinition Describe() const = 0;
  virtual void Open(OperatorContext& context) = 0;
  virtual KeyedStateTable* table() = 0;
};

// Typed access for ValueState<V>, which does not know the key type.
template <class V>
class ValueAccess : public StateMember {
 public:
  // The value of the current key, or null if there is none. Valid until the next call.
  virtual V* Find() = 0;
  virtual V& FindOrInsert() = 0;
  virtual void Erase() = 0;
};

template <class K, class V>
class KeyedValue final : public ValueAccess<V> {
 public:
  KeyedValue(const CurrentKey<K>& current, std::string name)
      : current_(current), name_(std::move(name)) {}

  StateDefinition Describe() const override { return {name_, NamedTable<K, V>::TypeText()}; }
  void Open(OperatorContext& context) override {
    table_ =
        std::make_unique<NamedTable<K, V>>(name_, context.key_groups(), context.max_parallelism());
  }
  KeyedStateTable* table() override { return table_.get(); }

  V* Find() override {
    if (generation_ != current_.generation) {
      cached_ = table_->table.Find(*current_.key, current_.hash);
      generation_ = current_.generation;
    }
    return cached_;
  }
  V& FindOrInsert() override {
    if (V* value = Find(); value != nullptr) return *value;
    cached_ = table_->table.FindOrInsert(*current_.key, current_.hash).first;
    return *cached_;
  }
  void Erase() override {
    table_->table.Erase(*current_.key, current_.hash);
    cached_ = nullptr;
    generation_ = current_.generation;
  }

 private:
  const CurrentKey<K>& current_;
  std::string name_;
  std::unique_ptr<NamedTable<K, V>> table_;
  V* cached_ = nullptr;
  std::uint64_t generation_ = ~std::uint64_t{0};
};

}  // namespace internal

// One value a key, a member of a KeyedProcess that registers itself:
//   weir::ValueState<std::int64_t> clicks{this, "clicks"};
// It may be used in Process and OnTimer, where there is a current key. V must be a record type.
template <class V>
class ValueState {
 public:
  // `name` is unique within the function and identifies the state in snapshots.
  template <class Function>
  ValueState(Function* function, std::string_view name) : access_(Add(*function, name)) {}
  ValueState(const ValueState&) = delete;
  ValueState& operator=(const ValueState&) = delete;

  bool Exists() const { return access_->Find() != nullptr; }
  // A copy of the value of the current key; V{} if there is none.
  V Get() const {
    const V* value = access_->Find();
    return value != nullptr ? *value : V{};
  }
  // The value, made as V{} if there is none. The reference is valid until another key or a Clear.
  V& Mutable() { return access_->FindOrInsert(); }
  void Set(V value) { access_->FindOrInsert() = std::move(value); }
  void Clear() { access_->Erase(); }

 private:
  template <class Function>
  static internal::ValueAccess<V>* Add(Function& function, std::string_view name) {
    if constexpr (CheckRecord<V>()) {
      return function.template AddState<internal::KeyedValue<typename Function::Key, V>>(
          std::string(name));
    } else {
      return nullptr;  // does not compile
    }
  }

  internal::ValueAccess<V>* access_;
};

}  // namespace weir

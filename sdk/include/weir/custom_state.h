#pragma once

#include <memory>
#include <string>
#include <utility>

#include "weir/state.h"

namespace weir::internal {

// The state of a key of an operator of the SDK's own, as a member of a KeyedProcess. `Cell` is
// default constructible and moves; `Layout` writes it (RecordLayout says how).
template <class K, class Cell, class Layout>
class CustomState final : public StateMember {
 public:
  CustomState(const CurrentKey<K>& current, std::string name, const Layout& layout = Layout())
      : entry_(current, std::move(name)), layout_(layout) {}

  StateDefinition Describe() const override { return entry_.Describe(); }
  void Open(OperatorContext& context) override {
    context_ = &context;
    entry_.Open(context, layout_);
  }
  KeyedStateTable* table() override { return entry_.table(); }
  void LoadBatch(const void* const* keys, const std::uint64_t* hashes,
                 std::size_t records) override {
    entry_.LoadBatch(reinterpret_cast<const K* const*>(keys), hashes, records);
  }
  void Prefetch(std::uint64_t hash) const override { entry_.Prefetch(hash); }
  bool HasContents() const override {
    return requires(const Cell& cell) { cell.Prefetch(true); };
  }
  void PrefetchContents(const void* key, std::uint64_t hash, bool all) const override {
    if constexpr (requires(const Cell& cell) { cell.Prefetch(true); })
      entry_.Glance(*static_cast<const K*>(key), hash,
                    [all](const Cell& cell) { cell.Prefetch(all); });
  }

  // Of the operator, once it is open.
  OperatorContext& context() { return *context_; }
  // That of the current key, to be changed; null if there is none.
  Cell* Find() {
    Cell* const cell = entry_.Find();
    if (cell != nullptr) entry_.Written();
    return cell;
  }
  // Made if there is none.
  Cell& FindOrInsert() { return entry_.FindOrInsert(); }
  void Erase() { entry_.Erase(); }
  std::size_t entries() const { return entry_.table()->entries(); }
  // See NamedTable::Peek.
  template <class F>
  void Peek(std::size_t most, F&& f) {
    entry_.table()->Peek(most, std::forward<F>(f));
  }

 private:
  CurrentEntry<K, Cell, Layout> entry_;
  const Layout layout_;
  OperatorContext* context_ = nullptr;
};

}  // namespace weir::internal

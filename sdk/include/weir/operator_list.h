#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/codec.h"
#include "weir/graph.h"
#include "weir/operator.h"
#include "weir/state_codec.h"

namespace weir {

namespace internal {

// A list state member: what the operator shows to snapshots.
class OperatorListMember : public OperatorListState {
 public:
  StateDefinition Describe() const { return {name(), Notation(type()), Notation(evolution())}; }
  std::string Mistake() const { return {}; }

 private:
  // Of the whole, with how it is dealt out.
  std::string Notation(const std::string& of_item) const {
    switch (redistribution()) {
      case Redistribution::kUnion:
        return "union<" + of_item + ">";
      case Redistribution::kBroadcast:
        return "broadcast<" + of_item + ">";
      default:
        return "split<" + of_item + ">";
    }
  }
};

template <class V, Redistribution kRedistribution>
class VectorListState final : public OperatorListMember {
 public:
  explicit VectorListState(std::string name) : name_(std::move(name)) {}

  const std::string& name() const override { return name_; }
  const std::string& type() const override { return type_; }
  std::string evolution() const override { return TypeNotation<V, EvolvingFields>(); }
  Redistribution redistribution() const override { return kRedistribution; }
  void Write(std::vector<std::string>& items) const override {
    for (const V& item : list) EncodeValue(item, items.emplace_back());
  }
  absl::Status Read(const std::vector<std::string_view>& items) override {
    for (std::size_t i = 0; i < items.size(); ++i) {
      V item{};
      const absl::Status status = DecodeValue(items[i], item);
      if (!status.ok()) {
        return absl::DataLossError("state '" + name_ + "', item " + std::to_string(i) + ": " +
                                   std::string(status.message().data(), status.message().size()));
      }
      list.push_back(std::move(item));
    }
    return absl::OkStatus();
  }

  std::vector<V> list;

 private:
  const std::string name_;
  const std::string type_ = TypeNotation<V>();
};

template <class F>
concept UnkeyedFunction = requires(F& f) { f.list_members(); };

}  // namespace internal

// State of a ProcessFunction that belongs to no key: a vector that is written with each snapshot; a
// member that registers itself:
//   weir::OperatorList<Click> waiting{this, "waiting"};
// One list a subtask. A restored job with as many subtasks gives each its own list back; with
// another number the items are dealt out, one by one in turn. What was restored is added to what is
// there after Open. V must be a record type.
template <class V, Redistribution kRedistribution = Redistribution::kSplit>
class OperatorList {
 public:
  // `name` is unique within the function and identifies the state in snapshots.
  template <class Function>
  OperatorList(Function* function, std::string_view name) : list_(Add(*function, name)) {}
  OperatorList(const OperatorList&) = delete;
  OperatorList& operator=(const OperatorList&) = delete;

  std::vector<V>& operator*() { return *list_; }
  std::vector<V>* operator->() { return list_; }
  auto begin() { return list_->begin(); }
  auto end() { return list_->end(); }

 private:
  template <class Function>
  static std::vector<V>* Add(Function& function, std::string_view name) {
    if constexpr (!internal::UnkeyedFunction<Function>) {
      static_assert(internal::UnkeyedFunction<Function>,
                    "weir::OperatorList and OperatorUnionList belong in a weir::ProcessFunction; a "
                    "weir::KeyedProcess has state of its key: use weir::ListState");
      return nullptr;
    } else if constexpr (CheckRecord<V>()) {
      auto member =
          std::make_unique<internal::VectorListState<V, kRedistribution>>(std::string(name));
      std::vector<V>* const list = &member->list;
      function.AddList(std::move(member));
      return list;
    } else {
      return nullptr;  // does not compile
    }
  }

  std::vector<V>* list_;
};

// The same, but when it is restored each subtask gets the items of all.
template <class V>
using OperatorUnionList = OperatorList<V, Redistribution::kUnion>;

}  // namespace weir

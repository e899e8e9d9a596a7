#pragma once

#include <concepts>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "weir/compare.h"
#include "weir/graph_builder.h"
#include "weir/keyed_stream.h"
#include "weir/misuse.h"
#include "weir/operator_list.h"
#include "weir/process.h"
#include "weir/stream.h"
#include "weir/usage_error.h"

namespace weir {

namespace internal {

struct RecordLess {
  template <class T>
  bool operator()(const T& a, const T& b) const {
    return RecordCompare(a, b) < 0;
  }
};

// A broadcast map as the operator shows it to snapshots: an item an entry, by key.
template <class K, class V>
class BroadcastMapState final : public OperatorListMember {
 public:
  using Entry = std::pair<K, V>;

  explicit BroadcastMapState(std::string name) : name_(std::move(name)) {}

  const std::string& name() const override { return name_; }
  const std::string& type() const override { return type_; }
  std::string evolution() const override { return TypeNotation<Entry, EvolvingFields>(); }
  Redistribution redistribution() const override { return Redistribution::kBroadcast; }
  void Write(std::vector<std::string>& items) const override {
    for (const auto& [key, value] : map) EncodeValue(Entry(key, value), items.emplace_back());
  }
  absl::Status Read(const std::vector<std::string_view>& items) override {
    for (std::size_t i = 0; i < items.size(); ++i) {
      Entry entry{};
      const absl::Status status = DecodeValue(items[i], entry);
      if (!status.ok()) {
        return absl::DataLossError("state '" + name_ + "', item " + std::to_string(i) + ": " +
                                   std::string(status.message().data(), status.message().size()));
      }
      map.insert_or_assign(std::move(entry.first), std::move(entry.second));
    }
    return absl::OkStatus();
  }

  std::map<K, V, RecordLess> map;

 private:
  const std::string name_;
  const std::string type_ = TypeNotation<Entry>();
};

// What a context is that may write broadcast state.
class BroadcastWriter {};

template <class F>
concept BroadcastFunction = requires(F& f) { f.broadcast_members(); };

}  // namespace internal

// What ProcessBroadcast may ask and do: it is called in every subtask, in the same order, and must
// do the same in each.
template <class Out>
class BroadcastContext : public ProcessContext<Out>, public internal::BroadcastWriter {
 public:
  // In the place of what the function has for records of its own stream.
  explicit BroadcastContext(const ProcessContext<Out>& context) : ProcessContext<Out>(context) {}
};

// A map that every subtask of an operator has: a member, that registers itself, of a
// BroadcastProcess or KeyedBroadcastProcess.
//   weir::BroadcastState<std::string, Rule> rules{this, "rules"};
// It is read anywhere and written in ProcessBroadcast alone, whose context every writing call
// takes; so all subtasks have the same. Part of a snapshot; a restored job has a copy in each
// subtask, whatever its parallelism. It is held in memory. K and V must be record types.
template <class K, class V>
class BroadcastState {
 public:
  // `name` is unique within the function and identifies the state in snapshots.
  template <class Function>
  BroadcastState(Function* function, std::string_view name) : state_(Add(*function, name)) {}
  BroadcastState(const BroadcastState&) = delete;
  BroadcastState& operator=(const BroadcastState&) = delete;

  // The value where it is, until it is written; null if there is none.
  const V* Find(const K& key) const {
    const auto found = state_->map.find(key);
    return found == state_->map.end() ? nullptr : &found->second;
  }
  // A copy; nothing if there is none.
  std::optional<V> Get(const K& key) const {
    const V* const value = Find(key);
    return value == nullptr ? std::nullopt : std::optional<V>(*value);
  }
  bool Contains(const K& key) const { return Find(key) != nullptr; }
  std::size_t size() const { return state_->map.size(); }
  bool empty() const { return state_->map.empty(); }
  // Pairs of key and value, by key (RecordCompare).
  auto begin() const { return state_->map.cbegin(); }
  auto end() const { return state_->map.cend(); }

  void Put(const internal::BroadcastWriter&, const K& key, V value) {
    state_->map.insert_or_assign(key, std::move(value));
  }
  // The value, made as V{} if there is none.
  V& Mutable(const internal::BroadcastWriter&, const K& key) { return state_->map[key]; }
  // Whether there was such an entry.
  bool Remove(const internal::BroadcastWriter&, const K& key) { return state_->map.erase(key) > 0; }
  void Clear(const internal::BroadcastWriter&) { state_->map.clear(); }

  template <class Context, class... A>
    requires(!std::derived_from<Context, internal::BroadcastWriter>)
  WEIR_USAGE_ERROR(
      "Put(context, key, value): broadcast state is written in ProcessBroadcast alone, with the "
      "context that it is given, so that all subtasks have the same")
  void Put(const Context&, const A&...) {
    internal::NeverRun();
  }
  template <class Context, class... A>
    requires(!std::derived_from<Context, internal::BroadcastWriter>)
  WEIR_USAGE_ERROR(
      "Remove(context, key): broadcast state is written in ProcessBroadcast alone, with the "
      "context "
      "that it is given, so that all subtasks have the same")
  bool Remove(const Context&, const A&...) {
    internal::NeverRun();
    return false;
  }

 private:
  using State = internal::BroadcastMapState<K, V>;

  template <class Function>
  static State* Add(Function& function, std::string_view name) {
    if constexpr (!internal::BroadcastFunction<Function>) {
      static_assert(internal::BroadcastFunction<Function>,
                    "weir::BroadcastState belongs in a weir::BroadcastProcess or "
                    "weir::KeyedBroadcastProcess");
      return nullptr;
    } else if constexpr (CheckRecord<K>() && CheckRecord<V>()) {
      auto member = std::make_unique<State>(std::string(name));
      State* const state = member.get();
      function.AddBroadcast(std::move(member));
      return state;
    } else {
      return nullptr;  // does not compile
    }
  }

  State* state_;
};

// A function over the records of a stream, which may depend on what has come on another one, of
// which every subtask gets all: Process for the former, ProcessBroadcast for the latter. Which of
// two records comes first is open. Its state are members: BroadcastState, and those of a
// ProcessFunction.
template <class I, class B, class O>
class BroadcastProcess : public ProcessFunction<I, O> {
 public:
  using Broadcast = B;
  using BroadcastContext = weir::BroadcastContext<O>;

  virtual void ProcessBroadcast(const B& record, BroadcastContext& context) = 0;

  // For the members that register themselves, and the operator that owns the function.
  void AddBroadcast(std::unique_ptr<internal::OperatorListMember> state) {
    this->AddList(std::move(state));
  }
  const auto& broadcast_members() const { return this->list_members(); }
};

// The same for a keyed stream: Process and OnTimer have the state and timers of their key besides
// and read the broadcast state; ProcessBroadcast is for no key, so it has no state of one.
template <class K, class I, class B, class O>
class KeyedBroadcastProcess : public KeyedProcess<K, I, O> {
 public:
  using Broadcast = B;
  using BroadcastContext = weir::BroadcastContext<O>;

  virtual void ProcessBroadcast(const B& record, BroadcastContext& context) = 0;

  // In ProcessBroadcast: calls f(key) for each key of the subtask that has a value in `state`, in
  // no order. It is the current key meanwhile: its states may be read and written, its timers set.
  // Reads all keys, also those on disk, and has a copy of them all until it returns.
  template <class V, class F>
  void ForEachKey(const internal::BroadcastWriter&, const ValueState<V>& state, F&& f) {
    internal::CurrentKey<K>& current = this->current();
    state.access().ForEachKey([&](const void* at) {
      current.key = static_cast<const K*>(at);
      current.hash = KeyHash(*current.key);
      ++current.generation;
      if (state.Exists()) f(*current.key);  // else it has expired, or f has cleared it
    });
    current.key = nullptr;
  }

  // For the members that register themselves, and the operator that owns the function.
  void AddBroadcast(std::unique_ptr<internal::OperatorListMember> state) {
    broadcast_.push_back(std::move(state));
  }
  const std::vector<std::unique_ptr<internal::OperatorListMember>>& broadcast_members() const {
    return broadcast_;
  }

 private:
  std::vector<std::unique_ptr<internal::OperatorListMember>> broadcast_;
};

namespace internal {

template <class F, class T, class B>
concept BroadcastProcessOf = ProcessOf<F, T> && requires {
  requires std::derived_from<F, BroadcastProcess<T, B, typename F::Out>>;
};
template <class F, class Key, class T, class B>
concept KeyedBroadcastProcessOf = KeyedProcessOf<F, Key, T> && requires {
  requires std::derived_from<F, KeyedBroadcastProcess<Key, T, B, typename F::Out>>;
};

#define WEIR_NO_BROADCAST_FUNCTION                                                                 \
  "Process<F>(uid, args...) after WithBroadcast: F must derive from "                              \
  "weir::BroadcastProcess<T, B, Out>, or after KeyBy from "                                        \
  "weir::KeyedBroadcastProcess<Key, T, B, Out>, where T and B are the record types of the stream " \
  "and of the one that is broadcast"
#define WEIR_BROADCAST_FUNCTION_UNFINISHED                                                       \
  "Process<F>(uid, args...): the uid comes first, F must have a constructor that takes args... " \
  "by value or const reference, and F must override void Process(const T& record, Context& "     \
  "context) and void ProcessBroadcast(const B& record, BroadcastContext& context)"

// The second input of the node is the stream, in every subtask whole.
template <class B>
void ConnectBroadcast(GraphBuilder& graph, std::uint32_t node, Upstream broadcast) {
  broadcast.partitioning = Partitioning::kBroadcast;
  graph.Connect(broadcast, node, 1, &RecordTypeOf<B>());
}

}  // namespace internal

// A stream and another one that goes to every subtask: Process<F> is all that there is for them.
template <class T, class B>
class StreamWithBroadcast {
 public:
  StreamWithBroadcast(Stream<T> stream, internal::GraphBuilder* graph, internal::Upstream broadcast)
      : stream_(std::move(stream)), graph_(graph), broadcast_(std::move(broadcast)) {}

  // F derives from weir::BroadcastProcess<T, B, Out>; `args` go to its constructor, once for each
  // subtask.
  template <class F, class... Args>
    requires(internal::BroadcastProcessOf<F, T, B> && internal::MadeFrom<F, Args...>)
  auto Process(internal::PlacedUid uid, Args... args) const {
    if constexpr (CheckRecord<typename F::Out>()) {
      internal::Upstream whole = broadcast_;
      whole.partitioning = Partitioning::kBroadcast;
      return internal::AddTwoInputs<F, B>(stream_, *graph_, whole, std::move(uid), args...);
    } else {
      return internal::AfterMistake();
    }
  }
  template <class F, class... A>
    requires(!internal::BroadcastProcessOf<F, T, B>)
  WEIR_USAGE_ERROR(WEIR_NO_BROADCAST_FUNCTION)
  internal::AfterMistake Process(A&&...) const {
    return {};
  }
  template <class F, class... A>
    requires(internal::BroadcastProcessOf<F, T, B> && !internal::kProcessArguments<F, A...>)
  WEIR_USAGE_ERROR(WEIR_BROADCAST_FUNCTION_UNFINISHED)
  internal::AfterMistake Process(A&&...) const {
    return {};
  }

 private:
  Stream<T> stream_;
  internal::GraphBuilder* graph_;
  internal::Upstream broadcast_;
};

// The same behind KeyBy; `F` gives the key.
template <class T, class F, class B>
class KeyedStreamWithBroadcast {
 public:
  using Key = internal::KeyOf<F, T>;

  KeyedStreamWithBroadcast(internal::KeyedUpstream<T, F> keyed, internal::Upstream broadcast)
      : keyed_(std::move(keyed)), broadcast_(std::move(broadcast)) {}

  // P derives from weir::KeyedBroadcastProcess<Key, T, B, Out>; `args` go to its constructor, once
  // for each subtask.
  template <class P, class... Args>
    requires(internal::KeyedBroadcastProcessOf<P, Key, T, B> && internal::MadeFrom<P, Args...>)
  auto Process(internal::PlacedUid uid, Args... args) const {
    if constexpr (CheckRecord<typename P::Out>()) {
      NodeDefinition node;
      node.uid = std::move(uid.text);
      node.description = "Process";
      node.inputs = 2;
      const P prototype(args...);
      internal::DescribeMembers(prototype.members(), uid.where, *keyed_.graph, node);
      internal::DescribeMembers(prototype.broadcast_members(), uid.where, *keyed_.graph, node);
      auto out = keyed_.template Add<typename P::Out>(
          std::move(node), uid.where,
          [key = keyed_.key, args...](std::shared_ptr<const internal::SidePorts> sides) {
            return std::make_unique<internal::KeyedProcessOperator<P, F>>(
                std::make_unique<P>(args...), key, std::move(sides));
          });
      internal::ConnectBroadcast<B>(*keyed_.graph, out.Close().ports.front().node, broadcast_);
      return out;
    } else {
      return internal::AfterMistake();
    }
  }
  template <class P, class... A>
    requires(!internal::KeyedBroadcastProcessOf<P, Key, T, B>)
  WEIR_USAGE_ERROR(WEIR_NO_BROADCAST_FUNCTION)
  internal::AfterMistake Process(A&&...) const {
    return {};
  }
  template <class P, class... A>
    requires(internal::KeyedBroadcastProcessOf<P, Key, T, B> &&
             !internal::kProcessArguments<P, A...>)
  WEIR_USAGE_ERROR(WEIR_BROADCAST_FUNCTION_UNFINISHED)
  internal::AfterMistake Process(A&&...) const {
    return {};
  }

 private:
  internal::KeyedUpstream<T, F> keyed_;
  internal::Upstream broadcast_;
};

}  // namespace weir

#pragma once

#include <algorithm>
#include <concepts>
#include <memory>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "weir/cached_table.h"
#include "weir/functions.h"
#include "weir/graph_builder.h"
#include "weir/operator_list.h"
#include "weir/results.h"
#include "weir/state.h"
#include "weir/thrown.h"
#include "weir/timers.h"
#include "weir/usage_error.h"
#include "weir/window_listing.h"

namespace weir {

// What a process function may ask and do while it is called.
template <class Out>
class ProcessContext {
 public:
  ProcessContext(OperatorContext& context, internal::Results<Out>& results)
      : context_(context), results_(results) {}

  // Event time of the record or timer; EventTime::Min() if it has none.
  EventTime timestamp() const { return EventTime::FromTicks(timestamp_); }
  bool has_timestamp() const { return timestamp_ != kMinTicks; }
  EventTime watermark() const { return EventTime::FromTicks(watermark_); }
  // The wall clock.
  EventTime now() const { return EventTime::FromTicks(context_.ProcessingTime()); }

  // Puts out a record with the timestamp of what the function is called for (semantics rule 21).
  void Emit(Out record) { results_.Emit(std::move(record), timestamp_); }
  template <class U>
  void Emit(const SideOutput<U>& tag, std::type_identity_t<U> record) {
    results_.template EmitSide<U>(tag, std::move(record), timestamp_);
  }
  template <class V>
    requires(!std::convertible_to<V, Out>)
  WEIR_USAGE_ERROR("Emit(record): the record is not of the function's output type")
  void Emit(V&&) {
    internal::NeverRun();
  }
  template <class U, class V>
    requires(!std::convertible_to<V, U>)
  WEIR_USAGE_ERROR("Emit(tag, record): the record is not of the side output's type")
  void Emit(const SideOutput<U>&, V&&) {
    internal::NeverRun();
  }
  Counter& counter(std::string_view name) { return context_.metrics().counter(name); }
  Gauge& gauge(std::string_view name) { return context_.metrics().gauge(name); }

  // For the operator that owns this.
  void set_timestamp(Ticks timestamp) { timestamp_ = timestamp; }
  void set_watermark(Ticks watermark) { watermark_ = watermark; }
  Ticks watermark_ticks() const { return watermark_; }
  internal::Results<Out>& results() { return results_; }

 private:
  OperatorContext& context_;
  internal::Results<Out>& results_;
  Ticks timestamp_ = kMinTicks;
  Ticks watermark_ = kMinTicks;
};

// A function over single records that may put out any number, also to side outputs. Derive and
// override Process. Its state are members (OperatorList, OperatorUnionList).
template <class I, class O>
class ProcessFunction {
 public:
  using In = I;
  using Out = O;
  using Context = ProcessContext<O>;

  virtual ~ProcessFunction() = default;
  virtual void Open(FunctionContext&) {}
  virtual void Process(const I& record, Context& context) = 0;
  virtual void Close() {}

  // For the members that register themselves.
  void AddList(std::unique_ptr<internal::OperatorListMember> list) {
    lists_.push_back(std::move(list));
  }
  // For the operator that owns the function.
  const std::vector<std::unique_ptr<internal::OperatorListMember>>& list_members() const {
    return lists_;
  }

 private:
  std::vector<std::unique_ptr<internal::OperatorListMember>> lists_;
};

// A function over the records of one key at a time, with state and timers of that key as members
// (ValueState, ListState, MapState, ReducingState, AggregatingState, EventTimer, ProcessingTimer,
// EventTimers, ProcessingTimers).
// One object a subtask serves all keys of it; plain members are shared by them and not part of a
// snapshot.
template <class K, class I, class O>
class KeyedProcess {
 public:
  using Key = K;
  using In = I;
  using Out = O;
  using KeyedBase = KeyedProcess;

  class Context : public ProcessContext<O> {
   public:
    Context(OperatorContext& context, internal::Results<O>& results,
            const internal::CurrentKey<K>& current)
        : ProcessContext<O>(context, results), current_(current) {}
    const K& key() const { return *current_.key; }

   private:
    const internal::CurrentKey<K>& current_;
  };

  KeyedProcess() = default;
  KeyedProcess(const KeyedProcess&) = delete;
  KeyedProcess& operator=(const KeyedProcess&) = delete;
  virtual ~KeyedProcess() = default;

  virtual void Open(FunctionContext&) {}
  virtual void Process(const I& record, Context& context) = 0;
  virtual void OnTimer(const EventTimer&, Context&) {}
  virtual void OnTimer(const ProcessingTimer&, Context&) {}
  // One of many is due, for which `time` it was set.
  virtual void OnTimer(const EventTimers&, EventTime time, Context&) { (void)time; }
  virtual void OnTimer(const ProcessingTimers&, EventTime time, Context&) { (void)time; }
  virtual void Close() {}

  // For the members that register themselves.
  template <class Member, class... Args>
  Member* AddState(std::string name, const Args&... args) {
    auto member = std::make_unique<Member>(current_, std::move(name), args...);
    Member* added = member.get();
    members_.push_back(std::move(member));
    return added;
  }
  template <bool kEventTime>
  internal::TimerAccess* AddTimer(const internal::NamedTimer<kEventTime>* handle,
                                  std::string name) {
    auto* const added = MakeTimer<internal::KeyedTimer<K>, kEventTime>(std::move(name));
    timers<kEventTime>().members.push_back({.timer = added, .handle = handle});
    return added;
  }
  template <bool kEventTime>
  internal::TimersAccess* AddTimers(const internal::ManyTimers<kEventTime>* handle,
                                    std::string name) {
    auto* const added = MakeTimer<internal::KeyedTimers<K>, kEventTime>(std::move(name));
    timers<kEventTime>().members.push_back({.many = added, .many_handle = handle});
    return added;
  }

  // Timers in event time will usually be set for so much after what the watermark has reached.
  void ExpectTimersAhead(Ticks ahead) { event_timers_.queue = internal::TimerQueue<K>(ahead); }

  // For the operator that owns the function.
  template <bool kEventTime>
  struct TimerDomain {
    // One timer a key, or many.
    struct Member {
      internal::KeyedTimer<K>* timer = nullptr;
      const internal::NamedTimer<kEventTime>* handle = nullptr;
      internal::KeyedTimers<K>* many = nullptr;
      const internal::ManyTimers<kEventTime>* many_handle = nullptr;

      bool Take(const typename internal::TimerQueue<K>::Entry& entry) {
        return timer != nullptr ? timer->Take(entry) : many->Take(entry);
      }
      bool Stale(const typename internal::TimerQueue<K>::Entry& entry) {
        return timer != nullptr ? timer->Stale(entry) : many->Stale(entry);
      }
      std::size_t size() const { return timer != nullptr ? timer->size() : many->size(); }
      void QueueStored() { return timer != nullptr ? timer->QueueStored() : many->QueueStored(); }
    };
    internal::TimerQueue<K> queue{internal::kUsualTimerAhead};
    std::vector<Member> members;
    bool closed = false;
    std::uint64_t dropped = 0;
  };
  template <bool kEventTime>
  auto& timers() {
    if constexpr (kEventTime) {
      return event_timers_;
    } else {
      return processing_timers_;
    }
  }
  internal::CurrentKey<K>& current() { return current_; }
  const std::vector<std::unique_ptr<internal::StateMember>>& members() const { return members_; }

 private:
  template <class Timer, bool kEventTime>
  Timer* MakeTimer(std::string name) {
    auto& domain = timers<kEventTime>();
    auto member = std::make_unique<Timer>(current_, domain.queue,
                                          static_cast<std::uint32_t>(domain.members.size()),
                                          std::move(name), &domain.closed, &domain.dropped);
    Timer* const added = member.get();
    members_.push_back(std::move(member));
    return added;
  }

  internal::CurrentKey<K> current_;
  TimerDomain<true> event_timers_;
  TimerDomain<false> processing_timers_;
  std::vector<std::unique_ptr<internal::StateMember>> members_;
};

namespace internal {

// Adds the states of a function to its node, where `jobctl explain` finds them, and notes what is
// wrong with them.
template <class Members>
void DescribeMembers(const Members& members, const std::source_location& where, GraphBuilder& graph,
                     NodeDefinition& node) {
  for (const auto& member : members) {
    StateDefinition state = member->Describe();
    if (std::string mistake = member->Mistake(); !mistake.empty())
      graph.Error(where, "operator '" + node.uid + "', " + mistake);
    for (const StateDefinition& other : node.states) {
      if (other.name == state.name) {
        graph.Error(where, "operator '" + node.uid + "': two states or timers are named '" +
                               state.name + "'");
      }
    }
    node.states.push_back(std::move(state));
  }
}

// Hands the records of the second input of an operator to a function with broadcast state.
template <class F, class Context>
absl::Status ProcessBroadcastBatch(F& function, const Context& context, BatchBase& base,
                                   Results<typename F::Out>& results,
                                   OperatorContext& operator_context) {
  auto& batch = static_cast<Batch<typename F::Broadcast>&>(base);
  typename F::BroadcastContext broadcast(context);
  std::size_t i = 0;
  try {
    for (; i < batch.records.size(); ++i) {
      broadcast.set_timestamp(batch.TimestampAt(i));
      function.ProcessBroadcast(std::as_const(batch.records[i]), broadcast);
    }
  } catch (...) {
    TellThrownOn(operator_context, batch.records[i]);
    throw;
  }
  return results.Flush();
}

template <class F>
class ProcessOperator final : public Operator {
 public:
  ProcessOperator(std::unique_ptr<F> function, std::shared_ptr<const SidePorts> ports)
      : function_(std::move(function)), ports_(std::move(ports)) {}

  absl::Status Open(OperatorContext& context) override {
    operator_context_ = &context;
    results_.Open(context, ports_);
    context_ = std::make_unique<typename F::Context>(context, results_);
    FunctionContext function_context(context);
    function_->Open(function_context);
    opened_ = true;
    return absl::OkStatus();
  }
  absl::Status ProcessBatch([[maybe_unused]] std::size_t input, BatchBase& base) override {
    if constexpr (requires { typename F::Broadcast; }) {
      if (input == 1)
        return ProcessBroadcastBatch(*function_, *context_, base, results_, *operator_context_);
    }
    if constexpr (requires { typename F::Second; }) {
      if (input == 1) {
        return ProcessRecords(
            static_cast<Batch<typename F::Second>&>(base),
            [&](const auto& record) { function_->ProcessSecond(record, *context_); });
      }
    }
    return ProcessRecords(static_cast<Batch<typename F::In>&>(base),
                          [&](const auto& record) { function_->Process(record, *context_); });
  }
  absl::StatusOr<bool> OnWatermark(Ticks watermark) override {
    context_->set_watermark(watermark);
    return true;
  }
  void Close() override {
    if (opened_) function_->Close();
    opened_ = false;
  }

  std::vector<OperatorListState*> list_state() override {
    std::vector<OperatorListState*> lists;
    for (const auto& member : function_->list_members()) lists.push_back(member.get());
    return lists;
  }

 private:
  template <class T, class Call>
  absl::Status ProcessRecords(const Batch<T>& batch, Call&& call) {
    std::size_t i = 0;
    try {
      for (; i < batch.records.size(); ++i) {
        context_->set_timestamp(batch.TimestampAt(i));
        call(batch.records[i]);
      }
    } catch (...) {
      TellThrownOn(*operator_context_, batch.records[i]);
      throw;
    }
    return results_.Flush();
  }

  std::unique_ptr<F> function_;
  std::shared_ptr<const SidePorts> ports_;
  OperatorContext* operator_context_ = nullptr;
  Results<typename F::Out> results_;
  std::unique_ptr<typename F::Context> context_;
  bool opened_ = false;
};

// Adds the operator of P, a function over two streams without keys; `second` says how that is
// spread.
template <class P, class B, class First, class... Args>
auto AddTwoInputs(const First& first, GraphBuilder& graph, const Upstream& second, PlacedUid uid,
                  const Args&... args) {
  NodeDefinition node;
  node.uid = std::move(uid.text);
  node.description = "Process";
  node.inputs = 2;
  const P prototype(args...);
  DescribeMembers(prototype.list_members(), uid.where, graph, node);
  auto out = first.template AddOperator<typename P::Out>(
      std::move(node), uid.where, [args...](std::shared_ptr<const SidePorts> sides) {
        return std::make_unique<ProcessOperator<P>>(std::make_unique<P>(args...), std::move(sides));
      });
  graph.Connect(second, out.Close().ports.front().node, 1, &RecordTypeOf<B>());
  return out;
}

// In the place of the key of a second input where there is none.
struct NoKey {};

// Runs a KeyedProcess: sets the current key before each call, fires timers (semantics rules 18 to
// 22). `SecondKey` gives the key of the second input of a function that has one.
template <class F, class KeyFunction, class SecondKey = NoKey>
class KeyedProcessOperator final : public Operator {
 public:
  using K = typename F::Key;

  KeyedProcessOperator(std::unique_ptr<F> function, KeyFunction key,
                       std::shared_ptr<const SidePorts> ports, SecondKey second_key = {})
      : function_(std::move(function)),
        key_(std::move(key)),
        second_key_(std::move(second_key)),
        ports_(std::move(ports)) {}

  absl::Status Open(OperatorContext& context) override {
    operator_context_ = &context;
    results_.Open(context, ports_);
    context_ = std::make_unique<typename F::Context>(context, results_, base().current());
    if (StateStore* const store = context.state_store(); store != nullptr) {
      stored_ = true;
      event().queue.SpillTo(*store, "timers.event");
      processing().queue.SpillTo(*store, "timers.processing");
    }
    for (const auto& member : base().members()) member->Open(context);
    FunctionContext function_context(context);
    function_->Open(function_context);
    opened_ = true;
    return absl::OkStatus();
  }

  absl::Status ProcessBatch([[maybe_unused]] std::size_t input, BatchBase& base) override {
    if constexpr (requires { typename F::Broadcast; }) {
      if (input == 1) {
        WEIR_SDK_RETURN_IF_ERROR(
            ProcessBroadcastBatch(*function_, *context_, base, results_, *operator_context_));
        return EndCall();
      }
    }
    if constexpr (requires { typename F::Second; }) {
      if (input == 1) {
        return ProcessRecords(
            static_cast<Batch<typename F::Second>&>(base), second_key_,
            [&](const auto& record) { function_->ProcessSecond(record, *context_); });
      }
    }
    return ProcessRecords(static_cast<Batch<typename F::In>&>(base), key_,
                          [&](const auto& record) { function_->Process(record, *context_); });
  }

  absl::StatusOr<bool> OnWatermark(Ticks watermark) override {
    context_->set_watermark(watermark);
    base().current().events.Advance(watermark);
    const bool done = FireEvent(watermark);
    WEIR_SDK_RETURN_IF_ERROR(EndCall());
    return done;
  }

  absl::StatusOr<bool> OnProcessingTime(Ticks now) override {
    const bool done = FireProcessing(now, /*may_stop=*/true);
    WEIR_SDK_RETURN_IF_ERROR(EndCall());
    return done;
  }

  // Rule 22: what stands of processing time fires now; what is set meanwhile is dropped, in event
  // time fires at once.
  absl::StatusOr<bool> Finish() override {
    processing().closed = true;
    bool done = true;
    std::size_t loaded = 0;
    while (processing().queue.First(kMaxTicks) != nullptr) {
      if (results_.Blocked()) {
        done = false;
        break;
      }
      LoadDue(processing().queue, kMaxTicks, loaded);
      const auto entry = processing().queue.PopFirst();
      Fire<false>(entry, kMinTicks);
      FireEvent(kMaxTicks, /*may_stop=*/false);
    }
    if (done && processing().dropped > 0) {
      operator_context_->metrics()
          .counter("processingTimersDroppedAtEnd")
          .Add(std::exchange(processing().dropped, 0));
    }
    WEIR_SDK_RETURN_IF_ERROR(EndCall());
    return done;
  }

  void Close() override {
    if (opened_) function_->Close();
    opened_ = false;
  }

  std::vector<KeyedStateTable*> keyed_state() override {
    std::vector<KeyedStateTable*> tables;
    for (const auto& member : base().members()) tables.push_back(member->table());
    return tables;
  }
  std::vector<OperatorListState*> list_state() override {
    std::vector<OperatorListState*> lists;
    if constexpr (requires { typename F::Broadcast; }) {
      for (const auto& member : function_->broadcast_members()) lists.push_back(member.get());
    }
    return lists;
  }
  bool ListWindows(WindowListing& listing) override {
    if constexpr (requires { function_->ListWindows(listing); }) {
      function_->ListWindows(listing);
      return true;
    } else {
      return false;
    }
  }

 private:
  // What the user's class inherits, though it may have members of the same names, or override one
  // of several overloads and so hide the others.
  typename F::KeyedBase& base() { return *function_; }
  auto& event() { return base().template timers<true>(); }
  auto& processing() { return base().template timers<false>(); }

  template <class T, class Key, class Call>
  absl::Status ProcessRecords(Batch<T>& batch, const Key& key_of, Call&& call) {
    const bool hashed = !batch.hashes.empty();
    if (LoadsBatches()) LoadBatch(batch, key_of);
    const StateMember* const first =
        base().members().empty() ? nullptr : base().members().front().get();
    // An integer's hash costs less than a wait for memory.
    constexpr std::size_t kAhead = 8;
    const bool prefetches = first != nullptr && (hashed || std::is_integral_v<K>);
    const bool looks_deeper = prefetches && first->HasContents();
    std::size_t i = 0;
    try {
      for (; i < batch.records.size(); ++i) {
        if (prefetches && i + kAhead < batch.records.size()) {
          if (hashed) {
            first->Prefetch(batch.hashes[i + kAhead]);
          } else {
            const K& ahead = std::invoke(key_of, std::as_const(batch.records[i + kAhead]));
            first->Prefetch(KeyHash(ahead));
          }
        }
        if (looks_deeper && i + kAhead / 2 < batch.records.size()) {
          const K& ahead = std::invoke(key_of, std::as_const(batch.records[i + kAhead / 2]));
          first->PrefetchContents(&ahead, hashed ? batch.hashes[i + kAhead / 2] : KeyHash(ahead),
                                  false);
        }
        const T& record = std::as_const(batch.records[i]);
        const K& key = std::invoke(key_of, record);
        SetKey(key, hashed ? batch.hashes[i] : KeyHash(key));
        context_->set_timestamp(batch.TimestampAt(i));
        call(record);
        if (const auto* top = processing().queue.First(kMaxTicks);
            top != nullptr && top->time < operator_context_->ProcessingTime()) [[unlikely]] {
          FireProcessing(operator_context_->ProcessingTime(), /*may_stop=*/false);
        }
      }
    } catch (...) {
      const Batch<T>& given = batch;
      TellThrownOn(*operator_context_, key_of,
                   given.records[ThrownAt(key_of, given.records, i, kAhead)]);
      throw;
    }
    return EndCall();
  }

  // Whether LoadBatch does anything: there is a store, or a restore is not over.
  bool LoadsBatches() {
    if (!stored_ && loads_) [[unlikely]] {
      loads_ = std::ranges::any_of(base().members(), [](const auto& member) {
        const KeyedStateTable* const table = member->table();
        return table != nullptr && table->loading();
      });
    }
    return loads_;
  }
  // What is stored of the keys of the batch is read at once.
  template <class T, class Key>
  void LoadBatch(const Batch<T>& batch, const Key& key_of) {
    keys_.Of(batch.records, key_of);
    const std::size_t records = batch.records.size();
    const std::uint64_t* hashes = batch.hashes.data();
    if (batch.hashes.empty()) {
      hashes_.clear();
      for (std::size_t i = 0; i < records; ++i) hashes_.push_back(KeyHash(*keys_.data()[i]));
      hashes = hashes_.data();
    }
    LoadMembers(keys_.data(), hashes, records);
  }
  void LoadMembers(const K* const* keys, const std::uint64_t* hashes, std::size_t count) {
    for (const auto& member : base().members())
      member->LoadBatch(reinterpret_cast<const void* const*>(keys), hashes, count);
  }
  // Before the first timer of the queue fires: likewise of the keys of those that come up to
  // `time`, some of them at once. `loaded` is 0 at first and says how many more have been.
  void LoadDue(const TimerQueue<K>& queue, Ticks time, std::size_t& loaded) {
    if (!LoadsBatches()) [[likely]] {
      return;
    }
    if (loaded > 0) {
      --loaded;
      return;
    }
    constexpr std::size_t kMost = 256;
    due_keys_.clear();
    hashes_.clear();
    queue.ForEachAhead(kMost, [&](const auto& entry) {
      if (entry.time > time) return false;
      due_keys_.push_back(&entry.key);
      hashes_.push_back(entry.hash);
      return true;
    });
    if (due_keys_.size() < 2) return;
    loaded = due_keys_.size() - 1;
    LoadMembers(due_keys_.data(), hashes_.data(), due_keys_.size());
  }

  void SetKey(const K& key, std::uint64_t hash) {
    CurrentKey<K>& current = base().current();
    current.key = &key;
    current.hash = hash;
    ++current.generation;
  }

  template <bool kEventTime>
  void Fire(const typename TimerQueue<K>::Entry& entry, Ticks timestamp) {
    auto& member = base().template timers<kEventTime>().members[entry.member];
    if (!member.Take(entry)) return;
    SetKey(entry.key, entry.hash);
    context_->set_timestamp(timestamp);
    try {
      if (member.timer != nullptr) {
        base().OnTimer(*member.handle, *context_);
        member.timer->Fired();
      } else {
        base().OnTimer(*member.many_handle, EventTime::FromTicks(entry.time), *context_);
      }
    } catch (...) {
      TellThrownFor(*operator_context_, entry.key);
      throw;
    }
  }

  // Rule 19. Returns false if it stopped because an output is blocked.
  bool FireEvent(Ticks watermark, bool may_stop = true) {
    std::size_t loaded = 0;
    while (const auto* top = event().queue.First(watermark)) {
      if (top->time > watermark) break;
      if (may_stop && results_.Blocked()) return false;
      LoadDue(event().queue, watermark, loaded);
      PrefetchForTimers();
      const auto entry = event().queue.PopFirst();
      Fire<true>(entry, entry.time);
    }
    return true;
  }
  // What timers that come soon will look at.
  void PrefetchForTimers() {
    const auto& queue = event().queue;
    const StateMember& first = *base().members().front();
    if (const auto* const ahead = queue.Ahead(12); ahead != nullptr) {
      const auto& member = event().members[ahead->member];
      if (member.timer != nullptr) member.timer->Prefetch(ahead->hash);
      first.Prefetch(ahead->hash);
    }
    if (!first.HasContents()) return;
    if (const auto* const ahead = queue.Ahead(8); ahead != nullptr)
      first.PrefetchContents(&ahead->key, ahead->hash, false);
    if (const auto* const ahead = queue.Ahead(4); ahead != nullptr)
      first.PrefetchContents(&ahead->key, ahead->hash, true);
  }
  // Rule 20.
  bool FireProcessing(Ticks now, bool may_stop) {
    std::size_t loaded = 0;
    while (const auto* top = processing().queue.First(kMaxTicks)) {
      if (top->time >= now) break;
      if (may_stop && results_.Blocked()) return false;
      LoadDue(processing().queue, now - 1, loaded);
      const auto entry = processing().queue.PopFirst();
      Fire<false>(entry, kMinTicks);
    }
    return true;
  }

  template <class Domain>
  void Compact(Domain& domain) {
    constexpr std::size_t kSlackEntries = 1024;
    if (domain.queue.size() <= kSlackEntries) return;
    std::size_t live = 0;
    for (const auto& member : domain.members) live += member.size();
    if (domain.queue.size() <= 2 * live + kSlackEntries) return;
    if (stored_) {
      // One scan of all that are set, where each entry would be looked up; so not for few.
      if (domain.queue.size() <= 2 * live + domain.queue.MostNear()) return;
      domain.queue.Clear();
      for (auto& member : domain.members) member.QueueStored();
      return;
    }
    domain.queue.DropIf(
        [&](const auto& entry) { return domain.members[entry.member].Stale(entry); });
  }

  absl::Status EndCall() {
    Compact(event());
    Compact(processing());
    const auto* top = processing().queue.First(kMaxTicks);
    operator_context_->WakeAt(top != nullptr ? top->time : kMaxTicks);
    base().current().key = nullptr;
    return results_.Flush();
  }

  std::unique_ptr<F> function_;
  KeyFunction key_;
  [[no_unique_address]] SecondKey second_key_;
  std::shared_ptr<const SidePorts> ports_;
  OperatorContext* operator_context_ = nullptr;
  Results<typename F::Out> results_;
  std::unique_ptr<typename F::Context> context_;
  // State is in a store.
  bool stored_ = false;
  // Until it is known that no member is still to be loaded after a restore, which it never is
  // again.
  bool loads_ = true;
  BatchKeys<K> keys_;
  std::vector<const K*> due_keys_;
  std::vector<std::uint64_t> hashes_;
  bool opened_ = false;
};

}  // namespace internal
}  // namespace weir

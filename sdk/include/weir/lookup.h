#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "weir/async.h"
#include "weir/compare.h"

namespace weir {

// How a stream is enriched from a table outside of the job.
struct LookupOptions {
  AsyncOptions async{};
  // Values that a subtask keeps, those used last; 0: none.
  std::size_t cache_entries = 10'000;
  // From when a value was asked for until it is asked for again.
  Duration cache_time = std::chrono::minutes(1);
  // That there is no value is kept too.
  bool cache_missing = true;

  // Empty, or what is wrong with it.
  std::string Problem() const {
    if (std::string problem = async.Problem(); !problem.empty()) return problem;
    if (cache_time <= Duration::zero())
      return "cache_time is " + FormatDuration(cache_time) + ": it must be greater than 0";
    return "";
  }
};

namespace internal {

// Values by key, those used last, and who waits for which. Any thread.
template <class K, class V>
class LookupCache {
 public:
  // Called once, with the lock of nobody held.
  using Waiter = std::function<void(const AsyncAnswer<V>&)>;

  explicit LookupCache(const LookupOptions& options) : options_(options) {}

  enum class Found { kValue, kAsked, kMissing };
  // kValue: `value` is what the cache has. Else `waiter` is called with the answer, and kMissing
  // says that the caller is to ask for it.
  Found Find(const K& key, Ticks now, std::vector<V>& value, Waiter waiter) {
    const std::lock_guard lock(mutex_);
    if (const auto found = entries_.find(key); found != entries_.end()) {
      Entry& entry = found->second;
      if (now - entry.asked_at < options_.cache_time.count()) {
        order_.splice(order_.begin(), order_, entry.place);
        value = entry.value;
        return Found::kValue;
      }
      Erase(found);
    }
    Awaited& awaited = awaited_[key];
    // One that was asked for so long ago will not be answered.
    const bool ask =
        awaited.waiters.empty() || now - awaited.asked_at > options_.async.timeout.count();
    if (ask) awaited.asked_at = now;
    awaited.waiters.push_back(std::move(waiter));
    return ask ? Found::kMissing : Found::kAsked;
  }
  void Answer(const K& key, const AsyncAnswer<V>& answer) {
    std::vector<Waiter> waiters;
    {
      const std::lock_guard lock(mutex_);
      const auto awaited = awaited_.find(key);
      if (awaited == awaited_.end()) return;
      waiters.swap(awaited->second.waiters);
      if (!answer.failed && (options_.cache_missing || !answer.results.empty()))
        Keep(key, answer.results, awaited->second.asked_at);
      awaited_.erase(awaited);
    }
    for (const Waiter& waiter : waiters) waiter(answer);
  }

 private:
  struct Less {
    bool operator()(const K& a, const K& b) const { return RecordCompare(a, b) < 0; }
  };
  struct Entry {
    std::vector<V> value;
    Ticks asked_at = 0;
    typename std::list<K>::iterator place;
  };
  struct Awaited {
    std::vector<Waiter> waiters;
    Ticks asked_at = 0;
  };
  using Entries = std::map<K, Entry, Less>;

  void Keep(const K& key, const std::vector<V>& value, Ticks asked_at) {
    if (options_.cache_entries == 0) return;
    if (const auto old = entries_.find(key); old != entries_.end()) Erase(old);
    while (entries_.size() >= options_.cache_entries) Erase(entries_.find(order_.back()));
    order_.push_front(key);
    entries_.emplace(key, Entry{value, asked_at, order_.begin()});
  }
  void Erase(typename Entries::iterator entry) {
    order_.erase(entry->second.place);
    entries_.erase(entry);
  }

  const LookupOptions options_;
  std::mutex mutex_;
  Entries entries_;
  // The one used last first.
  std::list<K> order_;
  std::map<K, Awaited, Less> awaited_;
};

template <class Combine, class T, class V>
using CombineResult =
    std::remove_cvref_t<std::invoke_result_t<const Combine&, const T&, const std::optional<V>&>>;
template <class R>
struct CombinedRecord {
  using type = R;
};
template <class R>
struct CombinedRecord<std::optional<R>> {
  using type = R;
};

// Asks `L`, an AsyncFunction from keys to values, for what is not in the cache.
template <class L, class T, class Key, class Combine>
class CachedLookup final
    : public AsyncFunction<
          T, typename CombinedRecord<CombineResult<Combine, T, typename L::Out>>::type> {
 public:
  using K = typename L::In;
  using V = typename L::Out;
  using O = typename CachedLookup::Out;

  CachedLookup(std::unique_ptr<L> lookup, const LookupOptions& options, Key key, Combine combine)
      : lookup_(std::move(lookup)),
        cache_(std::make_shared<LookupCache<K, V>>(options)),
        key_(std::move(key)),
        combine_(std::make_shared<const Combine>(std::move(combine))) {}

  void Open(FunctionContext& context) override {
    context_.emplace(context);
    hits_ = &context.counter("lookupCacheHits");
    lookup_->Open(context);
  }
  void Ask(const T& record, AsyncReply<O> reply) override {
    const K key = std::invoke(key_, record);
    std::vector<V> value;
    const auto found = cache_->Find(
        key, context_->now().ticks(), value,
        [record, reply, combine = combine_](const AsyncAnswer<V>& answer) mutable {
          if (answer.failed) {
            reply.Fail(answer.error);
          } else {
            reply.CompleteWith([&] { return Combined(*combine, record, answer.results); });
          }
        });
    using Found = typename LookupCache<K, V>::Found;
    if (found == Found::kValue) {
      hits_->Add();
      reply.CompleteWith([&] { return Combined(*combine_, record, value); });
    } else if (found == Found::kMissing) {
      AskFor(key);
    }
  }
  void Close() override { lookup_->Close(); }

 private:
  void AskFor(const K& key) {
    AsyncReply<V> reply(std::make_shared<AsyncQuestion<V>>(
        [cache = cache_, key](const AsyncAnswer<V>& answer) { cache->Answer(key, answer); }));
    try {
      lookup_->Ask(key, reply);
    } catch (const std::exception& error) {
      reply.Fail(error.what());
    }
  }
  static std::vector<O> Combined(const Combine& combine, const T& record,
                                 const std::vector<V>& values) {
    std::optional<V> value;
    if (!values.empty()) value = values.front();
    auto combined = std::invoke(combine, record, std::as_const(value));
    std::vector<O> out;
    if constexpr (std::is_same_v<decltype(combined), std::optional<O>>) {
      if (combined.has_value()) out.push_back(*std::move(combined));
    } else {
      out.push_back(std::move(combined));
    }
    return out;
  }

  const std::unique_ptr<L> lookup_;
  const std::shared_ptr<LookupCache<K, V>> cache_;
  const Key key_;
  const std::shared_ptr<const Combine> combine_;
  std::optional<FunctionContext> context_;
  Counter* hits_ = nullptr;
};

}  // namespace internal

template <class T, class Stage>
template <class L, class Key, class Combine, class... Args>
auto Stream<T, Stage>::Lookup(internal::PlacedUid uid, Key key, Combine combine,
                              LookupOptions options, Args... args) const {
  using K = std::remove_cvref_t<std::invoke_result_t<const Key&, const T&>>;
  if constexpr (!internal::AsyncFunctionOf<L, K> && !internal::BlockingFunctionOf<L, K>) {
    return internal::NoAsyncFunction<L>();
  } else {
    const auto make = [options, key, combine, args...] {
      auto lookup = internal::MakeAsync<K, L>(options.async, args...);
      using Inner = typename decltype(lookup)::element_type;
      return std::make_unique<internal::CachedLookup<Inner, T, Key, Combine>>(
          std::move(lookup), options, key, combine);
    };
    using A = typename decltype(make())::element_type;
    if constexpr (CheckRecord<typename A::Out>()) {
      return internal::AddAsync<A, T>(Closed(), *graph_, std::move(uid), "Lookup", options.async,
                                      options.Problem(), make);
    } else {
      return internal::AfterMistake();
    }
  }
}

}  // namespace weir

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <source_location>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "weir/custom_state.h"
#include "weir/json_write.h"
#include "weir/late_records.h"
#include "weir/pattern.h"
#include "weir/pattern_matcher.h"
#include "weir/pattern_matches.h"
#include "weir/process.h"
#include "weir/side_output.h"
#include "weir/thrown.h"
#include "weir/timers.h"

namespace weir {

// What is done when a key has more partial matches than a pattern is allowed.
enum class AtPartialMatchLimit {
  kFail,        // the job fails and says which key it was
  kDropOldest,  // those that began first are given up, and counted in partialMatchesDropped
};

// What KeyedStream::Match does with matches. Derive and override OnMatch.
template <class K, class T, class O>
class PatternProcess {
 public:
  using Key = K;
  using In = T;
  using Out = O;

  // What may be asked and done while the function is called. What is emitted has the time at which
  // the match was found, or at which the partial match's time was over (semantics rules 37, 40).
  class Context : public ProcessContext<O> {
   public:
    Context(const ProcessContext<O>& context, const K& key)
        : ProcessContext<O>(context), key_(key) {}
    const K& key() const { return key_; }

   private:
    const K& key_;
  };

  virtual ~PatternProcess() = default;
  virtual void OnMatch(const Match<T>& match, Context& context) = 0;
  // Of a pattern with Within or WithinPrevious: its time is over, and it is not complete.
  virtual void OnTimedOut(const Match<T>& match, Context& context) { (void)match, (void)context; }
};

namespace internal {

// All that the operator needs of what was declared.
template <class T>
struct PatternPlan {
  PatternDefinition pattern;
  // Among events of one time; empty: those that came first come first.
  std::function<bool(const T&, const T&)> less;
  // Empty: late events are dropped and counted.
  std::string late_tag;
  std::size_t limit = 100'000;
  AtPartialMatchLimit at_limit = AtPartialMatchLimit::kFail;
};

// Events wait until the watermark has reached them, and are taken in the order of their times
// (semantics rule 36).
template <class P>
class PatternFunction final
    : public KeyedProcess<typename P::Key, typename P::In, typename P::Out> {
 public:
  using K = typename P::Key;
  using T = typename P::In;
  using Base = KeyedProcess<K, T, typename P::Out>;
  using Context = typename Base::Context;

  PatternFunction(std::shared_ptr<const PatternPlan<T>> plan, std::unique_ptr<P> process)
      : plan_(std::move(plan)),
        process_(std::move(process)),
        matcher_(plan_->pattern),
        matches_(this->template AddState<State>(StateName(matcher_.automaton()),
                                                MatchesLayout<T>(matcher_.automaton()))) {}

  void Process(const T& record, Context& context) override {
    if (!context.has_timestamp()) {
      throw std::invalid_argument(
          "a record without a timestamp cannot be matched; give the source a timestamp "
          "({.timestamp = &Record::field})");
    }
    const Ticks time = context.timestamp().ticks();
    if (time <= context.watermark_ticks()) return Late(record, context);
    MatchesCell<T>& cell = matches_->FindOrInsert();
    if (cell.matches == nullptr) cell.matches = NewMatches();
    KeyMatches<T>& matches = *cell.matches;
    matches.pending.push_back({record, time});
    if (time >= matches.due) return;
    matches.due = time;
    due_.Set(EventTime::FromTicks(time));
  }

  void OnTimer(const EventTimer&, Context& context) override {
    MatchesCell<T>* const cell = matches_->Find();
    if (cell == nullptr) return;
    KeyMatches<T>* const matches = cell->matches.get();
    const Ticks watermark = context.watermark_ticks();
    typename P::Context out(context, context.key());
    TakeDue(*matches, watermark);
    Ticks last = kMinTicks;
    for (PendingPatternEvent<T>& event : taken_) {
      if (event.time != last || &event == taken_.data()) Advance(*matches, event.time, out);
      last = event.time;
      try {
        matcher_.Process(*matches, std::move(event.record), event.time, Found(out, event.time));
      } catch (...) {
        const T* const record = matcher_.AtWork(*matches);
        const auto key_of = [&context](const T&) -> const K& { return context.key(); };
        if (record != nullptr) TellThrownOn(matches_->context(), key_of, *record);
        throw;
      }
      KeepLimit(*matches, context);
    }
    taken_.clear();
    Advance(*matches, watermark, out);
    matches->FindDue();
    if (matches->due != kMaxTicks) {
      due_.Set(EventTime::FromTicks(matches->due));
    } else if (matches->IsIdle()) {
      Keep(std::move(cell->matches));
      matches_->Erase();
    }
  }

 private:
  using State = CustomState<K, MatchesCell<T>, MatchesLayout<T>>;

  // Of other states when the pattern is another one: old partial matches do not fit it.
  static std::string StateName(const PatternAutomaton& automaton) {
    static constexpr char kHex[] = "0123456789abcdef";
    std::string name = "matches-";
    const std::uint64_t print = automaton.Fingerprint();
    for (int shift = 60; shift >= 0; shift -= 4) name += kHex[(print >> shift) & 15];
    return name;
  }

  MatchesPtr<T> NewMatches() {
    if (spare_.empty()) return MakeMatches<T>(memory_);
    MatchesPtr<T> matches = std::move(spare_.back());
    spare_.pop_back();
    spare_bytes_ -= matches->memory_bytes();
    return matches;
  }
  void Keep(MatchesPtr<T> matches) {
    const std::size_t bytes = matches->memory_bytes();
    if (matches->memory != memory_) return;
    if (bytes > kSpareMost || spare_bytes_ + bytes > kSpareBytes) return;
    spare_bytes_ += bytes;
    matches->Clear();
    spare_.push_back(std::move(matches));
  }

  void Late(const T& record, Context& context) {
    const Ticks time = context.timestamp().ticks();
    RejectLate(matches_->context(), context.results(), plan_->late_tag, record, context.key(),
               {.time = time, .watermark = context.watermark_ticks(), .late_from = time});
  }

  // What the watermark has reached, to taken_, in its order.
  void TakeDue(KeyMatches<T>& matches, Ticks watermark) {
    auto& pending = matches.pending;
    const auto waits = [watermark](const auto& event) { return event.time > watermark; };
    const auto before = [this](const auto& a, const auto& b) {
      return a.time != b.time ? a.time < b.time : plan_->less && plan_->less(a.record, b.record);
    };
    taken_.clear();
    if (std::none_of(pending.begin(), pending.end(), waits)) {
      taken_.assign(std::make_move_iterator(pending.begin()),
                    std::make_move_iterator(pending.end()));
      pending.clear();
    } else {
      const auto kept = std::stable_partition(pending.begin(), pending.end(), waits);
      taken_.assign(std::make_move_iterator(kept), std::make_move_iterator(pending.end()));
      pending.erase(kept, pending.end());
    }
    if (!std::is_sorted(taken_.begin(), taken_.end(), before))
      std::stable_sort(taken_.begin(), taken_.end(), before);
  }

  auto Found(typename P::Context& out, Ticks time) {
    return [this, &out, time](const Match<T>& match) {
      out.set_timestamp(time);
      process_->OnMatch(match, out);
    };
  }
  void Advance(KeyMatches<T>& matches, Ticks now, typename P::Context& out) {
    matcher_.Advance(matches, now, Found(out, now), [&](const Match<T>& match, Ticks time) {
      out.set_timestamp(time);
      process_->OnTimedOut(match, out);
    });
  }

  void KeepLimit(KeyMatches<T>& matches, Context& context) {
    // The search that has not begun is none.
    if (matches.partial.size() <= plan_->limit + 1) return;
    if (plan_->at_limit == AtPartialMatchLimit::kDropOldest) {
      matches_->context()
          .metrics()
          .counter("partialMatchesDropped")
          .Add(matcher_.DropOldest(matches, plan_->limit));
      return;
    }
    std::string key;
    WriteJsonValue(context.key(), key);
    throw std::length_error("key " + key + " has more than " + std::to_string(plan_->limit) +
                            " partial matches; give the pattern a Within or an AfterMatch that "
                            "skips, or see LimitPartialMatches");
  }

  const std::shared_ptr<const PatternPlan<T>> plan_;
  const std::unique_ptr<P> process_;
  PatternMatcher<T> matcher_;
  State* const matches_;
  EventTimer due_{this, "due"};
  std::vector<PendingPatternEvent<T>> taken_;
  const std::shared_ptr<PooledMemory> memory_ = std::make_shared<PooledMemory>();
  // Of keys that are idle, for those that come: of at most so many bytes each, and in all.
  static constexpr std::size_t kSpareMost = 4096;
  static constexpr std::size_t kSpareBytes = std::size_t{8} << 20;
  std::size_t spare_bytes_ = 0;
  std::vector<MatchesPtr<T>> spare_;
};

// A PatternProcess made of functions.
template <class K, class T, class O, class F, class TimedOut>
class PatternSelect final : public PatternProcess<K, T, O> {
 public:
  using Context = typename PatternProcess<K, T, O>::Context;
  PatternSelect(F select, TimedOut timed_out)
      : select_(std::move(select)), timed_out_(std::move(timed_out)) {}
  void OnMatch(const Match<T>& match, Context& context) override {
    if constexpr (std::is_invocable_v<const F&, const K&, const Match<T>&>) {
      context.Emit(std::invoke(select_, context.key(), match));
    } else {
      context.Emit(std::invoke(select_, match));
    }
  }
  void OnTimedOut(const Match<T>& match, Context& context) override { timed_out_(match, context); }

 private:
  const F select_;
  const TimedOut timed_out_;
};

}  // namespace internal
}  // namespace weir

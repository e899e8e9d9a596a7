#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "weir/connected.h"
#include "weir/custom_state.h"
#include "weir/join_buffer.h"
#include "weir/late_records.h"
#include "weir/side_output.h"
#include "weir/timers.h"
#include "weir/usage_error.h"
#include "weir/window.h"

namespace weir {

// How far the right record's time may be from the left one's: [left + lower, left + upper].
struct Between {
  Duration lower{};
  Duration upper{};
};

namespace internal {

enum class JoinKind { kInner, kLeft, kRight, kFull };

template <class A, class B>
struct IntervalJoinPlan {
  Ticks lower = 0;
  Ticks upper = 0;
  bool lower_exclusive = false;
  bool upper_exclusive = false;
  // Empty: late records are dropped and counted.
  std::string late_left;
  std::string late_right;

  // Empty, or what is wrong with it (semantics rule 31).
  std::string Problem() const {
    // So that no sum of a time and bounds is out of range but at the ends of time.
    constexpr Ticks kMost = kMaxTicks / 4;
    if (lower < -kMost || upper > kMost)
      return "a bound of the interval is more than " + std::to_string(kMost) + " us away";
    if (lower <= upper) return "";
    return "the lower bound of the interval is " + std::to_string(lower) +
           " us: it must not be above the upper one (" + std::to_string(upper) + " us)";
  }
  // Both included; first > last: none.
  Ticks FirstOfRight(Ticks left) const { return SaturatingAdd(left, lower + lower_exclusive); }
  Ticks LastOfRight(Ticks left) const { return SaturatingAdd(left, upper - upper_exclusive); }
  Ticks FirstOfLeft(Ticks right) const { return SaturatingAdd(right, -(upper - upper_exclusive)); }
  Ticks LastOfLeft(Ticks right) const { return SaturatingAdd(right, -(lower + lower_exclusive)); }
  // How long a record waits for those of the other side (rule 33).
  Ticks LeftWaits() const { return std::max<Ticks>(upper - upper_exclusive, 0); }
  Ticks RightWaits() const { return std::max<Ticks>(-(lower + lower_exclusive), 0); }
};

// Of a record of an interval or temporal join.
[[noreturn]] inline void ThrowNoJoinTime() {
  throw std::invalid_argument(
      "a record without a timestamp cannot be joined by time; give the source a timestamp "
      "({.timestamp = &Record::field})");
}

// Semantics rules 31 to 33. `join(left, right)` takes pointers, of which one may be null in an
// outer join.
template <class K, class A, class B, class O, class Join>
class IntervalJoinFunction final : public KeyedTwoInputProcess<K, A, B, O> {
 public:
  using typename KeyedTwoInputProcess<K, A, B, O>::Context;

  IntervalJoinFunction(std::shared_ptr<const IntervalJoinPlan<A, B>> plan, JoinKind kind, Join join)
      : plan_(std::move(plan)),
        kind_(kind),
        join_(std::move(join)),
        buffers_(this->template AddState<State>("buffers")) {
    // And as the watermark stays behind the records. A plan that is refused may have any bounds.
    if (plan_->Problem().empty())
      this->ExpectTimersAhead(4 * std::max(plan_->LeftWaits(), plan_->RightWaits()));
  }

  void Process(const A& record, Context& context) override {
    const Ticks time = TimeOf(context);
    if (IsLate(time, context)) return Late(record, plan_->late_left, context);
    JoinBuffers<A, B>& buffers = Buffers();
    BufferedRecord<A>& added = buffers.left.Add(time, record);
    buffers.right.ForEach(plan_->FirstOfRight(time), plan_->LastOfRight(time),
                          [&](BufferedRecord<B>& other) { Emit(added, other, context); });
    Wait(buffers, SaturatingAdd(time, plan_->LeftWaits()));
  }
  void ProcessSecond(const B& record, Context& context) override {
    const Ticks time = TimeOf(context);
    if (IsLate(time, context)) return Late(record, plan_->late_right, context);
    JoinBuffers<A, B>& buffers = Buffers();
    BufferedRecord<B>& added = buffers.right.Add(time, record);
    buffers.left.ForEach(plan_->FirstOfLeft(time), plan_->LastOfLeft(time),
                         [&](BufferedRecord<A>& other) { Emit(other, added, context); });
    Wait(buffers, SaturatingAdd(time, plan_->RightWaits()));
  }

  // Records that no other can be joined with any more.
  void OnTimer(const EventTimer&, Context& context) override {
    JoinBuffers<A, B>* const found = buffers_->Find();
    if (found == nullptr) return;
    JoinBuffers<A, B>& buffers = *found;
    const Ticks watermark = context.watermark_ticks();
    buffers.left.RemoveUpTo(SaturatingAdd(watermark, -plan_->LeftWaits()),
                            [&](const BufferedRecord<A>& left) {
                              if (left.matched || !KeepsLeft()) return;
                              context.set_timestamp(SaturatingAdd(left.time, plan_->LeftWaits()));
                              context.Emit(join_(&left.record, static_cast<const B*>(nullptr)));
                            });
    buffers.right.RemoveUpTo(
        SaturatingAdd(watermark, -plan_->RightWaits()), [&](const BufferedRecord<B>& right) {
          if (right.matched || !KeepsRight()) return;
          context.set_timestamp(SaturatingAdd(right.time, plan_->RightWaits()));
          context.Emit(join_(static_cast<const A*>(nullptr), &right.record));
        });
    buffers.due = DueOf(buffers);
    if (buffers.due != kMaxTicks || !buffers.left.Empty() || !buffers.right.Empty()) {
      due_.Set(EventTime::FromTicks(buffers.due));
    } else {
      buffers_->Erase();
    }
  }

 private:
  using State = CustomState<K, JoinBuffers<A, B>, JoinBuffersLayout<A, B>>;

  bool KeepsLeft() const { return kind_ == JoinKind::kLeft || kind_ == JoinKind::kFull; }
  bool KeepsRight() const { return kind_ == JoinKind::kRight || kind_ == JoinKind::kFull; }

  static Ticks TimeOf(const Context& context) {
    if (!context.has_timestamp()) ThrowNoJoinTime();
    return context.timestamp().ticks();
  }
  // Rule 32.
  static bool IsLate(Ticks time, const Context& context) {
    return time < context.watermark_ticks();
  }
  template <class T>
  void Late(const T& record, const std::string& tag, Context& context) {
    const Ticks time = context.timestamp().ticks();
    RejectLate(buffers_->context(), context.results(), tag, record, context.key(),
               {.time = time,
                .watermark = context.watermark_ticks(),
                .late_from = SaturatingAdd(time, 1)});
  }
  JoinBuffers<A, B>& Buffers() {
    JoinBuffers<A, B>& buffers = buffers_->FindOrInsert();
    if (buffers.due == kMinTicks) [[unlikely]] {
      buffers.due = DueOf(buffers);
    }
    return buffers;
  }
  void Emit(BufferedRecord<A>& left, BufferedRecord<B>& right, Context& context) {
    left.matched = right.matched = true;
    context.results().Emit(join_(&left.record, &right.record), std::max(left.time, right.time));
  }
  Ticks DueOf(const JoinBuffers<A, B>& buffers) const {
    Ticks due = kMaxTicks;
    if (!buffers.left.Empty())
      due = std::min(due, SaturatingAdd(buffers.left.FirstTime(), plan_->LeftWaits()));
    if (!buffers.right.Empty())
      due = std::min(due, SaturatingAdd(buffers.right.FirstTime(), plan_->RightWaits()));
    return due;
  }
  void Wait(JoinBuffers<A, B>& buffers, Ticks until) {
    if (until >= buffers.due && buffers.due != kMaxTicks) [[likely]] {
      return;
    }
    buffers.due = std::min(buffers.due, until);
    due_.Set(EventTime::FromTicks(buffers.due));
  }

  const std::shared_ptr<const IntervalJoinPlan<A, B>> plan_;
  const JoinKind kind_;
  const Join join_;
  State* const buffers_;
  EventTimer due_{this, "due"};
};

#define WEIR_JOIN_FUNCTION                                                                       \
  "after the uid comes f, which takes (const A& left, const B& right) and returns a record; in " \
  "LeftJoin the right one is a pointer, in RightJoin the left one, in FullJoin both"

}  // namespace internal

// Two keyed streams whose records of one key are joined if their times are near one another.
template <class A, class FA, class B, class FB>
class IntervalJoinedStreams {
 public:
  using Key = internal::KeyOf<FA, A>;

  IntervalJoinedStreams(internal::KeyedUpstreams<A, FA, B, FB> upstreams, Between between)
      : upstreams_(std::move(upstreams)) {
    plan_.lower = between.lower.count();
    plan_.upper = between.upper.count();
  }

  // The bounds are part of the interval unless these say otherwise.
  IntervalJoinedStreams LowerExclusive() const {
    return Change([](auto& plan) { plan.lower_exclusive = true; });
  }
  IntervalJoinedStreams UpperExclusive() const {
    return Change([](auto& plan) { plan.upper_exclusive = true; });
  }
  // Records before the watermark go to this side output instead of being dropped and counted.
  IntervalJoinedStreams SideOutputLateLeft(const SideOutput<A>& tag) const {
    return Change([&](auto& plan) { plan.late_left = tag.name; });
  }
  IntervalJoinedStreams SideOutputLateRight(const SideOutput<B>& tag) const {
    return Change([&](auto& plan) { plan.late_right = tag.name; });
  }

  // A record f(left, right) for each pair, with the later of their times.
  template <class F>
    requires std::is_invocable_v<const F&, const A&, const B&>
  auto Join(internal::PlacedUid uid, F f) const {
    return Add(std::move(uid), internal::JoinKind::kInner, "IntervalJoin",
               [f](const A* left, const B* right) { return std::invoke(f, *left, *right); });
  }
  // Besides: f(left, nullptr) for each left record that was joined with none, once none can come
  // any more; its time is that moment. The others likewise.
  template <class F>
    requires std::is_invocable_v<const F&, const A&, const B*>
  auto LeftJoin(internal::PlacedUid uid, F f) const {
    return Add(std::move(uid), internal::JoinKind::kLeft, "IntervalLeftJoin",
               [f](const A* left, const B* right) { return std::invoke(f, *left, right); });
  }
  template <class F>
    requires std::is_invocable_v<const F&, const A*, const B&>
  auto RightJoin(internal::PlacedUid uid, F f) const {
    return Add(std::move(uid), internal::JoinKind::kRight, "IntervalRightJoin",
               [f](const A* left, const B* right) { return std::invoke(f, left, *right); });
  }
  template <class F>
    requires std::is_invocable_v<const F&, const A*, const B*>
  auto FullJoin(internal::PlacedUid uid, F f) const {
    return Add(std::move(uid), internal::JoinKind::kFull, "IntervalFullJoin", std::move(f));
  }
  template <class F>
    requires(!std::is_invocable_v<const F&, const A&, const B&>)
  WEIR_USAGE_ERROR("Join(uid, f): " WEIR_JOIN_FUNCTION)
  internal::AfterMistake Join(internal::PlacedUid, const F&) const {
    return {};
  }
  template <class F>
    requires(!std::is_invocable_v<const F&, const A&, const B*>)
  WEIR_USAGE_ERROR("LeftJoin(uid, f): " WEIR_JOIN_FUNCTION)
  internal::AfterMistake LeftJoin(internal::PlacedUid, const F&) const {
    return {};
  }
  template <class F>
    requires(!std::is_invocable_v<const F&, const A*, const B&>)
  WEIR_USAGE_ERROR("RightJoin(uid, f): " WEIR_JOIN_FUNCTION)
  internal::AfterMistake RightJoin(internal::PlacedUid, const F&) const {
    return {};
  }
  template <class F>
    requires(!std::is_invocable_v<const F&, const A*, const B*>)
  WEIR_USAGE_ERROR("FullJoin(uid, f): " WEIR_JOIN_FUNCTION)
  internal::AfterMistake FullJoin(internal::PlacedUid, const F&) const {
    return {};
  }

 private:
  template <class F>
  IntervalJoinedStreams Change(F&& f) const {
    IntervalJoinedStreams copy = *this;
    f(copy.plan_);
    return copy;
  }
  template <class Join>
  auto Add(internal::PlacedUid uid, internal::JoinKind kind, const char* description,
           Join join) const {
    using Out = std::remove_cvref_t<std::invoke_result_t<const Join&, const A*, const B*>>;
    using Function = internal::IntervalJoinFunction<Key, A, B, Out, Join>;
    if constexpr (CheckRecord<Out>()) {
      NodeDefinition node;
      node.uid = std::move(uid.text);
      node.description = description;
      if (const std::string problem = plan_.Problem(); !problem.empty())
        upstreams_.first.graph->Error(uid.where, "operator '" + node.uid + "': " + problem);
      auto plan = std::make_shared<const internal::IntervalJoinPlan<A, B>>(plan_);
      return upstreams_.template Add<Function>(std::move(node), uid.where, [plan, kind, join] {
        return std::make_unique<Function>(plan, kind, join);
      });
    } else {
      return internal::AfterMistake();
    }
  }

  internal::KeyedUpstreams<A, FA, B, FB> upstreams_;
  internal::IntervalJoinPlan<A, B> plan_;
};

template <class T, class F>
template <class B, class FB>
auto KeyedStream<T, F>::IntervalJoin(const KeyedStream<B, FB>& other, Between between) const {
  static_assert(std::is_same_v<Key, typename KeyedStream<B, FB>::Key>,
                "IntervalJoin(stream, between): both streams must have keys of the same type");
  return IntervalJoinedStreams<T, F, B, FB>({keyed_, other.upstream()}, between);
}

}  // namespace weir

#pragma once

#include <cstdint>

#include "weir/operator.h"
#include "weir/time.h"

namespace weir {

// By which time state grows old.
enum class TtlTime {
  kProcessing,  // the wall clock
  // The watermark of the operator. Nothing grows old before the first watermark: what was written
  // before it counts from it. Nor does anything at the end of the input.
  kEvent,
};

// What makes state young again.
enum class TtlRenew {
  kOnWrite,         // making and writing it
  kOnReadAndWrite,  // reading it as well
};

// How long state lives (semantics rule 50): it has expired once `after` has passed since the last
// access that renews it, and is then as if it had been cleared. Elements of a list and entries of a
// map expire one by one. Memory is given back little by little, as the state is used.
struct Ttl {
  // Must be positive.
  Duration after{};
  TtlTime time = TtlTime::kProcessing;
  TtlRenew renew = TtlRenew::kOnWrite;
};

namespace internal {

// The watermark that an operator has been told, as state with an event-time TTL reads it.
struct EventClock {
  // kMinTicks: none yet.
  Ticks now = kMinTicks;
  Ticks first = kMinTicks;

  void Advance(Ticks watermark) {
    // The watermark after all data is no time.
    if (watermark == kMaxTicks) return;
    if (first == kMinTicks) first = watermark;
    now = watermark;
  }
};

// A TTL at one moment.
struct TtlMoment {
  Ttl ttl;
  Ticks now = kMinTicks;
  // The first watermark.
  Ticks first = kMinTicks;

  // What a time of last access stands for: one from before the first watermark is that watermark.
  Ticks Effective(Ticks last_access) const {
    return last_access == kMinTicks && ttl.time == TtlTime::kEvent ? first : last_access;
  }
  bool Expired(Ticks last_access) const {
    return EventTime::FromTicks(Effective(last_access)) + ttl.after <= EventTime::FromTicks(now);
  }
};

// Says for one state with a TTL what has expired. `context` and `events` outlive it.
class TtlClock {
 public:
  TtlClock(const Ttl& ttl, const OperatorContext& context, const EventClock& events)
      : ttl_(ttl), context_(context), events_(events) {}

  Ticks Now() const {
    return ttl_.time == TtlTime::kEvent ? events_.now : context_.ProcessingTime();
  }
  TtlMoment At(Ticks now) const { return {ttl_, now, events_.first}; }
  TtlMoment Moment() const { return At(Now()); }
  bool Expired(Ticks last_access, Ticks now) const { return At(now).Expired(last_access); }
  // Whether a time of last access stands for the same from now on.
  bool Settled() const { return ttl_.time != TtlTime::kEvent || events_.first != kMinTicks; }
  bool renews_on_read() const { return ttl_.renew == TtlRenew::kOnReadAndWrite; }

 private:
  const Ttl ttl_;
  const OperatorContext& context_;
  const EventClock& events_;
};

// A value and when it was last accessed; kMinTicks: before the first watermark.
template <class V>
struct Stamped {
  Ticks last_access = kMinTicks;
  V value{};
};

// What is looked at for expired entries whenever a key is first accessed: slots of the table, and
// of the entries within one slot. Every new key pays for eight slots, so that dead keys are never
// more than a small part of the table.
inline constexpr std::uint32_t kSweepSlots = 8;

}  // namespace internal
}  // namespace weir

#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>

#include "weir/graph_builder.h"
#include "weir/in_loop.h"
#include "weir/usage_error.h"

namespace weir {

// Watermarks{.timestamp = weir::SourceTimestamp{}}: the timestamps that records have already, from
// the source or from the step before.
struct SourceTimestamp {};

namespace internal {

// f(record), or f(record, timestamp that it has; EventTime::Min(): none).
template <class F, class T>
concept TimestampFunction = std::is_invocable_r_v<EventTime, const F&, const T&> ||
                            std::is_invocable_r_v<EventTime, const F&, const T&, EventTime>;

template <class T, class F>
class FunctionTimestamps final : public TimestampAssigner {
 public:
  explicit FunctionTimestamps(F f) : f_(std::move(f)) {}
  Ticks Assign(BatchBase& base, std::size_t& failed_at) const override {
    auto& batch = static_cast<Batch<T>&>(base);
    const std::size_t n = batch.records.size();
    const bool had_none = batch.timestamps.empty();
    batch.timestamps.resize_uninitialized(n);
    // Locals, which the stores cannot change.
    const T* const records = batch.records.data();
    Ticks* const timestamps = batch.timestamps.data();
    const InLoop<F> f = f_;
    Ticks greatest = kMinTicks;
    std::size_t i = 0;
    try {
      for (; i < n; ++i) {
        if constexpr (std::is_invocable_r_v<EventTime, const F&, const T&>) {
          timestamps[i] = std::invoke(f, records[i]).ticks();
        } else {
          const Ticks former = had_none ? kMinTicks : timestamps[i];
          timestamps[i] = std::invoke(f, records[i], EventTime::FromTicks(former)).ticks();
        }
        greatest = std::max(greatest, timestamps[i]);
      }
    } catch (...) {
      failed_at = i;
      throw;
    }
    return greatest;
  }

 private:
  F f_;
};

}  // namespace internal

// The event time of a record: a member of type EventTime, a function of the record, or
// SourceTimestamp{}.
template <class T>
class TimestampOf {
 public:
  TimestampOf() = default;
  TimestampOf(SourceTimestamp) : from_source_(true) {}  // NOLINT: meant to convert
  template <internal::TimestampFunction<T> F>
  TimestampOf(F f)  // NOLINT: meant to convert
      : assigner_(std::make_shared<internal::FunctionTimestamps<T, F>>(std::move(f))) {}
  template <class F>
    requires(!internal::TimestampFunction<F, T>)
  TimestampOf(F) {  // NOLINT: meant to convert
    static_assert(internal::TimestampFunction<F, T>,
                  "Watermarks{.timestamp = t}: t must be a member of type weir::EventTime "
                  "(&T::field), a function that takes (const T& record) and returns one, or "
                  "weir::SourceTimestamp{}");
  }
  const std::shared_ptr<const TimestampAssigner>& assigner() const { return assigner_; }
  bool from_source() const { return from_source_; }
  bool given() const { return from_source_ || assigner_ != nullptr; }

 private:
  std::shared_ptr<const TimestampAssigner> assigner_;
  bool from_source_ = false;
};

// Makes watermarks of one's own: derive from it and give `Watermarks{.generator = Mine{...}}`. The
// value is copied for every split of a source (semantics rule 26), so it may keep what it needs as
// members; that is not part of a snapshot. Time `t` as a watermark says that no record with a
// timestamp at or before `t` will come; one that is not greater than the last is ignored. Called by
// one thread at a time; must not block.
template <class T>
class WatermarkGenerator {
 public:
  virtual ~WatermarkGenerator() = default;
  // After each record; `timestamp` is EventTime::Min() if it has none. What is returned goes
  // downstream right behind the record.
  virtual std::optional<EventTime> OnEvent(const T& record, EventTime timestamp) = 0;
  // Every pipeline.auto-watermark-interval, less often while no record comes, and when the input
  // has run dry.
  virtual std::optional<EventTime> OnPeriodic() { return std::nullopt; }
};

// Watermarks{.generator = weir::Punctuated{f}}: records that are markers. f(record) or f(record,
// timestamp) returns whether the record is one, and then its timestamp is the watermark; or a
// std::optional<EventTime>, the watermark.
template <class F>
struct Punctuated {
  F marker;
};
template <class F>
Punctuated(F) -> Punctuated<F>;

// Watermarks{.generator = weir::NoWatermarks{}}: timestamps, and no watermark before the end.
struct NoWatermarks {};

namespace internal {

template <class T, class F>
class PunctuatedGenerator final : public WatermarkGenerator<T> {
 public:
  explicit PunctuatedGenerator(F marker) : marker_(std::move(marker)) {}
  std::optional<EventTime> OnEvent(const T& record, EventTime timestamp) override {
    if constexpr (std::is_invocable_v<F&, const T&>) {
      return Of(std::invoke(marker_, record), timestamp);
    } else {
      return Of(std::invoke(marker_, record, timestamp), timestamp);
    }
  }

 private:
  static std::optional<EventTime> Of(std::optional<EventTime> watermark, EventTime) {
    return watermark;
  }
  static std::optional<EventTime> Of(bool is_marker, EventTime timestamp) {
    return is_marker ? std::optional(timestamp) : std::nullopt;
  }

  F marker_;
};

template <class R>
concept MarkerResult = std::same_as<std::remove_cvref_t<R>, bool> ||
                       std::same_as<std::remove_cvref_t<R>, std::optional<EventTime>>;

template <class F, class T>
concept MarkerFunction = requires(F& f, const T& record) {
  { std::invoke(f, record) } -> MarkerResult;
} || requires(F& f, const T& record, EventTime timestamp) {
  { std::invoke(f, record, timestamp) } -> MarkerResult;
};

// A user's generator as the runtime sees it.
template <class T, class G>
class GeneratedWatermarks final : public RecordWatermarks {
 public:
  explicit GeneratedWatermarks(const G& generator) : generator_(generator) {}
  void OnRecords(const BatchBase& base, std::size_t& next,
                 std::optional<Ticks>& watermark) override {
    const auto& batch = static_cast<const Batch<T>&>(base);
    for (const std::size_t n = batch.records.size(); next < n;) {
      const std::optional<EventTime> made =
          generator_.OnEvent(batch.records[next], EventTime::FromTicks(batch.TimestampAt(next)));
      ++next;
      if (!made.has_value()) continue;
      watermark = made->ticks();
      return;
    }
  }
  std::optional<Ticks> OnPeriodic() override {
    const std::optional<EventTime> made = generator_.OnPeriodic();
    return made.has_value() ? std::optional(made->ticks()) : std::nullopt;
  }

 private:
  G generator_;
};

class NeverWatermarks final : public RecordWatermarks {
 public:
  void OnRecords(const BatchBase& batch, std::size_t& next, std::optional<Ticks>&) override {
    next = batch.size();
  }
  std::optional<Ticks> OnPeriodic() override { return std::nullopt; }
};

}  // namespace internal

// What Watermarks::generator is made from.
template <class T>
class GeneratorOf {
 public:
  using Make = std::function<std::unique_ptr<RecordWatermarks>()>;

  GeneratorOf() = default;
  GeneratorOf(NoWatermarks)  // NOLINT: meant to convert
      : make_([] { return std::make_unique<internal::NeverWatermarks>(); }), none_(true) {}
  template <internal::MarkerFunction<T> F>
  GeneratorOf(Punctuated<F> punctuated)  // NOLINT: meant to convert
      : GeneratorOf(internal::PunctuatedGenerator<T, F>(std::move(punctuated.marker))) {
    periodic_ = false;
  }
  template <class F>
    requires(!internal::MarkerFunction<F, T>)
  GeneratorOf(Punctuated<F>) {  // NOLINT: meant to convert
    static_assert(internal::MarkerFunction<F, T>,
                  "weir::Punctuated{f}: f must take (const T& record), or (const T& record, "
                  "weir::EventTime timestamp), and return bool or std::optional<weir::EventTime>");
  }
  template <std::derived_from<WatermarkGenerator<T>> G>
  GeneratorOf(G generator)  // NOLINT: meant to convert
      : make_([generator = std::move(generator)] {
          return std::make_unique<internal::GeneratedWatermarks<T, G>>(generator);
        }),
        periodic_(true) {}
  template <class G>
    requires(!std::derived_from<G, WatermarkGenerator<T>>)
  GeneratorOf(G) {  // NOLINT: meant to convert
    static_assert(std::derived_from<G, WatermarkGenerator<T>>,
                  "Watermarks{.generator = g}: g must be of a class that derives from "
                  "weir::WatermarkGenerator<T>, weir::Punctuated{f} or weir::NoWatermarks{}");
  }

  const Make& make() const { return make_; }
  bool none() const { return none_; }
  bool given() const { return make_ != nullptr; }
  // It may make watermarks without records.
  bool periodic() const { return periodic_; }

 private:
  Make make_;
  bool none_ = false;
  bool periodic_ = false;
};

// Sources of one group wait for each other: a split that is more than `max_drift` ahead of the
// slowest active source of the group is not read until that has caught up (semantics rule 29).
struct Alignment {
  // Within the job. Empty: no alignment.
  std::string group{};
  // Positive.
  Duration max_drift{};
};

// Event time of a source, or of a stream from AssignTimestamps on (semantics rules 23 to 29).
template <class T>
struct Watermarks {
  // Without one, records have no timestamp unless the source gives them one, and there are no
  // watermarks.
  TimestampOf<T> timestamp{};
  // How far a record may lie behind the newest one before it counts as late; 0: timestamps never go
  // back.
  Duration max_delay{};
  // A source (or split) without records for so long does not hold others back; 0: never. Time in
  // which it is held back, by backpressure or alignment, does not count.
  Duration idle_after{};
  // A watermark after every record instead of periodically. Slower; what is late is then determined
  // by the input alone.
  bool every_record = false;
  // Instead of `max_delay`: Punctuated{f}, NoWatermarks{}, or a class of one's own.
  GeneratorOf<T> generator{};
  // Of sources only.
  Alignment align{};
};

namespace internal {

// Sets what the runtime is to do, and reports what is wrong with it. `what`: "source 'clicks'".
template <class T>
void DefineWatermarks(GraphBuilder& graph, const std::source_location& where,
                      const std::string& what, const Watermarks<T>& watermarks, bool is_source,
                      WatermarkSettings& settings) {
  const auto wrong = [&](const char* reason) { graph.Error(where, what + ": " + reason); };
  if (watermarks.max_delay.count() < 0) wrong("max_delay is negative");
  if (watermarks.idle_after.count() < 0) wrong("idle_after is negative");
  const bool aligned = !watermarks.align.group.empty();
  if (!watermarks.timestamp.given()) {
    if (!is_source) {
      wrong("AssignTimestamps needs .timestamp");
    } else if (watermarks.max_delay.count() != 0 || watermarks.idle_after.count() != 0 ||
               watermarks.every_record || watermarks.generator.given() || aligned) {
      wrong(
          "there are watermarks only with .timestamp: a member, a function, or "
          "weir::SourceTimestamp{} if the source gives timestamps");
    }
  }
  if (watermarks.generator.given() && watermarks.max_delay.count() != 0) {
    wrong("max_delay has no meaning with .generator, which makes the watermarks by itself");
  }
  if (watermarks.generator.given() && watermarks.every_record) {
    wrong("every_record has no meaning with .generator: return a watermark from OnEvent");
  }
  if (!aligned && watermarks.align.max_drift.count() != 0) {
    wrong("align.max_drift is given without align.group");
  }
  if (aligned && watermarks.align.max_drift.count() <= 0) {
    wrong("align.max_drift must be positive");
  }
  if (aligned && watermarks.generator.none())
    wrong("a source without watermarks cannot be aligned");
  if (aligned && !is_source) wrong("only sources can be aligned: give .align to From");
  settings.timestamps = watermarks.timestamp.assigner();
  settings.none = !watermarks.timestamp.given();
  settings.max_delay = watermarks.max_delay.count();
  settings.idle_after = watermarks.idle_after.count();
  settings.every_record = watermarks.every_record;
  settings.make_generator = watermarks.generator.make();
  settings.periodic_generator = watermarks.generator.periodic();
  settings.alignment_group = watermarks.align.group;
  settings.max_drift = watermarks.align.max_drift.count();
}

}  // namespace internal
}  // namespace weir

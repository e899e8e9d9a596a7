#pragma once

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "weir/window.h"
#include "weir/window_trigger.h"

namespace weir {

// Windows of a key that end when it has been quiet for `gap`.
struct Session {
  Duration gap{};
};
// The same with a gap for each record: gap(record), a Duration.
template <class Gap>
struct SessionBy {
  Gap gap;
};
template <class Gap>
SessionBy(Gap) -> SessionBy<Gap>;

// One window a key, without end. It fires by its trigger only, or with `at_end` once at the end of
// the input.
struct Global {
  bool at_end = false;
};

// The windows of `Window` on the wall clock: a record belongs to the time at which it comes.
template <class Window>
struct OnProcessingTime {
  Window window;
};
template <class Window>
OnProcessingTime(Window) -> OnProcessingTime<Window>;

namespace internal {

// Into which windows a record goes.
template <class T>
class WindowAssigner {
 public:
  WindowAssigner(std::string description, bool event_time, bool merging)
      : description_(std::move(description)), event_time_(event_time), merging_(merging) {}
  virtual ~WindowAssigner() = default;
  // `at`: the record's time, or the clock. Throws what user code throws.
  virtual void Assign(const T& record, Ticks at, std::vector<WindowSpan>& windows) const = 0;
  // Empty, or what is wrong with it.
  virtual std::string Problem() const { return ""; }
  const std::string& description() const { return description_; }
  bool event_time() const { return event_time_; }
  // Null: they are not aligned.
  virtual const WindowShape* shape() const { return nullptr; }
  // Windows that touch become one.
  bool merging() const { return merging_; }

 private:
  const std::string description_;
  const bool event_time_;
  const bool merging_;
};

// Semantics rules 1 and 3.
template <class T>
class AlignedAssigner final : public WindowAssigner<T> {
 public:
  AlignedAssigner(WindowShape shape, bool event_time)
      : WindowAssigner<T>(shape.description, event_time, false), shape_(std::move(shape)) {}
  void Assign(const T&, Ticks at, std::vector<WindowSpan>& windows) const override {
    for (Ticks start = WindowStart(at, shape_.offset, shape_.slide); start > at - shape_.size;
         start -= shape_.slide) {
      windows.push_back({start, start + (shape_.size - 1)});
    }
  }
  const WindowShape* shape() const override { return &shape_; }
  std::string Problem() const override { return shape_.Problem(); }

 private:
  const WindowShape shape_;
};

// Semantics rule 10.
template <class T, class Gap>
class SessionAssigner final : public WindowAssigner<T> {
 public:
  SessionAssigner(std::string description, Gap gap, bool event_time)
      : WindowAssigner<T>(std::move(description), event_time, true), gap_(std::move(gap)) {}
  void Assign(const T& record, Ticks at, std::vector<WindowSpan>& windows) const override {
    const Ticks gap = GapOf(record);
    if (gap <= 0) {
      throw std::invalid_argument("the gap of a session is " + std::to_string(gap) +
                                  " us: it must be greater than 0");
    }
    windows.push_back({at, SaturatingAdd(at, gap - 1)});
  }
  std::string Problem() const override {
    if constexpr (std::is_same_v<Gap, Duration>) {
      if (gap_ <= Duration::zero())
        return "session gap is " + std::to_string(gap_.count()) + " us: it must be greater than 0";
    }
    return "";
  }

 private:
  Ticks GapOf(const T& record) const {
    if constexpr (std::is_same_v<Gap, Duration>) {
      return gap_.count();
    } else {
      return Duration(std::invoke(gap_, record)).count();
    }
  }
  const Gap gap_;
};

template <class T>
class GlobalAssigner final : public WindowAssigner<T> {
 public:
  // In processing time: it is never late, and never over.
  GlobalAssigner() : WindowAssigner<T>("GlobalWindow", false, false) {}
  void Assign(const T&, Ticks, std::vector<WindowSpan>& windows) const override {
    windows.push_back({kMinTicks, kMaxTicks});
  }
};

}  // namespace internal
}  // namespace weir

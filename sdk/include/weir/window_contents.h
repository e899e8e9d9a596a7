#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "weir/time.h"
#include "weir/window.h"
#include "weir/window_trigger.h"

namespace weir {

// A record of a window that keeps all of them.
template <class T>
struct WindowElement {
  // kMinTicks: none.
  Ticks time = kMinTicks;
  T record{};
};

// The records of a window, in the order in which they came.
template <class T>
class WindowElements {
 public:
  class Iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    using pointer = const T*;
    using reference = const T&;
    Iterator() = default;
    explicit Iterator(const WindowElement<T>* at) : at_(at) {}
    const T& operator*() const { return at_->record; }
    const T* operator->() const { return &at_->record; }
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    Iterator operator++(int) { return Iterator(at_++); }
    friend bool operator==(const Iterator&, const Iterator&) = default;

   private:
    const WindowElement<T>* at_ = nullptr;
  };

  explicit WindowElements(const std::vector<WindowElement<T>>& elements)
      : data_(elements.data()), size_(elements.size()) {}
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  const T& operator[](std::size_t i) const { return data_[i].record; }
  EventTime time(std::size_t i) const { return EventTime::FromTicks(data_[i].time); }
  Iterator begin() const { return Iterator(data_); }
  Iterator end() const { return Iterator(data_ + size_); }

 private:
  const WindowElement<T>* data_;
  std::size_t size_;
};

// What an evictor looks at before a firing: it removes all other records of the window, whatever
// they are.
struct EvictorReach {
  // The last so many records, at least one.
  std::size_t last = std::numeric_limits<std::size_t>::max();
  // Those that are not earlier than the newest one's time less this.
  Duration back = Duration::max();
};

// Removes records from a window before or after its function is called for a firing; they are gone
// for later firings too (semantics rule 16). Derive for one of your own.
template <class T>
class Evictor {
 public:
  using Elements = std::vector<WindowElement<T>>;
  virtual ~Evictor() = default;
  virtual void Before(Elements& elements, const TimeWindow& window) const {
    (void)elements, (void)window;
  }
  virtual void After(Elements& elements, const TimeWindow& window) const {
    (void)elements, (void)window;
  }
  // By default all records.
  virtual EvictorReach Reach() const { return {}; }
  // Empty, or what is wrong with it.
  virtual std::string Problem() const { return ""; }
};

// Keeps the last `count` records.
struct CountEvictor {
  std::size_t count = 0;
  bool after = false;
};
// Keeps the records later than the newest one's time less `size`.
struct TimeEvictor {
  Duration size{};
  bool after = false;
};
// Removes each record for which delta(record, last record) is at least `threshold`.
template <class Delta>
struct DeltaEvictor {
  double threshold = 0;
  Delta delta;
  bool after = false;
};
template <class Delta>
DeltaEvictor(double, Delta) -> DeltaEvictor<Delta>;
template <class Delta>
DeltaEvictor(double, Delta, bool) -> DeltaEvictor<Delta>;

namespace internal {

template <class T, class Evict>
class EvictorOf final : public Evictor<T> {
 public:
  using typename Evictor<T>::Elements;
  explicit EvictorOf(Evict evict) : evict_(std::move(evict)) {}
  void Before(Elements& elements, const TimeWindow&) const override {
    if (!evict_.after) Apply(elements);
  }
  void After(Elements& elements, const TimeWindow&) const override {
    if (evict_.after) Apply(elements);
  }
  EvictorReach Reach() const override {
    EvictorReach reach;
    if (evict_.after) return reach;
    if constexpr (requires { evict_.count; }) {
      reach.last = std::max<std::size_t>(evict_.count, 1);
    } else if constexpr (requires { evict_.size; }) {
      reach.back = evict_.size;
    }
    return reach;
  }
  std::string Problem() const override {
    if constexpr (requires { evict_.size; }) {
      if (evict_.size < Duration::zero()) return "an evictor with a negative size";
    }
    return "";
  }

 private:
  void Apply(Elements& elements) const {
    if (elements.empty()) return;
    if constexpr (requires { evict_.count; }) {
      if (elements.size() > evict_.count) {
        elements.erase(elements.begin(),
                       elements.end() - static_cast<std::ptrdiff_t>(evict_.count));
      }
    } else if constexpr (requires { evict_.size; }) {
      // Without times nothing is old.
      if (elements.front().time == kMinTicks) return;
      Ticks newest = kMinTicks;
      for (const auto& element : elements) newest = std::max(newest, element.time);
      const Ticks oldest = SaturatingAdd(newest, -evict_.size.count());
      std::erase_if(elements, [&](const auto& element) { return element.time <= oldest; });
    } else {
      const T last = elements.back().record;
      std::erase_if(elements, [&](const auto& element) {
        return static_cast<double>(std::invoke(evict_.delta, element.record, last)) >=
               evict_.threshold;
      });
    }
  }
  const Evict evict_;
};

template <class T>
using EvictorPtr = std::shared_ptr<const Evictor<T>>;

template <class T, class Evict>
EvictorPtr<T> MakeEvictor(Evict evict) {
  if constexpr (std::derived_from<Evict, Evictor<T>>) {
    return std::make_shared<Evict>(std::move(evict));
  } else {
    return std::make_shared<EvictorOf<T, Evict>>(std::move(evict));
  }
}

// ---- What a window keeps of its records. `Stored` is a record type.

template <class A>
struct Accumulated {
  bool any = false;
  A value{};
};
template <class T, class Aggregator>
struct AccumulatedContents {
  using Stored = Accumulated<typename Aggregator::Accumulator>;
  Aggregator aggregator;

  void Add(Stored& contents, const T& record, Ticks) const {
    contents.any = true;
    aggregator.Add(contents.value, record);
  }
  void Merge(Stored& into, Stored& from) const {
    if (!from.any) return;
    if (into.any) {
      aggregator.Merge(into.value, from.value);
    } else {
      into = std::move(from);
    }
  }
  static bool Empty(const Stored& contents) { return !contents.any; }
  static std::size_t Size(const Stored&) { return 1; }
  static void Clear(Stored& contents) { contents = Stored(); }
  template <class Use>
  void Fire(Stored& contents, const WindowSpan&, Use&& use) const {
    use(aggregator.Result(contents.value));
  }
};

template <class T>
struct ListedContents {
  using Stored = std::vector<WindowElement<T>>;
  // Null: none.
  EvictorPtr<T> evictor;

  void Add(Stored& contents, const T& record, Ticks time) const {
    contents.push_back({time, record});
  }
  void Merge(Stored& into, Stored& from) const {
    into.insert(into.end(), std::make_move_iterator(from.begin()),
                std::make_move_iterator(from.end()));
  }
  static bool Empty(const Stored& contents) { return contents.empty(); }
  static std::size_t Size(const Stored& contents) { return contents.size(); }
  static void Clear(Stored& contents) { contents.clear(); }
  EvictorReach Reach() const { return evictor != nullptr ? evictor->Reach() : EvictorReach(); }
  template <class Use>
  void Fire(Stored& contents, const WindowSpan& span, Use&& use) const {
    if (evictor != nullptr) evictor->Before(contents, span.Public());
    use(WindowElements<T>(contents));
    if (evictor != nullptr) evictor->After(contents, span.Public());
  }
};

// Records of which the function gets an aggregate, for an evictor that must see them.
template <class T, class Aggregator>
struct ListedAggregate {
  using Stored = typename ListedContents<T>::Stored;
  Aggregator aggregator;
  ListedContents<T> list;

  void Add(Stored& contents, const T& record, Ticks time) const {
    list.Add(contents, record, time);
  }
  void Merge(Stored& into, Stored& from) const { list.Merge(into, from); }
  static bool Empty(const Stored& contents) { return contents.empty(); }
  static std::size_t Size(const Stored& contents) { return contents.size(); }
  static void Clear(Stored& contents) { contents.clear(); }
  EvictorReach Reach() const { return list.Reach(); }
  template <class Use>
  void Fire(Stored& contents, const WindowSpan& span, Use&& use) const {
    list.Fire(contents, span, [&](const WindowElements<T>& elements) {
      typename Aggregator::Accumulator accumulator{};
      for (const T& record : elements) aggregator.Add(accumulator, record);
      use(aggregator.Result(accumulator));
    });
  }
};

}  // namespace internal
}  // namespace weir

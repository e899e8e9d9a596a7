#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "weir/hash.h"
#include "weir/operator.h"
#include "weir/state_changes.h"

namespace weir::internal {

// Changes that are encoded when they are asked for, a few key groups at a time, so that this takes
// little memory beside that of the entries. `Source` knows these by their number: HashOf(i),
// WillTake(i), a hint, and Append(i, StateChanges&), once for each.
template <class Source>
class ChangesByKeyGroup final : public SortedChanges {
 public:
  // `bytes`: of each entry, about.
  ChangesByKeyGroup(std::size_t entries, std::size_t bytes, KeyGroupRange range,
                    std::uint32_t max_parallelism, Source source)
      : entries_(entries),
        bytes_(bytes),
        range_(range),
        max_parallelism_(max_parallelism),
        source_(std::move(source)) {}
  std::size_t bytes() const override { return entries_ * bytes_; }
  std::span<const StateChange> Next() override {
    constexpr std::size_t kBytes = 256 << 10;
    constexpr std::size_t kAhead = 8;
    if (order_.size() < entries_) Order();
    taken_.bytes.clear();
    taken_.changes.clear();
    while (at_ < entries_ && (taken_.changes.empty() || taken_.bytes.size() < kBytes)) {
      for (const std::uint32_t group = GroupAt(at_); at_ < entries_ && GroupAt(at_) == group;
           ++at_) {
        if (at_ + kAhead < entries_) source_.WillTake(order_[at_ + kAhead]);
        source_.Append(order_[at_], taken_);
      }
    }
    sorted_ = taken_.Sorted();
    return sorted_;
  }

 private:
  std::uint32_t GroupOf(std::size_t i) const {
    return KeyGroupOf(source_.HashOf(i), max_parallelism_) - range_.first;
  }
  std::uint32_t GroupAt(std::size_t at) const { return GroupOf(order_[at]); }
  void Order() {
    // Where each key group begins.
    std::vector<std::size_t> begins(range_.size() + 1);
    for (std::size_t i = 0; i < entries_; ++i) ++begins[GroupOf(i) + 1];
    for (std::size_t group = 1; group < begins.size(); ++group) begins[group] += begins[group - 1];
    order_.resize(entries_);
    for (std::size_t i = 0; i < entries_; ++i) order_[begins[GroupOf(i)]++] = i;
  }

  const std::size_t entries_;
  const std::size_t bytes_;
  const KeyGroupRange range_;
  const std::uint32_t max_parallelism_;
  Source source_;
  std::vector<std::size_t> order_;
  std::size_t at_ = 0;
  StateChanges taken_;
  std::vector<StateChange> sorted_;
};

}  // namespace weir::internal

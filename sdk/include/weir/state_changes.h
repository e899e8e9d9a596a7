#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir {

// One entry that is written, or erased.
struct StateChange {
  std::string_view key;
  std::string_view value;
  bool erases = false;
};

// Entries that are written, or erased, in any order; no key is twice among them.
struct StateChanges {
  // Positions in `bytes`.
  struct Change {
    // The first bytes of the key, which decide in nearly all comparisons; see OrderOf.
    std::uint64_t order = 0;
    std::size_t begin = 0;
    std::size_t key_end = 0;
    std::size_t end = 0;
    bool erases = false;
  };
  std::string bytes;
  std::vector<Change> changes;

  static std::uint64_t OrderOf(std::string_view key) {
    std::uint64_t order = 0;
    for (std::size_t i = 0; i < sizeof(order); ++i)
      order = order << 8 | (i < key.size() ? static_cast<unsigned char>(key[i]) : 0);
    return order;
  }
  // By key. What is returned refers to `bytes`.
  std::vector<StateChange> Sorted() {
    const std::string_view all = bytes;
    const auto key_of = [&](const Change& change) {
      return all.substr(change.begin, change.key_end - change.begin);
    };
    std::sort(changes.begin(), changes.end(), [&](const Change& a, const Change& b) {
      return a.order != b.order ? a.order < b.order : key_of(a) < key_of(b);
    });
    std::vector<StateChange> sorted;
    sorted.reserve(changes.size());
    for (const Change& change : changes) {
      sorted.push_back(
          {key_of(change), all.substr(change.key_end, change.end - change.key_end), change.erases});
    }
    return sorted;
  }
};

// Changes in the order of their keys, some at a time, so that not all of them need to be encoded at
// once.
class SortedChanges {
 public:
  virtual ~SortedChanges() = default;
  // Of all keys and values, about.
  virtual std::size_t bytes() const = 0;
  // The next ones, valid until the next call; none at the end. Their keys are after those of the
  // calls before. May throw what encoding them throws.
  virtual std::span<const StateChange> Next() = 0;
};

// All at once; they outlive it.
class GivenChanges final : public SortedChanges {
 public:
  // Their keys ascend.
  explicit GivenChanges(std::span<const StateChange> changes) : changes_(changes) {}
  std::size_t bytes() const override {
    std::size_t bytes = 0;
    for (const StateChange& change : changes_) bytes += change.key.size() + change.value.size();
    return bytes;
  }
  std::span<const StateChange> Next() override { return std::exchange(changes_, {}); }

 private:
  std::span<const StateChange> changes_;
};

// Its own, which it sorts when it is asked for them.
class OwnedChanges final : public SortedChanges {
 public:
  explicit OwnedChanges(StateChanges changes) : changes_(std::move(changes)) {}
  std::size_t bytes() const override { return changes_.bytes.size(); }
  std::span<const StateChange> Next() override {
    if (std::exchange(given_, true)) return {};
    sorted_ = changes_.Sorted();
    return sorted_;
  }

 private:
  StateChanges changes_;
  std::vector<StateChange> sorted_;
  bool given_ = false;
};

}  // namespace weir

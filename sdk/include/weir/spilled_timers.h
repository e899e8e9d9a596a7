#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "weir/binary_codec.h"
#include "weir/due_queue.h"
#include "weir/hash.h"
#include "weir/memory_size.h"
#include "weir/state_store.h"
#include "weir/stored_entries.h"
#include "weir/time.h"

namespace weir::internal {

// When a timer of a key may be due; `member`: which of the function's timers of the domain.
template <class K>
struct TimerEntry {
  Ticks time;
  std::uint64_t hash;
  K key;
  std::uint32_t member;
};

// A key as it stands in a scratch: bytes in the order of SerializedKeyCompare, of which none are
// the beginning of others.
template <class K>
void AppendOrderedKey(const K& key, std::string& out) {
  if constexpr (std::is_same_v<K, std::string>) {
    for (const char c : key) {
      out += c;
      if (c == '\0') out += '\xff';
    }
    out.append(2, '\0');
  } else {
    EncodeValue(key, out);
  }
}
// Takes it from the front; false: there is none.
template <class K>
bool TakeOrderedKey(std::string_view& bytes, K& key) {
  if constexpr (std::is_same_v<K, std::string>) {
    key.clear();
    for (std::size_t i = 0; i + 1 < bytes.size(); ++i) {
      key += bytes[i];
      if (bytes[i] != '\0') continue;
      if (bytes[++i] == '\xff') continue;
      key.pop_back();
      bytes.remove_prefix(i + 1);
      return true;
    }
    return false;
  } else {
    Decoder in(bytes);
    if (!DecodeValue(in, key)) return false;
    bytes.remove_prefix(bytes.size() - in.remaining());
    return true;
  }
}

// Timer entries that are in a scratch, in the order in which they are due, and some that are on
// their way there. An entry that is added twice may be there once. Throws StateError.
template <class K>
class SpilledTimers {
 public:
  using Entry = TimerEntry<K>;

  // The scratch is opened when it is needed; `store` outlives this.
  SpilledTimers(StateStore& store, std::string name) : store_(store), name_(std::move(name)) {}

  // Bytes of memory that all entries of the queue may take, here and before these.
  std::size_t Share() const {
    if (scratch_ == nullptr) [[unlikely]] {
      auto opened = store_.OpenScratch(name_);
      ThrowIfError(opened.status(), name_);
      scratch_ = *std::move(opened);
    }
    return scratch_->cache_bytes();
  }
  // At most: of entries that were added twice both count.
  std::size_t size() const { return stored_ + waiting_.size(); }
  // Of those that wait to be written.
  std::size_t memory_bytes() const { return waiting_.capacity() * sizeof(Entry) + waiting_bytes_; }

  // Whether the entry belongs here: it does not come before all that are.
  bool Covers(const Entry& entry) const { return first_.has_value() && !Before(entry, *first_); }
  void Add(Entry entry) {
    waiting_bytes_ += HeapBytes(entry.key);
    waiting_.push_back(std::move(entry));
    if (2 * waiting_.size() * sizeof(Entry) + waiting_bytes_ > Share() / 8) WriteWaiting();
  }
  // Entries that come before all that are here, in their order; at least one.
  void Spill(std::vector<Entry> entries) {
    first_ = entries.front();
    Write(entries);
  }

  // Whether there may be one with a time up to `time`.
  bool StartsBy(Ticks time) const { return first_.has_value() && first_->time <= time; }
  // Takes the first `most`, or at least one and fewer if their keys take more than `bytes`, and
  // calls take(Entry) for each in their order.
  template <class Take>
  void Load(std::size_t most, std::size_t bytes, Take&& take) {
    WriteWaiting();
    const std::string from = BytesOf(*first_);
    first_.reset();
    std::string to = kEnd;
    std::size_t taken = 0;
    std::size_t taken_bytes = 0;
    bool damaged = false;
    ThrowIfError(scratch_->Scan(from, kEnd,
                                [&](std::string_view stored, std::string_view) {
                                  Entry entry = Entry();
                                  damaged = !Decode(stored, entry);
                                  if (damaged) return false;
                                  if (taken == most || (taken > 0 && taken_bytes >= bytes)) {
                                    to = stored;
                                    first_ = std::move(entry);
                                    return false;
                                  }
                                  ++taken;
                                  taken_bytes += HeapBytes(entry.key);
                                  take(std::move(entry));
                                  return true;
                                }),
                 name_);
    if (damaged) throw StateError("timers '" + name_ + "': what was put aside is malformed");
    ThrowIfError(scratch_->EraseRange(from, to), name_);
    stored_ = first_.has_value() ? stored_ - std::min(stored_, taken) : 0;
  }

  void Clear() {
    if (first_.has_value()) ThrowIfError(scratch_->EraseRange(BytesOf(*first_), kEnd), name_);
    first_.reset();
    stored_ = 0;
    waiting_ = {};
    waiting_bytes_ = 0;
  }

 private:
  // The order in which timers fire (semantics rule 19).
  static bool Before(const Entry& a, const Entry& b) { return DueQueue<K, Entry>::Later(b, a); }

  // All keys are between these.
  static constexpr const char* kBegin = "t";
  static constexpr const char* kEnd = "u";
  static constexpr std::size_t kMemberBytes = 4;

  // They are in the order in which the entries are due.
  static void Append(const Entry& entry, std::string& out) {
    out += kBegin;
    AppendSlice(entry.time, out);
    AppendOrderedKey(entry.key, out);
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(entry.member >> shift);
  }
  static std::string BytesOf(const Entry& entry) {
    std::string bytes;
    Append(entry, bytes);
    return bytes;
  }
  static bool Decode(std::string_view bytes, Entry& entry) {
    if (bytes.size() < 1 + kSliceBytes + kMemberBytes) return false;
    bytes.remove_prefix(1);
    entry.time = SliceIn(bytes);
    bytes.remove_prefix(kSliceBytes);
    if (!TakeOrderedKey(bytes, entry.key) || bytes.size() != kMemberBytes) return false;
    entry.hash = KeyHash(entry.key);
    entry.member = 0;
    for (const char byte : bytes)
      entry.member = entry.member << 8 | static_cast<unsigned char>(byte);
    return true;
  }

  void WriteWaiting() {
    if (waiting_.empty()) return;
    std::sort(waiting_.begin(), waiting_.end(), Before);
    Write(waiting_);
    waiting_.clear();
    waiting_bytes_ = 0;
  }
  // They are in order.
  void Write(const std::vector<Entry>& entries) {
    std::string bytes;
    std::vector<std::size_t> ends;
    ends.reserve(entries.size());
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (i > 0 && !Before(entries[i - 1], entries[i])) continue;
      Append(entries[i], bytes);
      ends.push_back(bytes.size());
    }
    std::vector<StateChange> changes;
    changes.reserve(ends.size());
    std::size_t begin = 0;
    for (const std::size_t end : ends) {
      changes.push_back({std::string_view(bytes).substr(begin, end - begin), {}, false});
      begin = end;
    }
    ThrowIfError(scratch_->Write(changes), name_);
    stored_ += changes.size();
  }

  StateStore& store_;
  const std::string name_;
  // Null: nobody has asked for the share.
  mutable std::unique_ptr<StateScratch> scratch_;
  // All entries here come with or after this one; nothing: there are none.
  std::optional<Entry> first_;
  // In the scratch, at most.
  std::size_t stored_ = 0;
  std::vector<Entry> waiting_;
  // Of their keys.
  std::size_t waiting_bytes_ = 0;
};

}  // namespace weir::internal

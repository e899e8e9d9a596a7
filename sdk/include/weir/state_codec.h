#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "weir/binary_codec.h"
#include "weir/cached_table.h"
#include "weir/evolution.h"
#include "weir/graph.h"
#include "weir/operator.h"
#include "weir/record_traits.h"
#include "weir/state_store.h"
#include "weir/state_table.h"

namespace weir::internal {

// A type in the notation of docs/FORMATS.md; with EvolvingFields what it can be read from as well.
template <class T, class Fields = PlainFields>
std::string TypeNotation() {
  std::string text;
  AppendNotation<Fields, T>(text);
  return text;
}

// How the value of an entry is written and read. A layout of another kind of state has these
// members too, but Writes and Encode only in what Frozen returns. kWritesAll: Writes is always
// true. kFlat: moreover Encode appends the bytes of the value as they are. One that has
// `bool Tracks() const` says with it whether entries that do not change are also written the same.
template <class V>
struct RecordLayout {
  static constexpr bool kWritesAll = true;
  static constexpr bool kFlat = kIsFlat<V>;
  // Of the value, in the notation of docs/FORMATS.md.
  template <class Fields>
  static std::string Notation() {
    return TypeNotation<V, Fields>();
  }
  // Whether there is anything to write.
  bool Writes(const V&) const { return true; }
  void Encode(const V& value, std::string& out) const { EncodeValue(value, out); }
  // What writes values as they are now, whatever changes later.
  RecordLayout Frozen() const { return *this; }
  bool Decode(Decoder& in, V& value) const { return DecodeValue(in, value); }
};

struct NothingAhead {
  void operator()(std::uint64_t) const {}
};

// Whether entries are written as the bytes of key and value, any of which can be read.
template <class K, class V, class Layout>
inline constexpr bool kFlatEntries =
    kIsFlat<K> && !HasBool<K>() && !HasBool<V>() && requires { requires Layout::kFlat; };

// Reads what a TableSnapshot wrote and calls expect(entries), a number that memory may be taken
// for, then use(key, value, hash) for each entry, and ahead(hash) some entries before; refuses a
// key that is not of `key_group`.
template <class K, class V, class Expect, class Use, class Layout = RecordLayout<V>,
          class Ahead = NothingAhead>
absl::Status ReadEntries(Decoder& in, std::uint32_t key_group, std::uint32_t max_parallelism,
                         std::string_view state, Expect&& expect, Use&& use,
                         const Layout& layout = Layout(), Ahead&& ahead = Ahead()) {
  const auto damaged = [&](std::string_view why) {
    return absl::DataLossError("state '" + std::string(state) + "', key group " +
                               std::to_string(key_group) + ": " + std::string(why));
  };
  std::uint64_t count = 0;
  if (!in.Varint(count)) return damaged("no count of entries");
  // As far as there are bytes for them.
  expect(static_cast<std::size_t>(std::min<std::uint64_t>(count, in.remaining() / kMinSize<K>)));
  // Where entries go is often not in any cache.
  constexpr bool kWaits = !std::is_same_v<std::decay_t<Ahead>, NothingAhead>;
  if constexpr (kFlatEntries<K, V, Layout>) {
    constexpr std::size_t kEntryBytes = sizeof(K) + sizeof(V);
    constexpr std::uint64_t kWaiting = kWaits ? 16 : 1;
    std::string_view bytes;
    if (count > in.remaining() / kEntryBytes) return damaged("ends before its last entry");
    in.View(bytes, count * kEntryBytes);
    std::array<std::uint64_t, kWaiting> hashes{};
    std::uint64_t hashed = 0;
    K key{};
    V value{};
    for (std::uint64_t i = 0; i < count; ++i) {
      for (; hashed < std::min(count, i + kWaiting); ++hashed) {
        std::memcpy(&key, bytes.data() + hashed * kEntryBytes, sizeof(K));
        const std::uint64_t hash = KeyHash(key);
        if (KeyGroupOf(hash, max_parallelism) != key_group)
          return damaged("holds a key of another key group");
        ahead(hash);
        hashes[hashed % kWaiting] = hash;
      }
      std::memcpy(&key, bytes.data() + i * kEntryBytes, sizeof(K));
      std::memcpy(&value, bytes.data() + i * kEntryBytes + sizeof(K), sizeof(V));
      use(std::as_const(key), std::move(value), hashes[i % kWaiting]);
    }
    return absl::OkStatus();
  }
  struct Entry {
    K key{};
    V value{};
    std::uint64_t hash = 0;
  };
  constexpr std::size_t kWaiting =
      kWaits ? std::clamp<std::size_t>(4096 / sizeof(Entry), 1, 16) : 1;
  std::array<Entry, kWaiting> waiting;
  for (std::uint64_t i = 0; i < count; ++i) {
    Entry& entry = waiting[i % kWaiting];
    if (i >= kWaiting) use(std::as_const(entry.key), std::move(entry.value), entry.hash);
    entry = Entry{};
    if (!DecodeValue(in, entry.key) || !layout.Decode(in, entry.value)) {
      return damaged(std::string(in.status().message().data(), in.status().message().size()));
    }
    entry.hash = KeyHash(entry.key);
    if (KeyGroupOf(entry.hash, max_parallelism) != key_group)
      return damaged("holds a key of another key group");
    ahead(entry.hash);
  }
  for (std::uint64_t i = count - std::min<std::uint64_t>(count, kWaiting); i < count; ++i) {
    Entry& entry = waiting[i % kWaiting];
    use(std::as_const(entry.key), std::move(entry.value), entry.hash);
  }
  return absl::OkStatus();
}

// Reads what a TableSnapshot of changes wrote (docs/FORMATS.md, "Changes of keyed state"). Calls
// clear() if all that was there before is gone, erase(key, hash) for each key without an entry, and
// then as ReadEntries.
template <class K, class V, class Clear, class Erase, class Expect, class Use, class Layout,
          class Ahead>
absl::Status ReadChangedEntries(Decoder& in, std::uint32_t key_group, std::uint32_t max_parallelism,
                                std::string_view state, Clear&& clear, Erase&& erase,
                                Expect&& expect, Use&& use, const Layout& layout, Ahead&& ahead) {
  const auto damaged = [&](std::string_view why) {
    return absl::DataLossError("state '" + std::string(state) + "', key group " +
                               std::to_string(key_group) + ": " + std::string(why));
  };
  std::uint8_t replaces = 0;
  std::uint64_t erased = 0;
  if (!in.Fixed(replaces) || replaces > 1 || !in.Varint(erased))
    return damaged("no changes of entries");
  if (replaces == 1) clear();
  for (; erased > 0; --erased) {
    K key{};
    if (!DecodeValue(in, key)) {
      return damaged(std::string(in.status().message().data(), in.status().message().size()));
    }
    const std::uint64_t hash = KeyHash(key);
    if (KeyGroupOf(hash, max_parallelism) != key_group)
      return damaged("has erased a key of another key group");
    erase(key, hash);
  }
  return ReadEntries<K, V>(in, key_group, max_parallelism, state, std::forward<Expect>(expect),
                           std::forward<Use>(use), layout, std::forward<Ahead>(ahead));
}

template <class K, class V>
class NamedSnapshot final : public KeyedStateSnapshot {
 public:
  explicit NamedSnapshot(TableSnapshot<K, V> table) : table_(std::move(table)) {}
  void WriteKeyGroup(std::uint32_t key_group, std::string& out) override {
    table_.WriteKeyGroup(key_group, out);
  }
  void WriteInPieces(std::uint32_t key_group, std::string& out,
                     absl::FunctionRef<void(std::string&)> take) override {
    table_.WriteKeyGroup(key_group, out, [] {}, &take);
  }
  WrittenParts WriteParts(std::uint32_t key_group, std::string& out,
                          std::vector<std::size_t>& ends) override {
    return table_.WriteParts(key_group, out, ends, parts_memory_);
  }

 private:
  const TableSnapshot<K, V> table_;
  typename TableSnapshot<K, V>::PartsMemory parts_memory_;
};

// A state of one entry a key, as snapshots see it: in `table`, or with a StateStore in `stored`.
template <class K, class V, class Layout = RecordLayout<V>>
class NamedTable final : public KeyedStateTable {
 public:
  using Stored = CachedTable<K, V, Layout>;

  // With a `store`, which outlives the table, throws StateError.
  NamedTable(std::string name, KeyGroupRange range, std::uint32_t max_parallelism,
             const Layout& layout = Layout(), StateStore* store = nullptr)
      : table(range, max_parallelism),
        max_parallelism_(max_parallelism),
        name_(std::move(name)),
        type_(TypeText()),
        layout_(layout) {
    if (store == nullptr) return;
    auto column = store->OpenColumn(
        name_, ExpiringLayout<V, Layout> ? ColumnLayout::kExpiring : ColumnLayout::kEntries);
    ThrowIfError(column.status(), name_);
    stored_ = std::make_unique<Stored>(name_, *std::move(column), range, max_parallelism, layout_);
  }

  template <class Fields = PlainFields>
  static std::string TypeText() {
    return "map<" + TypeNotation<K, Fields>() + "," + Layout::template Notation<Fields>() + ">";
  }
  static StateDefinition Describe(std::string name) {
    return {std::move(name), TypeText(), TypeText<EvolvingFields>()};
  }

  const std::string& name() const override { return name_; }
  const std::string& type() const override { return type_; }
  std::string evolution() const override { return TypeText<EvolvingFields>(); }

  bool stored() const override { return stored_ != nullptr; }
  void Flush() override {
    if (stored_ != nullptr) stored_->Save();
  }
  std::unique_ptr<KeyedStateSnapshot> TakeSnapshot(SnapshotUse use) override {
    if (stored_ != nullptr) return stored_->TakeSnapshot();
    return std::make_unique<NamedSnapshot<K, V>>(table.Freeze(use, layout_.Frozen()));
  }

  bool tracks_changes() const override {
    if (stored_ != nullptr) return false;
    if constexpr (requires { layout_.Tracks(); }) {
      return layout_.Tracks();
    } else {
      return true;
    }
  }
  std::unique_ptr<KeyedStateSnapshot> TakeChanges(std::uint32_t since) override {
    return std::make_unique<NamedSnapshot<K, V>>(
        table.FreezeChanges(static_cast<std::uint8_t>(since), layout_.Frozen()));
  }

  absl::Status ReadKeyGroup(std::uint32_t key_group, std::string_view bytes) override {
    if (bytes.empty()) return absl::OkStatus();
    Decoder in(bytes);
    WEIR_SDK_RETURN_IF_ERROR(
        (ReadEntries<K, V>(in, key_group, max_parallelism_, name_, ReserveIn(key_group),
                           WriteEntry(), layout_, FetchAhead())));
    return CheckAllRead(in);
  }
  absl::Status ReadChanges(std::uint32_t key_group, std::string_view bytes) override {
    if (bytes.empty()) return absl::OkStatus();
    Decoder in(bytes);
    WEIR_SDK_RETURN_IF_ERROR((ReadChangedEntries<K, V>(
        in, key_group, max_parallelism_, name_, [&] { DropKeyGroup(key_group); },
        [&](const K& key, std::uint64_t hash) {
          if (stored_ != nullptr) {
            stored_->Erase(key, hash);
          } else {
            table.Erase(key, hash);
          }
        },
        ReserveIn(key_group), WriteEntry(), layout_, FetchAhead())));
    return CheckAllRead(in);
  }

  bool LoadLater(std::shared_ptr<KeyedStateParts> parts) override {
    if (stored_ != nullptr) return false;
    absent_ = std::make_unique<EntriesInParts>(*this, std::move(parts));
    table.SetAbsent(absent_.get());
    return true;
  }
  bool loading() const override { return table.HasAbsent(); }
  bool LoadSome(std::size_t bytes) override {
    return absent_ == nullptr || absent_->LoadSome(bytes);
  }

  void DropKeyGroup(std::uint32_t key_group) override {
    if (stored_ != nullptr) stored_->DropKeyGroup(key_group);
    table.DropKeyGroup(key_group);
  }
  std::size_t entries() const override {
    return stored_ != nullptr ? stored_->EstimatedEntries() : table.size();
  }
  std::size_t memory_bytes() const override {
    return table.memory_bytes() + (stored_ != nullptr ? stored_->memory_bytes() : 0);
  }

  // Of all entries, in no order.
  std::vector<K> Keys() {
    if (stored_ != nullptr) return stored_->Keys();
    std::vector<K> keys;
    keys.reserve(table.size());
    table.ForEach([&](const K& key, const V&) { keys.push_back(key); });
    return keys;
  }

  // Calls f(const K&, const V&) for some entries while it returns true: for who wants examples, and
  // no wait. Looks at about `most` places; what is absent, or stored behind those, is left out.
  template <class F>
  void Peek(std::size_t most, F&& f) {
    if (stored_ != nullptr) return stored_->Peek(most, std::forward<F>(f));
    // A table is at least a quarter full unless entries were erased.
    table.Peek(4 * most + 4096, std::forward<F>(f));
  }

  KeyedTable<K, V> table;
  // Null: the entries are in `table`.
  Stored* in_store() const { return stored_.get(); }

 private:
  // Those of the table that are still to be read.
  class EntriesInParts final : public AbsentEntries {
   public:
    EntriesInParts(NamedTable& owner, std::shared_ptr<KeyedStateParts> parts)
        : owner_(owner), parts_(std::move(parts)) {}

    void Need(std::uint64_t hash) override {
      const std::uint32_t key_group = KeyGroupOf(hash, owner_.max_parallelism_);
      if (filled_ != nullptr && filled_->key_group() == key_group) TakeUpFilled();
      Insert(parts_->Take(key_group, hash));
    }
    void WillNeed(std::span<const std::uint64_t> hashes) override {
      places_.clear();
      for (const std::uint64_t hash : hashes)
        places_.push_back({KeyGroupOf(hash, owner_.max_parallelism_), hash});
      parts_->WillTake(places_);
    }
    void NeedAll() override { LoadSome(static_cast<std::size_t>(-1)); }
    void Drop(std::uint32_t key_group) override {
      if (filled_ != nullptr && filled_->key_group() == key_group) filled_.reset();
      parts_->Drop(key_group);
    }
    // Whether that were all.
    bool LoadSome(std::size_t bytes) {
      for (std::size_t loaded = 0; loaded < bytes && !parts_->all_taken();) {
        const KeyedStateParts::Part part = parts_->TakeNext();
        if (part.key_group != next_group_) {
          TakeUpFilled();
          next_group_ = part.key_group;
          Begin(part);
        }
        Insert(part);
        loaded += part.bytes.size();
      }
      if (!parts_->all_taken()) return false;
      TakeUpFilled();
      owner_.table.SetAbsent(nullptr);
      return true;
    }

   private:
    // The first one of a key group of which the others follow.
    void Begin(const KeyedStateParts::Part& part) {
      KeyedTable<K, V>& table = owner_.table;
      if (table.IsToBeFilled(part.key_group, part.entries)) {
        filled_ = std::make_unique<FilledSlots<K, V>>(part.key_group, part.entries,
                                                      table.EntriesIn(part.key_group));
      } else {
        // At once, in place of one doubling after another.
        table.Reserve(part.key_group, part.entries);
      }
    }
    void TakeUpFilled() {
      if (filled_ != nullptr) owner_.table.TakeUp(std::move(*std::exchange(filled_, nullptr)));
    }

    // Those of keys that have no entry.
    void Insert(const KeyedStateParts::Part& part) {
      if (part.bytes.empty()) return;
      absl::Status read;
      try {
        read = Decode(part);
      } catch (const std::bad_alloc&) {
        read = absl::ResourceExhaustedError("state '" + owner_.name_ +
                                            "': no memory to read it (std::bad_alloc)");
      }
      if (!read.ok()) parts_->Fail(std::move(read));
    }
    absl::Status Decode(const KeyedStateParts::Part& part) {
      if (filled_ == nullptr || filled_->key_group() != part.key_group) {
        return Decode(
            part,
            [&](const K& key, V&& value, std::uint64_t hash) {
              InsertNew(key, std::move(value), hash);
            },
            owner_.FetchAhead());
      }
      return Decode(
          part,
          [&](const K& key, V&& value, std::uint64_t hash) {
            if (filled_ != nullptr && filled_->Add(key, std::move(value), hash)) [[likely]] {
              return;
            }
            TakeUpFilled();
            InsertNew(key, std::move(value), hash);
          },
          NothingAhead());
    }
    void InsertNew(const K& key, V&& value, std::uint64_t hash) {
      const typename KeyedTable<K, V>::WithoutAbsent only_here(owner_.table);
      const auto [into, inserted] = owner_.table.FindOrInsert(key, hash);
      if (inserted) *into = std::move(value);
    }
    template <class Use, class Ahead>
    absl::Status Decode(const KeyedStateParts::Part& part, Use&& use, Ahead&& ahead) {
      Decoder in(part.bytes);
      bool strays = false;
      WEIR_SDK_RETURN_IF_ERROR((ReadEntries<K, V>(
          in, part.key_group, owner_.max_parallelism_, owner_.name_, [](std::size_t) {},
          [&](const K& key, V&& value, std::uint64_t hash) {
            strays |= part.parts.PartOf(static_cast<std::uint32_t>(hash)) != part.number;
            use(key, std::move(value), hash);
          },
          owner_.layout_, ahead)));
      WEIR_SDK_RETURN_IF_ERROR(owner_.CheckAllRead(in));
      if (!strays) return absl::OkStatus();
      return absl::DataLossError("state '" + owner_.name_ + "', key group " +
                                 std::to_string(part.key_group) +
                                 ": a part holds a key of another part");
    }

    NamedTable& owner_;
    const std::shared_ptr<KeyedStateParts> parts_;
    std::vector<KeyedStateParts::Place> places_;
    // Of the part that LoadSome has taken last.
    std::uint32_t next_group_ = static_cast<std::uint32_t>(-1);
    // What LoadSome has read of a key group of which nothing has been needed since. Null: none.
    std::unique_ptr<FilledSlots<K, V>> filled_;
  };

  auto ReserveIn(std::uint32_t key_group) {
    return [this, key_group](std::size_t entries) {
      if (stored_ == nullptr) table.Reserve(key_group, entries);
    };
  }
  auto FetchAhead() {
    return [this](std::uint64_t hash) {
      if (stored_ != nullptr) {
        stored_->Prefetch(hash);
      } else {
        table.Prefetch(hash);
      }
    };
  }
  auto WriteEntry() {
    return [this](const K& key, V&& value, std::uint64_t hash) {
      if (stored_ != nullptr) {
        stored_->Overwrite(key, hash) = std::move(value);
      } else {
        // What is absent is older.
        const typename KeyedTable<K, V>::WithoutAbsent only_here(table);
        *table.FindOrInsert(key, hash).first = std::move(value);
      }
    };
  }
  absl::Status CheckAllRead(const Decoder& in) const {
    if (in.remaining() == 0) return absl::OkStatus();
    return absl::DataLossError("state '" + name_ + "': bytes are left over after the last entry");
  }

  std::uint32_t max_parallelism_;
  std::string name_;
  std::string type_;
  const Layout layout_;
  std::unique_ptr<Stored> stored_;
  // Null: none ever were.
  std::unique_ptr<EntriesInParts> absent_;
};

}  // namespace weir::internal

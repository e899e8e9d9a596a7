#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "weir/binary_codec.h"
#include "weir/operator.h"
#include "weir/state_store.h"
#include "weir/stored_entries.h"
#include "weir/time.h"

namespace weir::internal {

// A layout whose values expire: what it writes begins with the time of the last access.
template <class V, class Layout>
concept ExpiringLayout = requires(const Layout& layout, const V& value) {
  { layout.Frozen().Newest(value) } -> std::same_as<Ticks>;
};

// What a CachedTable held, read from its store: the entries in the order of their keys.
template <class K, class V, class Layout>
class StoredSnapshot final : public KeyedStateSnapshot {
 public:
  StoredSnapshot(std::string name, std::unique_ptr<StateView> view, const Layout& layout)
      : name_(std::move(name)), view_(std::move(view)), layout_(layout), frozen_(layout.Frozen()) {}

  // Appends a varint count, then of each entry the encoded key and the encoded value; nothing if
  // there are none.
  void WriteKeyGroup(std::uint32_t key_group, std::string& out) override {
    std::string from;
    std::string to;
    AppendKeyGroup(key_group, from);
    AppendKeyGroup(key_group + 1, to);
    std::string entries;
    std::uint64_t count = 0;
    bool damaged = false;
    ThrowIfError(view_->Scan(from, to,
                             [&](std::string_view key, std::string_view value) {
                               const std::size_t before = entries.size();
                               entries += key.substr(from.size());
                               const Written written = AppendValue(value, entries);
                               damaged = written == Written::kDamaged;
                               if (written != Written::kYes) entries.resize(before);
                               count += written == Written::kYes ? 1 : 0;
                               return !damaged;
                             }),
                 name_);
    if (damaged) throw StateError("state '" + name_ + "': the store has a malformed entry");
    if (count == 0) return;
    weir::Encoder(out).Varint(count);
    out += entries;
  }

 private:
  enum class Written { kYes, kExpired, kDamaged };

  Written AppendValue(std::string_view stored, std::string& out) {
    if constexpr (ExpiringLayout<V, Layout>) {
      // Some of it may have expired since it was stored.
      V value{};
      if (stored.size() < sizeof(Ticks)) return Written::kDamaged;
      Decoder in(stored.substr(sizeof(Ticks)));
      if (!layout_.Decode(in, value) || in.remaining() > 0) return Written::kDamaged;
      if (!frozen_.Writes(value)) return Written::kExpired;
      frozen_.Encode(value, out);
    } else {
      out += stored;
    }
    return Written::kYes;
  }

  const std::string name_;
  const std::unique_ptr<StateView> view_;
  const Layout layout_;
  const decltype(std::declval<const Layout&>().Frozen()) frozen_;
};

}  // namespace weir::internal

#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <type_traits>

#include "weir/aggregates.h"
#include "weir/json_write.h"
#include "weir/operator.h"

// For operators whose user functions throw: said before the exception goes on, in a catch block
// around the loop over a batch, which costs nothing until then.
namespace weir::internal {

template <class T>
std::string JsonIfItCan(const T& value) {
  std::string text;
  if constexpr (!std::is_same_v<T, AllRecords>) {
    try {
      WriteJsonValue(value, text);
    } catch (...) {
      // A codec of the job's own; what was thrown first is what counts.
      text.clear();
    }
  }
  return text;
}

template <class T>
[[gnu::cold, gnu::noinline]] void TellThrownOn(OperatorContext& context, const T& record) {
  context.OnThrown("", JsonIfItCan(record));
}
template <class K>
[[gnu::cold, gnu::noinline]] void TellThrownFor(OperatorContext& context, const K& key) {
  context.OnThrown(JsonIfItCan(key), "");
}
// Of a keyed stream. The function of the key may be what has thrown.
template <class Key, class T>
[[gnu::cold, gnu::noinline]] void TellThrownOn(OperatorContext& context, const Key& key_of,
                                               const T& record) {
  std::string key;
  try {
    key = JsonIfItCan<std::remove_cvref_t<std::invoke_result_t<const Key&, const T&>>>(
        std::invoke(key_of, record));
  } catch (...) {
    key.clear();
  }
  context.OnThrown(key, JsonIfItCan(record));
}

// Which record a loop that looks up to `ahead` keys ahead of record `at` has met: one whose key
// cannot be taken, or that.
template <class Key, class Records>
[[gnu::cold, gnu::noinline]] std::size_t ThrownAt(const Key& key_of, const Records& records,
                                                  std::size_t at, std::size_t ahead) {
  std::size_t i = at;
  try {
    for (; i < records.size() && i <= at + ahead; ++i) (void)std::invoke(key_of, records[i]);
  } catch (...) {
    return i;
  }
  return at;
}

}  // namespace weir::internal

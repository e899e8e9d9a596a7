#pragma once

#include <string>
#include <type_traits>
#include <utility>

#include "weir/aggregates.h"
#include "weir/json_write.h"
#include "weir/operator.h"
#include "weir/results.h"
#include "weir/side_output.h"

namespace weir::internal {

// Notes a record that came too late, for `jobctl late` (semantics rules 7, 32, 34, 36). `late`: of
// the record, but its key.
template <class K>
void NoteLate(OperatorContext& context, const K& key, LateRecord late) {
  const auto write_key = [&key](std::string& out) {
    if constexpr (!std::is_same_v<K, AllRecords>) WriteJsonValue(key, out);
  };
  context.OnLateRecord(late, write_key);
}

// What becomes of a record that an operator cannot take any more: it goes to the side output `tag`
// if that is read, or is dropped and counted.
template <class T, class K, class Out>
void RejectLate(OperatorContext& context, Results<Out>& results, const std::string& tag, T record,
                const K& key, LateRecord late) {
  const bool read = !tag.empty() && results.HasSide(tag);
  late.fate = read ? LateRecord::Fate::kSideOutput : LateRecord::Fate::kDropped;
  NoteLate(context, key, late);
  if (read) results.EmitSide(SideOutput<T>{tag.c_str()}, std::move(record), late.time);
}

}  // namespace weir::internal

#pragma once

#include "weir/binary_codec.h"
#include "weir/compare.h"
#include "weir/encoding.h"
#include "weir/hash.h"
#include "weir/record.h"
#include "weir/record_type.h"
#include "weir/typed_record_type.h"

namespace weir {

// The operations on batches of T. One object for each T, in the library that instantiates it,
// constant and thread safe.
template <class T>
const RecordType& RecordTypeOf() {
  if constexpr (CheckRecord<T>()) {
    static const internal::TypedRecordType<T> type;
    return type;
  } else {
    __builtin_unreachable();  // does not compile
  }
}

}  // namespace weir

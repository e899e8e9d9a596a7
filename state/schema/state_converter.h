#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "state/schema/type_notation.h"

namespace weir {

// Turns the bytes of state that was written with one type into those of another, to which its
// records have evolved: fields that were added (they get their default), removed, moved or renamed
// (the new type says how they were called), and integers that have become wider. Everything else is
// refused, by name.
//
// Thread safe.
class StateConverter {
 public:
  // `from` is the notation in the checkpoint, `to` that of the job, with former names and defaults
  // (docs/FORMATS.md). kFailedPrecondition with the place and the reason if the one cannot become
  // the other; kInvalidArgument if one is no notation.
  static absl::StatusOr<StateConverter> Make(std::string_view from, std::string_view to);

  // Nothing is to be done.
  bool same() const { return same_; }

  // What a snapshot has of a key group of such keyed state. kDataLoss if it is not of the type.
  absl::StatusOr<std::string> ConvertKeyGroup(std::string_view bytes) const;
  // What a snapshot of changes has of a key group. kDataLoss likewise.
  absl::StatusOr<std::string> ConvertChanges(std::string_view bytes) const;
  // One value of the type: an item of an operator's list. kDataLoss likewise.
  absl::StatusOr<std::string> ConvertValue(std::string_view bytes) const;

 private:
  class Compiler;
  class Run;
  // For each field of the new record the index of the old one, or -1: its default.
  using Fields = std::vector<int>;
  using Pair = std::pair<const TypeNode*, const TypeNode*>;

  StateConverter() = default;

  std::unique_ptr<TypeNode> from_;
  std::unique_ptr<TypeNode> to_;
  std::map<Pair, Fields> records_;
  bool same_ = false;
};

}  // namespace weir

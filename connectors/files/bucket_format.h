#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "weir/time.h"

namespace weir {

// The folder below a sink's path that a record goes to, by its timestamp in UTC: a relative path in
// which %Y, %m, %d, %H and %M stand for year, month, day, hour and minute, and %% for a percent
// sign. Owned by one thread.
class BucketFormat {
 public:
  // kInvalidArgument, saying what is allowed.
  static absl::StatusOr<BucketFormat> Parse(std::string_view text);

  // All times from the last one's `begin` up to its `end` have the same name.
  const std::string& NameOf(Ticks time);

 private:
  struct Part {
    char directive = 0;  // 0: text
    std::string text;
  };
  std::vector<Part> parts_;
  // Of the unit that the smallest directive tells apart.
  Ticks unit_ = 0;
  std::string name_;
  Ticks begin_ = 0;
  Ticks end_ = 0;
};

}  // namespace weir

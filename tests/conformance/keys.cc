// Semantics rule 48.
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/conformance/kinds.h"
#include "weir/hash.h"

namespace weir::conformance {
namespace {

class KeyGroups final : public Subject {
 public:
  KeyGroups(std::uint32_t max_parallelism, std::uint32_t parallelism)
      : max_parallelism_(max_parallelism), parallelism_(parallelism) {}

  absl::Status Take(const CaseValue& step, Outputs& out) override {
    if (step.Has("key_group")) {
      const auto key_group = static_cast<std::uint32_t>(step.Number("key_group"));
      out.Literal(
          absl::StrCat("{\"subtask\":", SubtaskOf(key_group, max_parallelism_, parallelism_), "}"));
    } else if (step.Flag("ranges")) {
      std::string ranges;
      for (std::uint32_t subtask = 0; subtask < parallelism_; ++subtask) {
        const KeyGroupRange range = KeyGroupRangeOf(subtask, max_parallelism_, parallelism_);
        absl::StrAppend(&ranges, subtask > 0 ? "," : "", "[", range.first, ",", range.last, "]");
      }
      out.Literal("{\"ranges\":[" + ranges + "]}");
    } else {
      step.Problem("a step is none of key_groups: " + step.Json());
    }
    return absl::OkStatus();
  }

 private:
  const std::uint32_t max_parallelism_;
  const std::uint32_t parallelism_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Subject>> MakeKeyGroups(const Case& test,
                                                       const testing::HarnessOptions&) {
  const std::int64_t max_parallelism = test.op().Number("max_parallelism");
  const std::int64_t parallelism = test.op().Number("parallelism");
  if (parallelism <= 0 || parallelism > max_parallelism || max_parallelism > 32768)
    return absl::InvalidArgumentError("parallelism must be between 1 and max_parallelism");
  return std::make_unique<KeyGroups>(static_cast<std::uint32_t>(max_parallelism),
                                     static_cast<std::uint32_t>(parallelism));
}

}  // namespace weir::conformance

#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace weir {

// What a task is asked to say of itself.
struct TaskInspection {
  enum class Kind : uint8_t { kWatermarks, kLateRecords, kWindows };

  // Of a proto::InspectionKind; nothing: it is not known here.
  static std::optional<Kind> KindOf(int kind);

  Kind kind = Kind::kWatermarks;
  // Of kWindows: only of this operator; empty: of all.
  std::string operator_uid;
  // Of kWindows: how many of an operator; 0: kUsualWindows.
  uint32_t limit = 0;

  static constexpr uint32_t kUsualWindows = 20;
  static constexpr uint32_t kMostWindows = 1000;
  // A task says within milliseconds what it has, however much that is.
  static constexpr uint32_t kMostLooks = 10'000;
};

}  // namespace weir

#pragma once

#include <cstdint>
#include <string>

namespace weir {

namespace proto {
class InspectJobResponse;
}

// Those of the operators that have windows, "a, b"; empty: none has.
std::string OperatorsWithWindows(const proto::InspectJobResponse& job);
// Whether a subtask of the operator has said that it has windows, or could not say.
bool MayHaveWindows(const proto::InspectJobResponse& job, const std::string& uid);

// What `jobctl windows` shows: the `limit` windows of the operator that fire first.
std::string WindowsText(const proto::InspectJobResponse& job, const std::string& uid,
                        uint32_t limit);
std::string WindowsJson(const proto::InspectJobResponse& job, const std::string& uid,
                        uint32_t limit);

}  // namespace weir

#pragma once

#include <string>

namespace weir {

namespace proto {
class InspectJobResponse;
}

// What `jobctl late` shows, of the operator `uid` or, if that is empty, of all that had late
// records.
std::string LateRecordsText(const proto::InspectJobResponse& job, const std::string& uid);
std::string LateRecordsJson(const proto::InspectJobResponse& job, const std::string& uid);

}  // namespace weir

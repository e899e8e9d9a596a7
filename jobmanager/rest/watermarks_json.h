#pragma once

#include <string_view>

#include "jobmanager/rest/checkpoints_json.h"

namespace weir::jobmanager {

// GET /jobs/<job>/vertices/<vertex>/watermarks, in the form that Flink's tools read: the watermark
// of each subtask that has reported one, in milliseconds, by what workers last said with their
// heartbeats. 404: no such job or vertex.
RestAnswer WatermarksAnswer(const ClusterSnapshot& cluster, std::string_view job,
                            std::string_view vertex);

}  // namespace weir::jobmanager

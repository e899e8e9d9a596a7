#pragma once

#include <string>
#include <string_view>

#include "jobmanager/dispatch/snapshot.h"

namespace weir::jobmanager {

struct RestAnswer {
  int status = 200;
  std::string body;
};

// The answers to requests below /jobs/<job>/checkpoints, in the form that Flink's tools read:
// statistics of the last checkpoints, of one, of one vertex of one, and the settings. Ids are texts
// from outside: 400 for what is none, 404 for what is not there, or not any more. Pure.
RestAnswer CheckpointsAnswer(const ClusterSnapshot& cluster, std::string_view job);
RestAnswer CheckpointSettingsAnswer(const ClusterSnapshot& cluster, std::string_view job);
RestAnswer CheckpointAnswer(const ClusterSnapshot& cluster, std::string_view job,
                            std::string_view checkpoint);
RestAnswer CheckpointVertexAnswer(const ClusterSnapshot& cluster, std::string_view job,
                                  std::string_view checkpoint, std::string_view vertex);

}  // namespace weir::jobmanager

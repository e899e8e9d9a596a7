#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace weir {

namespace proto {
class InspectJobResponse;
}  // namespace proto

// Event time of a job for people and for programs, from what its tasks said. What does not make
// sense is shown as far as it does. All pure.

// A line for each operator: its least watermark, how far that is behind the wall clock and behind
// the subtask that is ahead, and who holds it back: the subtask and split of a source, or an
// operator that assigns timestamps, that the slowest channels lead back to.
std::string WatermarksText(const proto::InspectJobResponse& job);
// One operator: a line for each subtask, then the channels or splits of the one that is behind.
// Empty if the job has no such operator.
std::string OperatorWatermarksText(const proto::InspectJobResponse& job, const std::string& uid);
// All of it; of one operator if `uid` is not empty.
std::string WatermarksJson(const proto::InspectJobResponse& job, const std::string& uid);

// How the watermarks move from one look at a job to the next.
class WatermarkProgress {
 public:
  // `uid`: of the operator to show; empty: all.
  explicit WatermarkProgress(std::string uid) : uid_(std::move(uid)) {}
  // A line for each operator: watermark, lag, and by how much event time went on for each second
  // of the clock since the look before.
  std::string Next(const proto::InspectJobResponse& job);

 private:
  struct Look {
    int64_t at_micros = 0;
    int64_t watermark = 0;
  };
  const std::string uid_;
  std::map<std::string, Look> before_;
};

}  // namespace weir

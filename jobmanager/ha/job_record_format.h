#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace weir::proto {
class JobRecord;
class SubmittedJob;
}  // namespace weir::proto

namespace weir::jobmanager {

// The bytes of a job's records: a header, a message and a digest; docs/FORMATS.md, "Records of
// jobs", has them byte by byte. Nothing here blocks.

// The highest; a record has 2 if the job's parallelism was changed, everything else 1.
inline constexpr uint32_t kJobRecordVersion = 3;
inline constexpr std::string_view kJobRecordMagic = "WEIRJOB\n";
inline constexpr size_t kJobRecordHeaderBytes = 24;
inline constexpr uint64_t kMaxJobRecordBytes = 16 << 20;

// kInvalidArgument if decoding would refuse the result.
absl::StatusOr<std::string> EncodeSubmittedJob(const proto::SubmittedJob& job);
absl::StatusOr<std::string> EncodeJobRecord(const proto::JobRecord& record);

// kDataLoss: what is wrong with the bytes, or with what they mean; what passes can be used without
// another check (the graph has passed ValidateJobGraph). kFailedPrecondition: a newer version of
// Weir wrote them. On an error the message is empty. Total: no input makes it crash, or allocate
// more than a small multiple of its size.
absl::Status DecodeSubmittedJob(std::string_view bytes, proto::SubmittedJob* job);
absl::Status DecodeJobRecord(std::string_view bytes, proto::JobRecord* record);

}  // namespace weir::jobmanager

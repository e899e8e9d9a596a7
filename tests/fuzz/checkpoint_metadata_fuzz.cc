// Metadata of checkpoints: any bytes are either refused or mean metadata that can be indexed, and
// that is the same when it is written again.
#include <string>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/little_endian.h"
#include "google/protobuf/stubs/logging.h"
#include "proto/checkpoint.pb.h"
#include "state/store/checkpoint_metadata.h"
#include "tests/fuzz/fuzz_target.h"

namespace weir {
namespace {

constexpr size_t kDigestBytes = 8;

// Makes length and digest right: else no changed metadata would get past them.
std::string Framed(std::string bytes) {
  if (bytes.size() < kCheckpointMetadataHeaderBytes + kDigestBytes) return bytes;
  bytes.resize(bytes.size() - kDigestBytes);
  std::string length;
  AppendLittleEndian(length, uint64_t{bytes.size() - kCheckpointMetadataHeaderBytes});
  bytes.replace(kCheckpointMetadataHeaderBytes - length.size(), length.size(), length);
  AppendLittleEndian(bytes, Hash64(bytes));
  return bytes;
}

bool Run(const std::string& input) {
  proto::CheckpointMetadata metadata;
  const absl::Status status = DecodeCheckpointMetadata(input, &metadata);
  if (!status.ok()) {
    WEIR_CHECK(status.code() == absl::StatusCode::kDataLoss ||
               status.code() == absl::StatusCode::kFailedPrecondition);
    WEIR_CHECK(!status.message().empty());
    WEIR_CHECK_EQ(metadata.ByteSizeLong(), 0u);
    return false;
  }
  for (const proto::StateFile& file : metadata.files()) WEIR_CHECK(IsStateFileName(file.name()));
  for (const proto::OperatorCheckpoint& op : metadata.operators()) {
    for (uint32_t i = 0; i < op.parallelism(); ++i) {
      for (const uint32_t file : op.subtasks(static_cast<int>(i)).files()) {
        WEIR_CHECK(!metadata.files(static_cast<int>(file)).name().empty());
      }
    }
  }
  const auto encoded = EncodeCheckpointMetadata(metadata);
  WEIR_CHECK(encoded.ok());
  proto::CheckpointMetadata again;
  WEIR_CHECK(DecodeCheckpointMetadata(*encoded, &again).ok());
  WEIR_CHECK(again.SerializeAsString() == metadata.SerializeAsString());
  return true;
}

}  // namespace
}  // namespace weir

bool RunOneInput(std::string_view input) {
  // Protobuf prints a line about each text that is not UTF-8.
  static auto* const printing = google::protobuf::SetLogHandler(nullptr);
  (void)printing;
  const bool accepted = weir::Run(std::string(input));
  return weir::Run(weir::Framed(std::string(input))) || accepted;
}

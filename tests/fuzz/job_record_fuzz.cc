// Records of jobs: any bytes are either refused or mean a record that is the same when it is
// written again.
#include <string>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/little_endian.h"
#include "google/protobuf/stubs/logging.h"
#include "jobmanager/ha/job_record_format.h"
#include "proto/job_record.pb.h"
#include "tests/fuzz/fuzz_target.h"

namespace weir::jobmanager {
namespace {

constexpr size_t kDigestBytes = 8;

// Makes length and digest right: else no changed record would get past them.
std::string Framed(std::string bytes) {
  if (bytes.size() < kJobRecordHeaderBytes + kDigestBytes) return bytes;
  bytes.resize(bytes.size() - kDigestBytes);
  std::string length;
  AppendLittleEndian(length, uint64_t{bytes.size() - kJobRecordHeaderBytes});
  bytes.replace(kJobRecordHeaderBytes - length.size(), length.size(), length);
  AppendLittleEndian(bytes, Hash64(bytes));
  return bytes;
}

template <class Message>
bool RunAs(const std::string& input, absl::Status (*decode)(std::string_view, Message*),
           absl::StatusOr<std::string> (*encode)(const Message&)) {
  Message message;
  const absl::Status status = decode(input, &message);
  if (!status.ok()) {
    WEIR_CHECK(status.code() == absl::StatusCode::kDataLoss ||
               status.code() == absl::StatusCode::kFailedPrecondition);
    WEIR_CHECK(!status.message().empty());
    WEIR_CHECK_EQ(message.ByteSizeLong(), 0u);
    return false;
  }
  const auto encoded = encode(message);
  WEIR_CHECK(encoded.ok());
  Message again;
  WEIR_CHECK(decode(*encoded, &again).ok());
  WEIR_CHECK(*encode(again) == *encoded);
  return true;
}

bool Run(const std::string& input) {
  const bool submitted = RunAs(input, DecodeSubmittedJob, EncodeSubmittedJob);
  const bool record = RunAs(input, DecodeJobRecord, EncodeJobRecord);
  WEIR_CHECK(!submitted || !record);
  return submitted || record;
}

}  // namespace
}  // namespace weir::jobmanager

bool RunOneInput(std::string_view input) {
  // Protobuf prints a line about each text that is not UTF-8.
  static auto* const printing = google::protobuf::SetLogHandler(nullptr);
  (void)printing;
  const bool accepted = weir::jobmanager::Run(std::string(input));
  return weir::jobmanager::Run(weir::jobmanager::Framed(std::string(input))) || accepted;
}

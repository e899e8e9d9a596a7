// Records of jobs that earlier versions wrote are read for ever. job_records_v1 was not made by
// this code, but after docs/FORMATS.md, and is never made again.
#include <string>

#include "common/base/strings.h"
#include "common/env/system/posix_file_system.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "jobmanager/ha/job_record_format.h"
#include "proto/job_record.pb.h"

namespace weir::jobmanager {
namespace {

std::string Committed(const std::string& name) {
  PosixFileSystem files;
  const auto content = ReadFile(files, StrCat(WEIR_FORMATS "/job_records_", name), 1 << 20);
  EXPECT_TRUE(content.ok()) << content.status();
  return content.ok() ? *content : std::string();
}

template <class Message>
Message Expected(const std::string& name) {
  Message message;
  EXPECT_TRUE(
      google::protobuf::TextFormat::ParseFromString(Committed(name + ".textproto"), &message));
  return message;
}

// All the ways to damage `content`: cut anywhere, any bit changed, a byte added at the end.
template <class Check>
void Damage(const std::string& content, Check check) {
  for (size_t at = 0; at < content.size(); ++at) {
    SCOPED_TRACE(at);
    check(content.substr(0, at));
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = content;
      changed[at] = static_cast<char>(changed[at] ^ (1 << bit));
      check(changed);
    }
    if (::testing::Test::HasFailure()) return;
  }
  check(content + '\0');
}

template <class Message>
void ExpectWritten(const std::string& name, absl::Status (*decode)(std::string_view, Message*),
                   absl::StatusOr<std::string> (*encode)(const Message&)) {
  const std::string committed = Committed(name);
  Message message;
  const absl::Status status = decode(committed, &message);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(message.DebugString(), Expected<Message>(name).DebugString());
  EXPECT_EQ(*encode(message), committed) << "this version writes the same bytes";
  Damage(committed, [decode](const std::string& damaged) {
    Message none;
    const absl::Status refused = decode(damaged, &none);
    EXPECT_TRUE(absl::IsDataLoss(refused) || absl::IsFailedPrecondition(refused)) << refused;
    EXPECT_EQ(none.ByteSizeLong(), 0u);
  });
}

TEST(JobRecordFormatTest, TheSubmissionOfVersion1IsReadAndAnyDamageOfItFound) {
  ExpectWritten("v1/job", DecodeSubmittedJob, EncodeSubmittedJob);
}

TEST(JobRecordFormatTest, TheRecordOfVersion1IsReadAndAnyDamageOfItFound) {
  ExpectWritten("v1/record-5", DecodeJobRecord, EncodeJobRecord);
}

// Of a job whose parallelism was changed.
TEST(JobRecordFormatTest, TheRecordOfVersion2IsReadAndAnyDamageOfItFound) {
  ExpectWritten("v2/record-5", DecodeJobRecord, EncodeJobRecord);
}

// Of a job of which regions were started again by themselves.
TEST(JobRecordFormatTest, TheRecordOfVersion3IsReadAndAnyDamageOfItFound) {
  ExpectWritten("v3/record-5", DecodeJobRecord, EncodeJobRecord);
}

}  // namespace
}  // namespace weir::jobmanager

#include "state/store/checkpoint_metadata.h"

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/checkpoint.pb.h"
#include "state/testing/example_checkpoint.h"

namespace weir {
namespace {

using testing::HasSubstr;

std::string Message(const absl::Status& status) { return std::string(ToStd(status.message())); }

proto::CheckpointMetadata WithFiles() {
  proto::CheckpointMetadata metadata = ExampleMetadata(17);
  for (const char* name : {"1-0-0.state", "shared/000123.sst"}) {
    proto::StateFile& file = *metadata.add_files();
    file.set_name(name);
    file.set_bytes(100);
    file.set_digest(1);
  }
  metadata.mutable_operators(1)->mutable_subtasks(0)->add_files(0);
  metadata.mutable_operators(1)->mutable_subtasks(0)->add_files(1);
  return metadata;
}

TEST(CheckpointMetadataTest, WhatIsEncodedIsDecoded) {
  const auto bytes = EncodeCheckpointMetadata(WithFiles());
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  proto::CheckpointMetadata decoded;
  ASSERT_TRUE(DecodeCheckpointMetadata(*bytes, &decoded).ok());
  EXPECT_EQ(decoded.SerializeAsString(), WithFiles().SerializeAsString());
}

TEST(CheckpointMetadataTest, ANewerFormatIsRefusedWithWhatToDo) {
  std::string bytes = *EncodeCheckpointMetadata(WithFiles());
  bytes[8] = 3;
  proto::CheckpointMetadata decoded = WithFiles();
  const absl::Status status = DecodeCheckpointMetadata(bytes, &decoded);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(Message(status), HasSubstr("newer version of Weir (format 3"));
  EXPECT_EQ(decoded.ByteSizeLong(), 0u);
}

TEST(CheckpointMetadataTest, BytesOfSomethingElseAreNoMetadata) {
  proto::CheckpointMetadata decoded;
  for (const std::string& bytes :
       {std::string(200, '\0'), std::string("{\"job\": 1}"), std::string("x")}) {
    const absl::Status status = DecodeCheckpointMetadata(bytes, &decoded);
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_THAT(Message(status), HasSubstr("no checkpoint metadata"));
  }
  EXPECT_TRUE(absl::IsDataLoss(DecodeCheckpointMetadata("", &decoded)));
}

// Each rule of ValidateCheckpointMetadata: what breaks it and what is said then.
TEST(CheckpointMetadataTest, WrongMetadataIsNeitherWrittenNorAccepted) {
  using Metadata = proto::CheckpointMetadata;
  const auto source = [](Metadata& m) { return m.mutable_operators(0); };
  const auto count = [](Metadata& m) { return m.mutable_operators(1); };
  const std::vector<std::pair<std::string, std::function<void(Metadata&)>>> cases = {
      {"job's id has 3 bytes", [](Metadata& m) { m.set_job_id("abc"); }},
      {"has no id", [](Metadata& m) { m.set_checkpoint_id(0); }},
      {"unknown kind of checkpoint 0", [](Metadata& m) { m.clear_kind(); }},
      {"unknown kind of checkpoint 3",
       [](Metadata& m) { m.set_kind(static_cast<proto::CheckpointKind>(3)); }},
      {"maximum parallelism is 0", [](Metadata& m) { m.set_max_parallelism(0); }},
      {"maximum parallelism is 32769", [](Metadata& m) { m.set_max_parallelism(32'769); }},
      {"'../../passwd.state' is not allowed",
       [](Metadata& m) { m.mutable_files(0)->set_name("../../passwd.state"); }},
      {"'shared/000123.sst' is there twice",
       [](Metadata& m) { m.mutable_files(0)->set_name("shared/000123.sst"); }},
      {"'shared/000123.sst' outside", [](Metadata& m) { m.set_kind(proto::SAVEPOINT); }},
      {"'shared/000123.sst' has 9223372036854775708 bytes",
       [](Metadata& m) { m.mutable_files(1)->set_bytes(9'223'372'036'854'775'708u); }},
      {"an operator has no uid", [&](Metadata& m) { source(m)->clear_uid(); }},
      {"operator 'source' is there twice", [&](Metadata& m) { count(m)->set_uid("source"); }},
      {"id of operator 'source' has 17 bytes",
       [&](Metadata& m) { source(m)->mutable_operator_id()->push_back('x'); }},
      {"operator 'count' has the id of another",
       [&](Metadata& m) { count(m)->set_operator_id(source(m)->operator_id()); }},
      {"operator 'source' has parallelism 0",
       [&](Metadata& m) {
         source(m)->set_parallelism(0);
         source(m)->clear_subtasks();
       }},
      {"operator 'source' has parallelism 2 of at most 1",
       [](Metadata& m) { m.set_max_parallelism(1); }},
      {"2 subtasks at parallelism 3", [&](Metadata& m) { source(m)->set_parallelism(3); }},
      {"subtask 1 in the place of 0",
       [&](Metadata& m) { source(m)->mutable_subtasks()->SwapElements(0, 1); }},
      {"subtask 0 of operator 'count' refers to file 2 of 2",
       [&](Metadata& m) { count(m)->mutable_subtasks(0)->set_files(1, 2); }},
      {"refers to file 0 of 2 twice",
       [&](Metadata& m) { count(m)->mutable_subtasks(0)->set_files(1, 0); }},
      {"state of operator 'count' has no name",
       [&](Metadata& m) { count(m)->mutable_states(0)->clear_name(); }},
  };
  for (const auto& [expected, change] : cases) {
    Metadata metadata = WithFiles();
    change(metadata);
    const auto bytes = EncodeCheckpointMetadata(metadata);
    EXPECT_TRUE(absl::IsInvalidArgument(bytes.status())) << expected << ": " << bytes.status();
    EXPECT_THAT(Message(bytes.status()), HasSubstr(expected));
  }
  Metadata metadata = WithFiles();
  metadata.set_job_name("\xff");
  EXPECT_TRUE(absl::IsInvalidArgument(EncodeCheckpointMetadata(metadata).status()));
}

TEST(CheckpointMetadataTest, ANameOfAFileLeadsNowhereElse) {
  for (const char* name : {"1-0-0.state", "x.state", "shared/a", "shared/..a", "shared/a.sst"}) {
    EXPECT_TRUE(IsStateFileName(name)) << name;
  }
  for (const char* name : {"", ".", "..", "/etc/x.state", "a/b.state", "../x.state", "_metadata",
                           "x", "shared/", "shared/.", "shared/..", "shared/../x", "shared/a/b",
                           "shared", "a\n.state", "\x7f.state", "/shared/a"}) {
    EXPECT_FALSE(IsStateFileName(name)) << name;
  }
  EXPECT_FALSE(IsStateFileName(std::string("a\0.state", 8)));
  EXPECT_TRUE(IsStateFileName(std::string(249, 'x') + ".state"));
  EXPECT_FALSE(IsStateFileName(std::string(250, 'x') + ".state"));
}

}  // namespace
}  // namespace weir

// Checkpoints that earlier versions wrote are read for ever. savepoint_v1 was not made by this
// code, but after docs/FORMATS.md, and is never made again.
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/base/strings.h"
#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "common/env/system/posix_file_system.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "proto/checkpoint.pb.h"
#include "state/store/checkpoint_folder.h"
#include "state/store/checkpoint_metadata.h"

namespace weir {
namespace {

using FileCheck = CheckpointFolder::FileCheck;

constexpr char kSavepoint[] = WEIR_FORMATS "/savepoint_v1";

struct Entry {
  uint32_t key_group = 0;
  std::string bytes;
  bool operator==(const Entry&) const = default;
};
struct Section {
  StateSection info;
  std::vector<Entry> entries;
};
using File = std::vector<Section>;

// What the state files of savepoint_v1 hold.
const std::map<std::string, File>& Expected() {
  static const auto& expected = *new std::map<std::string, File>{
      {"1-0-0.state",
       {{{"source", "splits", "string", StateKind::kSplitList},
         {{0, "one"}, {0, ""}, {0, "three"}}},
        {{"count", "sums", "string->int64", StateKind::kKeyed},
         {{0, "zero"}, {7, "seven"}, {63, std::string("\0\1\2\xff", 4)}}},
        {{"count", "offsets", "{p:int32}", StateKind::kUnionList}, {{0, "u1"}}},
        {{"count", "rules", "string", StateKind::kBroadcastList}, {{0, "rule 1"}, {0, "r2"}}}}},
      {"1-0-1.state",
       {{{"count", "sums", "string->int64", StateKind::kKeyed}, {{64, "sixty"}, {127, "the end"}}},
        {{"count", "offsets", "{p:int32}", StateKind::kUnionList}, {}},
        {{"count", "rules", "string", StateKind::kBroadcastList}, {}}}}};
  return expected;
}

proto::CheckpointMetadata ExpectedMetadata() {
  PosixFileSystem files;
  proto::CheckpointMetadata metadata;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      *ReadFile(files, WEIR_FORMATS "/savepoint_v1.textproto", 1 << 20), &metadata));
  return metadata;
}

std::string Committed(const std::string& name) {
  PosixFileSystem files;
  const auto content = ReadFile(files, StrCat(kSavepoint, "/", name), 1 << 20);
  EXPECT_TRUE(content.ok()) << content.status();
  return *content;
}

// How many entries are refused. Whatever is not refused must be as written.
int Refused(StateFileReader& reader, const File& expected) {
  EXPECT_EQ(reader.sections().size(), expected.size());
  int refused = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const auto& section = reader.sections()[i];
    EXPECT_EQ(section.info, expected[i].info);
    EXPECT_EQ(section.entries.size(), expected[i].entries.size());
    for (size_t k = 0; k < expected[i].entries.size(); ++k) {
      EXPECT_EQ(section.entries[k].key_group, expected[i].entries[k].key_group);
      std::string bytes;
      const absl::Status status = reader.Read(section.entries[k], bytes);
      EXPECT_TRUE(status.ok() || absl::IsDataLoss(status)) << status;
      refused += status.ok() ? 0 : 1;
      EXPECT_EQ(bytes, status.ok() ? expected[i].entries[k].bytes : "");
    }
  }
  return refused;
}

TEST(CheckpointFormatTest, TheSavepointOfVersion1IsRead) {
  PosixFileSystem files;
  CheckpointFolder folder(files, kSavepoint);
  proto::CheckpointMetadata metadata;
  const absl::Status status = folder.ReadMetadata(&metadata);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(metadata.DebugString(), ExpectedMetadata().DebugString());
  EXPECT_TRUE(folder.CheckFiles(metadata, FileCheck::kDigest).ok());
  for (const auto& [name, expected] : Expected()) {
    const auto reader = folder.OpenStateFile(name);
    ASSERT_TRUE(reader.ok()) << reader.status();
    EXPECT_EQ(Refused(**reader, expected), 0);
  }
}

// A folder on a simulated disk.
class CheckpointDamageTest : public testing::Test {
 protected:
  void Put(const std::string& name, std::string_view content) {
    auto file = env_.files().OpenForWrite("/" + name, FileSystem::WriteMode::kTruncate);
    ASSERT_TRUE(file.ok() && (*file)->Append(content).ok());
  }
  void ExpectRefused(const absl::Status& status) {
    EXPECT_TRUE(absl::IsDataLoss(status) || absl::IsFailedPrecondition(status)) << status;
  }
  // Calls `check` with all the ways to damage `content`: cut anywhere, any bit changed, a byte
  // added at the end or taken away anywhere.
  static void Damage(const std::string& content,
                     const std::function<void(const std::string& damaged)>& check) {
    for (size_t at = 0; at < content.size(); ++at) {
      SCOPED_TRACE(at);
      check(content.substr(0, at));
      check(content.substr(0, at) + content.substr(at + 1));
      for (int bit = 0; bit < 8; ++bit) {
        std::string changed = content;
        changed[at] = static_cast<char>(changed[at] ^ (1 << bit));
        check(changed);
      }
      if (testing::Test::HasFailure()) return;
    }
    check(content + '\0');
  }

  SimWorld world_;
  SimEnv& env_ = world_.StartProcess("a");
  CheckpointFolder folder_{env_.files(), "/"};
};

TEST_F(CheckpointDamageTest, ThisVersionWritesTheBytesOfVersion1) {
  for (const auto& [name, file] : Expected()) {
    auto writer = folder_.CreateStateFile(name);
    ASSERT_TRUE(writer.ok()) << writer.status();
    for (const Section& section : file) {
      ASSERT_TRUE((*writer)->BeginSection(section.info).ok());
      for (const Entry& entry : section.entries) {
        const bool keyed = section.info.kind == StateKind::kKeyed;
        ASSERT_TRUE(
            (keyed ? (*writer)->BeginKeyGroup(entry.key_group) : (*writer)->BeginItem()).ok());
        ASSERT_TRUE((*writer)->Append(entry.bytes).ok());
      }
    }
    ASSERT_TRUE((*writer)->Finish().ok());
    EXPECT_EQ(*ReadFile(env_.files(), "/" + name, 1 << 20), Committed(name));
  }
  ASSERT_TRUE(folder_.WriteMetadata(ExpectedMetadata()).ok());
  EXPECT_EQ(*ReadFile(env_.files(), "/_metadata", 1 << 20), Committed("_metadata"));
}

TEST_F(CheckpointDamageTest, AnyDamageOfAStateFileIsFoundAndNothingWrongIsRead) {
  for (const auto& [name, expected] : Expected()) {
    int opened = 0;
    Damage(Committed(name), [&](const std::string& damaged) {
      Put(name, damaged);
      const auto reader = folder_.OpenStateFile(name);
      if (!reader.ok()) return ExpectRefused(reader.status());
      ++opened;
      EXPECT_GT(Refused(**reader, expected), 0);
    });
    // Damage of a payload leaves the others.
    EXPECT_GT(opened, 80);
  }
}

TEST_F(CheckpointDamageTest, AnyDamageOfMetadataIsFound) {
  Damage(Committed("_metadata"), [&](const std::string& damaged) {
    Put("_metadata", damaged);
    proto::CheckpointMetadata metadata;
    ExpectRefused(folder_.ReadMetadata(&metadata));
    EXPECT_EQ(metadata.ByteSizeLong(), 0u);
  });
}

TEST_F(CheckpointDamageTest, AnyDamageOfAFileIsFoundByItsDigest) {
  const proto::CheckpointMetadata metadata = ExpectedMetadata();
  for (const auto& [name, file] : Expected()) Put(name, Committed(name));
  ASSERT_TRUE(folder_.CheckFiles(metadata, FileCheck::kDigest).ok());
  Damage(Committed("1-0-1.state"), [&](const std::string& damaged) {
    Put("1-0-1.state", damaged);
    ExpectRefused(folder_.CheckFiles(metadata, FileCheck::kDigest));
  });
}

}  // namespace
}  // namespace weir

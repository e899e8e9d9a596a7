#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/hash.h"
#include "common/base/little_endian.h"
#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/checkpoint.pb.h"
#include "state/snapshot/part_index.h"
#include "state/snapshot/state_file_reader.h"
#include "state/snapshot/state_file_writer.h"
#include "state/testing/file_systems.h"

namespace weir {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr uint64_t kMaxBytes = 64 << 20;

std::string Message(const absl::Status& status) { return std::string(ToStd(status.message())); }

class StateFileTest : public testing::TestWithParam<FilesUnderTestFactory> {
 protected:
  std::unique_ptr<StateFileWriter> Writer(const std::string& name = "f") {
    auto writer = StateFileWriter::Create(files_, dir_, name);
    EXPECT_TRUE(writer.ok()) << writer.status();
    return *std::move(writer);
  }
  std::unique_ptr<StateFileReader> Reader(const std::string& name = "f") {
    auto reader = StateFileReader::Open(files_, dir_ + "/" + name);
    EXPECT_TRUE(reader.ok()) << reader.status();
    return *std::move(reader);
  }
  static std::string Read(StateFileReader& reader, const StateFileReader::Entry& entry) {
    std::string bytes = "from before";
    const absl::Status status = reader.Read(entry, bytes);
    return status.ok() ? bytes : status.ToString();
  }
  void Overwrite(const std::string& name, std::string_view content) {
    ASSERT_TRUE(WriteFileAtomically(files_, dir_ + "/" + name, content).ok());
  }
  std::string Content(const std::string& name = "f") {
    return *ReadFile(files_, dir_ + "/" + name, kMaxBytes);
  }
  // Three sections, one of them empty.
  proto::StateFile WriteExample(const std::string& name = "f") {
    auto writer = Writer(name);
    EXPECT_TRUE(writer->BeginSection({"count", "sums", "string->int64", StateKind::kKeyed}).ok());
    for (uint32_t group : {0u, 7u, 8u, 127u}) {
      EXPECT_TRUE(writer->BeginKeyGroup(group).ok());
      EXPECT_TRUE(writer->Append(StrCat("group ", group)).ok());
    }
    EXPECT_TRUE(writer->BeginSection({"count", "none", "bool", StateKind::kKeyed}).ok());
    EXPECT_TRUE(writer->BeginSection({"source", "splits", "string", StateKind::kSplitList}).ok());
    for (const char* item : {"one", "", "three"}) {
      EXPECT_TRUE(writer->BeginItem().ok());
      EXPECT_TRUE(writer->Append(item).ok());
    }
    auto file = writer->Finish();
    EXPECT_TRUE(file.ok()) << file.status();
    return *std::move(file);
  }

  const std::unique_ptr<FilesUnderTest> disk_ = GetParam()();
  FileSystem& files_ = disk_->files();
  const std::string dir_ = disk_->folder();
};

INSTANTIATE_TEST_SUITE_P(OnDisk, StateFileTest, BothFileSystems(), NameOfFileSystem);

TEST_P(StateFileTest, WhatIsWrittenIsRead) {
  WriteExample();
  const auto reader = Reader();
  ASSERT_EQ(reader->sections().size(), 3u);
  const StateSection expected{"count", "sums", "string->int64", StateKind::kKeyed};
  EXPECT_EQ(reader->sections()[0].info, expected);

  const auto* sums = reader->Find("count", "sums", true);
  ASSERT_NE(sums, nullptr);
  ASSERT_EQ(sums->entries.size(), 4u);
  EXPECT_EQ(sums->entries[1].key_group, 7u);
  EXPECT_EQ(Read(*reader, sums->entries[1]), "group 7");
  EXPECT_EQ(Read(*reader, sums->entries[0]), "group 0");

  const auto* none = reader->Find("count", "none", true);
  ASSERT_NE(none, nullptr);
  EXPECT_TRUE(none->entries.empty());

  const auto* splits = reader->Find("source", "splits", false);
  ASSERT_NE(splits, nullptr);
  EXPECT_EQ(splits->info.kind, StateKind::kSplitList);
  std::vector<std::string> items;
  for (const auto& entry : splits->entries) items.push_back(Read(*reader, entry));
  EXPECT_THAT(items, ElementsAre("one", "", "three"));

  EXPECT_EQ(reader->Find("source", "splits", true), nullptr);
  EXPECT_EQ(reader->Find("sourc", "splits", false), nullptr);
}

TEST_P(StateFileTest, OnlyTheKeyGroupsOfARangeAreRead) {
  WriteExample();
  const auto reader = Reader();
  const auto* sums = reader->Find("count", "sums", true);
  const auto groups = [&](uint32_t first, uint32_t last) {
    std::vector<uint32_t> found;
    for (const auto& entry : StateFileReader::KeyGroups(*sums, first, last)) {
      found.push_back(entry.key_group);
    }
    return found;
  };
  EXPECT_THAT(groups(0, UINT32_MAX), ElementsAre(0, 7, 8, 127));
  EXPECT_THAT(groups(1, 7), ElementsAre(7));
  EXPECT_THAT(groups(7, 8), ElementsAre(7, 8));
  EXPECT_THAT(groups(9, 126), ElementsAre());
  EXPECT_THAT(groups(127, 127), ElementsAre(127));
  EXPECT_THAT(groups(128, UINT32_MAX), ElementsAre());
}

TEST_P(StateFileTest, TheResultHasTheSizeAndTheDigestOfTheFile) {
  const proto::StateFile file = WriteExample("3-1-0.state");
  EXPECT_EQ(file.name(), "3-1-0.state");
  const std::string content = Content("3-1-0.state");
  EXPECT_EQ(file.bytes(), content.size());
  EXPECT_EQ(file.digest(), Hash64(content));
}

TEST_P(StateFileTest, LargePayloadsComeInPiecesOfAnySize) {
  std::string payload;
  for (size_t i = 0; i < 3'000'000; ++i) payload.push_back(static_cast<char>(i * i >> 7));
  auto writer = Writer();
  ASSERT_TRUE(writer->BeginSection({"a", "s", "t", StateKind::kUnionList}).ok());
  for (size_t piece : {1'000u, 262'144u, 262'143u, 3'000'000u}) {
    ASSERT_TRUE(writer->BeginItem().ok());
    for (size_t at = 0; at < payload.size(); at += piece) {
      ASSERT_TRUE(writer->Append(std::string_view(payload).substr(at, piece)).ok());
    }
  }
  EXPECT_EQ(writer->payload_bytes(), 12'000'000u);
  const auto file = writer->Finish();
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->digest(), Hash64(Content()));
  const auto reader = Reader();
  for (const auto& entry : reader->sections()[0].entries) {
    EXPECT_TRUE(Read(*reader, entry) == payload);
  }
}

TEST_P(StateFileTest, AKeyGroupWithoutBytesIsLeftOut) {
  auto writer = Writer();
  ASSERT_TRUE(writer->BeginSection({"a", "s", "t", StateKind::kKeyed}).ok());
  ASSERT_TRUE(writer->BeginKeyGroup(1).ok());
  ASSERT_TRUE(writer->BeginKeyGroup(2).ok());
  ASSERT_TRUE(writer->Append("").ok());
  ASSERT_TRUE(writer->BeginKeyGroup(3).ok());
  ASSERT_TRUE(writer->Append("x").ok());
  ASSERT_TRUE(writer->Finish().ok());
  const auto reader = Reader();
  ASSERT_EQ(reader->sections()[0].entries.size(), 1u);
  EXPECT_EQ(reader->sections()[0].entries[0].key_group, 3u);
}

TEST_P(StateFileTest, AFileWithoutSectionsIsWhole) {
  ASSERT_TRUE(Writer()->Finish().ok());
  EXPECT_TRUE(Reader()->sections().empty());
}

TEST_P(StateFileTest, OneStateCannotBeWrittenTwice) {
  auto writer = Writer();
  ASSERT_TRUE(writer->BeginSection({"a", "s", "t", StateKind::kKeyed}).ok());
  ASSERT_TRUE(writer->BeginSection({"b", "s", "t", StateKind::kKeyed}).ok());
  ASSERT_TRUE(writer->BeginSection({"a", "s", "t", StateKind::kUnionList}).ok());
  const absl::Status status = writer->BeginSection({"a", "s", "u", StateKind::kSplitList});
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(Message(status), HasSubstr("operator 'a' has two states with the name 's'"));
  // The error stays.
  EXPECT_EQ(writer->BeginItem(), status);
  EXPECT_EQ(writer->Finish().status(), status);
}

TEST_P(StateFileTest, AFileThatIsThereIsNotOverwritten) {
  WriteExample();
  const std::string before = Content();
  const auto again = StateFileWriter::Create(files_, dir_, "f");
  EXPECT_TRUE(absl::IsAlreadyExists(again.status())) << again.status();
  EXPECT_EQ(Content(), before);
}

TEST_P(StateFileTest, AFileThatWasNotFinishedIsNotAccepted) {
  {
    auto writer = Writer();
    ASSERT_TRUE(writer->BeginSection({"a", "s", "t", StateKind::kKeyed}).ok());
    ASSERT_TRUE(writer->BeginKeyGroup(1).ok());
    ASSERT_TRUE(writer->Append(std::string(1 << 20, 'x')).ok());
  }
  const auto reader = StateFileReader::Open(files_, dir_ + "/f");
  EXPECT_TRUE(absl::IsDataLoss(reader.status())) << reader.status();
  EXPECT_THAT(Message(reader.status()), HasSubstr("truncated"));
}

TEST_P(StateFileTest, WhatIsNotThereIsNotFoundAndNamed) {
  const auto reader = StateFileReader::Open(files_, dir_ + "/none");
  EXPECT_TRUE(absl::IsNotFound(reader.status())) << reader.status();
  EXPECT_THAT(Message(reader.status()), HasSubstr(dir_ + "/none"));
  const auto writer = StateFileWriter::Create(files_, dir_ + "/gone", "f");
  EXPECT_TRUE(absl::IsNotFound(writer.status())) << writer.status();
  EXPECT_THAT(Message(writer.status()), HasSubstr("execution.checkpointing.dir"));
}

TEST_P(StateFileTest, AFileWithRecordsInFlightIsOfVersion2) {
  auto writer = StateFileWriter::Create(files_, dir_, "f", /*version=*/2).value();
  ASSERT_TRUE(writer->BeginSection({"a", "s", "t", StateKind::kSplitList}).ok());
  ASSERT_TRUE(writer->BeginItem().ok());
  ASSERT_TRUE(writer->BeginSection({"a", "s", "t", StateKind::kInFlight}).ok());
  ASSERT_TRUE(writer->BeginItem().ok());
  ASSERT_TRUE(writer->Append("records").ok());
  ASSERT_TRUE(writer->Finish().ok());
  EXPECT_EQ(Content()[8], 2);
  const auto reader = StateFileReader::Open(files_, dir_ + "/f");
  ASSERT_TRUE(reader.ok()) << reader.status();
  ASSERT_EQ((*reader)->sections().size(), 2u);
  EXPECT_EQ((*reader)->Find("a", "s", false), &(*reader)->sections()[0]);
  EXPECT_EQ((*reader)->sections()[1].info.kind, StateKind::kInFlight);
  std::string bytes;
  ASSERT_TRUE((*reader)->Read((*reader)->sections()[1].entries[0], bytes).ok());
  EXPECT_EQ(bytes, "records");
}

TEST_P(StateFileTest, ANewerFormatIsRefusedWithWhatToDo) {
  WriteExample();
  std::string content = Content();
  content[8] = kStateFileVersion + 1;
  Overwrite("f", content);
  const auto reader = StateFileReader::Open(files_, dir_ + "/f");
  EXPECT_EQ(reader.status().code(), absl::StatusCode::kFailedPrecondition) << reader.status();
  EXPECT_THAT(Message(reader.status()), HasSubstr("newer version of Weir (format 8"));
  EXPECT_THAT(Message(reader.status()), HasSubstr(dir_ + "/f"));
}

TEST_P(StateFileTest, FilesWithKeyGroupsInPartsAreOfVersions5And6) {
  for (const auto& [kind, version] :
       {std::pair(StateKind::kKeyedParts, 5), std::pair(StateKind::kKeyedSlotParts, 6)}) {
    const std::string name = StrCat("h", version);
    auto writer = StateFileWriter::Create(files_, dir_, name, StateFileVersionOf(kind));
    ASSERT_TRUE(writer.ok()) << writer.status();
    ASSERT_TRUE((*writer)->BeginSection({"a", "s", "t", kind}).ok());
    ASSERT_TRUE((*writer)->BeginKeyGroup(3).ok());
    ASSERT_TRUE((*writer)->Append("parts").ok());
    ASSERT_TRUE((*writer)->Finish().ok());
    const auto reader = StateFileReader::Open(files_, StrCat(dir_, "/", name));
    ASSERT_TRUE(reader.ok()) << reader.status();
    ASSERT_EQ((*reader)->sections().size(), 1u);
    EXPECT_EQ((*reader)->sections()[0].info.kind, kind);
    EXPECT_EQ((*reader)->Find("a", "s", true), &(*reader)->sections()[0]);
    std::string content = *ReadFile(files_, StrCat(dir_, "/", name), 1 << 20);
    ASSERT_EQ(content[8], version);
    --content[8];
    Overwrite(name, content);
    EXPECT_EQ(StateFileReader::Open(files_, StrCat(dir_, "/", name)).status().code(),
              absl::StatusCode::kDataLoss);
  }
}

TEST(PartIndexTest, WhatIsWrittenIsReadAndBitsThatNoHashHasAreRefused) {
  std::string bytes;
  PartIndex::Write(7, 12, "aabbbcd", {2, 5, 6, 7}, bytes);
  const uint64_t payload = bytes.size() + 7;
  ASSERT_EQ(*PartIndex::SizeOf(bytes, StateKind::kKeyedSlotParts), bytes.size());
  const auto index = PartIndex::Parse(bytes, StateKind::kKeyedSlotParts, payload);
  ASSERT_TRUE(index.ok()) << index.status();
  EXPECT_EQ(index->entries, 7u);
  EXPECT_EQ(index->bits, 2);
  EXPECT_EQ(index->shift, 12);
  ASSERT_EQ(index->parts.size(), 4u);
  EXPECT_EQ(index->parts[1].offset, bytes.size() + 2);
  EXPECT_EQ(index->parts[1].bytes, 3u);
  // 2 bits from the 31st up.
  bytes[1] = 31;
  const size_t digest_at = bytes.size() - 8;
  std::string digest;
  AppendLittleEndian<uint64_t>(digest, Hash64(std::string_view(bytes).substr(0, digest_at)));
  bytes.replace(digest_at, 8, digest);
  const auto refused = PartIndex::Parse(bytes, StateKind::kKeyedSlotParts, payload);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(Message(refused.status()), HasSubstr("parts by 2 bits from 31 up"));
}

TEST_P(StateFileTest, AFileWithChangesOfKeyedStateIsOfVersion4) {
  auto writer =
      StateFileWriter::Create(files_, dir_, "g", StateFileVersionOf(StateKind::kKeyedChanges));
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_TRUE((*writer)->BeginSection({"a", "s", "t", StateKind::kKeyedChanges}).ok());
  ASSERT_TRUE((*writer)->BeginKeyGroup(17).ok());
  ASSERT_TRUE((*writer)->Append("changes").ok());
  ASSERT_TRUE((*writer)->Finish().ok());
  const auto reader = StateFileReader::Open(files_, dir_ + "/g");
  ASSERT_TRUE(reader.ok()) << reader.status();
  const StateFileReader::Section& section = (*reader)->sections().at(0);
  EXPECT_EQ(section.info.kind, StateKind::kKeyedChanges);
  EXPECT_EQ((*reader)->Find("a", "s", /*keyed=*/true), &section);
  EXPECT_TRUE(StateFileReader::KeyGroups(section, 0, 16).empty());
  const auto groups = StateFileReader::KeyGroups(section, 17, 17);
  ASSERT_EQ(groups.size(), 1u);
  std::string bytes;
  ASSERT_TRUE((*reader)->Read(groups[0], bytes).ok());
  EXPECT_EQ(bytes, "changes");
  auto content = ReadFile(files_, dir_ + "/g", 1 << 20);
  ASSERT_TRUE(content.ok());
  EXPECT_EQ((*content)[8], 4);
}

TEST_P(StateFileTest, AFileWithFilesOfStoresIsOfVersion3) {
  auto writer = StateFileWriter::Create(files_, dir_, "g", /*version=*/3);
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_TRUE((*writer)->BeginSection({"count", "", "rocksdb", StateKind::kStore}).ok());
  ASSERT_TRUE((*writer)->BeginItem().ok());
  ASSERT_TRUE((*writer)->Append("a file").ok());
  ASSERT_TRUE((*writer)->Finish().ok());
  const auto reader = StateFileReader::Open(files_, dir_ + "/g");
  ASSERT_TRUE(reader.ok()) << reader.status();
  ASSERT_EQ((*reader)->sections().size(), 1u);
  EXPECT_EQ((*reader)->sections()[0].info.kind, StateKind::kStore);
  std::string bytes;
  ASSERT_TRUE((*reader)->Read((*reader)->sections()[0].entries[0], bytes).ok());
  EXPECT_EQ(bytes, "a file");
  auto content = ReadFile(files_, dir_ + "/g", 1 << 20);
  ASSERT_TRUE(content.ok());
  EXPECT_EQ((*content)[8], 3);
  (*content)[8] = 2;
  Overwrite("g", *content);
  const auto second = StateFileReader::Open(files_, dir_ + "/g");
  EXPECT_EQ(second.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(Message(second.status()), HasSubstr("unknown kind of state 6"));
}

TEST_P(StateFileTest, DamageOfAPayloadIsFoundWhenItIsReadAndHurtsNoOther) {
  WriteExample();
  std::string content = Content();
  content[content.find("group 7") + 6] = '6';
  Overwrite("f", content);
  const auto reader = Reader();
  const auto& entries = reader->Find("count", "sums", true)->entries;
  EXPECT_EQ(Read(*reader, entries[0]), "group 0");
  EXPECT_EQ(Read(*reader, entries[2]), "group 8");
  std::string bytes;
  const absl::Status status = reader->Read(entries[1], bytes);
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(Message(status), HasSubstr("wrong digest"));
  EXPECT_EQ(bytes, "");
}

TEST_P(StateFileTest, AFileThatShrinksWhileItIsReadIsDamaged) {
  WriteExample();
  const auto reader = Reader();
  ASSERT_TRUE(files_.OpenForWrite(dir_ + "/f", FileSystem::WriteMode::kTruncate).ok());
  std::string bytes;
  const absl::Status status = reader->Read(reader->sections()[0].entries[0], bytes);
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(Message(status), HasSubstr("became shorter"));
}

class StateFileFaultTest : public testing::Test {
 protected:
  SimulatedFiles disk_;
};

TEST_F(StateFileFaultTest, AFullDiskIsAnErrorThatSaysWhatToDo) {
  disk_.disk().set_capacity_bytes(300'000);
  auto writer = StateFileWriter::Create(disk_.files(), disk_.folder(), "f");
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->BeginSection({"a", "s", "t", StateKind::kKeyed}).ok());
  ASSERT_TRUE((*writer)->BeginKeyGroup(1).ok());
  const absl::Status status = (*writer)->Append(std::string(600'000, 'x'));
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(Message(status), HasSubstr("/checkpoints/f"));
  EXPECT_THAT(Message(status), HasSubstr("make room"));
  disk_.disk().set_capacity_bytes(UINT64_MAX);
  EXPECT_EQ((*writer)->Finish().status(), status);
}

TEST_F(StateFileFaultTest, AnyFailedOperationFailsTheWriter) {
  // Every operation on the disk in turn.
  for (int failing = 0;; ++failing) {
    SimulatedFiles files;
    int count = 0;
    files.disk().set_fault([&](std::string_view operation, const std::string& path) {
      if (count++ != failing) return absl::OkStatus();
      return absl::UnavailableError(StrCat(operation, " of '", path, "' fails"));
    });
    const auto write = [&]() -> absl::Status {
      auto writer = StateFileWriter::Create(files.files(), files.folder(), "f");
      if (!writer.ok()) return writer.status();
      return (*writer)->Finish().status();
    };
    const absl::Status status = write();
    if (count <= failing) {
      EXPECT_TRUE(status.ok());
      EXPECT_EQ(failing, 5);  // create, append, sync, close, sync of the folder
      return;
    }
    EXPECT_TRUE(absl::IsUnavailable(status)) << failing << ": " << status;
  }
}

TEST_F(StateFileFaultTest, AFinishedFileSurvivesACrashOfTheHost) {
  auto writer = StateFileWriter::Create(disk_.files(), disk_.folder(), "f");
  ASSERT_TRUE(writer.ok());
  const auto file = (*writer)->Finish();
  ASSERT_TRUE(file.ok());
  disk_.CrashAndRestart(SimDisk::Loss::kAllUnsynced);
  const auto content = ReadFile(disk_.files(), disk_.folder() + "/f", kMaxBytes);
  ASSERT_TRUE(content.ok()) << content.status();
  EXPECT_EQ(Hash64(*content), file->digest());
}

}  // namespace
}  // namespace weir

#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/strings.h"
#include "common/env/file_system.h"
#include "gtest/gtest.h"

namespace weir {

// What a FileSystem is tried with: a folder of its own that exists and is empty.
class FileSystemHarness {
 public:
  virtual ~FileSystemHarness() = default;
  virtual FileSystem& files() = 0;
  virtual std::string folder() = 0;
};

using FileSystemHarnessFactory = std::function<std::unique_ptr<FileSystemHarness>()>;

// What common/env/file_system.h promises, tried on an implementation; see network_conformance.h for
// how.
class FileSystemConformanceTest : public testing::TestWithParam<FileSystemHarnessFactory> {
 protected:
  void Write(const std::string& path, std::string_view data,
             FileSystem::WriteMode mode = FileSystem::WriteMode::kTruncate) {
    auto file = files_.OpenForWrite(path, mode);
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE((*file)->Append(data).ok());
    ASSERT_TRUE((*file)->Sync().ok());
    ASSERT_TRUE((*file)->Close().ok());
  }

  std::string Read(const std::string& path) {
    const auto content = ReadFile(files_, path, 1 << 20);
    return content.ok() ? *content : content.status().ToString();
  }

  std::vector<std::string> Names(const std::string& folder) {
    std::vector<std::string> names;
    const auto entries = files_.List(folder);
    EXPECT_TRUE(entries.ok()) << entries.status();
    if (!entries.ok()) return names;
    for (const FileInfo& entry : *entries) {
      EXPECT_EQ(entry.path.substr(0, folder.size() + 1), folder + "/");
      names.push_back(entry.path.substr(folder.size() + 1) + (entry.is_directory ? "/" : ""));
    }
    return names;
  }

  // The error has the code and names the path.
  static void ExpectError(const absl::Status& status, absl::StatusCode code,
                          const std::string& path) {
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_NE(ToStd(status.message()).find(path), std::string_view::npos) << status;
  }

  const std::unique_ptr<FileSystemHarness> harness_ = GetParam()();
  FileSystem& files_ = harness_->files();
  const std::string dir_ = harness_->folder();
};

TEST_P(FileSystemConformanceTest, WhatIsWrittenIsRead) {
  const std::string binary("a\0b\n\xff", 5);
  Write(dir_ + "/f", binary);
  EXPECT_EQ(Read(dir_ + "/f"), binary);
  const auto info = files_.Stat(dir_ + "/f");
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->path, dir_ + "/f");
  EXPECT_EQ(info->size_bytes, 5u);
  EXPECT_FALSE(info->is_directory);
  EXPECT_GT(info->modified, absl::FromUnixSeconds(1));
}

TEST_P(FileSystemConformanceTest, TheModesOfWritingDiffer) {
  const std::string path = dir_ + "/f";
  Write(path, "one", FileSystem::WriteMode::kCreateNew);
  ExpectError(files_.OpenForWrite(path, FileSystem::WriteMode::kCreateNew).status(),
              absl::StatusCode::kAlreadyExists, path);
  Write(path, "two", FileSystem::WriteMode::kAppend);
  EXPECT_EQ(Read(path), "onetwo");
  Write(path, "3", FileSystem::WriteMode::kTruncate);
  EXPECT_EQ(Read(path), "3");
}

TEST_P(FileSystemConformanceTest, AnyPartOfAFileCanBeReadAndItsEndIsShort) {
  Write(dir_ + "/f", "0123456789");
  auto file = files_.OpenForRead(dir_ + "/f");
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(*(*file)->Size(), 10u);
  char buffer[16];
  EXPECT_EQ(*(*file)->ReadAt(3, 4, buffer), 4u);
  EXPECT_EQ(std::string(buffer, 4), "3456");
  EXPECT_EQ(*(*file)->ReadAt(8, 16, buffer), 2u);
  EXPECT_EQ(std::string(buffer, 2), "89");
  EXPECT_EQ(*(*file)->ReadAt(10, 16, buffer), 0u);
  EXPECT_EQ(*(*file)->ReadAt(1000, 16, buffer), 0u);
}

TEST_P(FileSystemConformanceTest, AReaderKeepsTheFileThatItOpened) {
  Write(dir_ + "/f", "old");
  auto file = files_.OpenForRead(dir_ + "/f");
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(WriteFileAtomically(files_, dir_ + "/f", "new").ok());
  char buffer[3];
  EXPECT_EQ(*(*file)->ReadAt(0, 3, buffer), 3u);
  EXPECT_EQ(std::string(buffer, 3), "old");
  EXPECT_EQ(Read(dir_ + "/f"), "new");
}

TEST_P(FileSystemConformanceTest, WhatIsNotThereIsNotFound) {
  const std::string path = dir_ + "/none";
  ExpectError(files_.OpenForRead(path).status(), absl::StatusCode::kNotFound, path);
  ExpectError(files_.Stat(path).status(), absl::StatusCode::kNotFound, path);
  ExpectError(files_.List(path).status(), absl::StatusCode::kNotFound, path);
  ExpectError(files_.Delete(path), absl::StatusCode::kNotFound, path);
  ExpectError(files_.Rename(path, dir_ + "/other"), absl::StatusCode::kNotFound, path);
  ExpectError(files_.SyncDirectory(path), absl::StatusCode::kNotFound, path);
  ExpectError(files_.OpenForWrite(path + "/f", FileSystem::WriteMode::kTruncate).status(),
              absl::StatusCode::kNotFound, path);
  EXPECT_TRUE(files_.DeleteRecursively(path).ok());
}

TEST_P(FileSystemConformanceTest, FoldersAreMadeWithTheirParentsAndListedInOrder) {
  ASSERT_TRUE(files_.CreateDirectories(dir_ + "/b/c/d").ok());
  ASSERT_TRUE(files_.CreateDirectories(dir_ + "/b/c/d").ok());
  Write(dir_ + "/b.txt", "");
  Write(dir_ + "/a", "");
  Write(dir_ + "/b/c/deep", "");
  EXPECT_EQ(Names(dir_), (std::vector<std::string>{"a", "b/", "b.txt"}));
  EXPECT_EQ(Names(dir_ + "/b/c"), (std::vector<std::string>{"d/", "deep"}));
  EXPECT_TRUE(files_.Stat(dir_ + "/b")->is_directory);
  EXPECT_TRUE(files_.SyncDirectory(dir_).ok());
}

TEST_P(FileSystemConformanceTest, AFileIsNoFolderAndAFolderNoFile) {
  Write(dir_ + "/f", "");
  ASSERT_TRUE(files_.CreateDirectories(dir_ + "/d").ok());
  ExpectError(files_.CreateDirectories(dir_ + "/f"), absl::StatusCode::kAlreadyExists, dir_ + "/f");
  ExpectError(files_.List(dir_ + "/f").status(), absl::StatusCode::kNotFound, dir_ + "/f");
  ExpectError(files_.OpenForRead(dir_ + "/d").status(), absl::StatusCode::kFailedPrecondition,
              dir_ + "/d");
  ExpectError(files_.OpenForWrite(dir_ + "/d", FileSystem::WriteMode::kTruncate).status(),
              absl::StatusCode::kFailedPrecondition, dir_ + "/d");
}

TEST_P(FileSystemConformanceTest, RenameReplacesTheTarget) {
  Write(dir_ + "/from", "new");
  Write(dir_ + "/to", "old");
  ASSERT_TRUE(files_.Rename(dir_ + "/from", dir_ + "/to").ok());
  EXPECT_EQ(Read(dir_ + "/to"), "new");
  EXPECT_EQ(Names(dir_), (std::vector<std::string>{"to"}));
}

TEST_P(FileSystemConformanceTest, AFolderIsRenamedWithWhatIsInIt) {
  ASSERT_TRUE(files_.CreateDirectories(dir_ + "/a/b").ok());
  Write(dir_ + "/a/b/f", "x");
  ASSERT_TRUE(files_.Rename(dir_ + "/a", dir_ + "/z").ok());
  EXPECT_EQ(Read(dir_ + "/z/b/f"), "x");
  EXPECT_EQ(Names(dir_), (std::vector<std::string>{"z/"}));
}

TEST_P(FileSystemConformanceTest, DeleteTakesFilesAndEmptyFoldersOnly) {
  ASSERT_TRUE(files_.CreateDirectories(dir_ + "/d").ok());
  Write(dir_ + "/d/f", "");
  ExpectError(files_.Delete(dir_ + "/d"), absl::StatusCode::kFailedPrecondition, dir_ + "/d");
  EXPECT_TRUE(files_.Delete(dir_ + "/d/f").ok());
  EXPECT_TRUE(files_.Delete(dir_ + "/d").ok());
  EXPECT_EQ(Names(dir_), (std::vector<std::string>{}));
}

TEST_P(FileSystemConformanceTest, DeleteRecursivelyTakesAll) {
  ASSERT_TRUE(files_.CreateDirectories(dir_ + "/d/e").ok());
  Write(dir_ + "/d/e/f", "");
  Write(dir_ + "/dd", "");
  EXPECT_TRUE(files_.DeleteRecursively(dir_ + "/d").ok());
  EXPECT_EQ(Names(dir_), (std::vector<std::string>{"dd"}));
  EXPECT_TRUE(files_.DeleteRecursively(dir_ + "/dd").ok());
  EXPECT_EQ(Names(dir_), (std::vector<std::string>{}));
}

TEST_P(FileSystemConformanceTest, AClosedFileTakesNothing) {
  auto file = files_.OpenForWrite(dir_ + "/f", FileSystem::WriteMode::kTruncate);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->Close().ok());
  ExpectError((*file)->Append("x"), absl::StatusCode::kFailedPrecondition, dir_ + "/f");
  ExpectError((*file)->Sync(), absl::StatusCode::kFailedPrecondition, dir_ + "/f");
  ExpectError((*file)->Close(), absl::StatusCode::kFailedPrecondition, dir_ + "/f");
}

TEST_P(FileSystemConformanceTest, AFileLargerThanAllowedIsNotRead) {
  Write(dir_ + "/f", "0123456789");
  EXPECT_TRUE(ReadFile(files_, dir_ + "/f", 10).ok());
  ExpectError(ReadFile(files_, dir_ + "/f", 9).status(), absl::StatusCode::kOutOfRange,
              dir_ + "/f");
  const std::string large(1'000'000, 'x');
  Write(dir_ + "/large", large);
  EXPECT_EQ(*ReadFile(files_, dir_ + "/large", 1'000'000), large);
}

TEST_P(FileSystemConformanceTest, AnAtomicWriteLeavesNothingElse) {
  ASSERT_TRUE(WriteFileAtomically(files_, dir_ + "/f", "one").ok());
  ASSERT_TRUE(WriteFileAtomically(files_, dir_ + "/f", "two").ok());
  EXPECT_EQ(Read(dir_ + "/f"), "two");
  EXPECT_EQ(Names(dir_), (std::vector<std::string>{"f"}));
  ExpectError(WriteFileAtomically(files_, dir_ + "/none/f", "x"), absl::StatusCode::kNotFound,
              dir_ + "/none");
  // Onto a folder it fails, and takes its temporary file away.
  ASSERT_TRUE(files_.CreateDirectories(dir_ + "/folder/x").ok());
  EXPECT_FALSE(WriteFileAtomically(files_, dir_ + "/folder", "x").ok());
  EXPECT_EQ(Names(dir_), (std::vector<std::string>{"f", "folder/"}));
}

}  // namespace weir

#include "taskmanager/checkpoint/local_copies.h"

#include <string>

#include "common/base/hash.h"
#include "common/base/strings.h"
#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/checkpoint.pb.h"

namespace weir {
namespace {

constexpr char kJob[] = "/far/job";
constexpr char kFolder[] = "/data/copies/job";
constexpr char kName[] = "1-0-0.state";

class LocalCopiesTest : public ::testing::Test {
 protected:
  LocalCopiesTest() {
    for (const char* folder : {"/far/job/chk-1", "/far/job/chk-2", "/far/job/shared", "/else"}) {
      EXPECT_TRUE(files().CreateDirectories(folder).ok());
    }
  }
  FileSystem& files() { return env_.files(); }
  void Write(const std::string& path, const std::string& text) {
    auto file = copies_.OpenForWrite(path, FileSystem::WriteMode::kCreateNew);
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE((*file)->Append(text.substr(0, 2)).ok());
    ASSERT_TRUE((*file)->Append(text.substr(2)).ok());
    ASSERT_TRUE((*file)->Sync().ok());
    ASSERT_TRUE((*file)->Close().ok());
  }
  void Put(const std::string& path, const std::string& text) {
    ASSERT_TRUE(files().CreateDirectories(path.substr(0, path.rfind('/'))).ok());
    ASSERT_TRUE(WriteFileAtomically(files(), path, text).ok());
  }
  std::string Read(FileSystem& from, const std::string& path) {
    const auto text = ReadFile(from, path, 1 << 20);
    return text.ok() ? *text : StrCat("(", text.status().ToString(), ")");
  }
  // Checkpoint 1 has this file.
  void Expect(const std::string& name, const std::string& text) {
    proto::JobRestore restore;
    restore.set_directory("/far/job/chk-1");
    proto::StateFile* file = restore.add_files();
    file->set_name(name);
    file->set_bytes(text.size());
    file->set_digest(Hash64(text));
    copies_.Expect(restore);
  }
  bool HasCopy(const std::string& name) { return files().Stat(StrCat(kFolder, "/", name)).ok(); }

  SimWorld world_;
  SimEnv& env_ = world_.StartProcess("worker", "host");
  LocalCopies copies_{files(), {.directory = kJob, .folder = kFolder, .max_bytes = 100}};
};

TEST_F(LocalCopiesTest, ARestoreReadsTheCopyThoughTheFileCannotBeRead) {
  Write("/far/job/chk-1/1-0-0.state", "state of it");
  EXPECT_EQ(Read(files(), "/far/job/chk-1/1-0-0.state"), "state of it");
  ASSERT_TRUE(files().Delete("/far/job/chk-1/1-0-0.state").ok());
  EXPECT_NE(Read(copies_, "/far/job/chk-1/1-0-0.state"), "state of it") << "nobody expects it";
  Expect(kName, "state of it");
  EXPECT_EQ(Read(copies_, "/far/job/chk-1/1-0-0.state"), "state of it");
  EXPECT_EQ(copies_.reads().copies, 1u);
  EXPECT_EQ(copies_.reads().originals, 0u);
}

TEST_F(LocalCopiesTest, ACopyThatIsNotWhatWasWrittenIsNotReadAndNoError) {
  Write("/far/job/chk-1/1-0-0.state", "state of it");
  const std::string copy = StrCat(kFolder, "/chk-1/", kName);
  for (const char* damaged : {"state", "state of if", "state of it and more", ""}) {
    Put(copy, damaged);
    Expect(kName, "state of it");
    EXPECT_EQ(Read(copies_, "/far/job/chk-1/1-0-0.state"), "state of it") << damaged;
    EXPECT_EQ(copies_.reads().copies, 0u) << damaged;
    EXPECT_EQ(copies_.reads().originals, 1u) << damaged;
  }
  ASSERT_TRUE(files().Delete(copy).ok());
  EXPECT_EQ(Read(copies_, "/far/job/chk-1/1-0-0.state"), "state of it");
}

TEST_F(LocalCopiesTest, SharedFilesAreCopiedAndWhatIsElsewhereIsNot) {
  Write("/far/job/shared/1-0-0-2.state", "shared");
  Write("/else/1-0-0.state", "savepoint");
  EXPECT_TRUE(HasCopy("shared/1-0-0-2.state"));
  EXPECT_FALSE(HasCopy("1-0-0.state"));
  ASSERT_TRUE(files().Delete("/far/job/shared/1-0-0-2.state").ok());
  Expect("shared/1-0-0-2.state", "shared");
  EXPECT_EQ(Read(copies_, "/far/job/shared/1-0-0-2.state"), "shared");
}

TEST_F(LocalCopiesTest, NoMoreIsCopiedThanThereIsRoomFor) {
  Write("/far/job/chk-1/1-0-0.state", std::string(70, 'a'));
  Write("/far/job/chk-1/1-0-1.state", std::string(70, 'b'));
  EXPECT_TRUE(HasCopy("chk-1/1-0-0.state"));
  EXPECT_FALSE(HasCopy("chk-1/1-0-1.state"));
  EXPECT_EQ(Read(files(), "/far/job/chk-1/1-0-1.state"), std::string(70, 'b'));
  // Once the older ones are gone there is room again.
  copies_.Tidy(2);
  Write("/far/job/chk-2/1-0-1.state", std::string(70, 'c'));
  EXPECT_TRUE(HasCopy("chk-2/1-0-1.state"));
}

TEST_F(LocalCopiesTest, WhatTheNewestCheckpointDoesNotReferToIsDeleted) {
  // Of a worker before this one, of a task that is here now and of another one's.
  Put(StrCat(kFolder, "/shared/0-0-0-1.state"), "old");
  Put(StrCat(kFolder, "/shared/0-5-0-1.state"), "other");
  Write("/far/job/chk-1/1-0-0.state", "one");
  Write("/far/job/shared/1-0-0-1.state", "shared by both");
  Write("/far/job/shared/1-0-0-2.state", "of the first");
  copies_.Note(1, 0, 0, {kName, "shared/1-0-0-1.state", "shared/1-0-0-2.state"});
  copies_.Tidy(1);
  EXPECT_TRUE(HasCopy("chk-1/1-0-0.state"));
  EXPECT_TRUE(HasCopy("shared/1-0-0-2.state"));
  EXPECT_FALSE(HasCopy("shared/0-0-0-1.state"));
  EXPECT_TRUE(HasCopy("shared/0-5-0-1.state"));
  copies_.Note(0, 0, 0, {"shared/1-0-0-9.state"});
  Write("/far/job/shared/1-0-0-9.state", "its end");
  Write("/far/job/chk-2/1-0-0.state", "two");
  Write("/far/job/shared/1-0-0-3.state", "being written");
  copies_.Note(2, 0, 0, {kName, "shared/1-0-0-1.state"});
  copies_.Tidy(2);
  EXPECT_FALSE(HasCopy("chk-1/1-0-0.state"));
  EXPECT_TRUE(HasCopy("chk-2/1-0-0.state"));
  EXPECT_TRUE(HasCopy("shared/1-0-0-1.state"));
  EXPECT_FALSE(HasCopy("shared/1-0-0-2.state"));
  EXPECT_TRUE(HasCopy("shared/1-0-0-9.state")) << "later checkpoints have it too";
  EXPECT_TRUE(HasCopy("shared/1-0-0-3.state")) << "its snapshot is not told yet";
}

TEST_F(LocalCopiesTest, ACopyThatCannotBeWrittenIsLeftOut) {
  world_.disk("host").set_fault([](std::string_view, const std::string& path) {
    return path.starts_with(kFolder) ? absl::ResourceExhaustedError("full") : absl::OkStatus();
  });
  Write("/far/job/chk-1/1-0-0.state", "state of it");
  world_.disk("host").set_fault(nullptr);
  EXPECT_EQ(Read(files(), "/far/job/chk-1/1-0-0.state"), "state of it");
  EXPECT_FALSE(HasCopy("chk-1/1-0-0.state"));
}

}  // namespace
}  // namespace weir

#include "taskmanager/process/output_bound.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <future>
#include <string>

#include "common/env/system/system_env.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "taskmanager/process/process_launcher.h"

namespace weir {
namespace {

constexpr uint64_t kMaxBytes = 4 << 20;

uint64_t DiskBytes(const std::string& path) {
  struct stat info = {};
  EXPECT_EQ(stat(path.c_str(), &info), 0);
  return static_cast<uint64_t>(info.st_blocks) * 512;
}

class OutputBoundTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "output_bound_test." + std::to_string(getpid());
    ASSERT_TRUE(env_->files().CreateDirectories(folder_).ok());
  }
  void TearDown() override { EXPECT_TRUE(env_->files().DeleteRecursively(folder_).ok()); }

  const std::unique_ptr<Env> env_ = MakeSystemEnv();
  std::string folder_;
};

TEST_F(OutputBoundTest, TheEndOfAFileStaysAndGoesOnAndWhatIsBeforeTakesNoSpace) {
  const std::string path = folder_ + "/out";
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  ASSERT_GE(fd, 0);
  const std::string piece(1 << 20, 'x');
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(write(fd, piece.data(), piece.size()), static_cast<ssize_t>(piece.size()));
    ASSERT_TRUE(KeepEndOfFile(fd, kMaxBytes).ok());
    EXPECT_LE(DiskBytes(path), kMaxBytes + kMaxBytes / 8 + (1 << 20));
  }
  EXPECT_EQ(lseek(fd, 0, SEEK_END), 20 << 20);
  std::string end(kMaxBytes, '\0');
  ASSERT_EQ(pread(fd, end.data(), end.size(), (20 << 20) - static_cast<off_t>(kMaxBytes)),
            static_cast<ssize_t>(kMaxBytes));
  EXPECT_TRUE(end == std::string(kMaxBytes, 'x'));
  close(fd);
}

TEST_F(OutputBoundTest, ASmallFileIsLeftAlone) {
  const std::string path = folder_ + "/out";
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  const std::string text(kMaxBytes, 'x');
  ASSERT_EQ(write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  const uint64_t before = DiskBytes(path);
  ASSERT_TRUE(KeepEndOfFile(fd, kMaxBytes).ok());
  EXPECT_EQ(DiskBytes(path), before);
  close(fd);
}

TEST_F(OutputBoundTest, TheOutputOfAWorkerIsBounded) {
  const std::string program = folder_ + "/worker";
  {
    auto script = env_->files().OpenForWrite(program, FileSystem::WriteMode::kTruncate);
    ASSERT_TRUE(script.ok());
    ASSERT_TRUE((*script)
                    ->Append("#!/bin/sh\nyes output | head -c 30000000\n"
                             "yes error | head -c 30000000 >&2\necho the end\n")
                    .ok());
    ASSERT_TRUE((*script)->Close().ok());
  }
  ASSERT_EQ(chmod(program.c_str(), 0700), 0);
  auto launcher = MakeProcessLauncher(*env_, program, kMaxBytes);
  ASSERT_TRUE(launcher.ok());
  std::promise<WorkerExit> ended;
  WorkerSpec spec;
  spec.directory = folder_;
  auto process = (*launcher)->Launch(spec, [&](WorkerExit exit) { ended.set_value(exit); });
  ASSERT_TRUE(process.ok()) << process.status();
  EXPECT_EQ(ended.get_future().get().exit_code, 0);
  for (const char* name : {"/stdout.log", "/stderr.log"}) {
    EXPECT_LE(DiskBytes(folder_ + name), kMaxBytes + kMaxBytes / 8) << name;
    EXPECT_GE(DiskBytes(folder_ + name), kMaxBytes) << name;
  }
}

}  // namespace
}  // namespace weir

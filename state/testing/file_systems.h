#pragma once

#include <functional>
#include <memory>
#include <string>

#include "common/env/file_system.h"
#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "common/env/system/system_env.h"
#include "gtest/gtest.h"

namespace weir {

// What the tests of state/ run on: a real folder and a simulated disk, both empty at first.
class FilesUnderTest {
 public:
  virtual ~FilesUnderTest() = default;
  virtual FileSystem& files() = 0;
  virtual std::string folder() = 0;
};
using FilesUnderTestFactory = std::function<std::unique_ptr<FilesUnderTest>()>;

class RealFiles final : public FilesUnderTest {
 public:
  RealFiles() { EXPECT_TRUE(files().CreateDirectories(folder_).ok()); }
  ~RealFiles() override { EXPECT_TRUE(files().DeleteRecursively(folder_).ok()); }
  FileSystem& files() override { return env_->files(); }
  std::string folder() override { return folder_; }

 private:
  const std::unique_ptr<Env> env_ = MakeSystemEnv();
  const std::string folder_ =
      testing::TempDir() + "weir_state_" + std::to_string(env_->random().Next());
};

class SimulatedFiles final : public FilesUnderTest {
 public:
  explicit SimulatedFiles(uint64_t seed = 1) : world_(SimOptions{.seed = seed}) {
    EXPECT_TRUE(files().CreateDirectories(folder()).ok());
  }
  FileSystem& files() override { return env_->files(); }
  std::string folder() override { return "/checkpoints"; }
  SimDisk& disk() { return world_.disk("a"); }
  SimRandom& random() { return world_.random(); }
  // Another process on the same disk.
  SimEnv& StartOther() { return world_.StartProcess("b", "a"); }
  void CrashAndRestart(SimDisk::Loss loss) {
    world_.CrashHost("a", loss);
    env_ = &world_.StartProcess("a");
  }

 private:
  SimWorld world_;
  SimEnv* env_ = &world_.StartProcess("a");
};

inline auto BothFileSystems() {
  return testing::Values<FilesUnderTestFactory>([] { return std::make_unique<RealFiles>(); },
                                                [] { return std::make_unique<SimulatedFiles>(); });
}

inline std::string NameOfFileSystem(const testing::TestParamInfo<FilesUnderTestFactory>& info) {
  return info.index == 0 ? "Real" : "Simulated";
}

}  // namespace weir

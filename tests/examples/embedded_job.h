#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "common/env/sim/sim_world.h"
#include "taskmanager/embedded/embedded_run.h"

namespace weir {

struct EmbeddedJob {
  // Path of the plugin.
  std::string plugin;
  std::map<std::string, std::string> arguments;
  uint32_t parallelism = 1;
  RuntimeOptions runtime = {};
};

// Runs a job in this process, on real threads and files, to its end.
EmbeddedEnd RunEmbedded(const EmbeddedJob& job);

// Runs a job on `env`, a process of `world`, under virtual time: the same seed gives the same run.
EmbeddedEnd RunSimulated(SimWorld& world, SimEnv& env, const EmbeddedJob& job);

// A folder of the calling test's own, empty, removed when it goes.
class TestFolder {
 public:
  TestFolder();
  ~TestFolder();
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace weir

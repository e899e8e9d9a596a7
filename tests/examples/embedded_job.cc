#include "tests/examples/embedded_job.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <utility>

#include "common/env/sim/sim_env.h"
#include "common/env/system/system_env.h"
#include "connectors/registry.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

EmbeddedSpec SpecOf(const EmbeddedJob& job) {
  EmbeddedSpec spec;
  spec.plugin_path = job.plugin;
  spec.arguments = job.arguments;
  spec.parallelism = job.parallelism;
  spec.runtime = job.runtime;
  spec.runtime.task_threads = std::min(job.parallelism, 4u);
  return spec;
}

}  // namespace

EmbeddedEnd RunEmbedded(const EmbeddedJob& job) {
  const std::unique_ptr<Env> env = MakeSystemEnv();
  const std::unique_ptr<PluginLoader> loader = MakeFilePluginLoader();
  const std::unique_ptr<ConnectorRegistry> connectors = MakeConnectorRegistry(*env);
  const std::unique_ptr<Executor> control = env->NewExecutor("control");
  std::promise<EmbeddedEnd> ended;
  const std::unique_ptr<EmbeddedRun> run =
      EmbeddedRun::Make(*env, *control, *loader, *connectors, SpecOf(job), nullptr,
                        [&ended](EmbeddedEnd end) { ended.set_value(std::move(end)); });
  run->Start();
  const EmbeddedEnd end = ended.get_future().get();
  control->Shutdown();
  return end;
}

EmbeddedEnd RunSimulated(SimWorld& world, SimEnv& env, const EmbeddedJob& job) {
  const std::unique_ptr<PluginLoader> loader = MakeFilePluginLoader();
  const std::unique_ptr<ConnectorRegistry> connectors = MakeConnectorRegistry(env);
  const std::unique_ptr<Executor> control = env.NewExecutor("control");
  std::optional<EmbeddedEnd> ended;
  std::unique_ptr<EmbeddedRun> run =
      EmbeddedRun::Make(env, *control, *loader, *connectors, SpecOf(job), nullptr,
                        [&ended](EmbeddedEnd end) { ended = std::move(end); });
  run->Start();
  EXPECT_TRUE(world.RunUntil([&] { return ended.has_value(); }, absl::Hours(1)))
      << "the job does not end";
  run.reset();
  // What the job left on the blocking pool.
  world.RunFor(absl::Seconds(1));
  return ended.value_or(EmbeddedEnd{EmbeddedEnd::Kind::kFailed, "it did not end"});
}

TestFolder::TestFolder() {
  const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
  std::string name = std::string(test->test_suite_name()) + "." + test->name();
  for (char& c : name) c = c == '/' ? '_' : c;
  path_ = ::testing::TempDir() + "/weir_" + std::to_string(getpid()) + "_" + name;
  std::filesystem::remove_all(path_);
  std::filesystem::create_directories(path_);
}

TestFolder::~TestFolder() {
  std::error_code ignored;  // A folder that stays behind harms no test.
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace weir

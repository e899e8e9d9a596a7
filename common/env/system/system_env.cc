#include "common/env/system/system_env.h"

#include "common/base/check.h"
#include "common/env/system/blocking_pool.h"
#include "common/env/system/posix_file_system.h"
#include "common/env/system/system_clock.h"
#include "common/env/system/system_random.h"
#include "common/env/system/thread_executor.h"

namespace weir {
namespace {

class SystemEnv final : public Env {
 public:
  explicit SystemEnv(SystemEnvOptions options)
      : network_(options.network),
        spin_budget_(std::make_shared<SpinBudget>()),
        pool_(options.max_blocking_threads) {}

  Clock& clock() override { return clock_; }
  Random& random() override { return random_; }
  FileSystem& files() override { return files_; }
  Network& network() override {
    WEIR_CHECK(network_ != nullptr);
    return *network_;
  }
  std::unique_ptr<Executor> NewExecutor(std::string_view name) override {
    return std::make_unique<ThreadExecutor>(name, spin_budget_);
  }
  void RunBlocking(Closure work) override { pool_.Run(std::move(work)); }

 private:
  Network* const network_;
  SystemClock clock_;
  SystemRandom random_;
  PosixFileSystem files_;
  const std::shared_ptr<SpinBudget> spin_budget_;
  BlockingPool pool_;
};

}  // namespace

std::unique_ptr<Env> MakeSystemEnv(SystemEnvOptions options) {
  return std::make_unique<SystemEnv>(options);
}

}  // namespace weir

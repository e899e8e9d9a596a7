#include "common/env/sim/sim_env.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/base/strings.h"
#include "common/env/sim/sim_fabric.h"
#include "common/env/sim/sim_file_system.h"

namespace weir {
namespace {

constexpr absl::Duration kLongestDelay = absl::Hours(24 * 365 * 10);

}  // namespace

SimExecutorCore::SimExecutorCore(SimEnv& env, std::string_view name)
    : env_(env), name_(name), label_(StableHash(name)) {}

void SimExecutorCore::Post(Closure closure) {
  env_.world().CheckThread();
  if (stopped_ || !env_.alive()) return;
  queue_.push_back(std::move(closure));
  if (!turn_scheduled_) ScheduleTurn();
}

void SimExecutorCore::ScheduleTurn() {
  turn_scheduled_ = true;
  SimWorld& world = env_.world();
  world.Schedule(&env_, std::max(world.now_nanos(), busy_until_nanos_),
                 SimWorld::EventKind::kClosure, label_,
                 [self = shared_from_this()] { return self->RunOne(); });
}

bool SimExecutorCore::RunOne() {
  turn_scheduled_ = false;
  if (queue_.empty()) return false;
  Closure closure = std::move(queue_.front());
  queue_.pop_front();
  Run(std::move(closure));
  if (!queue_.empty() && !turn_scheduled_) ScheduleTurn();
  return true;
}

Executor::TimerId SimExecutorCore::PostAfter(absl::Duration delay, Closure closure) {
  SimWorld& world = env_.world();
  world.CheckThread();
  const Executor::TimerId id = ++last_timer_id_;
  if (stopped_ || !env_.alive()) return id;
  timers_.emplace(id, std::move(closure));
  const absl::Duration bounded = std::clamp(delay, absl::ZeroDuration(), kLongestDelay);
  world.Schedule(&env_, world.now_nanos() + absl::ToInt64Nanoseconds(bounded),
                 SimWorld::EventKind::kTimer, label_ + id,
                 [self = shared_from_this(), id] { return self->RunTimer(id); });
  return id;
}

bool SimExecutorCore::RunTimer(Executor::TimerId id) {
  const auto timer = timers_.find(id);
  if (timer == timers_.end()) return false;
  Closure closure = std::move(timer->second);
  timers_.erase(timer);
  Run(std::move(closure));
  return true;
}

void SimExecutorCore::Run(Closure closure) {
  SimWorld& world = env_.world();
  const int64_t mean = absl::ToInt64Nanoseconds(world.options().closure_time);
  busy_until_nanos_ = std::max(busy_until_nanos_, world.now_nanos()) +
                      world.world_random().Between(std::max<int64_t>(1, mean / 2), mean * 3 / 2);
  SimExecutorCore* const before = std::exchange(world.current_executor, this);
  closure();
  closure = nullptr;
  world.current_executor = before;
}

bool SimExecutorCore::Cancel(Executor::TimerId id) {
  const auto timer = timers_.find(id);
  if (timer == timers_.end()) return false;
  const Closure dropped = std::move(timer->second);
  timers_.erase(timer);
  return true;
}

bool SimExecutorCore::IsCurrent() const { return env_.world().current_executor == this; }

void SimExecutorCore::Stop() {
  stopped_ = true;
  // What they hold may call this executor again while it is destroyed.
  std::deque<Closure> queue;
  queue.swap(queue_);
  std::map<Executor::TimerId, Closure> timers;
  timers.swap(timers_);
}

SimExecutor::~SimExecutor() {
  core_->Stop();
  core_->destroyed = true;
}

SimEnv::SimEnv(SimWorld& world, std::string name, std::string host, uint64_t incarnation,
               uint64_t seed, SimDisk& disk)
    : world_(world),
      name_(std::move(name)),
      host_(std::move(host)),
      name_hash_(StableHash(StrCat(name_, "#", incarnation))),
      clock_(world),
      random_(seed),
      files_(std::make_unique<SimFileSystem>(*this, disk)),
      network_(world.fabric().NewNetwork(*this)) {}

SimEnv::~SimEnv() = default;

std::shared_ptr<SimExecutorCore> SimEnv::NewExecutorCore(std::string_view name) {
  auto core = std::make_shared<SimExecutorCore>(*this, name);
  std::erase_if(executors_, [](const auto& executor) { return executor.expired(); });
  executors_.push_back(core);
  return core;
}

std::unique_ptr<Executor> SimEnv::NewExecutor(std::string_view name) {
  return std::make_unique<SimExecutor>(NewExecutorCore(name));
}

void SimEnv::RunBlocking(Closure work) {
  world_.CheckThread();
  if (!alive_) return;
  const uint64_t id = ++last_blocking_id_;
  blocking_.emplace(id, std::move(work));
  const SimOptions& options = world_.options();
  const int64_t time =
      world_.world_random().Between(absl::ToInt64Nanoseconds(options.min_blocking_time),
                                    absl::ToInt64Nanoseconds(options.max_blocking_time));
  world_.Schedule(this, world_.now_nanos() + time, SimWorld::EventKind::kBlocking, id, [this, id] {
    const auto found = blocking_.find(id);
    if (found == blocking_.end()) return false;
    Closure closure = std::move(found->second);
    blocking_.erase(found);
    closure();
    return true;
  });
}

void SimEnv::Die() {
  alive_ = false;
  for (const auto& weak : executors_) {
    if (const auto executor = weak.lock()) executor->Stop();
  }
  executors_.clear();
  std::map<uint64_t, Closure> blocking;
  blocking.swap(blocking_);
}

}  // namespace weir

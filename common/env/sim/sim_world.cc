#include "common/env/sim/sim_world.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_fabric.h"

namespace weir {
namespace {

// More than any real moment has: something posts for ever without time going on.
constexpr uint64_t kMaxEventsAtOneTime = 50'000'000;

}  // namespace

SimWorld::SimWorld(SimOptions options)
    : options_(options),
      thread_id_(std::this_thread::get_id()),
      world_random_(MixBits(options.seed + 1)),
      test_random_(MixBits(options.seed + 2)),
      hash_(MixBits(options.seed + 3)),
      fabric_(std::make_unique<SimFabric>(*this)) {
  WEIR_CHECK(options.closure_time > absl::ZeroDuration());
  WEIR_CHECK(options.min_link_delay <= options.max_link_delay);
  WEIR_CHECK(options.min_local_delay <= options.max_local_delay);
  WEIR_CHECK(options.min_blocking_time <= options.max_blocking_time);
}

SimWorld::~SimWorld() {
  // What closures hold is destroyed while everything it may call is still there.
  for (size_t i = 0; i < processes_.size(); ++i) KillProcess(*processes_[i]);
  std::vector<Event>().swap(events_);
  std::vector<Event>().swap(deferred_);
}

SimEnv& SimWorld::StartProcess(const std::string& name, const std::string& host) {
  uint64_t incarnation = 0;
  for (const auto& process : processes_) {
    if (process->name() != name) continue;
    WEIR_CHECK(!process->alive());  // Two live processes would have one name.
    ++incarnation;
  }
  const std::string& at = host.empty() ? name : host;
  fabric_->AddHost(at);
  const uint64_t seed = MixBits(options_.seed ^ StableHash(name)) + incarnation;
  processes_.push_back(std::make_unique<SimEnv>(*this, name, at, incarnation, seed, disk(at)));
  return *processes_.back();
}

void SimWorld::KillProcess(SimEnv& process) {
  if (!process.alive()) return;
  process.Die();
  fabric_->ProcessDied(process);
}

void SimWorld::CrashHost(const std::string& host, SimDisk::Loss loss) {
  for (size_t i = 0; i < processes_.size(); ++i) {
    if (processes_[i]->host() == host) KillProcess(*processes_[i]);
  }
  disk(host).Crash(loss, world_random_);
}

void SimWorld::PauseProcess(SimEnv& process) { process.paused = true; }

void SimWorld::ResumeProcess(SimEnv& process) {
  if (!process.paused) return;
  process.paused = false;
  std::vector<Event> deferred;
  deferred.swap(deferred_);
  for (Event& event : deferred) {
    if (event.process == &process) {
      event.at_nanos = now_nanos_;
      event.tie = 0;  // Keeps their order.
      event.sequence = ++last_sequence_;
      Push(std::move(event));
    } else {
      deferred_.push_back(std::move(event));
    }
  }
}

void SimWorld::CutOneWay(const std::string& from_host, const std::string& to_host) {
  fabric_->Cut(from_host, to_host);
}

void SimWorld::CutLink(const std::string& host, const std::string& other_host) {
  fabric_->Cut(host, other_host);
  fabric_->Cut(other_host, host);
}

void SimWorld::HealLink(const std::string& host, const std::string& other_host) {
  fabric_->Heal(host, other_host);
}

void SimWorld::HealAllLinks() { fabric_->HealAll(); }

void SimWorld::SetLinkDelay(const std::string& host, const std::string& other_host,
                            absl::Duration min, absl::Duration max) {
  WEIR_CHECK(min <= max);
  fabric_->SetDelay(host, other_host, min, max);
}

SimDisk& SimWorld::ShareFolder(const std::string& path) {
  auto& disk = shared_disks_[path];
  if (disk == nullptr) disk = std::make_unique<SimDisk>();
  return *disk;
}

SimDisk* SimWorld::SharedDiskOf(const std::string& path) {
  for (const auto& [folder, disk] : shared_disks_) {
    if (path.rfind(folder, 0) == 0 &&
        (path.size() == folder.size() || path[folder.size()] == '/')) {
      return disk.get();
    }
  }
  return nullptr;
}

SimDisk& SimWorld::disk(const std::string& host) {
  std::unique_ptr<SimDisk>& disk = disks_[host];
  if (disk == nullptr) disk = std::make_unique<SimDisk>();
  return *disk;
}

void SimWorld::CheckThread() const { WEIR_CHECK(std::this_thread::get_id() == thread_id_); }

bool SimWorld::Later(const Event& a, const Event& b) {
  if (a.at_nanos != b.at_nanos) return a.at_nanos > b.at_nanos;
  if (a.tie != b.tie) return a.tie > b.tie;
  return a.sequence > b.sequence;
}

void SimWorld::Push(Event event) {
  events_.push_back(std::move(event));
  std::push_heap(events_.begin(), events_.end(), &Later);
}

void SimWorld::Schedule(SimEnv* process, int64_t at_nanos, EventKind kind, uint64_t label,
                        EventAction action) {
  CheckThread();
  Push(Event{.at_nanos = std::max(at_nanos, now_nanos_),
             .tie = world_random_.Next() | 1,
             .sequence = ++last_sequence_,
             .process = process,
             .kind = kind,
             .label = label,
             .action = std::move(action)});
}

bool SimWorld::Step() { return RunNext(INT64_MAX); }

// Runs one event that counts; passes over those of dead and of paused processes.
bool SimWorld::RunNext(int64_t not_after_nanos) {
  CheckThread();
  while (!events_.empty() && events_.front().at_nanos <= not_after_nanos) {
    std::pop_heap(events_.begin(), events_.end(), &Later);
    Event event = std::move(events_.back());
    events_.pop_back();
    if (event.process != nullptr && !event.process->alive()) continue;
    if (event.process != nullptr && event.process->paused) {
      deferred_.push_back(std::move(event));
      continue;
    }
    if (event.at_nanos != now_nanos_) events_at_this_time_ = 0;
    WEIR_CHECK_LT(events_at_this_time_, kMaxEventsAtOneTime);
    ++events_at_this_time_;
    now_nanos_ = event.at_nanos;
    if (!event.action()) continue;
    ++executed_events_;
    const uint64_t process_hash = event.process == nullptr ? 0 : event.process->name_hash();
    for (const uint64_t part : {static_cast<uint64_t>(event.at_nanos), process_hash,
                                static_cast<uint64_t>(event.kind), event.label}) {
      hash_ = MixBits(hash_ + 0x9e3779b97f4a7c15u + part);
    }
    return true;
  }
  return false;
}

bool SimWorld::RunUntil(const std::function<bool()>& predicate, absl::Duration limit) {
  const int64_t end = now_nanos_ + absl::ToInt64Nanoseconds(std::min(limit, absl::Hours(1 << 20)));
  while (!predicate()) {
    if (!RunNext(end)) {
      now_nanos_ = std::max(now_nanos_, end);  // Time passes also when nothing happens.
      return false;
    }
  }
  return true;
}

void SimWorld::RunFor(absl::Duration duration) {
  const int64_t end =
      now_nanos_ + absl::ToInt64Nanoseconds(std::min(duration, absl::Hours(1 << 20)));
  while (RunNext(end)) {
  }
  now_nanos_ = end;
}

void SimWorld::At(absl::Duration delay, std::function<void()> action) {
  Schedule(nullptr, now_nanos_ + absl::ToInt64Nanoseconds(delay), EventKind::kTest, 0,
           [action = std::move(action)] {
             action();
             return true;
           });
}

}  // namespace weir

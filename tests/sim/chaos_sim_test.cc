// The whole protocol under random faults: a seed draws the cluster, the job's parallelism and
// settings, which faults there are, and when. Processes are killed and paused, hosts lose what was
// not synced, links are cut, slow and break, disks fail and are full; the client takes savepoints.
// Once the faults stop, the job must finish, and the files that it has committed must hold each
// result once.
//
//   WEIR_SIM_SEEDS=FIRST:COUNT   which seeds (default 1:40)
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "tests/sim/sim_cluster.h"
#include "weir/sdk.h"

namespace weir::sim {
namespace {

constexpr std::int64_t kCount = 400;
constexpr std::int64_t kKeys = 11;
constexpr std::int64_t kBucket = 100;
constexpr char kOut[] = "/shared/out";

struct Number {
  std::int64_t source = 0;
  std::int64_t key = 0;
  std::int64_t value = 0;
  EventTime at;
};

struct Sum {
  std::int64_t key = 0;
  std::int64_t bucket = 0;
  std::int64_t count = 0;
  std::int64_t value = 0;
};

// Sums per key and bucket of a hundred, by a map and a timer; and of all, at the end.
struct Tally : KeyedProcess<std::int64_t, Number, Sum> {
  ValueState<std::int64_t> all{this, "all"};
  MapState<std::int64_t, std::pair<std::int64_t, std::int64_t>> buckets{this, "buckets"};
  EventTimer bucket_end{this, "bucket"};
  EventTimer end{this, "end"};

  void Process(const Number& number, Context&) override {
    all.Mutable() += number.value;
    auto& [count, sum] = buckets.Mutable(number.value / kBucket);
    ++count;
    sum += number.value;
    SetTimer();
    end.Set(EventTime::FromTicks(kMaxTicks - 1));
  }
  void OnTimer(const EventTimer& timer, Context& context) override {
    if (&timer == &end) {
      context.Emit({context.key(), -1, 0, all.Get()});
      return;
    }
    const std::int64_t bucket = First();
    const auto [count, sum] = *buckets.Get(bucket);
    context.Emit({context.key(), bucket, count, sum});
    buckets.Remove(bucket);
    if (!buckets.empty()) SetTimer();
  }

 private:
  std::int64_t First() const {
    std::int64_t first = INT64_MAX;
    for (const std::int64_t bucket : buckets.Keys()) first = std::min(first, bucket);
    return first;
  }
  void SetTimer() { bucket_end.Set(EventTime::FromMillis((First() + 1) * kBucket)); }
};

void DescribeChaos(Job& job) {
  const auto rate = job.Arg<double>("rate", "records a second of each source", 1000);
  const auto source = [&](std::int64_t number, double part) {
    return Generator{.make =
                         [number](std::uint64_t i) {
                           const auto n = static_cast<std::int64_t>(i);
                           return Number{number, n % kKeys, n, EventTime::FromMillis(n)};
                         },
                     .count = static_cast<std::uint64_t>(kCount),
                     .rate = rate * part};
  };
  const auto left = job.From<Number>("left", source(0, 1), {.timestamp = &Number::at});
  const auto right = job.From<Number>("right", source(1, 0.4), {.timestamp = &Number::at});
  const auto both =
      left.Rebalance().Map("pass", [](const Number& number) { return number; }).Union(right);
  both.Map([](const Number& number) { return Sum{number.key, number.source, 1, number.value}; })
      .To("all", Files{.path = StrCat(kOut, "/all")});
  both.KeyBy(&Number::key).Process<Tally>("tally").To("sums", Files{.path = StrCat(kOut, "/sums")});
  both.KeyBy(&Number::key)
      .Window(Tumbling{std::chrono::milliseconds(kBucket)})
      .Aggregate("window", weir::Sum{&Number::value})
      .To("windows", Files{.path = StrCat(kOut, "/windows")});
  if (!job.Arg<bool>("apart", "also regions that nothing else meets", false)) return;
  job.From<Number>("third", source(2, 0.3), {.timestamp = &Number::at})
      .Map("sign", [](const Number& number) { return Sum{number.key, 2, 1, -number.value}; })
      .To("apart", Files{.path = StrCat(kOut, "/apart")});
}

// ---- What any program can say must be there ----

std::int64_t NumberAfter(const std::string& line, const std::string& name) {
  const size_t at = line.find("\"" + name + "\":");
  return at == std::string::npos ? -999 : std::atoll(line.c_str() + at + name.size() + 3);
}

using Lines = std::map<std::vector<std::int64_t>, int>;

// The lines that readers see, as the numbers behind `names`.
Lines Read(SimDisk& disk, const std::string& folder, const std::vector<std::string>& names) {
  Lines lines;
  const auto entries = disk.List(folder);
  if (!entries.ok()) return lines;
  for (const FileInfo& entry : *entries) {
    if (entry.path[entry.path.rfind('/') + 1] == '.') continue;
    if (entry.is_directory) {
      for (const auto& [line, times] : Read(disk, entry.path, names)) lines[line] += times;
      continue;
    }
    const std::string& content = (*disk.Open(entry.path))->data;
    for (size_t at = 0; at < content.size();) {
      const size_t end = content.find('\n', at);
      const std::string line = content.substr(at, end - at);
      std::vector<std::int64_t> numbers;
      for (const std::string& name : names) numbers.push_back(NumberAfter(line, name));
      ++lines[numbers];
      at = end == std::string::npos ? content.size() : end + 1;
    }
  }
  return lines;
}

std::string Difference(const Lines& expected, const Lines& found) {
  std::string text;
  const auto say = [&text](const char* what, const std::vector<std::int64_t>& line, int times) {
    if (text.size() > 400) return;
    text += StrCat(what);
    for (const std::int64_t number : line) text += StrCat(" ", number);
    text += StrCat(" (", times, ")\n");
  };
  for (const auto& [line, times] : expected) {
    const auto it = found.find(line);
    const int there = it == found.end() ? 0 : it->second;
    if (there != times) say(there < times ? "lost" : "repeated", line, there - times);
  }
  for (const auto& [line, times] : found) {
    if (!expected.contains(line)) say("wrong", line, times);
  }
  return text;
}

std::string WrongResults(SimDisk& disk, bool with_apart) {
  Lines apart;
  for (std::int64_t n = 0; with_apart && n < kCount; ++n) ++apart[{n % kKeys, -n}];
  Lines all;
  Lines sums;
  Lines windows;
  for (std::int64_t n = 0; n < kCount; ++n) {
    for (const std::int64_t source : {0, 1}) ++all[{n % kKeys, source, n}];
  }
  for (std::int64_t key = 0; key < kKeys; ++key) {
    std::map<std::int64_t, std::pair<std::int64_t, std::int64_t>> buckets;
    std::int64_t whole = 0;
    for (std::int64_t n = key; n < kCount; n += kKeys) {
      buckets[n / kBucket].first += 2;
      buckets[n / kBucket].second += 2 * n;
      whole += 2 * n;
    }
    ++sums[{key, -1, 0, whole}];
    for (const auto& [bucket, sum] : buckets) {
      ++sums[{key, bucket, sum.first, sum.second}];
      ++windows[{key, sum.second}];
    }
  }
  return Difference(all, Read(disk, StrCat(kOut, "/all"), {"key", "bucket", "value"})) +
         Difference(sums, Read(disk, StrCat(kOut, "/sums"), {"key", "bucket", "count", "value"})) +
         Difference(windows, Read(disk, StrCat(kOut, "/windows"), {"key", "value"})) +
         Difference(apart, Read(disk, StrCat(kOut, "/apart"), {"key", "value"}));
}

// ---- The faults ----

// One run of one seed.
class SeedRun {
 public:
  explicit SeedRun(std::uint64_t seed)
      : cluster_(Options(seed)), random_(cluster_.world().random()) {
    // Each class of faults is off in 3 of 10 seeds.
    for (bool* fault : {&kills_, &job_manager_, &pauses_, &network_, &disk_, &crashes_}) {
      *fault = random_.Chance(0.7);
    }
    savepoints_ = random_.Chance(0.3);
    rescales_ = random_.Chance(0.4);
    apart_ = random_.Chance(0.5);
  }

  // What is wrong; empty: nothing.
  std::string Go() {
    SimDisk& shared = cluster_.shared_disk();
    shared.set_fault([this](std::string_view operation, const std::string& path) {
      if (!disk_fails_ || operation == "stat" || operation == "list" || !random_.Chance(0.2)) {
        return absl::OkStatus();
      }
      return absl::UnavailableError(StrCat(operation, " '", path, "': Input/output error"));
    });
    cluster_.StartJobManager();
    task_managers_ = 2 + random_.Below(3);
    for (std::uint64_t i = 0; i < task_managers_; ++i) cluster_.StartTaskManager(Name(i), 2);
    if (!cluster_.AwaitTaskManagers(static_cast<int>(task_managers_))) return "no cluster";
    const auto parallelism = static_cast<std::uint32_t>(1 + random_.Below(4));
    const auto job = cluster_.Submit(
        "chaos", DescribeChaos, parallelism,
        {{"rate", StrCat(200 + random_.Below(2000))}, {"apart", apart_ ? "true" : "false"}});
    if (!job.ok()) return StrCat("not submitted: ", ToStd(job.status().message()));
    job_ = *job;
    const std::uint64_t faults = 1 + random_.Below(8);
    for (std::uint64_t i = 0; i < faults; ++i) {
      cluster_.world().RunFor(absl::Milliseconds(random_.Between(1, 600)));
      Fault();
      if (!LookAtCheckpoints()) return "ids of complete checkpoints went back";
    }
    Heal();
    // I14
    if (!cluster_.AwaitState(job_, proto::FINISHED, absl::Minutes(10))) {
      const auto status = cluster_.Status(job_);
      return StrCat("it does not finish; ",
                    status.ok() ? StrCat(proto::JobState_Name(status->summary().state()), " ",
                                         status->failure().message())
                                : ToStd(status.status().message()));
    }
    const auto status = cluster_.Status(job_);
    attempts_ = 1 + status->full_restarts() + status->region_restarts();
    region_restarts_ = status->region_restarts();
    std::string wrong = WrongResults(shared, apart_);
    // I12: nothing of a job that finished stays.
    const std::string folder = StrCat("/shared/checkpoints/", job_.ToString());
    cluster_.world().RunUntil([&] { return !shared.Stat(folder).ok(); }, absl::Minutes(2));
    if (const auto left = shared.List(folder); left.ok()) {
      for (const FileInfo& entry : *left) wrong += StrCat("left behind: ", entry.path, "\n");
      if (left->empty()) wrong += "left behind: an empty folder\n";
    }
    return wrong;
  }
  // Of the job and of regions of it.
  std::uint64_t attempts() const { return attempts_; }
  std::uint64_t region_restarts() const { return region_restarts_; }
  // Of the checkpoint that was seen to have most records in flight.
  std::uint64_t in_flight_bytes() const { return in_flight_bytes_; }
  // A complete checkpoint was seen that has only what had changed of something.
  bool builds_on_others() const { return builds_on_others_; }
  std::uint64_t hash() const { return hash_; }
  std::string Log() const {
    std::string text;
    for (const std::string& line : cluster_.log()) text += line + "\n";
    return text;
  }

 private:
  static SimCluster::Options Options(std::uint64_t seed) {
    SimCluster::Options options;
    options.world.seed = seed;
    SimRandom random(seed * 0x9E3779B97F4A7C15ULL + 1);
    if (random.Chance(0.3)) {
      options.world.max_link_delay = absl::Milliseconds(1 + random.Below(50));
    }
    options.settings = {StrCat("execution.checkpointing.interval=", 20 + random.Below(300), " ms"),
                        StrCat("execution.checkpointing.num-retained=", 1 + random.Below(3)),
                        StrCat("execution.checkpointing.timeout=", 500 + random.Below(5000), " ms"),
                        "execution.checkpointing.dir=/shared/checkpoints",
                        "execution.checkpointing.savepoint-dir=/shared/saved",
                        "execution.checkpointing.tolerable-failed-checkpoints=100000",
                        "restart-strategy.exponential-delay.initial-backoff=50 ms",
                        "restart-strategy.exponential-delay.max-backoff=500 ms"};
    const std::uint64_t concurrent = 1 + random.Below(3);
    const bool unaligned = random.Chance(0.5);
    options.settings.push_back(
        StrCat("execution.checkpointing.max-concurrent-checkpoints=", unaligned ? 1 : concurrent));
    if (unaligned) {
      options.settings.push_back("execution.checkpointing.unaligned=true");
      options.settings.push_back(StrCat("execution.checkpointing.aligned-timeout=",
                                        random.Chance(0.5) ? 0 : random.Below(50), " ms"));
    }
    if (random.Chance(0.4)) options.settings.push_back("state.backend=rocksdb");
    // 0: most of what is restored is still to be read when the next fault comes.
    if (random.Chance(0.6)) {
      options.settings.push_back(
          StrCat("state.restore.chunk-size=", random.Chance(0.7) ? 0 : 1 + random.Below(100)));
    }
    return options;
  }
  static std::string Name(std::uint64_t i) { return StrCat("tm-", i); }
  std::string AnyTaskManager() { return Name(random_.Below(task_managers_)); }
  // Two different hosts.
  std::pair<std::string, std::string> AnyLink() {
    const std::string from = AnyTaskManager();
    const std::uint64_t other = random_.Below(task_managers_ + 1);
    std::string to = other == task_managers_ ? "jobmanager" : Name(other);
    if (to == from) to = "jobmanager";
    return {from, to};
  }
  std::string AnyWorker() {
    const std::vector<std::string> workers = cluster_.Workers();
    return workers.empty() ? "" : workers[random_.Below(workers.size())];
  }
  SimWorld& world() { return cluster_.world(); }
  void For(std::int64_t at_most_millis) {
    world().RunFor(absl::Milliseconds(random_.Between(1, at_most_millis)));
  }

  void Fault() {
    switch (random_.Below(10)) {
      case 0:
      case 1:
        if (const std::string worker = AnyWorker(); kills_ && !worker.empty()) {
          cluster_.KillWorker(worker);
        }
        return;
      case 2:
        if (!kills_) return;
        RestartTaskManager(/*crash=*/false);
        return;
      case 3:
        if (!job_manager_) return;
        cluster_.KillJobManager();
        For(3'000);
        cluster_.StartJobManager();
        return;
      case 4:
        if (const std::string worker = AnyWorker(); pauses_ && !worker.empty()) {
          cluster_.PauseWorker(worker);
          For(random_.Chance(0.5) ? 300 : 6'000);
          cluster_.ResumeWorker(worker);
        }
        return;
      case 5: {
        if (!network_) return;
        const auto [from, to] = AnyLink();
        if (random_.Chance(0.3)) {
          world().CutOneWay(from, to);
        } else {
          world().CutLink(from, to);
        }
        For(random_.Chance(0.5) ? 300 : 6'000);
        if (random_.Chance(0.7)) world().HealLink(from, to);
        return;
      }
      case 6:
        if (!network_) return;
        world().SetConnectionLoss(0.002);
        For(1'000);
        world().SetConnectionLoss(0);
        return;
      case 7:
        if (!disk_) return;
        if (random_.Chance(0.5)) {
          disk_fails_ = true;
          For(1'000);
          disk_fails_ = false;
        } else {
          cluster_.shared_disk().set_capacity_bytes(1);
          For(1'000);
          cluster_.shared_disk().set_capacity_bytes(~std::uint64_t{0});
        }
        return;
      case 8:
        if (savepoints_ && random_.Chance(0.5)) {
          // Whatever comes of it.
          (void)cluster_.TriggerSavepoint({.job = job_,
                                           .trigger = TriggerId(1, ++triggers_),
                                           .directory = "",
                                           .then = SavepointRequest::Then::kGoOn});
        } else if (crashes_) {
          RestartTaskManager(/*crash=*/true);
        }
        return;
      case 9:
        if (!rescales_) return;
        (void)cluster_.TriggerRescale(
            {.job = job_,
             .trigger = TriggerId(2, ++triggers_),
             .parallelism = static_cast<std::uint32_t>(1 + random_.Below(4))});
        return;
    }
  }
  void RestartTaskManager(bool crash) {
    const std::string name = AnyTaskManager();
    cluster_.KillTaskManager(name);
    if (crash) world().CrashHost(name, SimDisk::Loss::kSomeUnsynced);
    For(2'000);
    cluster_.StartTaskManager(name, 2);
  }
  void Heal() {
    world().HealAllLinks();
    world().SetConnectionLoss(0);
    disk_fails_ = false;
    cluster_.shared_disk().set_capacity_bytes(~std::uint64_t{0});
    for (std::uint64_t i = 0; i < task_managers_; ++i) {
      if (cluster_.TaskManagerEnd(Name(i)) == nullptr) continue;
      cluster_.KillTaskManager(Name(i));
      cluster_.StartTaskManager(Name(i), 2);
    }
    hash_ = world().hash();
  }
  // I5. A job manager that was started again knows only what was completed since.
  bool LookAtCheckpoints() {
    const auto checkpoints = cluster_.Checkpoints(job_);
    if (!checkpoints.ok()) return true;
    for (const auto& checkpoint : checkpoints->checkpoints()) {
      if (checkpoint.state() != proto::JobCheckpoint::COMPLETED) continue;
      in_flight_bytes_ = std::max(in_flight_bytes_, checkpoint.persisted_bytes());
      builds_on_others_ |= checkpoint.full_bytes() > checkpoint.new_bytes();
      const bool grows = checkpoint.id() >= newest_;
      newest_ = std::max(newest_, checkpoint.id());
      return grows;
    }
    return true;
  }

  SimCluster cluster_;
  SimRandom& random_;
  JobId job_;
  std::uint64_t task_managers_ = 0;
  std::uint64_t triggers_ = 0;
  std::uint64_t newest_ = 0;
  std::uint64_t attempts_ = 0;
  std::uint64_t region_restarts_ = 0;
  std::uint64_t in_flight_bytes_ = 0;
  bool builds_on_others_ = false;
  std::uint64_t hash_ = 0;
  bool kills_ = false;
  bool job_manager_ = false;
  bool pauses_ = false;
  bool network_ = false;
  bool disk_ = false;
  bool crashes_ = false;
  bool savepoints_ = false;
  bool rescales_ = false;
  bool apart_ = false;
  bool disk_fails_ = false;
};

TEST(ChaosSim, EachResultIsCommittedOnceUnderRandomFaults) {
  unsigned long long first = 1;
  unsigned long long count = 40;
  if (const char* seeds = getenv("WEIR_SIM_SEEDS"); seeds != nullptr && *seeds != 0) {
    ASSERT_EQ(sscanf(seeds, "%llu:%llu", &first, &count), 2) << "WEIR_SIM_SEEDS is FIRST:COUNT";
  }
  std::uint64_t attempts = 0;
  std::uint64_t region_restarts = 0;
  std::uint64_t in_flight = 0;
  std::uint64_t incremental = 0;
  int failures = 0;
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    SeedRun run(seed);
    const std::string wrong = run.Go();
    attempts += run.attempts();
    region_restarts += run.region_restarts();
    in_flight += run.in_flight_bytes() > 0 ? 1 : 0;
    incremental += run.builds_on_others() ? 1 : 0;
    if (wrong.empty()) continue;
    ADD_FAILURE() << "seed " << seed << ": " << wrong << (count == 1 ? run.Log() : "");
    if (++failures == 5) break;
  }
  EXPECT_GT(attempts, count * 3 / 2) << "otherwise little was shown";
  EXPECT_GE(in_flight, count / 40) << "no barrier overtook anything";
  EXPECT_GE(region_restarts, count / 8) << "hardly any region was started again by itself";
  EXPECT_GE(incremental, count / 4) << "checkpoints were whole";
}

TEST(ChaosSim, OneSeedIsOneRun) {  // I16
  for (const std::uint64_t seed : {3, 7, 11}) {
    SeedRun first(seed);
    SeedRun second(seed);
    EXPECT_EQ(first.Go(), second.Go());
    EXPECT_EQ(first.hash(), second.hash());
    EXPECT_NE(first.hash(), 0u);
  }
}

}  // namespace
}  // namespace weir::sim

// A source of files that come while the job runs, on the simulated cluster: each is read once,
// whatever is killed and however often the parallelism changes.
#include <map>
#include <string>
#include <vector>

#include "tests/sim/savepoint_fixture.h"

namespace weir::sim {
namespace {

struct Value {
  std::int64_t value = 0;
};

void DescribeArriving(Job& job) {
  job.From<Value>("arriving",
                  Files{.path = "/shared/in/*.jsonl", .discover = std::chrono::milliseconds(100)})
      .Filter([](const Value& value) { return value.value >= 0; })
      .To("values", Files{.path = "/shared/out"});
}

class ArrivingFilesSim : public SavepointSim {
 protected:
  void Start(std::uint64_t seed) {
    SavepointSim::Start(seed, {"execution.checkpointing.interval=200 ms",
                               "execution.checkpointing.dir=/shared/checkpoints",
                               "execution.checkpointing.tolerable-failed-checkpoints=1000",
                               "restart-strategy.exponential-delay.initial-backoff=50 ms",
                               "restart-strategy.exponential-delay.max-backoff=1 s"});
    for (const char* name : {"tm-3", "tm-4"}) cluster_->StartTaskManager(name, 2);
    ASSERT_TRUE(cluster_->AwaitTaskManagers(4));
    ASSERT_TRUE(Files().CreateDirectories("/shared/in").ok());
    written_ = 0;
  }
  // A file with the next numbers under a name that may come before or after all others.
  void AddFile(SimRandom& random) {
    std::string lines;
    for (std::int64_t i = random.Between(1, 200); i > 0; --i) {
      lines += StrCat("{\"value\":", written_++, "}\n");
    }
    Write(StrCat("/shared/in/", random.Next(), ".jsonl"), lines);
  }
  void ReadLines(const std::string& folder, std::map<std::string, int>& lines) {
    const auto entries = cluster_->shared_disk().List(folder);
    if (!entries.ok()) return;
    for (const FileInfo& entry : *entries) {
      if (entry.path[entry.path.rfind('/') + 1] == '.' || entry.is_directory) continue;
      const std::string& content = (*cluster_->shared_disk().Open(entry.path))->data;
      for (size_t at = 0; at < content.size();) {
        const size_t end = content.find('\n', at);
        ++lines[content.substr(at, end - at)];
        at = end + 1;
      }
    }
  }

  std::int64_t written_ = 0;
};

// Rule 49
TEST_F(ArrivingFilesSim, AreReadOnceWhateverHappens) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    Start(seed);
    SimRandom& random = cluster_->world().random();
    for (int i = 0; i < 3; ++i) AddFile(random);
    const auto job =
        cluster_->Submit("arriving", DescribeArriving, static_cast<uint32_t>(random.Between(1, 5)));
    ASSERT_TRUE(job.ok()) << job.status();
    for (std::int64_t i = random.Between(5, 15); i > 0; --i) {
      cluster_->world().RunFor(absl::Milliseconds(random.Between(1, 600)));
      AddFile(random);
      if (random.Chance(0.4)) {
        // Refused if the job does not run now, or has this parallelism.
        cluster_
            ->TriggerRescale({.job = *job,
                              .trigger = TriggerId(2, ++last_trigger_),
                              .parallelism = static_cast<uint32_t>(random.Between(1, 8))})
            .IgnoreError();
        cluster_->world().RunFor(absl::Microseconds(random.Between(0, 30'000)));
      }
      if (random.Chance(0.3)) {
        const std::vector<std::string> workers = cluster_->Workers();
        if (!workers.empty()) cluster_->KillWorker(workers[random.Below(workers.size())]);
      }
    }
    ASSERT_TRUE(cluster_->AwaitState(*job, proto::RUNNING, absl::Minutes(1))) << Log();
    // What is found now is committed with the next checkpoints.
    std::map<std::string, int> lines;
    for (int i = 0; i < 100 && static_cast<std::int64_t>(lines.size()) < written_; ++i) {
      cluster_->world().RunFor(absl::Milliseconds(500));
      lines.clear();
      ReadLines("/shared/out", lines);
    }
    cluster_->world().RunFor(absl::Seconds(2));
    lines.clear();
    ReadLines("/shared/out", lines);
    EXPECT_EQ(static_cast<std::int64_t>(lines.size()), written_);
    for (const auto& [line, times] : lines) EXPECT_EQ(times, 1) << line;
    if (HasFailure()) FAIL() << Log();
  }
}

}  // namespace
}  // namespace weir::sim

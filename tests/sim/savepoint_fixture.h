#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "tests/sim/sim_cluster.h"
#include "weir/sdk.h"

namespace weir::sim {

using Then = SavepointRequest::Then;

inline constexpr std::int64_t kKeys = 23;

struct Number {
  std::int64_t key = 0;
  std::int64_t value = 0;
  EventTime at;
};

// Keeps how many records of its key have come, and tells it at the end of event time.
struct Tally : KeyedProcess<std::int64_t, Number, std::string> {
  ValueState<std::int64_t> count{this, "count"};
  ValueState<std::int64_t> sum{this, "sum"};
  EventTimer end{this, "end"};

  void Process(const Number& number, Context&) override {
    count.Mutable() += 1;
    sum.Mutable() += number.value;
    end.Set(EventTime::FromTicks(1'000'000));
  }
  void OnTimer(const EventTimer&, Context& context) override {
    context.Emit(StrCat(context.key(), " ", count.Get(), " ", sum.Get()));
    count.Clear();
  }
};

inline void DescribeTally(Job& job) {
  const auto count = job.Arg<std::int64_t>("count", "how many numbers", 4000);
  job.From<Number>("numbers",
                   Generator{.make =
                                 [](std::uint64_t i) {
                                   const auto n = static_cast<std::int64_t>(i);
                                   return Number{n % kKeys, n, EventTime::FromTicks(n)};
                                 },
                             .count = static_cast<std::uint64_t>(count),
                             .rate = 1000},
                   {.timestamp = &Number::at})
      .KeyBy(&Number::key)
      .Process<Tally>("tally")
      .To("out", Print{.prefix = "tally"});
}

// What a fold over the first `count` numbers says.
inline std::set<std::string> Expected(std::int64_t count) {
  std::map<std::int64_t, std::pair<std::int64_t, std::int64_t>> tallies;
  for (std::int64_t n = 0; n < count; ++n) {
    tallies[n % kKeys].first += 1;
    tallies[n % kKeys].second += n;
  }
  std::set<std::string> lines;
  for (const auto& [key, tally] : tallies) {
    lines.insert(StrCat("\"", key, " ", tally.first, " ", tally.second, "\""));
  }
  return lines;
}

class SavepointSim : public ::testing::Test {
 protected:
  void Start(std::uint64_t seed, std::vector<std::string> settings = {
                                     "execution.checkpointing.interval=200 ms",
                                     "execution.checkpointing.dir=/shared/checkpoints",
                                     "execution.checkpointing.tolerable-failed-checkpoints=1000"}) {
    SimCluster::Options options;
    options.world.seed = seed;
    options.settings = std::move(settings);
    cluster_ = std::make_unique<SimCluster>(options);
    cluster_->shared_disk();
    cluster_->StartJobManager();
    for (const char* name : {"tm-1", "tm-2"}) cluster_->StartTaskManager(name, 2);
    ASSERT_TRUE(cluster_->AwaitTaskManagers(2));
  }
  JobId Submit(std::int64_t count = 4000, uint32_t parallelism = 2) {
    const auto job =
        cluster_->Submit("tally", DescribeTally, parallelism, {{"count", std::to_string(count)}});
    EXPECT_TRUE(job.ok()) << job.status();
    if (!job.ok()) return JobId();
    EXPECT_TRUE(cluster_->AwaitState(*job, proto::RUNNING, absl::Seconds(20))) << Log();
    return *job;
  }
  absl::StatusOr<JobId> SubmitFrom(const std::string& savepoint, std::int64_t count = 4000,
                                   uint32_t parallelism = 2) {
    return cluster_->Submit("tally", DescribeTally, parallelism, {{"count", std::to_string(count)}},
                            savepoint);
  }
  // Of the shared folder, by the job manager's file system.
  FileSystem& Files() { return cluster_->client_files(); }
  absl::StatusOr<std::string> Read(const std::string& path) {
    return ReadFile(Files(), path, 1 << 20);
  }
  void Write(const std::string& path, const std::string& content) {
    const absl::Status written = WriteFileAtomically(Files(), path, content);
    ASSERT_TRUE(written.ok()) << written;
  }
  void Delete(const std::string& path) { ASSERT_TRUE(Files().Delete(path).ok()); }
  void Move(const std::string& from, const std::string& to) {
    ASSERT_TRUE(Files().CreateDirectories(to).ok());
    const auto entries = Files().List(from);
    ASSERT_TRUE(entries.ok()) << entries.status();
    for (const FileInfo& entry : *entries) {
      Write(to + entry.path.substr(from.size()), *Read(entry.path));
      Delete(entry.path);
    }
    Delete(from);
  }
  SavepointRequest Request(JobId job, Then then = Then::kGoOn) {
    return {.job = job,
            .trigger = TriggerId(1, ++last_trigger_),
            .directory = "/shared/saved",
            .then = then};
  }
  std::set<std::string> Output() {
    const std::vector<std::string> lines = cluster_->Output("tally");
    return {lines.begin(), lines.end()};
  }
  // That the source has put out in the last attempt.
  std::uint64_t RecordsOf(JobId job, const std::string& uid) {
    const auto status = cluster_->Status(job);
    std::uint64_t records = 0;
    for (const auto& task : status->tasks()) {
      for (const auto& metrics : task.operators()) {
        if (status->graph().nodes(static_cast<int>(metrics.node())).uid() == uid) {
          records += metrics.records_out();
        }
      }
    }
    return records;
  }
  proto::JobState State(JobId job) { return cluster_->Status(job)->summary().state(); }
  bool Exists(const std::string& path) { return cluster_->shared_disk().Stat(path).ok(); }
  std::string Log() {
    std::string text;
    for (const std::string& line : cluster_->log()) {
      if (line.find(" jobmanager ") != std::string::npos) text += line + "\n";
    }
    return text;
  }

  std::unique_ptr<SimCluster> cluster_;
  std::uint64_t last_trigger_ = 0;
};

}  // namespace weir::sim

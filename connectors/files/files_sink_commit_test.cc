// The sink of files in a job with checkpoints: when files end, how they are called, what is left.
#include <algorithm>
#include <map>

#include "common/base/strings.h"
#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "connectors/files/files_sink.h"
#include "connectors/testing/contexts.h"
#include "connectors/testing/row_type.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::SizeIs;

constexpr char kJob[] = "0123456789abcdef0123456789abcdef";
constexpr Ticks kHour = 3'600'000'000;

class FilesSinkCommitTest : public ::testing::Test {
 protected:
  struct Subtask {
    explicit Subtask(uint32_t subtask = 0, uint32_t parallelism = 1)
        : context(subtask, parallelism) {
      context.run_info = {kJob, 1, 0, true, true};
    }
    TestOperatorContext context;
    std::unique_ptr<SinkWriter> sink;
    std::unique_ptr<Committer> committer;
  };

  absl::Status Open(Subtask& subtask, const Files& settings) {
    auto sink = MakeFilesSink(env_, settings, type_);
    if (!sink.ok()) return sink.status();
    subtask.sink = *std::move(sink);
    absl::Status status = subtask.sink->Open(subtask.context);
    if (!status.ok()) return status;
    subtask.committer = subtask.sink->MakeCommitter();
    world_.RunFor(absl::Seconds(1));
    return subtask.sink->Flush();
  }
  // Rows with the times i * step.
  absl::Status Write(Subtask& subtask, int64_t begin, int64_t end, Ticks step = kHour) {
    Batch<Row> batch;
    for (int64_t i = begin; i < end; ++i) {
      batch.records.emplace_back(Row{i, "t"});
      batch.timestamps.emplace_back(i * step);
    }
    absl::Status status = subtask.sink->Write(batch);
    if (status.ok()) status = subtask.sink->Flush();
    world_.RunFor(absl::Milliseconds(1));
    return status;
  }
  absl::StatusOr<std::vector<std::string>> Prepare(Subtask& subtask, uint64_t id) {
    std::vector<std::string> committables;
    for (;;) {
      const int wakes = subtask.context.wakes;
      const auto ready = subtask.sink->PrepareCommit(id, committables);
      if (!ready.ok()) return ready.status();
      if (*ready) return committables;
      if (!world_.RunUntil([&] { return subtask.context.wakes > wakes; }, absl::Seconds(10))) {
        return absl::DeadlineExceededError("never woken");
      }
    }
  }
  absl::Status Commit(Subtask& subtask, const std::vector<std::string>& all, bool again = false) {
    std::vector<Committable> committables;
    for (const std::string& bytes : all) committables.push_back({bytes, again});
    return subtask.committer->Commit(committables);
  }
  void Checkpoint(Subtask& subtask, uint64_t id) {
    const auto prepared = Prepare(subtask, id);
    ASSERT_TRUE(prepared.ok()) << prepared.status();
    ASSERT_TRUE(Commit(subtask, *prepared).ok());
  }
  void Close(Subtask& subtask) {
    subtask.sink->Close();
    world_.RunFor(absl::Seconds(1));
  }
  // Below `folder`, sorted; hidden ones only with `hidden`.
  std::vector<std::string> Names(const std::string& folder, bool hidden = false) {
    std::vector<std::string> names;
    const auto entries = env_.files().List(folder);
    if (!entries.ok()) return names;
    for (const FileInfo& entry : *entries) {
      const std::string name = entry.path.substr(folder.size() + 1);
      if ((name.front() == '.') != hidden) continue;
      if (!entry.is_directory) {
        names.push_back(name);
        continue;
      }
      for (const std::string& below : Names(entry.path)) names.push_back(name + "/" + below);
    }
    return names;
  }
  std::string Content(const std::string& path) {
    const auto content = ReadFile(env_.files(), path, 100 << 20);
    return content.ok() ? *content : content.status().ToString();
  }

  SimWorld world_;
  SimEnv& env_ = world_.StartProcess("worker", "host");
  RowType type_;
};

TEST_F(FilesSinkCommitTest, EachCheckpointEndsTheFilesAndItsCommitShowsThem) {
  Subtask subtask;
  ASSERT_TRUE(Open(subtask, {.path = "/out"}).ok());
  ASSERT_TRUE(Write(subtask, 0, 2).ok());
  const auto first = Prepare(subtask, 1);
  ASSERT_TRUE(first.ok());
  EXPECT_THAT(*first, SizeIs(1));
  ASSERT_TRUE(Write(subtask, 2, 3).ok());
  EXPECT_THAT(Names("/out"), IsEmpty()) << "nobody has said that the checkpoint is complete";
  ASSERT_TRUE(Commit(subtask, *first).ok());
  ASSERT_THAT(Names("/out"), ElementsAre(MatchesRegex("part-0-[0-9a-f]*-0[.]jsonl")));
  EXPECT_EQ(Content("/out/" + Names("/out")[0]),
            "{\"id\":0,\"text\":\"t\"}\n{\"id\":1,\"text\":\"t\"}\n");
  Checkpoint(subtask, 2);
  EXPECT_THAT(Names("/out"), SizeIs(2));
  Close(subtask);
  EXPECT_THAT(Names("/out", true), IsEmpty());
}

TEST_F(FilesSinkCommitTest, AnIntervalWithoutRecordsHasNothingToCommit) {  // Flink 31363
  Subtask subtask;
  ASSERT_TRUE(Open(subtask, {.path = "/out"}).ok());
  for (uint64_t id = 1; id < 4; ++id) {
    const auto prepared = Prepare(subtask, id);
    ASSERT_TRUE(prepared.ok());
    EXPECT_THAT(*prepared, IsEmpty());
  }
  Close(subtask);
  EXPECT_THAT(Names("/out"), IsEmpty());
  EXPECT_THAT(Names("/out", true), IsEmpty());
}

TEST_F(FilesSinkCommitTest, WhatIsPreparedIsDurable) {
  Subtask subtask;
  ASSERT_TRUE(Open(subtask, {.path = "/out"}).ok());
  ASSERT_TRUE(Write(subtask, 0, 2).ok());
  const auto prepared = Prepare(subtask, 1);
  ASSERT_TRUE(prepared.ok());
  world_.CrashHost("host", SimDisk::Loss::kAllUnsynced);
  SimEnv& again = world_.StartProcess("again", "host");
  const auto file = DecodeCommittable(prepared->at(0));
  ASSERT_TRUE(file.ok());
  const auto content = ReadFile(again.files(), file->hidden, 1 << 20);
  ASSERT_TRUE(content.ok()) << content.status();
  EXPECT_EQ(content->size(), file->bytes);
  EXPECT_EQ(file->bytes, 40u);
}

// A send error between the last record and the barrier (Flink 4027, 5701, 33545).
TEST_F(FilesSinkCommitTest, AnErrorThatTheDiskMetBeforeTheBarrierIsNoCheckpoint) {
  Subtask subtask;
  ASSERT_TRUE(Open(subtask, {.path = "/out"}).ok());
  ASSERT_TRUE(Write(subtask, 0, 2).ok());
  for (const std::string failing : {"append", "sync"}) {
    world_.disk("host").set_fault([&](std::string_view operation, const std::string&) {
      return operation == failing ? absl::UnavailableError("EIO") : absl::OkStatus();
    });
    Write(subtask, 2, 3).IgnoreError();
    EXPECT_EQ(Prepare(subtask, 1).status().code(), absl::StatusCode::kUnavailable) << failing;
  }
}

// Flink 7978, 9295: ids of two subtasks or two sinks collided.
TEST_F(FilesSinkCommitTest, FilesOfWritersOnOneFolderNeverHaveOneName) {
  // Two subtasks, each in two attempts, and another sink of the job.
  std::vector<std::unique_ptr<Subtask>> all;
  for (uint32_t i = 0; i < 6; ++i) {
    all.push_back(std::make_unique<Subtask>(i % 2, 2));
    all.back()->context.run_info.attempt = 1 + i / 4;
    all.back()->context.run_info.restored_checkpoint = i < 4 ? 0 : 1;
    ASSERT_TRUE(Open(*all.back(), {.path = "/out"}).ok());
  }
  for (auto& subtask : all) {
    ASSERT_TRUE(Write(*subtask, 0, 1).ok());
    Checkpoint(*subtask, 2);
  }
  EXPECT_THAT(Names("/out"), SizeIs(6));
}

TEST_F(FilesSinkCommitTest, RecordsGoToTheFolderOfTheirTime) {
  Subtask subtask;
  ASSERT_TRUE(Open(subtask, {.path = "/out", .bucket = "%Y-%m-%d/%H"}).ok());
  ASSERT_TRUE(Write(subtask, 0, 4, kHour / 2).ok());
  Checkpoint(subtask, 1);
  ASSERT_THAT(Names("/out"), ElementsAre(MatchesRegex("1970-01-01/00/part-0-[0-9a-f]*-0.jsonl"),
                                         MatchesRegex("1970-01-01/01/part-0-[0-9a-f]*-1.jsonl")));
  EXPECT_EQ(Content("/out/" + Names("/out")[1]),
            "{\"id\":2,\"text\":\"t\"}\n{\"id\":3,\"text\":\"t\"}\n");
  Batch<Row> without;
  without.records.emplace_back(Row{1, "t"});
  const absl::Status status = subtask.sink->Write(without);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.ToString(), HasSubstr("sink 'out' sorts records into folders"));
}

TEST_F(FilesSinkCommitTest, TheNumberOfOpenFilesHasABound) {
  Subtask subtask;
  ASSERT_TRUE(Open(subtask, {.path = "/out", .bucket = "%Y-%m-%d-%H"}).ok());
  constexpr int64_t kBuckets = 3 * FilesSink::kMaxOpenFiles;
  for (int64_t i = 0; i < kBuckets; ++i) ASSERT_TRUE(Write(subtask, i, i + 1).ok());
  // The first are not open any more, the last are.
  ASSERT_TRUE(Write(subtask, 0, 1).ok());
  ASSERT_TRUE(Write(subtask, kBuckets - 1, kBuckets).ok());
  Checkpoint(subtask, 1);
  EXPECT_THAT(Names("/out"), SizeIs(kBuckets + 1));
}

TEST_F(FilesSinkCommitTest, AFileEndsWhenItIsLargeOldOrIdleEnough) {
  const auto files_of = [&](const FileRolling& roll, absl::Duration pause) {
    static int folder = 0;
    const std::string path = StrCat("/out-", ++folder);
    Subtask subtask;
    EXPECT_TRUE(Open(subtask, {.path = path, .roll = roll}).ok());
    for (int64_t i = 0; i < 6; ++i) {
      EXPECT_TRUE(Write(subtask, i, i + 1).ok());
      world_.RunFor(pause);
    }
    Checkpoint(subtask, 1);
    return Names(path).size();
  };
  const absl::Duration no_pause = absl::ZeroDuration();
  EXPECT_EQ(files_of({}, absl::Hours(1)), 1u);
  EXPECT_EQ(files_of({.bytes = 60, .after = {}, .idle = {}}, no_pause), 2u) << "20 bytes a row";
  EXPECT_EQ(files_of({.bytes = 1, .after = {}, .idle = {}}, no_pause), 6u);
  EXPECT_EQ(
      files_of({.bytes = 0, .after = std::chrono::seconds(25), .idle = {}}, absl::Seconds(10)), 2u);
  EXPECT_EQ(files_of({.bytes = 0, .after = {}, .idle = std::chrono::seconds(9)}, absl::Seconds(10)),
            6u);
  EXPECT_EQ(
      files_of({.bytes = 0, .after = {}, .idle = std::chrono::seconds(11)}, absl::Seconds(10)), 1u);
}

TEST_F(FilesSinkCommitTest, EveryFileOfCsvHasTheHeader) {
  Subtask subtask;
  ASSERT_TRUE(Open(subtask, {.path = "/out",
                             .format = FileFormat::kCsv,
                             .roll = {.bytes = 1, .after = {}, .idle = {}}})
                  .ok());
  ASSERT_TRUE(Write(subtask, 0, 1).ok());
  ASSERT_TRUE(Write(subtask, 1, 2).ok());
  Checkpoint(subtask, 1);
  ASSERT_THAT(Names("/out"), SizeIs(2));
  EXPECT_EQ(Content("/out/" + Names("/out")[0]), "id,text\n0,t\n");
  EXPECT_EQ(Content("/out/" + Names("/out")[1]), "id,text\n1,t\n");
}

TEST_F(FilesSinkCommitTest, WhatASnapshotMayHaveOutlivesTheTask) {
  Subtask subtask;
  ASSERT_TRUE(Open(subtask, {.path = "/out"}).ok());
  ASSERT_TRUE(Write(subtask, 0, 1).ok());
  const auto prepared = Prepare(subtask, 1);
  ASSERT_TRUE(prepared.ok());
  Batch<Row> later;
  later.records.emplace_back(Row{1, "t"});
  ASSERT_TRUE(subtask.sink->Write(later).ok());
  // Without a chance for anything in the background.
  subtask.sink->Close();
  world_.RunFor(absl::Seconds(1));
  EXPECT_THAT(Names("/out/.inprogress"), SizeIs(1)) << "the second is in no snapshot, and goes";
  EXPECT_TRUE(Commit(subtask, *prepared, true).ok());
  EXPECT_THAT(Names("/out"), SizeIs(1));
}

TEST_F(FilesSinkCommitTest, WithoutSnapshotsNothingIsLeftOfAFailedJob) {
  Subtask subtask;
  subtask.context.run_info = {"", 1, 0, false, false};
  ASSERT_TRUE(Open(subtask, {.path = "/out"}).ok());
  ASSERT_TRUE(Write(subtask, 0, 1).ok());
  ASSERT_TRUE(Prepare(subtask, 1).ok());
  Close(subtask);
  EXPECT_THAT(Names("/out", true), IsEmpty());
  EXPECT_THAT(Names("/out"), IsEmpty());
}

TEST_F(FilesSinkCommitTest, TheNextAttemptDeletesWhatIsInNoCheckpoint) {
  Subtask first;
  ASSERT_TRUE(Open(first, {.path = "/out"}).ok());
  ASSERT_TRUE(Write(first, 0, 1).ok());
  const auto complete = Prepare(first, 1);
  ASSERT_TRUE(complete.ok());
  ASSERT_TRUE(Write(first, 1, 2).ok());
  ASSERT_TRUE(Prepare(first, 2).ok());
  ASSERT_TRUE(Write(first, 2, 3).ok());
  EXPECT_THAT(Names("/out/.inprogress"), SizeIs(3));
  // Killed: checkpoint 1 is complete, 2 is not.
  Subtask second;
  second.context.run_info = {kJob, 2, 1, true, true};
  ASSERT_TRUE(Open(second, {.path = "/out"}).ok());
  EXPECT_THAT(Names("/out/.inprogress"), SizeIs(1));
  EXPECT_TRUE(Commit(second, *complete, true).ok());
  EXPECT_THAT(Names("/out"), SizeIs(1));
}

TEST_F(FilesSinkCommitTest, OldResultsAreLookedAtOnlyWhereTheJobBegins) {
  Subtask first;
  ASSERT_TRUE(Open(first, {.path = "/out"}).ok());
  ASSERT_TRUE(Write(first, 0, 1).ok());
  Checkpoint(first, 1);
  Subtask another;
  EXPECT_EQ(Open(another, {.path = "/out"}).code(), absl::StatusCode::kAlreadyExists);
  for (const bool overwrite : {false, true}) {
    Subtask restored;
    restored.context.run_info = {kJob, 2, 1, true, true};
    ASSERT_TRUE(Open(restored, {.path = "/out", .overwrite = overwrite}).ok());
    EXPECT_THAT(Names("/out"), SizeIs(1)) << "they are this job's";
  }
  Subtask replacing;
  ASSERT_TRUE(Open(replacing, {.path = "/out", .overwrite = true}).ok());
  EXPECT_THAT(Names("/out"), IsEmpty());
}

TEST_F(FilesSinkCommitTest, FilesThatSomebodyTookAwayAreReported) {
  Subtask subtask;
  subtask.context.run_info = {kJob, 2, 1, true, true};
  ASSERT_TRUE(Open(subtask, {.path = "/out"}).ok());
  const std::string gone = EncodeCommittable({"/out/.inprogress/x", "/out/part-0-x-0", 5, false});
  ASSERT_TRUE(Commit(subtask, {gone}, true).ok());
  ASSERT_TRUE(subtask.sink->Flush().ok());
  EXPECT_THAT(subtask.context.log, ElementsAre(HasSubstr("warning: 1 files that the checkpoint")));
}

TEST_F(FilesSinkCommitTest, WhatCannotBeExactlyOnceIsRefused) {
  for (const auto& [path, why] : std::map<std::string, std::string>{
           {"/out/result.jsonl", "names one file, but the job takes checkpoints"},
           {"out", "is a relative path, but the job takes checkpoints"}}) {
    Subtask subtask;
    const absl::Status status = Open(subtask, {.path = path});
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(status.ToString(), HasSubstr(why));
  }
  EXPECT_THAT(
      MakeFilesSink(env_, {.path = "/out/x.csv", .bucket = "%d"}, type_).status().ToString(),
      HasSubstr("names one file, but .bucket sorts into folders"));
}

}  // namespace
}  // namespace weir

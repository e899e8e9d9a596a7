#include "connectors/files/files_sink.h"

#include <filesystem>
#include <string>
#include <vector>

#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "connectors/output/encoding_sink.h"
#include "connectors/registry.h"
#include "connectors/testing/contexts.h"
#include "connectors/testing/row_type.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CapturingStream final : public PrintStream {
 public:
  absl::Status Write(std::string_view lines) override {
    writes.emplace_back(lines);
    return absl::OkStatus();
  }
  std::vector<std::string> writes;
};

class SinkTest : public ::testing::Test {
 protected:
  FileSystem& files() { return env_.files(); }
  SimDisk& disk() { return world_.disk("host"); }

  absl::StatusOr<std::unique_ptr<SinkWriter>> Make(const ConnectorSpec& spec) {
    return registry_->MakeSink(spec, type_);
  }
  absl::StatusOr<std::unique_ptr<SinkWriter>> Make(const Files& settings) {
    return Make(settings.ToSpec());
  }

  absl::Status WriteRows(SinkWriter& sink, int64_t begin, int64_t end) {
    Batch<Row> batch;
    for (int64_t i = begin; i < end; ++i) batch.records.emplace_back(Row{i, "t"});
    return sink.Write(batch);
  }
  // The end of the input, and the commit if the sink has one.
  absl::Status Finish(SinkWriter& sink, TestOperatorContext& context) {
    const std::unique_ptr<Committer> committer = sink.MakeCommitter();
    std::vector<std::string> prepared;
    const absl::Status ready = Await(context, [&] {
      return committer == nullptr ? sink.Finish() : sink.PrepareCommit(1, prepared);
    });
    if (!ready.ok() || committer == nullptr) return ready;
    std::vector<Committable> committables;
    for (const std::string& bytes : prepared) committables.push_back({bytes, false});
    return committer->Commit(committables);
  }
  absl::Status Await(TestOperatorContext& context,
                     const std::function<absl::StatusOr<bool>()>& call) {
    for (;;) {
      const int wakes = context.wakes;
      auto finished = call();
      if (!finished.ok()) return finished.status();
      if (*finished) return absl::OkStatus();
      if (!world_.RunUntil([&] { return context.wakes > wakes; }, absl::Seconds(10))) {
        return absl::DeadlineExceededError("never woken");
      }
    }
  }
  // One subtask's whole life.
  absl::Status Run(const Files& settings, int64_t begin, int64_t end, uint32_t subtask = 0,
                   uint32_t parallelism = 1) {
    auto sink = Make(settings);
    if (!sink.ok()) return sink.status();
    TestOperatorContext context(subtask, parallelism);
    absl::Status status = (*sink)->Open(context);
    if (status.ok()) status = WriteRows(**sink, begin, end);
    if (status.ok()) status = Finish(**sink, context);
    (*sink)->Close();
    world_.RunFor(absl::Seconds(1));
    return status;
  }
  std::string Content(const std::string& path) {
    auto content = ReadFile(files(), path, 100 << 20);
    return content.ok() ? *content : std::string(content.status().message());
  }
  std::vector<std::string> Names(const std::string& folder) {
    std::vector<std::string> names;
    const auto entries = files().List(folder);
    EXPECT_TRUE(entries.ok()) << entries.status();
    if (!entries.ok()) return names;
    for (const FileInfo& info : *entries) names.push_back(info.path);
    return names;
  }

  SimWorld world_;
  SimEnv& env_ = world_.StartProcess("worker", "host");
  std::shared_ptr<CapturingStream> stream_ = std::make_shared<CapturingStream>();
  std::unique_ptr<ConnectorRegistry> registry_ = MakeConnectorRegistry(env_, stream_);
  RowType type_;
};

TEST_F(SinkTest, WritesAPartOfAFolderForEachSubtask) {
  ASSERT_TRUE(Run({.path = "/out"}, 0, 2, 0, 2).ok());
  ASSERT_TRUE(Run({.path = "/out"}, 2, 3, 1, 2).ok());
  EXPECT_THAT(Names("/out"), ElementsAre("/out/part-0-0.jsonl", "/out/part-1-0.jsonl"));
  EXPECT_EQ(Content("/out/part-0-0.jsonl"),
            "{\"id\":0,\"text\":\"t\"}\n{\"id\":1,\"text\":\"t\"}\n");
  EXPECT_EQ(Content("/out/part-1-0.jsonl"), "{\"id\":2,\"text\":\"t\"}\n");
}

TEST_F(SinkTest, WritesOneFileIfThePathNamesOne) {
  ASSERT_TRUE(Run({.path = "/out/result.csv"}, 0, 2).ok());
  EXPECT_THAT(Names("/out"), ElementsAre("/out/result.csv"));
  EXPECT_EQ(Content("/out/result.csv"), "id,text\n0,t\n1,t\n");
  ASSERT_TRUE(Run({.path = "/out/bare.csv", .header = false}, 0, 1).ok());
  EXPECT_EQ(Content("/out/bare.csv"), "0,t\n");
  ASSERT_TRUE(Run({.path = "relative.jsonl"}, 0, 1).ok());
  EXPECT_EQ(Content("relative.jsonl"), "{\"id\":0,\"text\":\"t\"}\n");
}

TEST_F(SinkTest, APathThatNamesOneFileIsRefusedForSeveralSubtasks) {
  EXPECT_EQ(Run({.path = "/out/result.jsonl"}, 0, 1, 0, 2).message(),
            "'/out/result.jsonl' names one file, but the sink has 2 subtasks: name a folder, or "
            "give the sink parallelism 1");
  EXPECT_THAT(Make(Files{.path = "/out/result.txt"}).status().ToString(),
              HasSubstr("set .format, or end the path with '/'"));
  EXPECT_TRUE(Run({.path = "/out/v1.2/"}, 0, 1, 0, 2).ok());
  EXPECT_THAT(Names("/out/v1.2"), ElementsAre("/out/v1.2/part-0-0.jsonl"));
}

TEST_F(SinkTest, NothingIsVisibleBeforeFinishAndAllIsDurableAfterIt) {
  auto sink = Make(Files{.path = "/out"});
  ASSERT_TRUE(sink.ok());
  TestOperatorContext context(0, 1);
  ASSERT_TRUE((*sink)->Open(context).ok());
  ASSERT_TRUE(WriteRows(**sink, 0, 10).ok());
  ASSERT_TRUE((*sink)->Flush().ok());
  world_.RunFor(absl::Seconds(1));
  EXPECT_THAT(Names("/out"), ElementsAre("/out/.inprogress"));
  const std::vector<std::string> hidden = Names("/out/.inprogress");
  ASSERT_EQ(hidden.size(), 1u);
  EXPECT_THAT(hidden[0], ::testing::EndsWith("-part-0-0.jsonl"));
  EXPECT_EQ(Content(hidden[0]).size(), 200u);
  ASSERT_TRUE(Finish(**sink, context).ok());
  world_.CrashHost("host", SimDisk::Loss::kAllUnsynced);
  SimEnv& again = world_.StartProcess("again", "host");
  auto content = ReadFile(again.files(), "/out/part-0-0.jsonl", 1 << 20);
  ASSERT_TRUE(content.ok()) << content.status();
  EXPECT_EQ(content->size(), 200u);
}

TEST_F(SinkTest, AnAbandonedSinkLeavesNothing) {
  auto sink = Make(Files{.path = "/out"});
  TestOperatorContext context(0, 1);
  ASSERT_TRUE((*sink)->Open(context).ok());
  ASSERT_TRUE(WriteRows(**sink, 0, 10).ok());
  ASSERT_TRUE((*sink)->Flush().ok());
  world_.RunFor(absl::Seconds(1));
  (*sink)->Close();
  sink->reset();
  world_.RunFor(absl::Seconds(1));
  EXPECT_THAT(Names("/out"), IsEmpty());
}

TEST_F(SinkTest, ResultsOfRunsAreNotMixed) {
  ASSERT_TRUE(Run({.path = "/out"}, 0, 1, 1, 2).ok());
  // The other subtask of the same run is not disturbed by what this one has finished.
  ASSERT_TRUE(Run({.path = "/out"}, 0, 1, 0, 2).ok());
  const absl::Status again = Run({.path = "/out"}, 5, 6, 0, 2);
  EXPECT_EQ(again.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(again.message(),
            "the folder '/out' holds 'part-0-0.jsonl' already, and results of different runs are "
            "not mixed: empty it, choose "
            "another path, or set .overwrite = true");
  // A part that this run would not write is one of another run, whoever sees it.
  ASSERT_TRUE(files().Delete("/out/part-0-0.jsonl").ok());
  EXPECT_THAT(Run({.path = "/out"}, 5, 6, 0, 1).ToString(),
              HasSubstr("holds 'part-1-0.jsonl' already"));
  ASSERT_TRUE(files().CreateDirectories("/other").ok());
  ASSERT_TRUE(WriteFileAtomically(files(), "/other/notes.txt", "x").ok());
  EXPECT_THAT(Run({.path = "/other"}, 5, 6).ToString(), HasSubstr("holds 'notes.txt' already"));
  ASSERT_TRUE(Run({.path = "/single.jsonl"}, 0, 1).ok());
  EXPECT_EQ(Run({.path = "/single.jsonl"}, 1, 2).message(),
            "the file '/single.jsonl' exists already: delete it, choose another path, or set "
            ".overwrite = true");
}

TEST_F(SinkTest, OverwriteReplacesTheResultsOfTheEarlierRun) {
  for (uint32_t subtask = 0; subtask < 4; ++subtask)
    ASSERT_TRUE(Run({.path = "/out"}, 0, 5, subtask, 4).ok());
  ASSERT_TRUE(WriteFileAtomically(files(), "/out/mine.txt", "x").ok());
  for (uint32_t subtask = 0; subtask < 2; ++subtask) {
    ASSERT_TRUE(Run({.path = "/out", .overwrite = true}, subtask, subtask + 1, subtask, 2).ok());
  }
  EXPECT_THAT(Names("/out"),
              ElementsAre("/out/mine.txt", "/out/part-0-0.jsonl", "/out/part-1-0.jsonl"));
  EXPECT_EQ(Content("/out/part-1-0.jsonl"), "{\"id\":1,\"text\":\"t\"}\n");
  ASSERT_TRUE(Run({.path = "/single.jsonl"}, 0, 1).ok());
  ASSERT_TRUE(Run({.path = "/single.jsonl", .overwrite = true}, 7, 8).ok());
  EXPECT_EQ(Content("/single.jsonl"), "{\"id\":7,\"text\":\"t\"}\n");
}

TEST_F(SinkTest, TwoJobsThatWriteToOnePathDoNotMix) {
  TestOperatorContext context(0, 1);
  TestOperatorContext other_context(0, 1);
  auto sink = Make(Files{.path = "/out"});
  auto other = Make(Files{.path = "/out"});
  ASSERT_TRUE((*sink)->Open(context).ok());
  ASSERT_TRUE((*other)->Open(other_context).ok());
  ASSERT_TRUE(WriteRows(**sink, 0, 10).ok());
  ASSERT_TRUE(WriteRows(**other, 100, 110).ok());
  world_.RunFor(absl::Seconds(1));
  ASSERT_TRUE(Finish(**sink, context).ok());
  EXPECT_EQ(Finish(**other, other_context).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(Content("/out/part-0-0.jsonl").size(), 200u);
}

TEST_F(SinkTest, AFullDiskIsAnErrorWithThePathAndWhatWasWritten) {
  auto sink = Make(Files{.path = "/out"});
  TestOperatorContext context(0, 1);
  ASSERT_TRUE((*sink)->Open(context).ok());
  ASSERT_TRUE(WriteRows(**sink, 0, 10).ok());
  ASSERT_TRUE((*sink)->Flush().ok());
  world_.RunFor(absl::Seconds(1));
  disk().set_capacity_bytes(disk().used_bytes() + 100);
  ASSERT_TRUE(WriteRows(**sink, 10, 20).ok());
  ASSERT_TRUE((*sink)->Flush().ok());
  world_.RunFor(absl::Seconds(1));
  const absl::Status status = WriteRows(**sink, 20, 21);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(
      status.ToString(),
      HasSubstr("/out/part-0-0.jsonl: the disk is full after 200 bytes of it were written"));
  EXPECT_EQ((*sink)->Flush(), status);
  std::vector<std::string> none;
  EXPECT_EQ((*sink)->PrepareCommit(1, none).status(), status);
  // What it took of the disk is given back.
  (*sink)->Close();
  world_.RunFor(absl::Seconds(1));
  EXPECT_THAT(Names("/out"), IsEmpty());
}

TEST_F(SinkTest, EveryFailingFileOperationIsReportedAndLeavesNoResult) {
  for (const std::string failing : {"mkdir", "list", "create", "append", "sync", "rename"}) {
    SCOPED_TRACE(failing);
    const std::string folder = "/out-" + failing;
    disk().set_fault([&](std::string_view operation, const std::string& path) {
      return operation == failing
                 ? absl::UnavailableError(failing + " of '" + path + "': input/output error")
                 : absl::OkStatus();
    });
    const absl::Status status = Run({.path = folder}, 0, 10);
    disk().set_fault(nullptr);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    EXPECT_THAT(status.ToString(), HasSubstr(failing + " of '" + folder));
    if (failing == "mkdir") continue;
    EXPECT_THAT(Names(folder), IsEmpty());
  }
}

TEST_F(SinkTest, IsBlockedWhileTooMuchWaitsToBeWritten) {
  auto sink = Make(Files{.path = "/out"});
  TestOperatorContext context(0, 1);
  ASSERT_TRUE((*sink)->Open(context).ok());
  world_.RunFor(absl::Seconds(1));
  int64_t written = 0;
  while (!(*sink)->Blocked()) {
    ASSERT_TRUE(WriteRows(**sink, written, written + 1000).ok());
    written += 1000;
    ASSERT_LT(written, 1000000);
  }
  const int wakes = context.wakes;
  ASSERT_TRUE(world_.RunUntil([&] { return context.wakes > wakes; }, absl::Seconds(10)));
  EXPECT_FALSE((*sink)->Blocked());
  ASSERT_TRUE(Finish(**sink, context).ok());
  const std::string content = Content("/out/part-0-0.jsonl");
  EXPECT_EQ(std::count(content.begin(), content.end(), '\n'), written);
}

TEST_F(SinkTest, PrintWritesLinesWithAPrefixAndKeepsABatchTogether) {
  for (const std::string& prefix : {std::string("out"), std::string()}) {
    auto sink = Make(Print{.prefix = prefix}.ToSpec());
    ASSERT_TRUE(sink.ok()) << sink.status();
    TestOperatorContext context(0, 1);
    ASSERT_TRUE((*sink)->Open(context).ok());
    ASSERT_TRUE(WriteRows(**sink, 0, 2).ok());
    ASSERT_TRUE((*sink)->Flush().ok());
    ASSERT_TRUE(Finish(**sink, context).ok());
  }
  EXPECT_THAT(stream_->writes,
              ElementsAre("out> {\"id\":0,\"text\":\"t\"}\nout> {\"id\":1,\"text\":\"t\"}\n",
                          "{\"id\":0,\"text\":\"t\"}\n{\"id\":1,\"text\":\"t\"}\n"));
}

TEST_F(SinkTest, BlackholeTakesEverything) {
  auto sink = Make(Blackhole{}.ToSpec());
  TestOperatorContext context(0, 1);
  ASSERT_TRUE((*sink)->Open(context).ok());
  ASSERT_TRUE(WriteRows(**sink, 0, 1000).ok());
  EXPECT_FALSE((*sink)->Blocked());
  EXPECT_TRUE((*sink)->Finish().value());
}

TEST_F(SinkTest, TheRegistryNamesWhatIsKnown) {
  EXPECT_EQ(registry_->Validate({.connector = "file", .settings = {}}, true).message(),
            "unknown connector 'file'; is 'files' meant? Known sources: files");
  EXPECT_EQ(registry_->Validate({.connector = "kafka", .settings = {}}, false).message(),
            "unknown connector 'kafka'. Known sinks: files, print, blackhole");
  EXPECT_EQ(registry_->Validate(Print{}.ToSpec(), true).message(),
            "connector 'print' is a sink, not a source");
  EXPECT_THAT(
      registry_->Validate({.connector = "print", .settings = {{"prefx", std::string("x")}}}, false)
          .ToString(),
      HasSubstr("is 'prefix' meant?"));
  EXPECT_THAT(registry_->Validate(Files{}.ToSpec(), true).ToString(),
              HasSubstr("'path' must name"));
  EXPECT_THAT(registry_->Validate(Files{.path = "x", .overwrite = true}.ToSpec(), true).ToString(),
              HasSubstr("'overwrite' is for sinks"));
  EXPECT_THAT(registry_->Validate(Files{.path = "x", .malformed = Malformed::kSkip}.ToSpec(), false)
                  .ToString(),
              HasSubstr("'malformed' is for sources"));
  EXPECT_THAT(registry_->Validate(Files{.path = "x.jsonl.gz"}.ToSpec(), false).ToString(),
              HasSubstr("a sink does not compress"));
  EXPECT_TRUE(registry_
                  ->Validate(Files{.path = "x",
                                   .format = FileFormat::kCsv,
                                   .malformed = Malformed::kSideOutput,
                                   .time_unit = TimeUnit::kNanos,
                                   .header = false}
                                 .ToSpec(),
                             true)
                  .ok());
  type_.set_csv(absl::InvalidArgumentError("field 'tags' is a list: CSV has none"));
  EXPECT_FALSE(Make(Files{.path = "x.csv"}).ok());
}

}  // namespace
}  // namespace weir

#include "connectors/files/sink_folder.h"

#include "common/base/strings.h"
#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

using ::testing::ElementsAre;

constexpr char kJob[] = "0123456789abcdef0123456789abcdef";
constexpr char kToken[] = "00112233445566ff";

HiddenFileOwner Owner(uint32_t attempt, uint64_t after, const std::string& job = kJob,
                      const std::string& uid = "out") {
  RunInfo run;
  run.job = job;
  run.attempt = attempt;
  run.restored_checkpoint = after;
  return HiddenFileOwner::Of(run, uid);
}

TEST(HiddenName, SaysWhoseFileItIs) {
  const std::string name = HiddenName(Owner(12, 345), kToken, "part-0-x-1.jsonl");
  const auto owner = OwnerOfHidden(name);
  ASSERT_TRUE(owner.has_value());
  EXPECT_EQ(owner->job, kJob);
  EXPECT_EQ(owner->sink, Owner(1, 0).sink);
  EXPECT_EQ(owner->attempt, 12u);
  EXPECT_EQ(owner->after_checkpoint, 345u);
  EXPECT_NE(owner->sink, Owner(1, 0, kJob, "other").sink);
  EXPECT_TRUE(OwnerOfHidden(HiddenName(Owner(1, 0, ""), kToken, "a.csv")).has_value())
      << "embedded";
}

TEST(HiddenName, OtherNamesAreNobodys) {
  const std::string sink = Owner(1, 0).sink;
  for (const std::string& name :
       {std::string("notes.txt"), StrCat(kJob, "-", sink, "-1-0-", kToken),
        StrCat(kJob, "-", sink, "-1-0-", kToken, "-"),
        StrCat(kJob, "-", sink, "-x-0-", kToken, "-f"), StrCat(kJob, "-", sink, "-1-0-short-f"),
        StrCat("job-", sink, "-1-0-", kToken, "-f"), StrCat(kJob, "-sink-1-0-", kToken, "-f"),
        StrCat(kJob, "-", sink, "-1-99999999999999999999-", kToken, "-f"), std::string()}) {
    EXPECT_FALSE(OwnerOfHidden(name).has_value()) << name;
  }
}

class SinkFolderTest : public ::testing::Test {
 protected:
  void Put(const std::string& path) {
    ASSERT_TRUE(files().CreateDirectories(path.substr(0, path.rfind('/'))).ok());
    ASSERT_TRUE(WriteFileAtomically(files(), path, "x").ok());
  }
  std::vector<std::string> Names(const std::string& folder) {
    std::vector<std::string> names;
    const auto entries = files().List(folder);
    if (!entries.ok()) return {entries.status().ToString()};
    for (const FileInfo& entry : *entries) names.push_back(entry.path.substr(folder.size() + 1));
    return names;
  }
  FileSystem& files() { return env_.files(); }

  SimWorld world_;
  SimEnv& env_ = world_.StartProcess("worker", "host");
};

// Only what no restored checkpoint can have is deleted.
TEST_F(SinkFolderTest, LeftoversAreWhatEarlierAttemptsBeganAfterTheCheckpoint) {
  const std::string folder = "/out/.inprogress/";
  const auto name = [](const HiddenFileOwner& owner) { return HiddenName(owner, kToken, "f"); };
  const std::string other_job = "ffffffffffffffffffffffffffffffff";
  const std::vector<std::string> dead = {name(Owner(2, 7)), name(Owner(2, 8)), name(Owner(1, 7))};
  const std::vector<std::string> kept = {name(Owner(2, 6)),             // in checkpoint 7
                                         name(Owner(3, 7)),             // this attempt's
                                         name(Owner(4, 9)),             // a later one's
                                         name(Owner(2, 9, other_job)),  //
                                         name(Owner(2, 9, kJob, "other")),
                                         "notes.txt"};
  for (const std::string& file : dead) Put(folder + file);
  for (const std::string& file : kept) Put(folder + file);
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(DeleteLeftovers(files(), "/out/.inprogress", Owner(3, 7), 7, 0, 1).ok());
    EXPECT_THAT(Names("/out/.inprogress"), ::testing::UnorderedElementsAreArray(kept));
  }
  EXPECT_TRUE(DeleteLeftovers(files(), "/nowhere", Owner(3, 7), 7, 0, 1).ok());
}

// Other subtasks of the sink may run on while one begins a new attempt.
TEST_F(SinkFolderTest, LeftoversOfOtherSubtasksAreLeftToThem) {
  const auto name = [](uint32_t subtask) {
    return HiddenName(Owner(2, 7), kToken, StrCat("part-", subtask, "-", kToken, "-0.jsonl"));
  };
  const std::string folder = "/out/.inprogress";
  for (const uint32_t subtask : {0, 1, 2, 3}) Put(StrCat(folder, "/", name(subtask)));
  ASSERT_TRUE(DeleteLeftovers(files(), folder, Owner(3, 7), 7, 1, 3).ok());
  EXPECT_THAT(Names(folder), ::testing::UnorderedElementsAre(name(0), name(2), name(3)));
  ASSERT_TRUE(DeleteLeftovers(files(), folder, Owner(3, 7), 7, 0, 3).ok());
  EXPECT_THAT(Names(folder), ElementsAre(name(2))) << "of subtask 3 there is no more";
}

TEST_F(SinkFolderTest, WithCheckpointsTheFirstSubtaskAnswersForOldResults) {
  Put("/out/2001-02-03/part-5-0.jsonl");
  EXPECT_EQ(RefuseOldResults(files(), "/out", {0, 2, false}).message(),
            "the folder '/out' holds '2001-02-03/part-5-0.jsonl' already, and results of different "
            "runs are not mixed: empty it, choose another path, or set .overwrite = true");
  EXPECT_TRUE(RefuseOldResults(files(), "/out", {1, 2, false}).ok());
  Put("/out/2001-02-03/part-1-0.jsonl");
  Put("/out/2001-02-03/mine.txt");
  Put("/out/.inprogress/part-0-0.jsonl");
  ASSERT_TRUE(DeleteOldResults(files(), "/out", {0, 2, false}).ok());
  EXPECT_THAT(Names("/out/2001-02-03"), ElementsAre("mine.txt"));
  EXPECT_THAT(Names("/out/.inprogress"), ElementsAre("part-0-0.jsonl"));
}

TEST_F(SinkFolderTest, WithoutCheckpointsOthersMayHaveFinished) {
  Put("/out/day/part-1-0.jsonl");
  EXPECT_TRUE(RefuseOldResults(files(), "/out", {0, 2, true}).ok());
  EXPECT_FALSE(RefuseOldResults(files(), "/out", {1, 2, true}).ok());
  EXPECT_FALSE(RefuseOldResults(files(), "/out", {0, 1, true}).ok());
  Put("/out/day/part-0-0.jsonl");
  Put("/out/day/part-2-0.jsonl");
  ASSERT_TRUE(DeleteOldResults(files(), "/out", {0, 2, true}).ok());
  EXPECT_THAT(Names("/out/day"), ElementsAre("part-1-0.jsonl"));
}

}  // namespace
}  // namespace weir

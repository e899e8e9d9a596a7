// A job in one process, as its user sees it: output, errors and exit codes.
#include <signal.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cluster/cluster.h"

namespace weir::cluster {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class EmbeddedRunTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "embedded-run-XXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
  }
  void TearDown() override {
    run_.reset();
    std::filesystem::remove_all(folder_);
  }

  void Start(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {WEIR_TASKMANAGER, "--run"});
    run_ = TestProcess::Start(std::move(arguments), folder_ + "/run");
  }
  int Run(std::vector<std::string> arguments) {
    Start(std::move(arguments));
    return run_->AwaitExit(absl::Seconds(30));
  }
  std::string Output() const { return run_->Output(); }
  std::string Errors() const { return run_->Errors(); }

  std::string folder_;
  std::unique_ptr<TestProcess> run_;
};

TEST_F(EmbeddedRunTest, PrintsTheResultsAndNothingElseAndExitsWithZero) {
  ASSERT_EQ(Run({WEIR_NUMBERS_JOB, "-p", "2", "--", "--count=20000", "--rate=0"}), 0) << Errors();
  const std::string output = Output();
  EXPECT_EQ(std::count(output.begin(), output.end(), '\n'), 200) << "10 keys in 20 seconds";
  EXPECT_THAT(output, HasSubstr("sum> {\"key\":"));
  EXPECT_THAT(Errors(), IsEmpty());
}

TEST_F(EmbeddedRunTest, AFailedJobIsOneErrorWithTheOperatorAndExitCodeOne) {
  EXPECT_EQ(Run({WEIR_MISBEHAVING_JOB, "--", "--how=throw"}), 1);
  EXPECT_THAT(Errors(), AllOf(HasSubstr("the job failed"), HasSubstr("'trouble'"),
                              HasSubstr("this number is too much"), HasSubstr("ThrowTooMuch")));
}

TEST_F(EmbeddedRunTest, WrongUsageIsExplainedWithExitCodeTwo) {
  EXPECT_EQ(Run({WEIR_NUMBERS_JOB, "--", "--cuont=5"}), 2);
  EXPECT_THAT(Errors(), HasSubstr("did you mean --count?"));
  EXPECT_EQ(Run({WEIR_NUMBERS_JOB, "--", "--count=many"}), 2);
  EXPECT_THAT(Errors(), HasSubstr("'many' is not a valid int"));
  EXPECT_EQ(Run({WEIR_NUMBERS_JOB, "--", "count=5"}), 2);
  EXPECT_THAT(Errors(), HasSubstr("--name=value"));
  EXPECT_EQ(Run({WEIR_NUMBERS_JOB, "-D", "execution.bufer-timeout=1s"}), 2);
  EXPECT_THAT(Errors(), HasSubstr("execution.buffer-timeout"));
  EXPECT_EQ(Run({WEIR_NUMBERS_JOB, "-p", "0"}), 2);
  EXPECT_EQ(Run({"/no/such/job.so"}), 2);
  EXPECT_THAT(Errors(), HasSubstr("/no/such/job.so"));
}

TEST_F(EmbeddedRunTest, CtrlCCancelsTheJobCleanly) {
  Start({WEIR_NUMBERS_JOB, "--progress", "--", "--rate=100000"});
  // It has run for a while when the first line of progress is there.
  while (Errors().find("records read") == std::string::npos) {
    ASSERT_EQ(run_->AwaitExit(absl::Milliseconds(20)), -1) << Errors();
  }
  run_->Signal(SIGINT);
  EXPECT_EQ(run_->AwaitExit(absl::Seconds(10)), 130);
  EXPECT_THAT(Errors(), HasSubstr("cancelled"));
}

TEST_F(EmbeddedRunTest, ACrashShowsOperatorAndStack) {
  EXPECT_EQ(Run({WEIR_MISBEHAVING_JOB, "--", "--how=segfault"}), 128 + SIGSEGV);
  EXPECT_THAT(Errors(), AllOf(HasSubstr("operator trouble"), HasSubstr("signal 11"),
                              HasSubstr("ReadThrough")));
}

}  // namespace
}  // namespace weir::cluster

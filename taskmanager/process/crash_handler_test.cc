#include "taskmanager/process/crash_handler.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "common/base/crash_context.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/control.pb.h"
#include "taskmanager/worker/crash_report.h"

// An address that nothing is mapped at, and that a sanitizer does not know to be wrong before it is
// read.
const volatile int* Nowhere() {
  volatile std::uintptr_t address = 16;
  return reinterpret_cast<const volatile int*>(address);
}

// In the global namespace and not inlined, so that their names are seen in a stack.
__attribute__((noinline)) int ReadThrough(const volatile int* pointer) { return *pointer + 1; }
__attribute__((noinline)) int OverflowTheStack(int depth) {
  volatile char frame[4096];
  frame[0] = static_cast<char>(depth);
  return depth < 0 ? 0 : OverflowTheStack(depth + 1) + frame[0];
}
__attribute__((noinline)) void LeaveTheProcess() { exit(3); }
__attribute__((noinline)) void LeaveAtOnce() { _exit(4); }
__attribute__((noinline)) void ThrowText() { throw std::runtime_error("no such\nthing"); }

namespace weir {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

// What a child process that installs the handler and runs `crash` leaves behind; the file's
// descriptor is shared with it.
class CrashHandlerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ::testing::FLAGS_gtest_death_test_style = "fast";
    path_ = ::testing::TempDir() + "crash_handler_test." + std::to_string(getpid());
    fd_ = open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ASSERT_GE(fd_, 0);
  }
  void TearDown() override {
    close(fd_);
    unlink(path_.c_str());
  }

  void Prepare() {
    WEIR_CHECK(CrashHandler::Install("", fd_).ok());
    CrashHandler::ArmExitHook();
    ThisThreadCrashContext() = {"parse", 2};
  }

  proto::Failure FailureOf(const WorkerExit& exit) {
    std::string text(kMaxCrashReportBytes, '\0');
    const ssize_t size = pread(fd_, text.data(), text.size(), 0);
    text.resize(static_cast<size_t>(size));
    proto::Failure failure;
    FillWorkerFailure(exit, ParseCrashReport(text), WorkerSpec(), 0, failure);
    return failure;
  }

  std::string path_;
  int fd_ = -1;
};

TEST_F(CrashHandlerTest, ASegmentationFaultLeavesSignalOperatorAndSymbolizedStack) {
  EXPECT_EXIT(
      {
        Prepare();
        ReadThrough(Nowhere());
      },
      ::testing::KilledBySignal(SIGSEGV), "");
  const proto::Failure failure = FailureOf({.signal = SIGSEGV});
  EXPECT_EQ(failure.signal(), SIGSEGV);
  EXPECT_EQ(failure.operator_uid(), "parse");
  EXPECT_EQ(failure.subtask(), 2u);
  EXPECT_THAT(failure.message(), HasSubstr("operator 'parse' (subtask 2) crashed the worker with "
                                           "SIGSEGV (Segmentation fault) at address 0x10"));
  ASSERT_GT(failure.stack_size(), 1);
  EXPECT_THAT(failure.stack(0), HasSubstr("ReadThrough"));
}

TEST_F(CrashHandlerTest, AnOverflowOfTheStackIsReportedFromTheSignalStack) {
  EXPECT_EXIT(
      {
        Prepare();
        OverflowTheStack(0);
      },
      ::testing::KilledBySignal(SIGSEGV), "");
  const proto::Failure failure = FailureOf({.signal = SIGSEGV});
  EXPECT_EQ(failure.operator_uid(), "parse");
  ASSERT_EQ(failure.stack_size(), static_cast<int>(kMaxStackFrames));
  // Frame after frame of it, below what it calls (a sanitizer's functions, for one).
  const std::vector<std::string> stack(failure.stack().begin(), failure.stack().end());
  EXPECT_GE(std::count_if(stack.begin(), stack.end(),
                          [](const std::string& frame) {
                            return frame.find("OverflowTheStack") != std::string::npos;
                          }),
            static_cast<int>(kMaxStackFrames) / 2);
}

TEST_F(CrashHandlerTest, AnExceptionThatNobodyCatchesIsNamedWithItsText) {
  EXPECT_EXIT(
      {
        Prepare();
        [&]() noexcept { ThrowText(); }();
      },
      ::testing::KilledBySignal(SIGABRT), "");
  const proto::Failure failure = FailureOf({.signal = SIGABRT});
  EXPECT_THAT(failure.message(), HasSubstr("std::runtime_error: no such\nthing"));
  EXPECT_THAT(failure.stack(), Contains(HasSubstr("ThrowText")));
}

TEST_F(CrashHandlerTest, AnExitOfUserCodeIsReportedWithItsPlace) {
  EXPECT_EXIT(
      {
        Prepare();
        LeaveTheProcess();
      },
      ::testing::ExitedWithCode(static_cast<int>(WorkerExitCode::kUserExit)), "");
  const proto::Failure failure =
      FailureOf({.exit_code = static_cast<int>(WorkerExitCode::kUserExit)});
  EXPECT_EQ(failure.signal(), 0);
  EXPECT_THAT(failure.message(), HasSubstr("operator 'parse' (subtask 2) called exit(3)"));
  EXPECT_THAT(failure.stack(), Contains(HasSubstr("LeaveTheProcess")));
}

TEST_F(CrashHandlerTest, AnExitOfAnOperatorWithoutHooksIsReportedToo) {
  EXPECT_EXIT(
      {
        Prepare();
        LeaveAtOnce();
      },
      ::testing::ExitedWithCode(static_cast<int>(WorkerExitCode::kUserExit)), "");
  const proto::Failure failure =
      FailureOf({.exit_code = static_cast<int>(WorkerExitCode::kUserExit)});
  EXPECT_EQ(failure.operator_uid(), "parse");
  EXPECT_THAT(failure.message(), HasSubstr("operator 'parse' (subtask 2) called exit(4)"));
  EXPECT_THAT(failure.stack(), Contains(HasSubstr("LeaveAtOnce")));
}

TEST_F(CrashHandlerTest, AnExitOutsideOfOperatorsIsAsTheCallerSays) {
  EXPECT_EXIT(
      {
        Prepare();
        ThisThreadCrashContext() = {};
        LeaveAtOnce();
      },
      ::testing::ExitedWithCode(4), "");
  EXPECT_THAT(FailureOf({.exit_code = 4}).message(), HasSubstr("exit code 4"));
}

TEST_F(CrashHandlerTest, AnExitWithoutAReportIsExplained) {
  EXPECT_THAT(FailureOf({.exit_code = 5}).message(), HasSubstr("exit code 5"));
  EXPECT_THAT(FailureOf({.exit_code = 5}).message(), HasSubstr("_exit"));
  EXPECT_THAT(FailureOf({.signal = SIGKILL}).message(), HasSubstr("want of memory"));
  EXPECT_EQ(FailureOf({.signal = SIGKILL}).signal(), SIGKILL);
}

TEST(CrashReportTest, IsReadAsItWasWrittenAndCutOffAnywhere) {
  CrashReport report;
  report.message = "a\\b\nc";
  report.code = 9;
  report.operator_uid = "sum";
  report.subtask = 7;
  report.stack = {"0x1 f()", "0x2 g()"};
  const std::string text = FormatCrashReport(report);
  const auto read = ParseCrashReport(text);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->message, report.message);
  EXPECT_EQ(read->code, 9);
  EXPECT_EQ(read->operator_uid, "sum");
  EXPECT_EQ(read->subtask, 7u);
  EXPECT_EQ(read->stack, report.stack);
  for (size_t size = 0; size < text.size(); ++size) ParseCrashReport(text.substr(0, size));
  EXPECT_FALSE(ParseCrashReport("").has_value());
  EXPECT_FALSE(ParseCrashReport("signal 11\n").has_value());
}

}  // namespace
}  // namespace weir

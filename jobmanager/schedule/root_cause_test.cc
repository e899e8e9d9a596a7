#include "jobmanager/schedule/root_cause.h"

#include <csignal>

#include "gtest/gtest.h"
#include "proto/control.pb.h"

namespace weir::jobmanager {
namespace {

proto::Failure Failed(absl::StatusCode code, const std::string& message) {
  return MakeFailure(absl::Status(code, message), "tm-1", 7);
}

TEST(RootCauseTest, KeepsTheFirstCause) {
  RootCause cause;
  EXPECT_FALSE(cause.has_failure());
  EXPECT_TRUE(cause.Offer(Failed(absl::StatusCode::kInternal, "first"), CauseRank::kCause));
  EXPECT_TRUE(cause.settled());
  EXPECT_FALSE(cause.Offer(Failed(absl::StatusCode::kInternal, "second"), CauseRank::kCause));
  EXPECT_EQ(cause.failure().message(), "first");
}

TEST(RootCauseTest, LetsACrashTakeThePlaceOfTheLostConnectionThatItLeft) {
  RootCause cause;
  EXPECT_TRUE(cause.Offer(Failed(absl::StatusCode::kUnavailable, "connection lost"),
                          CauseRank::kConsequence));
  EXPECT_FALSE(cause.settled());
  EXPECT_FALSE(cause.Offer(Failed(absl::StatusCode::kUnavailable, "another connection lost"),
                           CauseRank::kConsequence));
  EXPECT_TRUE(cause.Offer(Failed(absl::StatusCode::kUnavailable, "silent"), CauseRank::kLost));
  EXPECT_TRUE(cause.Offer(Failed(absl::StatusCode::kInternal, "SIGSEGV"), CauseRank::kCause));
  EXPECT_FALSE(cause.Offer(Failed(absl::StatusCode::kUnavailable, "silent"), CauseRank::kLost));
  EXPECT_EQ(cause.failure().message(), "SIGSEGV");
}

TEST(RankOfTest, TellsALostConnectionFromAnError) {
  EXPECT_EQ(RankOf(Failed(absl::StatusCode::kUnavailable, "x")), CauseRank::kConsequence);
  EXPECT_EQ(RankOf(Failed(absl::StatusCode::kCancelled, "x")), CauseRank::kConsequence);
  EXPECT_EQ(RankOf(Failed(absl::StatusCode::kInvalidArgument, "x")), CauseRank::kCause);
  proto::Failure crash = Failed(absl::StatusCode::kUnavailable, "x");
  crash.set_signal(SIGKILL);
  EXPECT_EQ(RankOf(crash), CauseRank::kCause);
}

TEST(FailureOfExitTest, PutsSignalAndExitCodeIntoWords) {
  proto::WorkerExitedRequest exit;
  exit.set_worker_index(1);
  exit.set_signal(SIGKILL);
  proto::Failure failure = FailureOfExit(exit, "tm-2", 5);
  EXPECT_EQ(failure.message(), "worker 1 on task manager 'tm-2' was ended by signal 9 (SIGKILL)");
  EXPECT_EQ(failure.signal(), SIGKILL);
  EXPECT_EQ(failure.task_manager(), "tm-2");
  EXPECT_EQ(failure.time_unix_micros(), 5);
  exit.set_signal(0);
  exit.set_exit_code(3);
  EXPECT_EQ(FailureOfExit(exit, "tm-2", 5).message(),
            "worker 1 on task manager 'tm-2' exited with code 3 before its tasks were done");
}

TEST(FailureOfExitTest, KeepsWhatTheAgentKnows) {
  proto::WorkerExitedRequest exit;
  exit.set_signal(SIGSEGV);
  exit.mutable_failure()->set_message("segmentation fault in operator 'count'");
  exit.mutable_failure()->set_operator_uid("count");
  exit.mutable_failure()->add_stack("Count::Add");
  const proto::Failure failure = FailureOfExit(exit, "tm-2", 5);
  EXPECT_EQ(failure.message(), "segmentation fault in operator 'count'");
  EXPECT_EQ(failure.operator_uid(), "count");
  EXPECT_EQ(failure.stack_size(), 1);
  EXPECT_EQ(failure.signal(), SIGSEGV);
}

}  // namespace
}  // namespace weir::jobmanager

#include "client/define/define_runner.h"

#include <string>

#include "common/env/system/system_clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/define.pb.h"

namespace weir {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

absl::StatusOr<proto::DefineResponse> Define(const std::string& behave, bool describe_only = false,
                                             absl::Duration timeout = absl::Seconds(60)) {
  SystemClock clock;
  proto::DefineRequest request;
  request.set_plugin_path(std::string(WEIR_TEST_PLUGINS) + "/behaving_job.so");
  (*request.mutable_arguments())["behave"] = behave;
  request.set_describe_only(describe_only);
  request.set_parallelism(2);
  request.set_max_parallelism(128);
  return DefineInChild(clock, {.executable = DEFINE_CHILD, .timeout = timeout}, request);
}

std::string ErrorOf(const std::string& behave) {
  auto response = Define(behave);
  if (response.ok()) return "OK";
  EXPECT_EQ(response.status().code(), absl::StatusCode::kInvalidArgument) << response.status();
  return std::string(response.status().message());
}

TEST(DefineInChildTest, TheGraphComesBack) {
  auto response = Define("well");
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->graph().nodes_size(), 4);
  EXPECT_EQ(response->graph().vertices_size(), 2);
  EXPECT_EQ(response->graph().vertices(0).name(), "numbers -> Map");
  EXPECT_EQ(response->arguments_size(), 2);
  EXPECT_EQ(response->job_name(), "behaving");
  EXPECT_THAT(response->fingerprint(), StartsWith("sdk "));
}

TEST(DefineInChildTest, WhatThePluginPrintsDoesNotDisturbTheAnswer) {
  testing::internal::CaptureStderr();
  auto response = Define("print");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "hello from define()\n");
  ASSERT_TRUE(response.ok()) << response.status();
}

TEST(DefineInChildTest, ErrorsOfTheDefinitionComeBack) {
  EXPECT_EQ(ErrorOf("throw"), "define() threw std::runtime_error: no such table");
  EXPECT_EQ(ErrorOf("error"), "behaving_job.cc:12: a window of size 0");
  EXPECT_THAT(ErrorOf("same-uid"), HasSubstr("two operators have the uid 'numbers'"));
}

TEST(DefineInChildTest, ACrashIsReportedWithSignalAndStack) {
  EXPECT_THAT(ErrorOf("crash"),
              AllOf(StartsWith("define() crashed with SIGSEGV\n    at "), HasSubstr("Define()")));
  EXPECT_THAT(ErrorOf("abort"),
              AllOf(StartsWith("define() crashed with SIGABRT\n    at "), HasSubstr("Define()")));
}

TEST(DefineInChildTest, AStackOverflowIsReported) {
  EXPECT_THAT(ErrorOf("recurse"),
              AllOf(StartsWith("define() crashed with SIGSEGV"), HasSubstr("Recurse()")));
}

TEST(DefineInChildTest, ADefinitionThatEndsTheProcessIsReported) {
  // A leak checker has an exit code of its own.
  EXPECT_THAT(ErrorOf("exit"), AllOf(StartsWith("define() ended the process with exit code "),
                                     HasSubstr(": it must return and only describe the job")));
}

TEST(DefineInChildTest, ADefinitionThatNeverReturnsIsKilledAndShowsWhereItWas) {
  auto response = Define("loop", false, absl::Milliseconds(300));
  const std::string message(response.status().message());
  EXPECT_THAT(message,
              StartsWith("define() did not return within 300ms: it must only describe the job"));
#if !defined(__SANITIZE_THREAD__)  // Which holds signals back while nothing is called.
  EXPECT_THAT(message, HasSubstr("Define()"));
#endif
}

TEST(DefineInChildTest, AGraphThatIsTooLargeIsRefused) {
  EXPECT_THAT(ErrorOf("large"), HasSubstr("at most 3145728 are allowed"));
}

TEST(DefineInChildTest, ADescriptionNeedsNoValidGraph) {
  auto response = Define("throw", true);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->arguments_size(), 2);
  EXPECT_EQ(response->arguments(0).name(), "behave");
  EXPECT_THAT(response->message(), HasSubstr("no such table"));
}

TEST(DefineInChildTest, AJobWithoutANameIsCalledAfterItsFile) {
  auto response = Define("nameless");
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->graph().job_name(), "behaving_job");
}

TEST(DefineInChildTest, AProgramThatCannotBeStartedIsNamed) {
  SystemClock clock;
  auto response = DefineInChild(clock, {.executable = "/no/such/program"}, proto::DefineRequest());
  EXPECT_EQ(response.status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(response.status().message()), HasSubstr("/no/such/program"));
}

TEST(DefineInChildTest, AMissingPluginIsNamed) {
  SystemClock clock;
  proto::DefineRequest request;
  request.set_plugin_path("/no/such/job.so");
  auto response = DefineInChild(clock, {.executable = DEFINE_CHILD}, request);
  EXPECT_EQ(response.status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace weir

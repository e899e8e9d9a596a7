#include "jobmanager/schedule/job_policies.h"

#include "common/config/settings.h"
#include "gmock/gmock.h"

namespace weir::jobmanager {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<JobPolicies> Make(const std::map<std::string, std::string>& job,
                                 const std::vector<std::string>& cluster = {}) {
  Settings settings;
  for (const std::string& assignment : cluster) EXPECT_TRUE(settings.Override(assignment).ok());
  return JobPolicies::Make(settings, job);
}

TEST(JobPolicies, WhatTheJobSaysHoldsBeforeWhatTheClusterSays) {
  const auto policies =
      Make({{"execution.checkpointing.interval", "2 s"}},
           {"execution.checkpointing.interval=1 s", "execution.checkpointing.dir=/checkpoints",
            "execution.checkpointing.num-retained=3"});
  ASSERT_TRUE(policies.ok()) << policies.status();
  EXPECT_EQ(policies->checkpoints.interval, absl::Seconds(2));
  EXPECT_EQ(policies->checkpoints.num_retained, 3u);
  EXPECT_EQ(policies->checkpoint_directory, "/checkpoints");
  EXPECT_EQ(policies->restart.type, RestartSettings::Type::kExponentialDelay);
  EXPECT_EQ(Make({})->restart.type, RestartSettings::Type::kNone);
}

TEST(JobPolicies, CheckpointsNeedAFolderWithAnAbsolutePath) {
  absl::Status status = Make({{"execution.checkpointing.interval", "1 s"}}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("execution.checkpointing.dir is not"));
  status = Make({{"execution.checkpointing.dir", "checkpoints"}}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("absolute path"));
}

TEST(JobPolicies, BadValuesAreRefusedByName) {
  for (const auto& [key, value] :
       std::map<std::string, std::string>{{"execution.checkpointing.interval", "-1 s"},
                                          {"execution.checkpointing.intervall", "1 s"},
                                          {"restart-strategy.type", "sometimes"}}) {
    const absl::Status status = Make({{key, value}}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(key));
  }
}

}  // namespace
}  // namespace weir::jobmanager

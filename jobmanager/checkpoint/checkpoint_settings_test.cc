#include "jobmanager/checkpoint/checkpoint_settings.h"

#include "common/config/settings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir::jobmanager {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr std::string_view kPrefix = "execution.checkpointing.";

std::string SetError(std::string_view key, std::string_view value) {
  Settings settings;
  const absl::Status status = settings.Set(std::string(kPrefix) + std::string(key), value);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << key << "=" << value;
  return std::string(status.message());
}

absl::StatusOr<CheckpointSettings> Make(
    const std::vector<std::pair<std::string, std::string>>& values) {
  Settings settings;
  for (const auto& [key, value] : values) {
    EXPECT_TRUE(settings.Set(std::string(kPrefix) + key, value).ok()) << key;
  }
  return CheckpointSettings::Make(settings);
}

TEST(CheckpointSettingsTest, TakesNoCheckpointsUnlessAnIntervalIsSet) {
  const auto settings = Make({});
  ASSERT_TRUE(settings.ok());
  EXPECT_FALSE(settings->periodic());
  EXPECT_EQ(settings->timeout, absl::Minutes(10));
  EXPECT_EQ(settings->tolerable_failed, 0u);
  EXPECT_EQ(settings->max_concurrent, 1u);
  EXPECT_EQ(settings->num_retained, 1u);
  EXPECT_EQ(settings->retention, CheckpointRetention::kDeleteOnCancellation);
}

TEST(CheckpointSettingsTest, IsExactlyOnceUnlessAskedForLess) {
  EXPECT_EQ(Make({})->mode, CheckpointMode::kExactlyOnce);
  EXPECT_EQ(Make({{"mode", "exactly-once"}})->mode, CheckpointMode::kExactlyOnce);
  EXPECT_EQ(Make({{"mode", "EXACTLY_ONCE"}})->mode, CheckpointMode::kExactlyOnce);
  EXPECT_EQ(Make({{"mode", "at-least-once"}})->mode, CheckpointMode::kAtLeastOnce);
  EXPECT_EQ(Make({{"mode", "AT_LEAST_ONCE"}})->mode, CheckpointMode::kAtLeastOnce);
  EXPECT_THAT(SetError("mode", "sometimes"), HasSubstr("at-least-once"));
}

TEST(CheckpointSettingsTest, BarriersOvertakeOnlyExactlyOnceAndOneCheckpointAtATime) {
  EXPECT_FALSE(Make({})->unaligned);
  const auto settings = Make({{"unaligned", "true"}, {"aligned-timeout", "30 s"}});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_TRUE(settings->unaligned);
  EXPECT_EQ(settings->aligned_timeout, absl::Seconds(30));
  for (const auto& [key, value] : std::vector<std::pair<std::string, std::string>>{
           {"mode", "at-least-once"}, {"max-concurrent-checkpoints", "2"}}) {
    const auto refused = Make({{"unaligned", "true"}, {key, value}});
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(refused.status().message()),
                AllOf(HasSubstr("execution.checkpointing.unaligned"), HasSubstr(key)));
  }
}

TEST(CheckpointSettingsTest, HasFlinksNames) {
  const auto settings = Make({{"interval", "5 s"},
                              {"min-pause", "1 s"},
                              {"timeout", "2 min"},
                              {"tolerable-failed-checkpoints", "3"},
                              {"max-concurrent-checkpoints", "1"},
                              {"num-retained", "4"},
                              {"externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION"}});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_TRUE(settings->periodic());
  EXPECT_EQ(settings->interval, absl::Seconds(5));
  EXPECT_EQ(settings->min_pause, absl::Seconds(1));
  EXPECT_EQ(settings->timeout, absl::Minutes(2));
  EXPECT_EQ(settings->tolerable_failed, 3u);
  EXPECT_EQ(settings->num_retained, 4u);
  EXPECT_EQ(settings->retention, CheckpointRetention::kRetainOnCancellation);
}

TEST(CheckpointSettingsTest, RefusesBadValuesAndSaysWhatIsAllowed) {
  EXPECT_THAT(SetError("interval", "-1 s"), AllOf(HasSubstr("interval"), HasSubstr("-1 s")));
  EXPECT_THAT(SetError("min-pause", "-5"), HasSubstr("min-pause"));
  EXPECT_THAT(SetError("timeout", "0"), HasSubstr("10 ms to 7 d"));
  EXPECT_THAT(SetError("tolerable-failed-checkpoints", "-1"), HasSubstr("0 to 1000000"));
  EXPECT_THAT(SetError("max-concurrent-checkpoints", "0"), HasSubstr("1 to 100"));
  EXPECT_THAT(SetError("num-retained", "0"), HasSubstr("1 to 1000"));
  EXPECT_THAT(SetError("externalized-checkpoint-retention", "KEEP"),
              HasSubstr("RETAIN_ON_CANCELLATION"));
}

TEST(CheckpointSettingsTest, RefusesAnIntervalOfLessThanAMillisecond) {
  const auto settings = Make({{"interval", "10 us"}});
  EXPECT_EQ(settings.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(settings.status().message()), HasSubstr("at least 1 ms"));
  EXPECT_TRUE(Make({{"interval", "1 ms"}}).ok());
}

TEST(CheckpointSettingsTest, RefusesAPauseBetweenCheckpointsThatOverlap) {
  const auto settings =
      Make({{"interval", "1 s"}, {"min-pause", "500 ms"}, {"max-concurrent-checkpoints", "2"}});
  EXPECT_EQ(settings.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(settings.status().message()),
              AllOf(HasSubstr("min-pause (500 ms)"), HasSubstr("must be 1, not 2")));
}

}  // namespace
}  // namespace weir::jobmanager

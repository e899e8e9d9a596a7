#include "jobmanager/schedule/restart_strategy.h"

#include "common/config/settings.h"
#include "common/env/sim/sim_random.h"
#include "gmock/gmock.h"

namespace weir::jobmanager {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kSecond = 1'000'000'000;

RestartSettings Parsed(const std::vector<std::string>& assignments,
                       bool takes_checkpoints = false) {
  Settings settings;
  for (const std::string& assignment : assignments) {
    const absl::Status status = settings.Override(assignment);
    EXPECT_TRUE(status.ok()) << status;
  }
  auto result = RestartSettings::Make(settings, takes_checkpoints);
  EXPECT_TRUE(result.ok()) << result.status();
  return *result;
}

TEST(RestartStrategy, WithoutCheckpointsAFailedJobIsNotStartedAgain) {
  SimRandom random(1);
  RestartStrategy strategy(Parsed({}), random);
  EXPECT_EQ(strategy.OnFailure(0), std::nullopt);
  EXPECT_THAT(strategy.Describe(), HasSubstr("restart-strategy.type"));
  EXPECT_EQ(Parsed({}, true).type, RestartSettings::Type::kExponentialDelay);
  EXPECT_EQ(Parsed({"restart-strategy.type=none"}, true).type, RestartSettings::Type::kNone);
}

TEST(RestartStrategy, FixedDelayCountsAttempts) {
  SimRandom random(1);
  RestartStrategy strategy(
      Parsed({"restart-strategy.type=fixed-delay", "restart-strategy.fixed-delay.attempts=2",
              "restart-strategy.fixed-delay.delay=3 s"}),
      random);
  EXPECT_EQ(strategy.OnFailure(0), absl::Seconds(3));
  EXPECT_EQ(strategy.OnFailure(1000 * kSecond), absl::Seconds(3));
  EXPECT_EQ(strategy.OnFailure(2000 * kSecond), std::nullopt);
  EXPECT_THAT(strategy.Describe(), HasSubstr("2 restarts"));
}

TEST(RestartStrategy, FailureRateForgetsWhatIsOlderThanTheInterval) {
  SimRandom random(1);
  RestartStrategy strategy(Parsed({"restart-strategy.type=failure-rate",
                                   "restart-strategy.failure-rate.max-failures-per-interval=2",
                                   "restart-strategy.failure-rate.failure-rate-interval=10 s",
                                   "restart-strategy.failure-rate.delay=1 s"}),
                           random);
  EXPECT_EQ(strategy.OnFailure(0), absl::Seconds(1));
  EXPECT_EQ(strategy.OnFailure(5 * kSecond), absl::Seconds(1));
  EXPECT_EQ(strategy.OnFailure(10 * kSecond), absl::Seconds(1)) << "the first is forgotten";
  EXPECT_EQ(strategy.OnFailure(14 * kSecond), std::nullopt);
}

TEST(RestartStrategy, ExponentialDelayGrowsToItsBoundAndBeginsAgainAfterAQuietTime) {
  SimRandom random(1);
  RestartStrategy strategy(
      Parsed({"restart-strategy.type=exponential-delay",
              "restart-strategy.exponential-delay.initial-backoff=1 s",
              "restart-strategy.exponential-delay.max-backoff=5 s",
              "restart-strategy.exponential-delay.backoff-multiplier=2",
              "restart-strategy.exponential-delay.reset-backoff-threshold=60 s",
              "restart-strategy.exponential-delay.jitter-factor=0"}),
      random);
  int64_t now = 0;
  for (const int seconds : {1, 2, 4, 5, 5}) {
    EXPECT_EQ(strategy.OnFailure(now), absl::Seconds(seconds));
    now += 30 * kSecond;
  }
  now += 35 * kSecond;
  EXPECT_EQ(strategy.OnFailure(now), absl::Seconds(1)) << "60 s after the last restart";
}

TEST(RestartStrategy, ExponentialDelayMayBeBoundedInAttempts) {
  SimRandom random(1);
  RestartStrategy strategy(
      Parsed({"restart-strategy.type=exponential-delay",
              "restart-strategy.exponential-delay.attempts-before-reset-backoff=2"}),
      random);
  EXPECT_TRUE(strategy.OnFailure(0).has_value());
  EXPECT_TRUE(strategy.OnFailure(1).has_value());
  EXPECT_EQ(strategy.OnFailure(2), std::nullopt);
}

TEST(RestartStrategy, JitterStaysWithinItsShare) {
  SimRandom random(1);
  RestartSettings settings = Parsed({"restart-strategy.type=exponential-delay"});
  settings.initial_backoff = absl::Seconds(10);
  settings.max_backoff = absl::Hours(1);
  settings.multiplier = 1;
  settings.jitter = 0.1;
  RestartStrategy strategy(settings, random);
  absl::Duration least = absl::InfiniteDuration();
  absl::Duration most;
  for (int i = 0; i < 1000; ++i) {
    const absl::Duration delay = *strategy.OnFailure(i);
    least = std::min(least, delay);
    most = std::max(most, delay);
  }
  EXPECT_GE(least, absl::Seconds(9));
  EXPECT_LT(least, absl::Seconds(9.1));
  EXPECT_LE(most, absl::Seconds(11));
  EXPECT_GT(most, absl::Seconds(10.9));
}

TEST(RestartStrategy, RefusesABoundBelowTheFirstDelay) {
  Settings settings;
  ASSERT_TRUE(settings.Override("restart-strategy.type=exponential-delay").ok());
  ASSERT_TRUE(settings.Override("restart-strategy.exponential-delay.initial-backoff=10 s").ok());
  ASSERT_TRUE(settings.Override("restart-strategy.exponential-delay.max-backoff=5 s").ok());
  const absl::Status status = RestartSettings::Make(settings, true).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("max-backoff"));
  EXPECT_FALSE(settings.Override("restart-strategy.type=sometimes").ok());
}

}  // namespace
}  // namespace weir::jobmanager

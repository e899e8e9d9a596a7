#include "common/config/settings.h"

#include <set>
#include <string>

#include "common/base/strings.h"
#include "common/config/values.h"
#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

std::string Message(const absl::Status& status) {
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  return std::string(ToStd(status.message()));
}

TEST(SettingsTest, NestedDottedAndMixedKeysAreTheSame) {
  for (const char* yaml : {"rest:\n  port: 1234\n", "rest.port: 1234\n", "rest: {port: '1234'}"}) {
    Settings settings;
    ASSERT_TRUE(settings.LoadYaml(yaml, "weir.yaml").ok());
    EXPECT_EQ(settings.Get(options::kRestPort), 1234);
  }
  Settings settings;
  ASSERT_TRUE(settings.LoadYaml("taskmanager:\n  memory.worker:\n    size: 2 gb\n", "f").ok());
  EXPECT_EQ(settings.Get(options::kWorkerMemory), int64_t{2} << 30);
}

TEST(SettingsTest, WhatIsNotSetHasItsDefault) {
  const Settings settings;
  EXPECT_EQ(settings.Get(options::kJobManagerPort), 6123);
  EXPECT_EQ(settings.Get(options::kBufferTimeout), absl::Milliseconds(5));
  EXPECT_EQ(settings.Get(options::kLogLevel), "info");
  EXPECT_FALSE(settings.IsSet("log.level"));
}

TEST(SettingsTest, EmptyFilesAndCommentsAreFine) {
  Settings settings;
  EXPECT_TRUE(settings.LoadYaml("", "f").ok());
  EXPECT_TRUE(settings.LoadYaml("# nothing\n", "f").ok());
}

TEST(SettingsTest, AnUnknownKeyIsRefusedWithItsLineAndTheNearestKnownOne) {
  Settings settings;
  const std::string message = Message(
      settings.LoadYaml("rest.port: 1\njobmanager:\n  rpc:\n    prot: 6123\n", "weir.yaml"));
  EXPECT_THAT(message, StartsWith("weir.yaml:4: "));
  EXPECT_THAT(message, HasSubstr("did you mean 'jobmanager.rpc.port'?"));
  EXPECT_FALSE(settings.IsSet("rest.port"));  // All or nothing.
  EXPECT_THAT(Message(settings.Set("entirely.different.thing", "1")), HasSubstr("--help"));
}

TEST(SettingsTest, ABadValueIsRefusedWithWhatIsAllowed) {
  Settings settings;
  EXPECT_THAT(Message(settings.Set("rest.port", "65536")), HasSubstr("0 to 65535"));
  EXPECT_THAT(Message(settings.Set("rest.port", "http")),
              AllOf(HasSubstr("int"), HasSubstr("'http'")));
  EXPECT_THAT(Message(settings.Set("log.format", "xml")), HasSubstr("one of text, json"));
  EXPECT_THAT(Message(settings.Set("log.format", "text,json")), HasSubstr("one of text, json"));
  EXPECT_THAT(Message(settings.Set("heartbeat.timeout", "soon")), HasSubstr("'500 ms'"));
  EXPECT_THAT(Message(settings.Set("heartbeat.timeout", "1 ms")), HasSubstr("50 ms to 1 d"));
  EXPECT_THAT(Message(settings.Set("parallelism.default", "0")), HasSubstr("1 to 4096"));
  EXPECT_THAT(Message(settings.Set("taskmanager.numberOfTaskSlots", "1025")),
              HasSubstr("1 to 1024"));
}

TEST(SettingsTest, AKeySetTwiceIsRefused) {
  Settings settings;
  EXPECT_THAT(Message(settings.LoadYaml("rest.port: 1\nrest:\n  port: 2\n", "f")),
              AllOf(StartsWith("f:3:"), HasSubstr("first in line 1")));
}

TEST(SettingsTest, AMissingValueAndWrongYamlNameTheLine) {
  Settings settings;
  EXPECT_THAT(Message(settings.LoadYaml("\nrest.port:\n", "f")), HasSubstr("has no value"));
  EXPECT_THAT(Message(settings.LoadYaml("a: [1,\nb: }", "f")), StartsWith("f:2: not valid YAML"));
  EXPECT_THAT(Message(settings.LoadYaml("just text", "f")), HasSubstr("key: value"));
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "{a: ";
  Message(settings.LoadYaml(deep + "1" + std::string(100, '}'), "f"));
}

TEST(SettingsTest, AListIsJoinedWithCommas) {
  Settings settings;
  ASSERT_TRUE(settings.LoadYaml("io.tmp.dirs: [/a, /b]", "f").ok());
  EXPECT_EQ(settings.Get(options::kTmpDirs), "/a,/b");
}

TEST(SettingsTest, TheCommandLineGoesOverTheFile) {
  SimWorld world;
  SimEnv& env = world.StartProcess("a");
  ASSERT_TRUE(
      WriteFileAtomically(env.files(), "/weir.yaml", "rest.port: 1\nlog.level: debug").ok());
  const auto settings = LoadSettings(env.files(), "/weir.yaml", {"rest.port=2", "rest.port=3"});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->Get(options::kRestPort), 3);
  EXPECT_EQ(settings->Get(options::kLogLevel), "debug");
  EXPECT_THAT(Message(LoadSettings(env.files(), "", {"rest.port"}).status()),
              HasSubstr("-D key=value"));
  EXPECT_TRUE(absl::IsNotFound(LoadSettings(env.files(), "/other.yaml", {}).status()));
}

TEST(SettingsTest, EveryOptionIsSortedUniqueDescribedAndTakesItsOwnDefault) {
  std::string before;
  for (const OptionDescription& option : DescribeOptions()) {
    EXPECT_LT(before, option.key);
    before = option.key;
    EXPECT_FALSE(option.help.empty()) << option.key;
    Settings settings;
    EXPECT_TRUE(settings.Set(option.key, option.default_value).ok())
        << settings.Set(option.key, option.default_value);
    EXPECT_THAT(FormatOptionsForHelp(), HasSubstr(option.key));
  }
}

TEST(ValuesTest, DurationsReadAsFlinkWritesThem) {
  EXPECT_EQ(*ParseDuration("10 s"), absl::Seconds(10));
  EXPECT_EQ(*ParseDuration("500ms"), absl::Milliseconds(500));
  EXPECT_EQ(*ParseDuration("1 min"), absl::Minutes(1));
  EXPECT_EQ(*ParseDuration(" 2 Hours "), absl::Hours(2));
  EXPECT_EQ(*ParseDuration("3 days"), absl::Hours(72));
  EXPECT_EQ(*ParseDuration("250"), absl::Milliseconds(250));
  EXPECT_EQ(*ParseDuration("7 us"), absl::Microseconds(7));
  for (const char* bad :
       {"", "s", "-1 s", "1.5 s", "1 fortnight", "1 s s", "99999999999 d", "10 ms seconds"}) {
    EXPECT_FALSE(ParseDuration(bad).ok()) << bad;
  }
}

TEST(ValuesTest, MemorySizesReadAsFlinkWritesThem) {
  EXPECT_EQ(*ParseMemorySize("64 kb"), 65536);
  EXPECT_EQ(*ParseMemorySize("1gb"), 1 << 30);
  EXPECT_EQ(*ParseMemorySize("5"), 5);
  EXPECT_EQ(*ParseMemorySize("3 MebiBytes"), 3 << 20);
  for (const char* bad : {"", "kb", "-1", "1.5 gb", "1 xb", "9999999999 tb"}) {
    EXPECT_FALSE(ParseMemorySize(bad).ok()) << bad;
  }
}

TEST(ValuesTest, WhatIsFormattedReadsBack) {
  for (const int64_t nanos :
       {0ll, 1ll, 999ll, 5'000'000ll, 90'000'000'000ll, 86'400'000'000'000ll}) {
    const absl::Duration duration = absl::Nanoseconds(nanos);
    EXPECT_EQ(*ParseDuration(FormatSettingDuration(duration)), duration);
  }
  for (const int64_t bytes : {0ll, 1ll, 1023ll, 1024ll, 3ll << 30}) {
    EXPECT_EQ(*ParseMemorySize(FormatMemorySize(bytes)), bytes);
  }
}

}  // namespace
}  // namespace weir

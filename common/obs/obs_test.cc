#include <filesystem>
#include <limits>
#include <string>

#include "common/base/strings.h"
#include "common/env/file_system.h"
#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "common/env/system/system_env.h"
#include "common/obs/json_text.h"
#include "common/obs/log.h"
#include "common/obs/metrics.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;

class LogTest : public testing::Test {
 protected:
  Logger Make(LogFormat format, LogLevel level = LogLevel::kInfo) {
    return Logger(writer_, env_.clock(), LogOptions{.level = level, .format = format});
  }

  SimWorld world_;
  SimEnv& env_ = world_.StartProcess("a");
  std::shared_ptr<MemoryLogWriter> writer_ = std::make_shared<MemoryLogWriter>();
};

TEST_F(LogTest, ATextLineHasTimeLevelComponentMessageAndFields) {
  const Logger logger = Make(LogFormat::kText).For("scheduler").With({{"job", "ab12"}});
  logger.Info("slots offered", {{"slots", 3}, {"ratio", 0.5}, {"full", false}});
  EXPECT_THAT(writer_->lines(),
              ElementsAre("2026-01-01T00:00:00.000000Z INFO scheduler: slots offered job=ab12 "
                          "slots=3 ratio=0.5 full=false"));
}

TEST_F(LogTest, AJsonLineHasTheSameAndNumbersAreNumbers) {
  const Logger logger = Make(LogFormat::kJsonLines).For("scheduler");
  logger.Error("lost", {{"slots", 3}, {"error", absl::NotFoundError("gone \"now\"")}});
  EXPECT_THAT(writer_->lines(),
              ElementsAre("{\"time\":\"2026-01-01T00:00:00.000000Z\",\"level\":\"error\","
                          "\"component\":\"scheduler\",\"message\":\"lost\",\"slots\":3,"
                          "\"error\":\"NOT_FOUND: gone \\\"now\\\"\"}"));
}

TEST_F(LogTest, WhatIsBelowTheLevelIsDropped) {
  const Logger logger = Make(LogFormat::kText, LogLevel::kWarning);
  logger.Debug("no");
  logger.Info("no");
  EXPECT_FALSE(logger.enabled(LogLevel::kInfo));
  logger.Warning("yes");
  logger.Error("yes");
  EXPECT_EQ(writer_->lines().size(), 2u);
  Logger().Error("A logger made by default drops everything.");
}

TEST_F(LogTest, NoValueCanBreakALineOrForgeAField) {
  const Logger logger = Make(LogFormat::kText);
  logger.Info("a\nb", {{"path", "x y=z\n\"q\""}, {"empty", ""}});
  EXPECT_THAT(writer_->lines(),
              ElementsAre(EndsWith("INFO a b path=\"x y=z\\n\\\"q\\\"\" empty=\"\"")));
}

TEST_F(LogTest, LevelsAreReadByName) {
  EXPECT_EQ(*ParseLogLevel("warning"), LogLevel::kWarning);
  EXPECT_TRUE(absl::IsInvalidArgument(ParseLogLevel("loud").status()));
}

TEST(LogWriterTest, AFileIsAppendedToAndRotated) {
  const auto env = MakeSystemEnv();
  const std::string folder =
      testing::TempDir() + "weir_obs_test_" + std::to_string(env->random().Next());
  const std::string path = folder + "/logs/weir.log";
  {
    const auto writer = MakeFileLogWriter(path, 1000, 2);
    ASSERT_TRUE(writer.ok()) << writer.status();
    (*writer)->Write(LogLevel::kInfo, "first {} line");
  }
  EXPECT_EQ(*ReadFile(env->files(), path, 1000), "first {} line\n");
  const auto writer = MakeFileLogWriter(path, 1000, 2);
  for (int i = 0; i < 100; ++i) (*writer)->Write(LogLevel::kInfo, std::string(99, 'x'));
  const auto files = env->files().List(folder + "/logs");
  ASSERT_TRUE(files.ok());
  EXPECT_EQ(files->size(), 3u);
  for (const FileInfo& file : *files) EXPECT_LE(file.size_bytes, 1000u);
  EXPECT_TRUE(env->files().DeleteRecursively(folder).ok());
}

TEST(LogWriterTest, AFileThatCannotBeOpenedIsAnErrorThatNamesIt) {
  const auto writer = MakeFileLogWriter("/proc/no/such/file.log");
  ASSERT_FALSE(writer.ok());
  EXPECT_THAT(std::string(ToStd(writer.status().message())), HasSubstr("/proc/no/such/file.log"));
}

TEST(JsonTextTest, EveryStringBecomesValidJson) {
  EXPECT_EQ(JsonString("a\"b\\c\n\r\t"), R"("a\"b\\c\n\r\t")");
  EXPECT_EQ(JsonString(std::string("\0\x1f\x7f", 3)), R"("\u0000\u001f\u007f")");
  EXPECT_EQ(JsonString("Größe 漢 😀"), "\"Größe 漢 😀\"");
  EXPECT_EQ(JsonString("\xff|\xc3|\xed\xa0\x80|\xf5"),
            "\"\xef\xbf\xbd|\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd\"");
}

TEST(MetricsTest, FamiliesAreWrittenByNameWithTheirTypeAndEscapes) {
  const std::vector<MetricFamily> families = {
      {"b_records", MetricKind::kCounter, "How\nmany \\", {{{{"job", "a\"b\\c\nd"}}, 3}}},
      {"a_load", MetricKind::kGauge, "", {{{}, 0.25}, {{{"x", "1"}, {"y", "2"}}, -1}}},
      {"nothing", MetricKind::kGauge, "No samples, no lines.", {}},
  };
  EXPECT_EQ(WritePrometheusText(families),
            "# TYPE a_load gauge\n"
            "a_load 0.25\n"
            "a_load{x=\"1\",y=\"2\"} -1\n"
            "# HELP b_records How\\nmany \\\\\n"
            "# TYPE b_records counter\n"
            "b_records{job=\"a\\\"b\\\\c\\nd\"} 3\n");
}

TEST(MetricsTest, FamiliesOfOneNameAreOneAndDuplicatesAreDropped) {
  const std::vector<MetricFamily> families = {
      {"m", MetricKind::kCounter, "", {{{{"i", "1"}}, 1}}},
      {"other", MetricKind::kGauge, "", {{{}, 5}}},
      {"m", MetricKind::kCounter, "", {{{{"i", "2"}}, 2}, {{{"i", "1"}}, 9}}},
  };
  EXPECT_EQ(WritePrometheusText(families),
            "# TYPE m counter\nm{i=\"1\"} 1\nm{i=\"2\"} 2\n# TYPE other gauge\nother 5\n");
}

TEST(MetricsTest, ANameUsedForBothKindsIsUntyped) {
  const std::vector<MetricFamily> families = {
      {"m", MetricKind::kCounter, "", {{{{"i", "1"}}, 1}}},
      {"m", MetricKind::kGauge, "", {{{{"i", "2"}}, 2}}},
  };
  EXPECT_THAT(WritePrometheusText(families), HasSubstr("# TYPE m untyped\n"));
}

TEST(MetricsTest, NamesAndNumbersAreMadeValid) {
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<MetricFamily> families = {
      {"1st.rate-x",
       MetricKind::kGauge,
       "",
       {{{{"a:b", "v"}}, inf}, {{}, -inf}, {{{"0", ""}}, 1e300}, {{{"n", ""}}, 1e15}}}};
  EXPECT_EQ(WritePrometheusText(families),
            "# TYPE _1st_rate_x gauge\n_1st_rate_x{a_b=\"v\"} +Inf\n_1st_rate_x -Inf\n"
            "_1st_rate_x{_0=\"\"} 1e+300\n_1st_rate_x{n=\"\"} 1000000000000000\n");
}

TEST(MetricsTest, TheRegistryGivesItsOwnNumbersAndThoseOfItsCollectors) {
  MetricRegistry registry;
  registry.Counter("calls", "Calls.", {{"method", "a"}}).Add(2);
  registry.Counter("calls", "Calls.", {{"method", "a"}}).Add();
  registry.Gauge("slots", "Slots.").Set(-4);
  const std::string own = WritePrometheusText(registry.Collect());
  EXPECT_EQ(own,
            "# HELP calls Calls.\n# TYPE calls counter\ncalls{method=\"a\"} 3\n"
            "# HELP slots Slots.\n# TYPE slots gauge\nslots -4\n");
  auto registration = registry.AddCollector([](std::vector<MetricFamily>& families) {
    families.push_back({"jobs", MetricKind::kGauge, "", {{{}, 7}}});
  });
  EXPECT_THAT(WritePrometheusText(registry.Collect()), HasSubstr("jobs 7\n"));
  registration = nullptr;
  EXPECT_EQ(WritePrometheusText(registry.Collect()), own);
}

}  // namespace
}  // namespace weir

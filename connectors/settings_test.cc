#include "connectors/settings.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

TEST(SettingsReaderTest, ReadsSettingsAndTheirDefaults) {
  const ConnectorSpec spec{
      .connector = "files",
      .settings = {{"path", std::string("in")}, {"header", false}, {"format", std::string("csv")}}};
  SettingsReader reader(spec);
  EXPECT_EQ(reader.Text("path", ""), "in");
  EXPECT_EQ(reader.Text("other", "default"), "default");
  EXPECT_FALSE(reader.Flag("header", true));
  EXPECT_TRUE(reader.Flag("flag", true));
  EXPECT_EQ(reader.Choice("format", {"json", "csv"}, 0), 1u);
  EXPECT_EQ(reader.Choice("unit", {"s", "ms"}, 1), 1u);
  EXPECT_TRUE(reader.Finish().ok());
}

TEST(SettingsReaderTest, AnUnknownSettingIsRefusedWithTheNearest) {
  const ConnectorSpec spec{.connector = "files", .settings = {{"pth", std::string("in")}}};
  SettingsReader reader(spec);
  reader.Text("path", "");
  reader.Flag("header", true);
  const absl::Status status = reader.Finish();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(),
            "connector 'files': unknown setting 'pth'; is 'path' meant? It has: header, path");
}

TEST(SettingsReaderTest, AFarNameIsNotSuggested) {
  const ConnectorSpec spec{.connector = "files", .settings = {{"compression", std::string("x")}}};
  SettingsReader reader(spec);
  reader.Text("path", "");
  EXPECT_EQ(reader.Finish().message(),
            "connector 'files': unknown setting 'compression'; it has: path");
}

TEST(SettingsReaderTest, AWrongTypeOrChoiceIsRefused) {
  const ConnectorSpec spec{.connector = "files", .settings = {{"path", true}}};
  SettingsReader text(spec);
  text.Text("path", "");
  EXPECT_THAT(text.Finish().ToString(), HasSubstr("setting 'path' must be text"));
  const ConnectorSpec other{
      .connector = "files",
      .settings = {{"format", std::string("xml")}, {"header", std::string("no")}}};
  SettingsReader choice(other);
  choice.Choice("format", {"json", "csv"}, 0);
  EXPECT_THAT(choice.Finish().ToString(),
              HasSubstr("setting 'format' is 'xml'; it must be one of: json, csv"));
  SettingsReader flag(other);
  flag.Flag("header", true);
  EXPECT_THAT(flag.Finish().ToString(), HasSubstr("setting 'header' must be true or false"));
}

}  // namespace
}  // namespace weir

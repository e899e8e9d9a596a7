#include "connectors/json/json_line_reader.h"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class JsonLineReaderTest : public ::testing::Test {
 protected:
  // Begins `text` as a line that other bytes follow at once, as in a file.
  absl::Status Start(std::string_view text) {
    line_.assign(text);
    const size_t size = line_.size();
    line_ += "\n{\"next\": \"line\"}";
    line_.resize(size + kJsonPaddingBytes, 'x');
    return reader_->Start(std::string_view(line_).substr(0, size));
  }
  // Begins `{"v": <value>}` and goes to the value.
  void AtValue(std::string_view value) {
    const std::string text = "{\"v\": " + std::string(value) + "}";
    ASSERT_TRUE(Start(text).ok()) << text;
    ASSERT_TRUE(reader_->BeginObject().ok()) << text;
    std::string_view name;
    ASSERT_TRUE(reader_->NextField(name).value()) << text;
    ASSERT_EQ(name, "v");
  }
  std::string IntError(std::string_view value) {
    AtValue(value);
    int64_t read = 0;
    return std::string(reader_->ReadInt(read).message());
  }
  // Reads everything in the line as the engine does with an unknown record; the first error.
  absl::Status SkipLine(std::string_view text) {
    absl::Status status = Start(text);
    if (status.ok()) status = reader_->Skip();
    if (status.ok()) status = reader_->Finish();
    return status;
  }

  std::unique_ptr<JsonLineReader> reader_ = JsonLineReader::Make(TimeUnit::kMillis);
  std::string line_;
};

TEST_F(JsonLineReaderTest, ReadsEveryKindOfValueOfARecord) {
  ASSERT_TRUE(
      Start(R"({"i":-5,"u":18446744073709551615,"d":2.5,"b":true,"s":"a\"b\u00e9","n":null,)"
            R"("a":[1,2,3],"o":{"x":[],"y":{}},"skipped":[{"z":1}],"last":7})")
          .ok());
  std::vector<std::string> names;
  int64_t i = 0;
  uint64_t u = 0;
  double d = 0;
  bool b = false;
  bool null = false;
  std::string s;
  std::vector<int64_t> a;
  int64_t last = 0;
  ASSERT_TRUE(reader_->BeginObject().ok());
  std::string_view name;
  for (;;) {
    auto more = reader_->NextField(name);
    ASSERT_TRUE(more.ok()) << more.status();
    if (!*more) break;
    names.emplace_back(name);
    const std::string& field = names.back();
    if (field == "i") {
      ASSERT_TRUE(reader_->ReadInt(i).ok());
    }
    if (field == "u") {
      ASSERT_TRUE(reader_->ReadUint(u).ok());
    }
    if (field == "d") {
      ASSERT_TRUE(reader_->ReadDouble(d).ok());
    }
    if (field == "b") {
      ASSERT_TRUE(reader_->ReadBool(b).ok());
    }
    if (field == "last") {
      ASSERT_TRUE(reader_->ReadInt(last).ok());
    }
    if (field == "skipped") {
      ASSERT_TRUE(reader_->Skip().ok());
    }
    if (field == "n") {
      null = reader_->IsNull();
      ASSERT_TRUE(reader_->Skip().ok());
    }
    if (field == "s") {
      std::string_view view;
      ASSERT_FALSE(reader_->IsNull());
      ASSERT_TRUE(reader_->ReadString(view).ok());
      s = view;
    }
    if (field == "a") {
      ASSERT_TRUE(reader_->BeginArray().ok());
      while (reader_->NextElement().value()) {
        a.emplace_back();
        ASSERT_TRUE(reader_->ReadInt(a.back()).ok());
      }
    }
    if (field == "o") {
      ASSERT_TRUE(reader_->BeginObject().ok());
      ASSERT_TRUE(reader_->NextField(name).value());
      ASSERT_TRUE(reader_->BeginArray().ok());
      ASSERT_FALSE(reader_->NextElement().value());
      ASSERT_TRUE(reader_->NextField(name).value());
      EXPECT_EQ(name, "y");
      ASSERT_TRUE(reader_->BeginObject().ok());
      ASSERT_FALSE(reader_->NextField(name).value());
      ASSERT_FALSE(reader_->NextField(name).value());
    }
  }
  ASSERT_TRUE(reader_->Finish().ok());
  EXPECT_THAT(names, ElementsAre("i", "u", "d", "b", "s", "n", "a", "o", "skipped", "last"));
  EXPECT_EQ(i, -5);
  EXPECT_EQ(u, std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(d, 2.5);
  EXPECT_TRUE(b);
  EXPECT_TRUE(null);
  EXPECT_EQ(s, "a\"b\xc3\xa9");
  EXPECT_THAT(a, ElementsAre(1, 2, 3));
  EXPECT_EQ(last, 7);
}

TEST_F(JsonLineReaderTest, ANameMayHaveEscapes) {
  ASSERT_TRUE(Start(R"({"a\"b":1,"caf\u00e9":2,"":3,"bad\x":4})").ok());
  ASSERT_TRUE(reader_->BeginObject().ok());
  std::string_view name;
  for (const char* expected : {"a\"b", "caf\xc3\xa9", ""}) {
    ASSERT_TRUE(reader_->NextField(name).value());
    EXPECT_EQ(name, expected);
  }
  EXPECT_FALSE(reader_->NextField(name).ok());
}

TEST_F(JsonLineReaderTest, AnErrorSaysWhatWasExpectedAndFound) {
  EXPECT_EQ(IntError("\"abc\""), "expected an integer, found a string \"abc\"");
  EXPECT_EQ(IntError("1.5"), "expected an integer, found the number 1.5");
  EXPECT_EQ(IntError("99999999999999999999"),
            "expected an integer, found the number 99999999999999999999");
  EXPECT_EQ(IntError("true"), "expected an integer, found true");
  EXPECT_EQ(IntError("null"), "expected an integer, found null");
  EXPECT_EQ(IntError("[1]"), "expected an integer, found an array");
  EXPECT_EQ(IntError("{\"a\":1}"), "expected an integer, found an object");
  EXPECT_EQ(IntError("\"" + std::string(100, 'y') + "\""),
            "expected an integer, found a string \"" + std::string(39, 'y') + "...");
  AtValue("-1");
  uint64_t u = 0;
  EXPECT_EQ(reader_->ReadUint(u).message(),
            "expected an integer that is not negative, found the number -1");
  AtValue("12");
  std::string_view s;
  EXPECT_EQ(reader_->ReadString(s).message(), "expected a string, found the number 12");
  AtValue("\"x\"");
  EXPECT_EQ(reader_->BeginObject().message(), "expected an object, found a string \"x\"");
  AtValue("0");
  bool b = false;
  EXPECT_EQ(reader_->ReadBool(b).message(), "expected true or false, found the number 0");
  AtValue("\"2.5\"");
  double d = 0;
  EXPECT_EQ(reader_->ReadDouble(d).message(), "expected a number, found a string \"2.5\"");
}

TEST_F(JsonLineReaderTest, ALineMayBeAScalarOrAnArray) {
  int64_t i = 0;
  ASSERT_TRUE(Start("42").ok());
  ASSERT_TRUE(reader_->ReadInt(i).ok());
  EXPECT_EQ(i, 42);
  EXPECT_TRUE(reader_->Finish().ok());

  std::string_view s;
  ASSERT_TRUE(Start("\"word\" ").ok());
  ASSERT_TRUE(reader_->ReadString(s).ok());
  EXPECT_EQ(s, "word");
  EXPECT_TRUE(reader_->Finish().ok());

  ASSERT_TRUE(Start("[1, 2]").ok());
  ASSERT_TRUE(reader_->BeginArray().ok());
  ASSERT_TRUE(reader_->NextElement().value());
  ASSERT_TRUE(reader_->NextElement().value());
  ASSERT_TRUE(reader_->ReadInt(i).ok());
  EXPECT_EQ(i, 2);
  ASSERT_FALSE(reader_->NextElement().value());
  EXPECT_TRUE(reader_->Finish().ok());

  ASSERT_TRUE(Start("\"a\"").ok());
  EXPECT_EQ(reader_->ReadInt(i).message(), "expected an integer, found a string \"a\"");
  ASSERT_TRUE(Start("7").ok());
  EXPECT_EQ(reader_->BeginObject().message(), "expected an object, found the number 7");
}

TEST_F(JsonLineReaderTest, ATimeIsTextOrANumberInTheConfiguredUnit) {
  EventTime time;
  AtValue("\"2001-01-01T01:24:00Z\"");
  ASSERT_TRUE(reader_->ReadTime(time).ok());
  EXPECT_EQ(time.ticks(), 978312240000000);
  AtValue("1500");
  ASSERT_TRUE(reader_->ReadTime(time).ok());
  EXPECT_EQ(time.ticks(), 1500000);
  AtValue("1.5");
  ASSERT_TRUE(reader_->ReadTime(time).ok());
  EXPECT_EQ(time.ticks(), 1500);
  AtValue("\"yesterday\"");
  EXPECT_THAT(reader_->ReadTime(time).message(), HasSubstr("yesterday"));
  AtValue("true");
  EXPECT_THAT(reader_->ReadTime(time).message(),
              HasSubstr("expected a time (ISO-8601 text or a number), found true"));
  AtValue("9223372036854775807");
  EXPECT_THAT(reader_->ReadTime(time).message(), HasSubstr("out of range"));

  reader_ = JsonLineReader::Make(TimeUnit::kSeconds);
  AtValue("978312240");
  ASSERT_TRUE(reader_->ReadTime(time).ok());
  EXPECT_EQ(time.ticks(), 978312240000000);
  reader_ = JsonLineReader::Make(TimeUnit::kNanos);
  AtValue("-1");
  ASSERT_TRUE(reader_->ReadTime(time).ok());
  EXPECT_EQ(time.ticks(), -1);
  AtValue("-1000");
  ASSERT_TRUE(reader_->ReadTime(time).ok());
  EXPECT_EQ(time.ticks(), -1);
  AtValue("1999");
  ASSERT_TRUE(reader_->ReadTime(time).ok());
  EXPECT_EQ(time.ticks(), 1);
}

TEST_F(JsonLineReaderTest, ADurationIsTextOrANumberInTheConfiguredUnit) {
  Duration duration{};
  AtValue("\"1h30m\"");
  ASSERT_TRUE(reader_->ReadDuration(duration).ok());
  EXPECT_EQ(duration, std::chrono::minutes(90));
  AtValue("20");
  ASSERT_TRUE(reader_->ReadDuration(duration).ok());
  EXPECT_EQ(duration, std::chrono::milliseconds(20));
  AtValue("[]");
  EXPECT_THAT(reader_->ReadDuration(duration).message(), HasSubstr("found an array"));
}

TEST_F(JsonLineReaderTest, RefusesMalformedLines) {
  // Each is an error before the line counts as read, wherever it is noticed.
  for (const char* text : {"", "   ", "{", "{\"v\":1", "[1,2", "{\"v\":\"abc", "{\"v\":1}}",
                           "{\"v\":1} x", "1 2", "{\"v\":\"\xff\"}", "{\"v\":1}{\"v\":2}"}) {
    EXPECT_FALSE(SkipLine(text).ok()) << text;
  }
  int64_t i = 0;
  for (const char* value : {"01", "1a", "+1", "nul", "'a'", "-", "1."}) {
    const std::string text = "{\"v\": " + std::string(value) + "}";
    absl::Status status = Start(text);
    if (!status.ok()) continue;
    ASSERT_TRUE(reader_->BeginObject().ok());
    std::string_view name;
    ASSERT_TRUE(reader_->NextField(name).ok());
    EXPECT_FALSE(reader_->ReadInt(i).ok()) << value;
  }
  // Fields without colon or comma.
  std::string_view name;
  for (const char* text : {"{\"v\" 1}", "{v:1}", "{1:1}", "{,}"}) {
    ASSERT_TRUE(Start(text).ok());
    absl::Status status = reader_->BeginObject();
    if (status.ok()) status = reader_->NextField(name).status();
    EXPECT_FALSE(status.ok()) << text;
  }
  ASSERT_TRUE(Start("{\"v\":1 \"w\":2}").ok());
  ASSERT_TRUE(reader_->BeginObject().ok());
  ASSERT_TRUE(reader_->NextField(name).ok());
  ASSERT_TRUE(reader_->ReadInt(i).ok());
  EXPECT_FALSE(reader_->NextField(name).ok());
}

TEST_F(JsonLineReaderTest, GoesOnWithTheNextLineAfterAnError) {
  EXPECT_FALSE(SkipLine("{\"v\":").ok());
  EXPECT_NE(IntError("\"abc\""), "");
  AtValue("5");
  int64_t i = 0;
  EXPECT_TRUE(reader_->ReadInt(i).ok());
  EXPECT_EQ(i, 5);
}

TEST_F(JsonLineReaderTest, BoundsTheDepth) {
  std::string text;
  for (size_t i = 0; i <= kMaxJsonDepth; ++i) text += '[';
  for (size_t i = 0; i <= kMaxJsonDepth; ++i) text += ']';
  ASSERT_TRUE(Start(text).ok());
  for (size_t i = 0; i < kMaxJsonDepth; ++i) {
    ASSERT_TRUE(reader_->BeginArray().ok());
    ASSERT_TRUE(reader_->NextElement().value());
  }
  EXPECT_THAT(reader_->BeginArray().ToString(), HasSubstr("64 deep"));
}

TEST_F(JsonLineReaderTest, AMillionDeepLineIsRefusedOrSkippedWithoutHarm) {
  EXPECT_FALSE(SkipLine(std::string(1000000, '[')).ok());
  const std::string deep = "{\"v\":" + std::string(100000, '[') + std::string(100000, ']') + "}";
  ASSERT_TRUE(Start(deep).ok());
  ASSERT_TRUE(reader_->BeginObject().ok());
  std::string_view name;
  ASSERT_TRUE(reader_->NextField(name).value());
  ASSERT_TRUE(reader_->Skip().ok());
  reader_->NextField(name).status().IgnoreError();  // Either answer is right.
}

}  // namespace
}  // namespace weir

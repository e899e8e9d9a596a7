#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/json/json_line_reader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sdk/tests/records/record_zoo.h"
#include "weir/codec.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <class T>
std::string ToJson(const T& value) {
  Batch<T> batch;
  batch.records.emplace_back(value);
  std::string json;
  RecordTypeOf<T>().WriteJson(batch, 0, json);
  return json;
}

template <class T>
absl::Status FromJson(std::string_view json, T& value) {
  auto reader = JsonLineReader::Make(TimeUnit::kMillis);
  std::string line(json);
  line.resize(json.size() + kJsonPaddingBytes);
  absl::Status status = reader->Start(std::string_view(line.data(), json.size()));
  Batch<T> batch;
  if (status.ok()) status = RecordTypeOf<T>().ReadJson(*reader, batch);
  if (status.ok()) status = reader->Finish();
  EXPECT_EQ(batch.size(), status.ok() ? 1u : 0u);
  if (status.ok()) value = batch.records[0];
  return status;
}

template <class T>
std::string JsonError(std::string_view json) {
  T value{};
  const absl::Status status = FromJson(json, value);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  return std::string(status.message());
}

template <class T>
class EveryTextTest : public ::testing::Test {
 protected:
  zoo::Source source_{17, false};
};
using EveryText =
    ::testing::Types<zoo::Empty, zoo::Numbers, zoo::Flat, zoo::FlatWithBool, zoo::Strings,
                     zoo::Times, zoo::Enums, zoo::Defaults, zoo::Nested, zoo::Containers, zoo::Tree,
                     zoo::Paid, zoo::Renamed, zoo::Wide, bool, std::int64_t, std::uint64_t, float,
                     double, std::string, EventTime, Duration, std::vector<bool>,
                     std::pair<std::string, int>, zoo::Money, std::optional<std::int32_t>>;
TYPED_TEST_SUITE(EveryTextTest, EveryText);

TYPED_TEST(EveryTextTest, IsReadBackFromItsJson) {
  for (int i = 0; i < 300; ++i) {
    const TypeParam record = this->source_.template Draw<TypeParam>();
    const std::string json = ToJson(record);
    TypeParam back{};
    const absl::Status status = FromJson(json, back);
    ASSERT_TRUE(status.ok()) << status << "\n" << json;
    ASSERT_TRUE(RecordEquals(record, back)) << json << "\n" << ToJson(back);
    ASSERT_EQ(json.find('\n'), std::string::npos);
  }
}

// A plain reader of RFC 4180, apart from the code under test.
std::vector<std::string> SplitCsv(std::string_view line) {
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (quoted && line[i] == '"' && i + 1 < line.size() && line[i + 1] == '"') {
      cells.back() += '"';
      ++i;
    } else if (line[i] == '"') {
      quoted = !quoted;
    } else if (line[i] == ',' && !quoted) {
      cells.emplace_back();
    } else {
      cells.back() += line[i];
    }
  }
  return cells;
}

template <class T>
absl::Status FromCsv(const std::vector<std::string>& cells, const std::vector<int>& columns,
                     T& record) {
  const std::vector<std::string_view> views(cells.begin(), cells.end());
  Batch<T> batch;
  absl::Status status = RecordTypeOf<T>().ReadCsv(views, columns, batch);
  EXPECT_EQ(batch.size(), status.ok() ? 1u : 0u);
  if (status.ok()) record = batch.records[0];
  return status;
}

TYPED_TEST(EveryTextTest, IsReadBackFromItsCsvIfItHasAny) {
  const RecordType& type = RecordTypeOf<TypeParam>();
  if (!type.SupportsCsv().ok()) GTEST_SKIP() << type.SupportsCsv();
  std::vector<int> columns;
  for (std::size_t i = 0; i < type.schema().fields.size(); ++i)
    columns.push_back(static_cast<int>(i));
  for (int i = 0; i < 300; ++i) {
    Batch<TypeParam> batch;
    batch.records.emplace_back(this->source_.template Draw<TypeParam>());
    std::string line;
    type.WriteCsv(batch, 0, line);
    TypeParam back{};
    const absl::Status status = FromCsv(SplitCsv(line), columns, back);
    ASSERT_TRUE(status.ok()) << status << "\n" << line;
    ASSERT_TRUE(RecordEquals(batch.records[0], back)) << line;
    ASSERT_FALSE(line.empty());
  }
}

TEST(JsonTest, WritesEachKindOfValue) {
  EXPECT_EQ(ToJson(zoo::Flat{std::numeric_limits<std::int64_t>::min(), 0.1}),
            R"({"key":-9223372036854775808,"value":0.1})");
  EXPECT_EQ(ToJson(std::numeric_limits<std::uint64_t>::max()), "18446744073709551615");
  EXPECT_EQ(ToJson(1.0), "1");
  EXPECT_EQ(ToJson(1e300), "1e+300");
  EXPECT_EQ(ToJson(0.1f), "0.1");
  EXPECT_EQ(ToJson(std::nan("")), R"("NaN")");
  EXPECT_EQ(ToJson(-std::numeric_limits<double>::infinity()), R"("-Infinity")");
  EXPECT_EQ(ToJson(zoo::Times{EventTime::FromMillis(1500), Duration(5'400'000'000)}),
            R"({"at":"1970-01-01T00:00:01.5Z","took":"1h30m"})");
  EXPECT_EQ(ToJson(zoo::Enums{zoo::Color::kGreen, zoo::kPlainThree, zoo::Sign::kMinus}),
            R"({"color":"kGreen","plain":"kPlainThree","sign":"kMinus"})");
  EXPECT_EQ(ToJson(static_cast<zoo::Color>(9)), "9");
  EXPECT_EQ(ToJson(zoo::Renamed{1, "x"}), R"({"user-id":1,"class":"x"})");
  EXPECT_EQ(ToJson(zoo::Empty{}), "{}");
  EXPECT_EQ(ToJson(std::optional<int>()), "null");
  EXPECT_EQ(ToJson(std::map<int, std::string>{{-1, "a"}, {2, "b"}}), R"({"-1":"a","2":"b"})");
  EXPECT_EQ(ToJson(std::map<zoo::Money, int>{{zoo::Money(5), 1}}), R"({"5":1})");
  EXPECT_EQ(ToJson(std::map<std::pair<int, bool>, int>{{{1, true}, 2}}), "[[[1,true],2]]");
  EXPECT_EQ(ToJson(std::tuple<int, std::string>(1, "x")), R"([1,"x"])");
}

TEST(JsonTest, EscapesWhatAStringCannotHold) {
  using namespace std::string_literals;
  EXPECT_EQ(ToJson("a\"b\\c/\b\f\n\r\t\x01\x1f\x7f"s),
            "\"a\\\"b\\\\c/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"");
  EXPECT_EQ(ToJson("\0"s), R"("\u0000")");
  EXPECT_EQ(ToJson("é€🚀"s), "\"é€🚀\"");
}

TEST(JsonTest, ReplacesWhatIsNotUtf8) {
  using namespace std::string_literals;
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(ToJson("\xff"s), '"' + r + '"');
  EXPECT_EQ(ToJson("a\xc3"s), "\"a" + r + '"');                       // ends within a character
  EXPECT_EQ(ToJson("\xc0\xaf"s), '"' + r + r + '"');                  // overlong
  EXPECT_EQ(ToJson("\xe0\x80\xaf"s), '"' + r + r + r + '"');          // overlong
  EXPECT_EQ(ToJson("\xed\xa0\x80"s), '"' + r + r + r + '"');          // a surrogate
  EXPECT_EQ(ToJson("\xf4\x90\x80\x80"s), '"' + r + r + r + r + '"');  // above U+10FFFF
  EXPECT_EQ(ToJson("\xf0\x9f\x9a"
                   "b"s),
            '"' + r + "b\"");  // one for the whole beginning
  EXPECT_EQ(ToJson("\xe2\x82\xe2\x82\xac"s),
            '"' + r + "\xe2\x82\xac\"");  // the next character is kept
  EXPECT_EQ(ToJson("\xf4\x8f\xbf\xbf"s), "\"\xf4\x8f\xbf\xbf\"");
}

TEST(JsonTest, FindsFieldsByNameInAnyOrderAndIgnoresOthers) {
  zoo::Strings strings;
  ASSERT_TRUE(FromJson(R"({"x":{"first":[1]},"second":"b","y":null,"first":"a"})", strings).ok());
  EXPECT_EQ(strings.first, "a");
  EXPECT_EQ(strings.second, "b");
  // Of two the last counts.
  ASSERT_TRUE(FromJson(R"({"first":"a","second":"b","first":"c"})", strings).ok());
  EXPECT_EQ(strings.first, "c");
  zoo::Containers containers;
  ASSERT_TRUE(
      FromJson(
          R"({"numbers":[1],"words":[],"bits":[],"flats":[],"nothings":[],"lists":{"a":[1],"a":[2]},
    "signs":{},"names":{},"pairs":[],"tuple":[1,"x",2],"numbers":[2]})",
          containers)
          .ok());
  EXPECT_THAT(containers.numbers, ElementsAre(2));
  EXPECT_THAT(containers.lists["a"], ElementsAre(2));
}

struct AllDefault {
  int a;
  bool b;
  std::string c;
  static constexpr bool kMissingFieldsAreDefault = true;
};
struct HasAllDefault {
  AllDefault inner;
  int x;
};

TEST(JsonTest, TakesTheDefaultOfAMissingFieldThatHasOne) {
  zoo::Defaults defaults;
  ASSERT_TRUE(FromJson(R"({"id":3})", defaults).ok());
  EXPECT_EQ(defaults.id, 3);
  EXPECT_EQ(defaults.name, "unknown");
  EXPECT_EQ(defaults.factor, 1.5);
  EXPECT_EQ(defaults.maybe, std::nullopt);
  EXPECT_EQ(defaults.times.took, Duration(8));
  EXPECT_THAT(JsonError<zoo::Defaults>(R"({"name":"x"})"),
              HasSubstr("field 'id' of Defaults is missing, and it has no default"));
  EXPECT_THAT(JsonError<zoo::Strings>(R"({"first":"x"})"),
              HasSubstr("field 'second' of Strings is missing"));
  HasAllDefault opted;
  ASSERT_TRUE(FromJson(R"({"x":1})", opted).ok());
  ASSERT_TRUE(FromJson(R"({"x":1,"inner":{"b":true}})", opted).ok());
  EXPECT_TRUE(opted.inner.b);
  EXPECT_THAT(JsonError<HasAllDefault>("{}"), HasSubstr("field 'x'"));
}

TEST(JsonTest, NamesTheFieldThatDoesNotFit) {
  EXPECT_EQ(JsonError<zoo::Strings>(R"({"first":12,"second":""})"),
            "field 'first': expected a string, found the number 12");
  EXPECT_EQ(JsonError<zoo::Numbers>(R"({"i8":300})"),
            "field 'i8': expected an integer from -128 to 127, found \"300\"");
  EXPECT_EQ(JsonError<zoo::Numbers>(R"({"u16":-1})"),
            "field 'u16': expected an integer that is not negative, found the number -1");
  EXPECT_EQ(JsonError<zoo::Numbers>(R"({"i64":9223372036854775808})"),
            "field 'i64': expected an integer, found the number 9223372036854775808");
  EXPECT_THAT(JsonError<zoo::Numbers>(R"({"f":1e300})"),
              HasSubstr("field 'f': expected a number in the range"));
  EXPECT_EQ(JsonError<zoo::Numbers>(R"({"d":"1"})"), "field 'd': expected a number, found \"1\"");
  EXPECT_EQ(JsonError<zoo::Enums>(R"({"color":"pink"})"),
            "field 'color': expected one of kRed, kGreen, kBlue, found \"pink\"");
  EXPECT_EQ(JsonError<zoo::Enums>(R"({"color":256})"),
            "field 'color': expected an integer from 0 to 255, found \"256\"");
  EXPECT_EQ(JsonError<zoo::Nested>(R"({"strings":{"second":null}})"),
            "field 'strings.second': expected a string, found null");
  EXPECT_EQ(JsonError<zoo::Containers>(R"({"lists":{"k":[1,"x"]}})"),
            "field 'lists.k.1': expected a number, found \"x\"");
  EXPECT_EQ(JsonError<zoo::Containers>(R"({"names":{"k":"x"}})"),
            "field 'names.k': expected an integer from -9223372036854775808 to "
            "9223372036854775807, found \"k\"");
  EXPECT_EQ(JsonError<zoo::FlatWithBool>(R"({"flags":[true,false]})"),
            "field 'flags': expected an array of 3, found 2");
  EXPECT_EQ(JsonError<zoo::FlatWithBool>(R"({"flags":[true,false,true,true]})"),
            "field 'flags.3': expected an array of 3, found more elements");
  EXPECT_EQ(JsonError<zoo::Paid>(R"({"sum":"-1"})"), "field 'sum': money cannot be negative");
  EXPECT_EQ(JsonError<zoo::Flat>("[1,2]"), "expected an object, found an array");
}

TEST(JsonTest, ReadsEnumsByNameAndByNumber) {
  zoo::Enums enums;
  ASSERT_TRUE(FromJson(R"({"color":200,"plain":"3","sign":-1})", enums).ok());
  EXPECT_EQ(enums.color, zoo::Color::kFar);
  EXPECT_EQ(enums.plain, zoo::kPlainThree);
  EXPECT_EQ(enums.sign, zoo::Sign::kMinus);
}

TEST(CsvTest, QuotesWhatHasTo) {
  const auto line = [](std::string first, std::string second) {
    std::string out;
    internal::WriteCsvLine(zoo::Strings{std::move(first), std::move(second)}, out);
    return out;
  };
  EXPECT_EQ(line("a", " b c "), "a, b c ");
  EXPECT_EQ(line("a,b", "say \"x\""), "\"a,b\",\"say \"\"x\"\"\"");
  EXPECT_EQ(line("two\nlines", "cr\r"), "\"two\nlines\",\"cr\r\"");
  EXPECT_EQ(line("", ""), ",");
  std::string empty;
  internal::WriteCsvLine(std::string(), empty);
  EXPECT_EQ(empty, "\"\"");
}

TEST(CsvTest, SaysWhichFieldACellCannotHold) {
  EXPECT_TRUE(RecordTypeOf<zoo::Numbers>().SupportsCsv().ok());
  EXPECT_TRUE(RecordTypeOf<zoo::Times>().SupportsCsv().ok());
  EXPECT_TRUE(RecordTypeOf<std::string>().SupportsCsv().ok());
  EXPECT_EQ(RecordTypeOf<zoo::Tree>().SupportsCsv().message(),
            "field 'children' of Tree is of type list<^1>, which a cell of CSV cannot hold: use "
            "JSON lines instead");
  EXPECT_FALSE(RecordTypeOf<std::vector<int>>().SupportsCsv().ok());
}

TEST(CsvTest, ReadsColumnsInAnyOrder) {
  zoo::Strings strings;
  ASSERT_TRUE(FromCsv({"x", "b", "a"}, {2, 1}, strings).ok());
  EXPECT_EQ(strings.first, "a");
  EXPECT_EQ(strings.second, "b");
  struct Optionals {
    std::optional<int> number;
    std::optional<std::string> text;
    double factor = 2;
  };
  Optionals optionals;
  ASSERT_TRUE(FromCsv({"", "t"}, {0, 1, -1}, optionals).ok());
  EXPECT_EQ(optionals.number, std::nullopt);
  EXPECT_EQ(optionals.text, "t");
  EXPECT_EQ(optionals.factor, 2);
}

TEST(CsvTest, NamesTheColumnThatDoesNotFit) {
  const auto error = []<class T>(const std::vector<std::string>& cells,
                                 const std::vector<int>& columns, T record) {
    const absl::Status status = FromCsv(cells, columns, record);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return std::string(status.message());
  };
  EXPECT_EQ(error({"x", "1"}, {0, 1}, zoo::Flat{}),
            "column 'key': expected an integer from -9223372036854775808 to 9223372036854775807, "
            "found \"x\"");
  EXPECT_EQ(error({"1", ""}, {0, 1}, zoo::Flat{}), "column 'value': expected a number, found \"\"");
  EXPECT_EQ(error({" 1", "2"}, {0, 1}, zoo::Flat{}),
            "column 'key': expected an integer from -9223372036854775808 to 9223372036854775807, "
            "found \" 1\"");
  EXPECT_EQ(error({"1", "2x"}, {0, 1}, zoo::Flat{}),
            "column 'value': expected a number, found \"2x\"");
  EXPECT_EQ(error({"1", "inf"}, {0, 1}, zoo::Flat{}),
            "column 'value': expected a number, found \"inf\"");
  EXPECT_EQ(error({"1"}, {0, 1}, zoo::Flat{}),
            "column 'value': the line ends after 1 cells, before it");
  EXPECT_THAT(error({"1"}, {0, -1}, zoo::Flat{}), HasSubstr("column 'value' of Flat is missing"));
  EXPECT_EQ(error({"abc"}, {0}, std::int32_t{}),
            "column 1: expected an integer from -2147483648 to 2147483647, found \"abc\"");
  EXPECT_EQ(error({"yes"}, {0}, true), "column 1: expected true or false, found \"yes\"");
}

}  // namespace
}  // namespace weir

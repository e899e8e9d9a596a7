#include "weir/codec.h"

#include <cstdlib>
#include <limits>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sdk/tests/records/record_zoo.h"

namespace {

// The largest block that was asked for since it was last set to 0.
std::size_t largest_allocation = 0;

void* Allocate(std::size_t size) {
  if (size > largest_allocation) largest_allocation = size;
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) std::abort();
  return memory;
}

}  // namespace

void* operator new(std::size_t size) { return Allocate(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return Allocate(size); }
void* operator new(std::size_t size, std::align_val_t) { return Allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace weir {
namespace {

using ::testing::HasSubstr;
using namespace std::string_literals;

template <class T>
std::string Encoded(const T& value) {
  std::string bytes;
  EncodeValue(value, bytes);
  return bytes;
}

std::string Message(const absl::Status& status) { return std::string(status.message()); }

// The format of docs/FORMATS.md byte by byte.
TEST(RecordEncodingTest, WritesNumbersInTheirWidthLowestByteFirst) {
  EXPECT_EQ(Encoded(std::int32_t{0x01020304}), "\x04\x03\x02\x01"s);
  EXPECT_EQ(Encoded(std::int8_t{-1}), "\xff"s);
  EXPECT_EQ(Encoded(std::uint16_t{258}), "\x02\x01"s);
  EXPECT_EQ(Encoded(std::int64_t{-2}), "\xfe\xff\xff\xff\xff\xff\xff\xff"s);
  EXPECT_EQ(Encoded(true), "\x01"s);
  EXPECT_EQ(Encoded(1.0), "\0\0\0\0\0\0\xf0\x3f"s);
  EXPECT_EQ(Encoded(zoo::Color::kFar), "\xc8"s);
  EXPECT_EQ(Encoded(zoo::Plain::kPlainThree), "\x03\0\0\0"s);
  EXPECT_EQ(Encoded(EventTime::FromTicks(1)), "\x01\0\0\0\0\0\0\0"s);
  EXPECT_EQ(Encoded(Duration(-1)), "\xff\xff\xff\xff\xff\xff\xff\xff"s);
}

TEST(RecordEncodingTest, WritesLengthsAsVarints) {
  EXPECT_EQ(Encoded("ab"s), "\x02"s + "ab");
  EXPECT_EQ(Encoded(std::string(300, 'x')), "\xac\x02"s + std::string(300, 'x'));
  EXPECT_EQ(Encoded(std::vector<std::int16_t>{1, -1}), "\x02\x01\0\xff\xff"s);
  EXPECT_EQ(Encoded(std::vector<bool>{true, false}), "\x02\x01\0"s);
  EXPECT_EQ(Encoded(std::map<std::string, bool>{{"b", true}, {"a", false}}), "\x02\x01"s +
                                                                                 "a\0\x01"
                                                                                 "b\x01"s);
  EXPECT_EQ(Encoded(std::unordered_map<std::int8_t, bool>{{2, true}, {-1, false}, {1, true}}),
            "\x03\xff\0\x01\x01\x02\x01"s);
}

TEST(RecordEncodingTest, WritesPartsInTheirOrderWithoutPadding) {
  EXPECT_EQ(Encoded(std::optional<std::int8_t>()), "\0"s);
  EXPECT_EQ(Encoded(std::optional<std::int8_t>(7)), "\x01\x07"s);
  EXPECT_EQ(Encoded(std::array<std::int16_t, 2>{1, 2}), "\x01\0\x02\0"s);
  EXPECT_EQ(Encoded(std::tuple<std::int8_t, std::string>(1, "x")), "\x01\x01x"s);
  struct Padded {
    std::int8_t a;
    std::int32_t b;
  };
  EXPECT_EQ(Encoded(Padded{1, 2}), "\x01\x02\0\0\0"s);
  EXPECT_EQ(Encoded(zoo::Empty{}), "\0"s);
  EXPECT_EQ(Encoded(zoo::Money(5)), "\x05\0\0\0\0\0\0\0"s);
}

TEST(RecordEncodingTest, CopiesFlatRecordsAsTheyAreInMemory) {
  static_assert(internal::kIsFlat<zoo::Flat>);
  static_assert(internal::kIsFlat<zoo::FlatWithBool>);
  static_assert(internal::kIsFlat<zoo::Times>);
  static_assert(!internal::kIsFlat<zoo::Numbers>);  // has padding
  static_assert(!internal::kIsFlat<zoo::Strings>);
  static_assert(!internal::kIsFlat<zoo::Empty>);
  const zoo::Flat flat{7, 0.5};
  EXPECT_EQ(Encoded(flat), Encoded(flat.key) + Encoded(flat.value));
}

TEST(RecordEncodingTest, NotesTheTypeOfEveryField) {
  const auto types = [](const RecordType& type) {
    std::vector<std::string> list;
    for (const SchemaField& field : type.schema().fields)
      list.push_back(field.name + ":" + field.type);
    return list;
  };
  using ::testing::ElementsAre;
  EXPECT_THAT(types(RecordTypeOf<zoo::Numbers>()),
              ElementsAre("c:int8", "i8:int8", "i16:int16", "i32:int32", "i64:int64", "u8:uint8",
                          "u16:uint16", "u32:uint32", "u64:uint64", "flag:bool", "f:float",
                          "d:double", "l:int64", "ull:uint64"));
  EXPECT_THAT(
      types(RecordTypeOf<zoo::Containers>()),
      ElementsAre("name:optional<string>", "flat:optional<{key:int64,value:double}>",
                  "numbers:list<int32>", "words:list<string>", "bits:list<bool>",
                  "flats:list<{a:int32,flags:array<bool,3>,last:bool}>", "nothings:list<{}>",
                  "lists:map<string,list<double>>", "signs:map<enum<int8>,bool>",
                  "names:map<int64,string>", "pairs:map<tuple<int32,bool>,enum<uint8>>",
                  "tuple:tuple<int32,string,double>"));
  EXPECT_THAT(types(RecordTypeOf<zoo::Times>()), ElementsAre("at:time", "took:duration"));
  EXPECT_THAT(types(RecordTypeOf<zoo::Tree>()), ElementsAre("name:string", "children:list<^1>"));
  EXPECT_THAT(types(RecordTypeOf<zoo::Paid>()),
              ElementsAre("who:string", "sum:money", "counts:map<money,int32>"));
  EXPECT_THAT(types(RecordTypeOf<std::string>()), ElementsAre(":string"));
  EXPECT_EQ(RecordTypeOf<zoo::Tree>().schema().type_name, "Tree");
}

template <class T>
class EveryRecordTest : public ::testing::Test {
 protected:
  static const RecordType& Type() { return RecordTypeOf<T>(); }

  std::unique_ptr<BatchBase> DrawBatch(std::size_t n) {
    auto batch = Type().NewBatch();
    for (std::size_t i = 0; i < n; ++i) Records(*batch).emplace_back(source_.template Draw<T>());
    return batch;
  }
  static internal::Column<T>& Records(BatchBase& batch) {
    return static_cast<Batch<T>&>(batch).records;
  }

  zoo::Source source_{11, true};
};

using EveryRecord =
    ::testing::Types<zoo::Empty, zoo::Numbers, zoo::Flat, zoo::FlatWithBool, zoo::Strings,
                     zoo::Times, zoo::Enums, zoo::Defaults, zoo::Nested, zoo::Containers, zoo::Tree,
                     zoo::Paid, zoo::Renamed, zoo::Wide, bool, std::int64_t, std::uint8_t, double,
                     std::string, EventTime, std::vector<bool>, std::vector<std::string>,
                     std::pair<std::string, int>, zoo::Money, std::optional<std::int32_t>>;
TYPED_TEST_SUITE(EveryRecordTest, EveryRecord);

TYPED_TEST(EveryRecordTest, IsReadBackFromItsEncodingHoweverItWasCut) {
  auto batch = this->DrawBatch(300);
  auto decoded = this->Type().NewBatch();
  std::size_t next = 0;
  while (next < batch->size()) {
    std::string bytes = "kept";
    const std::size_t limit = this->source_.Below(500);
    const std::size_t end = this->Type().Encode(*batch, next, limit, bytes);
    ASSERT_GT(end, next);
    ASSERT_TRUE(bytes.starts_with("kept"));
    if (end < batch->size()) {
      ASSERT_GE(bytes.size() - 4, limit);
    }
    const absl::Status status =
        this->Type().Decode(std::string_view(bytes).substr(4), end - next, *decoded);
    ASSERT_TRUE(status.ok()) << status;
    next = end;
  }
  ASSERT_EQ(decoded->size(), batch->size());
  for (std::size_t i = 0; i < batch->size(); ++i) {
    ASSERT_TRUE(RecordEquals(this->Records(*batch)[i], this->Records(*decoded)[i])) << i;
  }
}

TYPED_TEST(EveryRecordTest, IsOrderedTotallyAndEqualIffItsEncodingIs) {
  auto batch = this->DrawBatch(60);
  auto& records = this->Records(*batch);
  for (const TypeParam& a : records) {
    for (const TypeParam& b : records) {
      const auto order = RecordCompare(a, b);
      ASSERT_EQ(order == 0, Encoded(a) == Encoded(b));
      ASSERT_EQ(order == 0, RecordEquals(a, b));
      ASSERT_EQ(order < 0, RecordCompare(b, a) > 0);
      for (std::size_t k = 0; k < 5; ++k) {
        const TypeParam& c = records[k];
        if (order < 0 && RecordCompare(b, c) < 0) {
          ASSERT_TRUE(RecordCompare(a, c) < 0);
        }
      }
    }
  }
}

TYPED_TEST(EveryRecordTest, IsRefusedWhenBytesAreMissingOrLeftOver) {
  for (int round = 0; round < 20; ++round) {
    auto batch = this->DrawBatch(3);
    std::string bytes;
    ASSERT_EQ(this->Type().Encode(*batch, 0, std::numeric_limits<std::size_t>::max() / 2, bytes),
              3u);
    auto decoded = this->DrawBatch(2);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      const std::string cut = bytes.substr(0, size);
      const absl::Status status = this->Type().Decode(cut, 3, *decoded);
      ASSERT_TRUE(absl::IsDataLoss(status)) << size << " of " << bytes.size() << ": " << status;
      ASSERT_EQ(decoded->size(), 2u);
    }
    ASSERT_TRUE(absl::IsDataLoss(this->Type().Decode(bytes + '\0', 3, *decoded)));
    ASSERT_TRUE(absl::IsDataLoss(
        this->Type().Decode(bytes, std::numeric_limits<std::size_t>::max(), *decoded)));
    ASSERT_TRUE(absl::IsDataLoss(this->Type().Decode(bytes, 0, *decoded)));
    ASSERT_EQ(decoded->size(), 2u);
  }
}

TYPED_TEST(EveryRecordTest, NeitherCrashesNorTakesMuchMemoryOnDamagedBytes) {
  for (int round = 0; round < 1000; ++round) {
    auto batch = this->DrawBatch(2);
    std::string bytes;
    this->Type().Encode(*batch, 0, std::numeric_limits<std::size_t>::max() / 2, bytes);
    std::uint64_t flips = 1 + this->source_.Below(3);
    for (; flips > 0; --flips) {
      char& c = bytes[this->source_.Below(bytes.size())];
      c = this->source_.Below(2) == 0 ? static_cast<char>(c ^ (1 << this->source_.Below(8)))
                                      : static_cast<char>(this->source_.Below(2) * 0xff);
    }
    auto decoded = this->Type().NewBatch();
    largest_allocation = 0;
    const absl::Status status = this->Type().Decode(bytes, 2, *decoded);
    // No element in the zoo is more than a hundred times as large in memory as encoded.
    ASSERT_LE(largest_allocation, 4096 + 100 * bytes.size());
    if (!status.ok()) {
      ASSERT_TRUE(absl::IsDataLoss(status)) << status;
      ASSERT_EQ(decoded->size(), 0u);
      continue;
    }
    // What was accepted is a value: it can be encoded and read again.
    std::string again;
    this->Type().Encode(*decoded, 0, std::numeric_limits<std::size_t>::max() / 2, again);
    auto twice = this->Type().NewBatch();
    ASSERT_TRUE(this->Type().Decode(again, 2, *twice).ok());
    ASSERT_TRUE(RecordEquals(this->Records(*decoded)[1], this->Records(*twice)[1]));
  }
}

TEST(DecoderTest, SaysWhatIsWrongAndInWhichField) {
  const auto decode = []<class T>(std::string_view bytes, T value) {
    return Message(DecodeValue(bytes, value));
  };
  EXPECT_EQ(decode("\x01\x61\x05zz"s, zoo::Strings{}),
            "field 'second': a string of 5 bytes where only 2 are left");
  EXPECT_EQ(decode("\x01\0\0\0\x01\x02\0\0"s, zoo::FlatWithBool{}),
            "field 'flags': a bool that is neither 0 nor 1");
  EXPECT_EQ(decode("\x02"s, true), "a bool that is neither 0 nor 1");
  EXPECT_EQ(decode("\xff\xff\xff\xff\x0f"s, std::vector<std::string>{}),
            "a count of 4294967295 elements, more than the 0 bytes left can hold");
  EXPECT_EQ(decode("\x02\x01x\x05"s, std::vector<std::string>{}),
            "field '1': a string of 5 bytes where only 0 are left");
  EXPECT_EQ(decode("\x02\x01\x01\x01\0"s, std::map<std::int8_t, bool>{}),
            "a key that is there twice");
  EXPECT_EQ(decode("\x02\x02\x01\x01\0"s, std::map<std::int8_t, bool>{}),
            "keys that are not in their order");
  EXPECT_EQ(decode("\x02\x02\x01\x01\0"s, std::unordered_map<std::int8_t, bool>{}),
            "keys that are not in their order");
  EXPECT_EQ(decode("\x80\0"s, ""s), "a length that is not in its shortest form");
  EXPECT_EQ(decode("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"s, ""s),
            "a length of more than 64 bits");
  EXPECT_EQ(decode("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"s, ""s),
            "a length of more than 64 bits");
  EXPECT_EQ(decode("\x80"s, ""s), "ends within a length");
  EXPECT_EQ(decode("\x01"s, 1), "ends after 1 of 4 bytes");
  EXPECT_EQ(decode("\x01\0\0\0\x01"s, 1), "1 bytes too many");
  EXPECT_EQ(decode("\xff\xff\xff\xff\xff\xff\xff\xff"s, zoo::Money()), "money that is negative");
  EXPECT_EQ(decode("\x01"s, zoo::Empty{}), "an empty record that is not 0");
  auto batch = RecordTypeOf<zoo::Strings>().NewBatch();
  EXPECT_EQ(
      Message(RecordTypeOf<zoo::Strings>().Decode("\0\0\x09\0"s, 2, *batch)),
      "record 1 of 2 of type Strings: field 'first': a string of 9 bytes where only 1 are left");
}

TEST(DecoderTest, RefusesRecordsThatNestTooDeeply) {
  std::string bytes;
  for (int i = 0; i < 99; ++i) bytes += "\0\x01"s;
  zoo::Tree tree;
  EXPECT_TRUE(DecodeValue(bytes + "\0\0"s, tree).ok());
  for (int i = 0; i < 100'000; ++i) bytes += "\0\x01"s;
  EXPECT_THAT(Message(DecodeValue(bytes + "\0\0"s, tree)),
              HasSubstr("more than 100 values inside one another"));
}

TEST(EncoderTest, SpillsFromTheStackWithoutLosingAByte) {
  for (const std::size_t length : {0u, 1u, 14u, 15u, 16u, 17u, 100u, 100'000u}) {
    char scratch[16];
    Encoder encoder(scratch, sizeof(scratch));
    const std::string text(length, 'x');
    encoder.Fixed(std::int32_t{7});
    encoder.String(text);
    encoder.Fixed(std::int32_t{7});
    std::string expected = "\x07\0\0\0"s;
    Encoder(expected).String(text);
    expected += "\x07\0\0\0"s;
    EXPECT_EQ(encoder.view(), expected);
    EXPECT_EQ(encoder.size(), expected.size());
  }
}

TEST(RecordCompareTest, OrdersEachKindOfValueAsDocumented) {
  using L = std::numeric_limits<double>;
  const std::vector<double> doubles = {
      -L::quiet_NaN(), -L::infinity(), -1.5,          -1, -L::min(), -0.0, 0.0, L::denorm_min(), 1,
      L::max(),        L::infinity(),  L::quiet_NaN()};
  const std::vector<std::optional<std::string>> texts = {std::nullopt, "", "a", "ab", "b", "\x80"};
  const std::vector<std::vector<std::int8_t>> lists = {{}, {-1}, {-1, 0}, {1}, {1, -1}};
  const std::vector<std::unordered_map<int, int>> maps = {
      {}, {{1, 1}}, {{2, 9}, {1, 1}}, {{1, 2}}, {{2, 0}}};
  const auto check = [](const auto& ascending) {
    for (std::size_t i = 0; i < ascending.size(); ++i) {
      for (std::size_t k = 0; k < ascending.size(); ++k) {
        EXPECT_EQ(RecordCompare(ascending[i], ascending[k]), i <=> k) << i << " and " << k;
      }
    }
  };
  check(doubles);
  check(std::vector<float>(doubles.begin() + 1, doubles.begin() + 4));
  check(texts);
  check(lists);
  check(maps);
  check(std::vector<zoo::Sign>{zoo::Sign::kMinus, zoo::Sign::kZero, zoo::Sign::kPlus});
  check(std::vector<std::pair<bool, int>>{{false, 2}, {true, -1}, {true, 0}});
}

TEST(SerializedKeyTest, IsReadBackAndOrdered) {
  zoo::Source source(5, true);
  for (int i = 0; i < 300; ++i) {
    const auto a = source.Draw<zoo::Paid>();
    const auto b = source.Draw<zoo::Paid>();
    zoo::Paid back;
    ASSERT_TRUE(DeserializeKey(SerializeKey(a), back).ok());
    ASSERT_TRUE(RecordEquals(a, back));
    ASSERT_EQ(SerializedKeyCompare(a, b) < 0, SerializeKey(a) < SerializeKey(b));
    const auto x = source.Draw<std::string>();
    const auto y = source.Draw<std::string>();
    ASSERT_EQ(SerializedKeyCompare(x, y) < 0, x < y);
  }
  std::string text;
  ASSERT_TRUE(DeserializeKey("raw", text).ok());
  EXPECT_EQ(text, "raw");
}

}  // namespace
}  // namespace weir

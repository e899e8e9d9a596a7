#include "runtime/exchange/in_flight.h"

#include "gtest/gtest.h"

namespace weir {
namespace {

using Element = InFlightReader::Element;

std::string Example() {
  std::string bytes;
  AppendInFlightData(bytes, false, 3, "abc");
  AppendInFlightWatermark(bytes, 70);
  AppendInFlightData(bytes, true, 0, "first, ");
  AppendInFlightData(bytes, true, 0, "second, ");
  AppendInFlightData(bytes, false, 1, "third");
  return bytes;
}

TEST(InFlightTest, ReadsWhatWasAppendedInOrder) {
  InFlightReader reader(Example());
  Element element;
  ASSERT_TRUE(*reader.Next(element));
  EXPECT_EQ(element.records, 3u);
  EXPECT_EQ(element.message, "abc");
  ASSERT_TRUE(*reader.Next(element));
  EXPECT_EQ(element.records, 0u);
  EXPECT_EQ(element.watermark, 70);
  ASSERT_TRUE(*reader.Next(element));
  EXPECT_EQ(element.records, 1u);
  EXPECT_EQ(element.message, "first, second, third");
  EXPECT_FALSE(*reader.Next(element));
}

TEST(InFlightTest, ARecordGoesOnFromTheReceiversPartIntoTheSenders) {
  std::string received;
  AppendInFlightData(received, true, 0, "half a ");
  std::string sent;
  AppendInFlightData(sent, false, 1, "record");
  InFlightReader reader(received + sent);
  Element element;
  ASSERT_TRUE(*reader.Next(element));
  EXPECT_EQ(element.message, "half a record");
  EXPECT_FALSE(InFlightReader(received).Next(element).ok()) << "the rest is missing";
}

TEST(InFlightTest, TheRestIsWhatANewReaderGoesOnWith) {
  InFlightReader reader(Example());
  Element element;
  ASSERT_TRUE(*reader.Next(element));
  InFlightReader rest{std::string(reader.rest())};
  ASSERT_TRUE(*rest.Next(element));
  EXPECT_EQ(element.watermark, 70);
}

TEST(InFlightTest, WhatIsCutOffOrChangedIsRefusedOrEndsEarlyAndNeverCrashes) {
  const std::string whole = Example();
  for (size_t size = 0; size < whole.size(); ++size) {
    InFlightReader reader(whole.substr(0, size));
    Element element;
    int read = 0;
    absl::StatusOr<bool> more = true;
    while ((more = reader.Next(element)).ok() && *more) ++read;
    EXPECT_LT(read, 3) << size;
  }
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 0x41);
    InFlightReader reader(changed);
    Element element;
    absl::StatusOr<bool> more = true;
    for (int i = 0; i < 10 && more.ok() && *more; ++i) more = reader.Next(element);
  }
}

}  // namespace
}  // namespace weir

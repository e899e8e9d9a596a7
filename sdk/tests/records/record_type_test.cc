#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sdk/tests/records/record_zoo.h"
#include "weir/codec.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

enum Columns { kNone = 0, kTimestamps = 1, kHashes = 2 };

// A batch whose records have the timestamps and hashes that ExpectConsistent expects.
std::unique_ptr<Batch<std::string>> MakeBatch(std::vector<std::string> records, int columns) {
  auto batch = std::make_unique<Batch<std::string>>();
  for (std::string& record : records) {
    if ((columns & kTimestamps) != 0) batch->timestamps.emplace_back(std::stoll(record) * 10);
    if ((columns & kHashes) != 0) batch->hashes.emplace_back(KeyHash(record));
    batch->records.emplace_back(std::move(record));
  }
  return batch;
}

template <class T>
std::vector<T> Values(const internal::Column<T>& column) {
  return std::vector<T>(column.begin(), column.end());
}

const RecordType& Type() { return RecordTypeOf<std::string>(); }

// Each record's timestamp is ten times its text or, if it has none, kMinTicks; hashes are its own
// or absent for all.
void ExpectConsistent(const Batch<std::string>& batch) {
  if (!batch.timestamps.empty()) {
    ASSERT_EQ(batch.timestamps.size(), batch.size());
    for (std::size_t i = 0; i < batch.size(); ++i) {
      if (batch.timestamps[i] == kMinTicks) continue;
      EXPECT_EQ(batch.timestamps[i], std::stoll(batch.records[i]) * 10);
    }
  }
  if (!batch.hashes.empty()) {
    ASSERT_EQ(batch.hashes.size(), batch.size());
    for (std::size_t i = 0; i < batch.size(); ++i)
      EXPECT_EQ(batch.hashes[i], KeyHash(batch.records[i]));
  }
}

TEST(RecordTypeTest, KnowsAboutHowMuchMemoryABatchTakes) {
  const std::string longer(1000, 'x');
  const auto bytes_of = []<class T>(const T& record) {
    Batch<T> batch;
    batch.records.emplace_back(record);
    return RecordTypeOf<T>().MemoryBytes(batch);
  };
  EXPECT_EQ(bytes_of(zoo::Flat{1, 2}), sizeof(zoo::Flat));
  EXPECT_EQ(bytes_of(zoo::Strings{"a", "b"}), sizeof(zoo::Strings));
  EXPECT_EQ(bytes_of(zoo::Strings{"a", longer}), sizeof(zoo::Strings) + 1001);
  EXPECT_EQ(bytes_of(std::optional<std::string>(longer)),
            sizeof(std::optional<std::string>) + 1001);
  EXPECT_EQ(bytes_of(std::vector<std::string>{longer, longer}),
            sizeof(std::vector<std::string>) + 2 * (sizeof(std::string) + 1001));
  EXPECT_EQ(bytes_of(std::vector<bool>(8000, true)), sizeof(std::vector<bool>) + 1000);
  EXPECT_GE(bytes_of(std::map<int, std::string>{{1, longer}, {2, longer}}), 2 * 1001u);
  EXPECT_EQ(bytes_of(std::tuple<int, std::string>(1, longer)),
            sizeof(std::tuple<int, std::string>) + 1001);
  EXPECT_GE(bytes_of(zoo::Tree{"root", {{longer, {}}}}), 2 * sizeof(zoo::Tree) + 1001);
}

TEST(ColumnDeathTest, IsNeverTruncatedToMoreThanItHolds) {
  internal::Column<std::string> column;
  for (const char* text : {"a", "b", "c"}) column.emplace_back(text);
  column.truncate(3);
  column.truncate(2);
  EXPECT_EQ(Values(column), (std::vector<std::string>{"a", "b"}));
  EXPECT_DEATH(column.truncate(3), "a column of 2 elements cannot be truncated to 3");
}

TEST(RecordTypeTest, MovesAllRecordsWithTheirColumns) {
  for (int from_columns = 0; from_columns < 4; ++from_columns) {
    for (int to_columns = 0; to_columns < 4; ++to_columns) {
      const auto from_batch = MakeBatch({"3", "4"}, from_columns);
      Batch<std::string>& from = *from_batch;
      const auto to_batch = MakeBatch({"1", "2"}, to_columns);
      Batch<std::string>& to = *to_batch;
      Type().MoveAll(from, to);
      EXPECT_TRUE(from.empty());
      EXPECT_TRUE(from.timestamps.empty() && from.hashes.empty());
      EXPECT_THAT(Values(to.records), ElementsAre("1", "2", "3", "4"));
      ExpectConsistent(to);
      EXPECT_EQ(to.timestamps.empty(), ((from_columns | to_columns) & kTimestamps) == 0);
      EXPECT_EQ(to.hashes.empty(), (from_columns & to_columns & kHashes) == 0);
      EXPECT_EQ(to.TimestampAt(3), (from_columns & kTimestamps) != 0 ? 40 : kMinTicks);
    }
  }
}

TEST(RecordTypeTest, MovesIntoAnEmptyBatchWithoutTouchingTheRecords) {
  const auto from_batch = MakeBatch({"1", "2"}, kTimestamps | kHashes);
  Batch<std::string>& from = *from_batch;
  const std::string* data = from.records.data();
  Batch<std::string> to;
  Type().MoveAll(from, to);
  EXPECT_EQ(to.records.data(), data);
  EXPECT_TRUE(from.empty() && from.hashes.empty() && from.timestamps.empty());
  ExpectConsistent(to);
}

TEST(RecordTypeTest, CopiesARangeWithItsColumns) {
  const auto from_batch = MakeBatch({"1", "2", "3", "4"}, kTimestamps | kHashes);
  Batch<std::string>& from = *from_batch;
  Batch<std::string> to;
  Type().CopyRange(from, 1, 3, to);
  Type().CopyRange(from, 3, 3, to);
  Type().CopyRange(from, 0, 1, to);
  EXPECT_THAT(Values(to.records), ElementsAre("2", "3", "1"));
  EXPECT_THAT(Values(to.timestamps), ElementsAre(20, 30, 10));
  ExpectConsistent(to);
  EXPECT_EQ(from.size(), 4u);
}

TEST(RecordTypeTest, ScattersRecordsToTheirTargetsInOrder) {
  for (const int columns : {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}) {
    // Few targets and many take different ways.
    for (const std::uint32_t second : {1u, 150u}) {
      const int from_columns = columns / 4;
      const int to_columns = columns % 4;
      const auto from_batch = MakeBatch({"3", "4", "5", "6", "7"}, from_columns);
      Batch<std::string>& from = *from_batch;
      const auto a_batch = MakeBatch({"1", "2"}, to_columns);
      Batch<std::string>& a = *a_batch;
      Batch<std::string> b;
      const std::uint32_t target[] = {second, 0, second, second, 0};
      std::vector<BatchBase*> to(second + 1);
      to[0] = &a;
      to[second] = &b;
      Type().Scatter(from, target, to.data());
      EXPECT_TRUE(from.empty() && from.hashes.empty() && from.timestamps.empty());
      EXPECT_THAT(Values(a.records), ElementsAre("1", "2", "4", "7"));
      EXPECT_THAT(Values(b.records), ElementsAre("3", "5", "6"));
      ExpectConsistent(a);
      ExpectConsistent(b);
      EXPECT_EQ(a.timestamps.empty(), ((from_columns | to_columns) & kTimestamps) == 0);
      EXPECT_EQ(a.hashes.empty(), (from_columns & to_columns & kHashes) == 0);
      EXPECT_EQ(b.timestamps.empty(), (from_columns & kTimestamps) == 0);
      EXPECT_EQ(b.hashes.empty(), (from_columns & kHashes) == 0);
    }
  }
}

TEST(RecordTypeTest, KeepsTheColumnsOfABatchWholeWhenRecordsAreDecodedIntoIt) {
  const auto batch_batch = MakeBatch({"1"}, kTimestamps | kHashes);
  Batch<std::string>& batch = *batch_batch;
  std::string bytes;
  EncodeValue(std::string("2"), bytes);
  ASSERT_TRUE(Type().Decode(bytes, 1, batch).ok());
  EXPECT_THAT(Values(batch.records), ElementsAre("1", "2"));
  EXPECT_THAT(Values(batch.timestamps), ElementsAre(10, kMinTicks));
  EXPECT_THAT(Values(batch.hashes), IsEmpty());
}

TEST(RecordTypeTest, IsOneObjectForEachType) {
  EXPECT_EQ(&RecordTypeOf<std::string>(), &RecordTypeOf<std::string>());
  EXPECT_EQ(RecordTypeOf<std::string>().record_size_bytes(), sizeof(std::string));
  EXPECT_NE(RecordTypeOf<int>().NewBatch(), nullptr);
}

}  // namespace
}  // namespace weir

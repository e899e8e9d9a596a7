#include "connectors/files/record_framing.h"

#include <cstring>
#include <string>
#include <vector>

#include "connectors/json/json_line_reader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr size_t kHeadroom = 8;

FileChunk Chunk(std::string_view content, bool end_of_file) {
  FileChunk chunk;
  chunk.memory.reset(new char[kHeadroom + content.size() + kJsonPaddingBytes]);
  std::memcpy(chunk.memory.get() + kHeadroom, content.data(), content.size());
  chunk.size = content.size();
  chunk.end_of_file = end_of_file;
  return chunk;
}

// The records of `content`, given in chunks of `chunk_bytes`. Checks that what they consume adds
// up.
std::vector<std::string> Cut(RecordFraming::Kind kind, std::string_view content,
                             size_t chunk_bytes) {
  RecordFraming framing(kind, kHeadroom);
  std::vector<std::string> records;
  size_t given = 0;
  size_t total = 0;
  for (;;) {
    std::string_view record;
    size_t consumed = 0;
    switch (framing.Next(record, consumed)) {
      case RecordFraming::Result::kRecord:
        records.emplace_back(record);
        total += consumed;
        continue;
      case RecordFraming::Result::kNeedMore: {
        const std::string_view piece = content.substr(given, chunk_bytes);
        given += piece.size();
        framing.Append(Chunk(piece, given == content.size()));
        continue;
      }
      case RecordFraming::Result::kEnd:
        EXPECT_EQ(total, content.size());
        return records;
      case RecordFraming::Result::kTooLong:
        ADD_FAILURE() << "too long";
        return records;
    }
  }
}

TEST(RecordFramingTest, CutsLinesAtAnyChunkSize) {
  const std::string content =
      "first\n\nsecond line, longer than the headroom of a chunk\r\nthird\nlast without end";
  for (size_t chunk_bytes = 1; chunk_bytes <= content.size(); ++chunk_bytes) {
    EXPECT_THAT(Cut(RecordFraming::Kind::kLines, content, chunk_bytes),
                ElementsAre("first", "", "second line, longer than the headroom of a chunk",
                            "third", "last without end"))
        << chunk_bytes;
  }
}

TEST(RecordFramingTest, CutsCsvRecordsWithEmbeddedLineEndsAtAnyChunkSize) {
  const std::string content =
      "a,b\r\n\"x\ny\",1\n\"he said \"\"hi\n\"\"\",2\nplain \"quote\n3,\"\"\n,\"\n\"";
  for (size_t chunk_bytes = 1; chunk_bytes <= content.size(); ++chunk_bytes) {
    EXPECT_THAT(Cut(RecordFraming::Kind::kCsv, content, chunk_bytes),
                ElementsAre("a,b", "\"x\ny\",1", "\"he said \"\"hi\n\"\"\",2", "plain \"quote",
                            "3,\"\"", ",\"\n\""))
        << chunk_bytes;
  }
}

TEST(RecordFramingTest, AnEmptyFileHasNoRecords) {
  RecordFraming framing(RecordFraming::Kind::kLines, kHeadroom);
  std::string_view record;
  size_t consumed = 0;
  EXPECT_EQ(framing.Next(record, consumed), RecordFraming::Result::kNeedMore);
  framing.Append(Chunk("", true));
  EXPECT_EQ(framing.Next(record, consumed), RecordFraming::Result::kEnd);
}

TEST(RecordFramingTest, RefusesARecordThatIsTooLong) {
  RecordFraming framing(RecordFraming::Kind::kLines, kHeadroom);
  const std::string piece(1 << 20, 'x');
  std::string_view record;
  size_t consumed = 0;
  for (size_t i = 0; i < kMaxFileRecordBytes / piece.size(); ++i)
    framing.Append(Chunk(piece, false));
  EXPECT_EQ(framing.Next(record, consumed), RecordFraming::Result::kNeedMore);
  framing.Append(Chunk("x", false));
  EXPECT_EQ(framing.Next(record, consumed), RecordFraming::Result::kTooLong);
}

TEST(RecordFramingTest, ALongRecordLeavesTheRestIntact) {
  const std::string content = std::string(100000, 'a') + "\nb\n" + std::string(70000, 'c') + "\nd";
  const auto records = Cut(RecordFraming::Kind::kLines, content, 1000);
  ASSERT_EQ(records.size(), 4u);
  EXPECT_EQ(records[0], std::string(100000, 'a'));
  EXPECT_EQ(records[1], "b");
  EXPECT_EQ(records[2], std::string(70000, 'c'));
  EXPECT_EQ(records[3], "d");
}

std::vector<std::string> Cells(std::string_view record) {
  std::vector<std::string_view> cells;
  std::string scratch;
  const absl::Status status = SplitCsvRecord(record, cells, scratch);
  EXPECT_TRUE(status.ok()) << status;
  return std::vector<std::string>(cells.begin(), cells.end());
}

TEST(SplitCsvRecordTest, SplitsAndUnescapes) {
  EXPECT_THAT(Cells("a,b"), ElementsAre("a", "b"));
  EXPECT_THAT(Cells(""), ElementsAre(""));
  EXPECT_THAT(Cells(","), ElementsAre("", ""));
  EXPECT_THAT(Cells("a,"), ElementsAre("a", ""));
  EXPECT_THAT(Cells("\"a,b\",\"say \"\"x\"\"\",\"\""), ElementsAre("a,b", "say \"x\"", ""));
  EXPECT_THAT(Cells("\"x\ny\",z"), ElementsAre("x\ny", "z"));
  EXPECT_THAT(Cells("a\"b,c"), ElementsAre("a\"b", "c"));
}

TEST(SplitCsvRecordTest, RefusesQuotesThatDoNotMatch) {
  std::vector<std::string_view> cells;
  std::string scratch;
  EXPECT_THAT(SplitCsvRecord("a,\"b", cells, scratch).ToString(),
              HasSubstr("quoted cell 2 is not closed"));
  EXPECT_THAT(SplitCsvRecord("\"a\"b,c", cells, scratch).ToString(),
              HasSubstr("closing quote of cell 1"));
}

}  // namespace
}  // namespace weir

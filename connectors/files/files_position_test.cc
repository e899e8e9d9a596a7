#include "connectors/files/files_position.h"

#include "gtest/gtest.h"

namespace weir {
namespace {

FilesPosition Sample() {
  return {.files = {{.path = "a b\n12 ", .size_bytes = 7}, {.path = "", .size_bytes = 0}},
          .offset = 1234567890123,
          .line = 42,
          .has_header = true,
          .header = "id,\"te 3 xt\""};
}

TEST(FilesPositionTest, IsReadAsItWasWritten) {
  const FilesPosition sample = Sample();
  auto read = FilesPosition::Decode(sample.Encode());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->files, sample.files);
  EXPECT_EQ(read->offset, sample.offset);
  EXPECT_EQ(read->line, sample.line);
  EXPECT_EQ(read->has_header, sample.has_header);
  EXPECT_EQ(read->header, sample.header);
}

TEST(FilesPositionTest, TheBytesAreThoseOfTheFormat) {
  EXPECT_EQ(Sample().Encode(), "1 1234567890123 42 1 12 id,\"te 3 xt\"2 7 7 a b\n12 0 0 ");
}

TEST(FilesPositionTest, DamagedTextIsRefused) {
  const std::string text = Sample().Encode();
  for (size_t size = 0; size < text.size(); ++size) {
    EXPECT_EQ(FilesPosition::Decode(text.substr(0, size)).status().code(),
              absl::StatusCode::kDataLoss)
        << size;
  }
  EXPECT_FALSE(FilesPosition::Decode(text + "x").ok());
  EXPECT_FALSE(FilesPosition::Decode("2 0 1 0 0 0 ").ok());
  EXPECT_FALSE(FilesPosition::Decode("1 0 1 0 0 99999999999 ").ok());
  EXPECT_FALSE(FilesPosition::Decode("1 0 1 0 99999999999999999999 ").ok());
}

}  // namespace
}  // namespace weir

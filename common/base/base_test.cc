#include <string>
#include <vector>

#include "common/base/edit_distance.h"
#include "common/base/hash.h"
#include "common/base/id.h"
#include "common/base/little_endian.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

TEST(HashTest, StaysTheSameBecauseItIsStoredAndSent) {
  EXPECT_EQ(Hash64(""), 0x2d06800538d394c2u);  // The published value for empty input.
  EXPECT_NE(Hash64("a"), Hash64("b"));
  EXPECT_NE(Hash64("a", 1), Hash64("a", 2));
}

TEST(HashTest, InPiecesItIsTheHashOfTheWhole) {
  std::string data;
  for (int i = 0; i < 5000; ++i) data.push_back(static_cast<char>(i * 7));
  StreamingHash64 hash;
  EXPECT_EQ(hash.Digest(), Hash64(""));
  for (size_t piece : {1, 7, 240, 1000}) {
    hash.Reset();
    for (size_t at = 0; at < data.size(); at += piece) {
      EXPECT_EQ(hash.Digest(), Hash64(std::string_view(data).substr(0, at)));
      hash.Append(std::string_view(data).substr(at, piece));
    }
    EXPECT_EQ(hash.Digest(), Hash64(data));
  }
  StreamingHash64 moved = std::move(hash);
  EXPECT_EQ(moved.Digest(), Hash64(data));
}

TEST(LittleEndianTest, TheLowestByteComesFirst) {
  std::string bytes;
  AppendLittleEndian(bytes, uint32_t{0x81020304});
  AppendLittleEndian(bytes, uint64_t{0xfedcba9876543210});
  AppendLittleEndian(bytes, uint8_t{0xff});
  EXPECT_EQ(bytes, "\x04\x03\x02\x81\x10\x32\x54\x76\x98\xba\xdc\xfe\xff");
  EXPECT_EQ(LoadLittleEndian<uint32_t>(bytes.data()), 0x81020304u);
  EXPECT_EQ(LoadLittleEndian<uint64_t>(bytes.data() + 4), 0xfedcba9876543210u);
  EXPECT_EQ(LoadLittleEndian<uint8_t>(bytes.data() + 12), 0xffu);
}

TEST(EditDistanceTest, CountsInsertionsDeletionsReplacementsAndSwaps) {
  EXPECT_EQ(EditDistance("", "abc"), 3u);
  EXPECT_EQ(EditDistance("abc", ""), 3u);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3u);
  EXPECT_EQ(EditDistance("prot", "port"), 1u);
  EXPECT_EQ(EditDistance("same", "same"), 0u);
}

TEST(EditDistanceTest, TheNearestWordIsNamedOnlyIfItIsNear) {
  const std::vector<std::string> words = {"rest.port", "rest.address", "jobmanager.rpc.port"};
  EXPECT_EQ(Nearest("rest.prot", words), "rest.port");
  EXPECT_EQ(Nearest("REST.PORT", words), "rest.port");
  EXPECT_EQ(Nearest("jobmanager.rcp.prot", words), "jobmanager.rpc.port");
  EXPECT_EQ(Nearest("something.else", words), "");
}

TEST(IdTest, TextAndBytesAreTheSameId) {
  const JobId id(0x0123456789abcdefu, 0xfedcba9876543210u);
  EXPECT_EQ(id.ToString(), "0123456789abcdeffedcba9876543210");
  EXPECT_EQ(*JobId::Parse("0123456789ABCDEFfedcba9876543210"), id);
  EXPECT_TRUE(absl::IsInvalidArgument(JobId::Parse("123").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(JobId::Parse("0123456789abcdeffedcba987654321g").status()));
}

}  // namespace
}  // namespace weir

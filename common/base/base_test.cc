#include <string>
#include <vector>

#include "common/base/edit_distance.h"
#include "common/base/hash.h"
#include "common/base/id.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

TEST(HashTest, StaysTheSameBecauseItIsStoredAndSent) {
  EXPECT_EQ(Hash64(""), 0x2d06800538d394c2u);  // The published value for empty input.
  EXPECT_NE(Hash64("a"), Hash64("b"));
  EXPECT_NE(Hash64("a", 1), Hash64("a", 2));
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

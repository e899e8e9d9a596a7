#include "runtime/task/checkpoint_chain.h"

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class CheckpointChainTest : public ::testing::Test {
 protected:
  // What checkpoint `id` builds on; it is written with a file of so many bytes, or not at all.
  std::vector<std::string> Take(uint64_t id, uint64_t bytes) {
    last_ = chain_.Begin(id, tables_);
    if (bytes > 0) chain_.Written(id, SharedStateFile{std::to_string(id), bytes, 0, {}});
    std::vector<std::string> names;
    for (const SharedStateFile& file : last_.files) names.push_back(file.name);
    return names;
  }

  CheckpointChain chain_;
  // Only their addresses count.
  int some_tables_[2] = {};
  std::vector<const KeyedStateTable*> tables_ = {
      reinterpret_cast<const KeyedStateTable*>(&some_tables_[0])};
  StateIncrement last_;
};

TEST_F(CheckpointChainTest, BeginsWholeAndBuildsOnWhatIsComplete) {
  EXPECT_THAT(Take(1, 1000), IsEmpty());
  EXPECT_EQ(last_.since, std::nullopt);
  chain_.Complete(1);
  EXPECT_THAT(Take(2, 10), ElementsAre("1"));
  EXPECT_EQ(last_.since, 0u);
  chain_.Complete(2);
  EXPECT_THAT(Take(3, 10), ElementsAre("1", "2"));
  EXPECT_EQ(last_.since, 1u);
}

TEST_F(CheckpointChainTest, WhatIsNotKnownToBeCompleteIsNotReliedOn) {  // failures rule 2
  Take(1, 1000);
  EXPECT_THAT(Take(2, 1000), IsEmpty()) << "the first may come to nothing";
  EXPECT_EQ(last_.since, std::nullopt);
  chain_.Complete(1);
  EXPECT_THAT(Take(3, 1000), IsEmpty()) << "the second does not have its file, which may be gone";
  chain_.Complete(3);
  EXPECT_THAT(Take(4, 10), ElementsAre("3"));
  EXPECT_THAT(Take(5, 10), ElementsAre("3"));
  EXPECT_EQ(last_.since, 0u) << "what the fourth has is not lost";
  chain_.Complete(4);
  EXPECT_THAT(Take(6, 10), ElementsAre("3")) << "the fifth does not have the file of the fourth";
  EXPECT_EQ(last_.since, 0u);
  chain_.Complete(6);
  chain_.Complete(5);
  EXPECT_THAT(Take(7, 10), ElementsAre("3", "6"));
  EXPECT_EQ(last_.since, 3u);
}

TEST_F(CheckpointChainTest, OneThatWasNotWrittenIsNeverBuiltOn) {
  Take(1, 0);
  chain_.Complete(1);
  EXPECT_EQ(chain_.Begin(2, tables_).since, std::nullopt);
}

TEST_F(CheckpointChainTest, OneInWhichNothingHasChangedAddsNoFile) {
  Take(1, 1000);
  chain_.Complete(1);
  Take(2, 0);
  chain_.Written(2, std::nullopt);
  chain_.Complete(2);
  EXPECT_THAT(Take(3, 10), ElementsAre("1"));
  EXPECT_EQ(last_.since, 1u);
}

TEST_F(CheckpointChainTest, IsWholeAgainOnceTheChangesAreHalfOfIt) {
  Take(1, 1000);
  for (uint64_t id = 2; id <= 6; ++id) {
    chain_.Complete(id - 1);
    EXPECT_EQ(Take(id, 100).size(), id - 1);
  }
  chain_.Complete(6);
  EXPECT_THAT(Take(7, 1000), IsEmpty());
  EXPECT_EQ(last_.since, std::nullopt);
  chain_.Complete(7);
  EXPECT_THAT(Take(8, 10), ElementsAre("7"));
}

TEST_F(CheckpointChainTest, IsWholeAgainBeforeTheTablesCannotCountFurther) {
  Take(1, 1'000'000);
  uint64_t id = 1;
  do {
    chain_.Complete(id);
    Take(++id, 1);
    ASSERT_LE(id, 1 + KeyedStateTable::kMaxChanges + 1);
  } while (last_.since.has_value());
  EXPECT_EQ(id, 1 + KeyedStateTable::kMaxChanges + 1);
}

TEST_F(CheckpointChainTest, IsWholeAgainWhenAnotherTableTakesPart) {
  Take(1, 1000);
  chain_.Complete(1);
  tables_.push_back(reinterpret_cast<const KeyedStateTable*>(&some_tables_[1]));
  EXPECT_THAT(Take(2, 1000), IsEmpty());
  EXPECT_EQ(last_.since, std::nullopt);
}

}  // namespace
}  // namespace weir

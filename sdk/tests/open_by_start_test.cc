#include "weir/open_by_start.h"

#include <deque>

#include "gtest/gtest.h"

namespace weir::internal {
namespace {

// However many lie in a row, each is found; none that is not open.
TEST(OpenByStartTest, FindsAllThatLieInARow) {
  for (const Ticks width : {1, 7, 1'000}) {
    OpenByStart<Ticks> by_start(width);
    std::deque<Ticks> open;
    for (Ticks start = -50 * width; start < 300 * width; start += width) {
      EXPECT_EQ(by_start.Find(start), nullptr);
      open.push_back(start);
      by_start.Remember(start, &open.back(), open.size());
      EXPECT_EQ(by_start.Find(start), &open.back());
    }
    // Growing has dropped what was known; it is told again as a search in a map finds it.
    for (Ticks& start : open) by_start.Remember(start, &start, open.size());
    for (Ticks& start : open) {
      EXPECT_EQ(by_start.Find(start), &start);
      by_start.Forget(start);
      EXPECT_EQ(by_start.Find(start), nullptr);
    }
  }
}

TEST(OpenByStartTest, WhatSharesAPlaceIsUnknownAndNotMistaken) {
  OpenByStart<int> by_start(10);
  int first = 0;
  int second = 0;
  by_start.Remember(0, &first, 2);
  by_start.Remember(10'240, &second, 2);
  EXPECT_EQ(by_start.Find(0), nullptr);
  EXPECT_EQ(by_start.Find(10'240), &second);
  // Of what is not known nothing is forgotten.
  by_start.Forget(0);
  EXPECT_EQ(by_start.Find(10'240), &second);
}

}  // namespace
}  // namespace weir::internal

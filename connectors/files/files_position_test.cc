#include "connectors/files/files_position.h"

#include <utility>

#include "common/base/hash.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

InputFile Begun(std::string path, uint64_t offset) {
  return {.path = std::move(path), .size_bytes = 100, .offset = offset, .line = 2};
}
InputFile Whole(std::string path, uint64_t size = 100) {
  return {.path = std::move(path), .size_bytes = size};
}

FilesPosition Sample() {
  FilesPosition position;
  position.lanes = {{{.path = "a b\n12 ",
                      .size_bytes = 7,
                      .offset = 1234567890123,
                      .line = 42,
                      .has_header = true,
                      .header = "id,\"te 3 xt\""},
                     {.path = "", .size_bytes = 0}},
                    {}};
  return position;
}

FilesPosition Discovering() {
  FilesPosition position = Sample();
  position.discovers = true;
  position.finished = {PathDigest{{1, 2}}, PathDigest{{0x3031323334353637, 0}}};
  return position;
}

FilesPosition Part() {
  FilesPosition position;
  position.former = {"", "2 0 0 "};
  position.subtask = 1;
  position.parallelism = 3;
  return position;
}

std::vector<std::string> Paths(const FilesPosition& position) {
  std::vector<std::string> paths;
  for (const auto& lane : position.lanes) {
    for (const InputFile& file : lane) paths.push_back(file.path);
  }
  return paths;
}

TEST(FilesPositionTest, IsReadAsItWasWritten) {
  for (const FilesPosition& sample : {Sample(), Discovering(), Part()}) {
    auto read = FilesPosition::Decode(sample.Encode());
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->lanes, sample.lanes);
    EXPECT_EQ(read->discovers, sample.discovers);
    EXPECT_EQ(read->finished, sample.finished);
    EXPECT_EQ(read->former, sample.former);
    EXPECT_EQ(read->subtask, sample.subtask);
    EXPECT_EQ(read->parallelism, sample.parallelism);
  }
}

TEST(FilesPositionTest, TheBytesAreThoseOfTheFormat) {
  const std::string lanes = "2 2 7 7 a b\n12 1234567890123 42 1 12 id,\"te 3 xt\"0 0 0 0 ";
  EXPECT_EQ(Sample().Encode(), "2 0 " + lanes);
  EXPECT_EQ(Discovering().Encode(), "2 1 " + lanes + "32 " +
                                        std::string("\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0", 16) +
                                        std::string("76543210\0\0\0\0\0\0\0\0", 16));
  EXPECT_EQ(Part().Encode(), "2 2 1 3 2 0 6 2 0 0 ");
  // What the digest of a path is may never change.
  EXPECT_EQ(PathDigest::Of("/in/a.jsonl").hashes[0], Hash64("/in/a.jsonl", 0));
  EXPECT_EQ(PathDigest::Of("/in/a.jsonl").hashes[1], Hash64("/in/a.jsonl", 1));
}

TEST(FilesPositionTest, TheFirstVersionIsRead) {
  auto read = FilesPosition::Decode("1 1234567890123 42 1 12 id,\"te 3 xt\"2 7 7 a b\n12 0 0 ");
  ASSERT_TRUE(read.ok()) << read.status();
  FilesPosition expected = Sample();
  expected.lanes.pop_back();
  EXPECT_EQ(read->lanes, expected.lanes);
}

TEST(FilesPositionTest, DamagedTextIsRefused) {
  for (const FilesPosition& sample : {Sample(), Discovering(), Part()}) {
    const std::string text = sample.Encode();
    for (size_t size = 0; size < text.size(); ++size) {
      EXPECT_EQ(FilesPosition::Decode(text.substr(0, size)).status().code(),
                absl::StatusCode::kDataLoss)
          << size;
    }
    EXPECT_FALSE(FilesPosition::Decode(text + "x").ok());
  }
  EXPECT_FALSE(FilesPosition::Decode("3 0 0 ").ok());
  EXPECT_FALSE(FilesPosition::Decode("2 3 0 ").ok());
  EXPECT_FALSE(FilesPosition::Decode("2 0 99999999999 ").ok());
  EXPECT_FALSE(FilesPosition::Decode("2 0 1 99999999999 ").ok());
  EXPECT_FALSE(FilesPosition::Decode("2 1 0 3 abc").ok());
  EXPECT_FALSE(FilesPosition::Decode("2 2 3 3 1 0 ").ok());
  EXPECT_FALSE(FilesPosition::Decode("2 2 0 3 0 ").ok());
  EXPECT_FALSE(FilesPosition::Decode("1 0 1 0 0 99999999999 ").ok());
  EXPECT_FALSE(FilesPosition::Decode("1 0 1 0 99999999999999999999 ").ok());
}

TEST(MakeLanesTest, BegunFilesAreALaneEachAndOthersComeBetweenThemByPath) {
  const std::vector<FilesPosition::Lane> lanes =
      MakeLanes({Whole("f"), Begun("d", 3), Whole("a"), Whole("c"), Begun("b", 5), Whole("e")});
  ASSERT_EQ(lanes.size(), 2u);
  EXPECT_THAT(lanes[0], ElementsAre(Whole("a"), Begun("b", 5), Whole("c")));
  EXPECT_THAT(lanes[1], ElementsAre(Begun("d", 3), Whole("e"), Whole("f")));
  EXPECT_THAT(MakeLanes({}), ElementsAre(IsEmpty()));
}

std::string Reading(std::vector<InputFile> files) {
  FilesPosition position;
  position.lanes.push_back(std::move(files));
  return position.Encode();
}

// Rule 49
TEST(DealFilesTest, EachFileGoesToOneSubtaskWithHowFarItWasRead) {
  const std::vector<std::string> former = {Reading({Begun("b", 50), Whole("d"), Whole("f")}),
                                           Reading({Begun("a", 99), Whole("c"), Whole("e")}),
                                           Reading({})};
  for (uint32_t parallelism = 1; parallelism <= 8; ++parallelism) {
    std::vector<std::string> paths;
    for (uint32_t subtask = 0; subtask < parallelism; ++subtask) {
      const auto dealt = DealFiles(former, subtask, parallelism, nullptr);
      ASSERT_TRUE(dealt.ok()) << dealt.status();
      for (const auto& lane : dealt->lanes) {
        for (const InputFile& file : lane) {
          paths.push_back(file.path);
          EXPECT_EQ(file.offset, file.path == "a" ? 99u : file.path == "b" ? 50u : 0u);
        }
      }
    }
    EXPECT_THAT(paths, UnorderedElementsAre("a", "b", "c", "d", "e", "f")) << parallelism;
  }
}

// A snapshot may come before a subtask knows its files, and another one before the next does.
TEST(DealFilesTest, WhatWasNotListedIsDealtOutWhenItIs) {
  const std::vector<InputFile> inputs = {Whole("a", 10), Whole("b", 20), Whole("c", 30)};
  // Subtask 0 of 2 had c, and has read some of it; subtask 1 has b and a.
  const std::vector<std::string> former = {Reading({Begun("c", 4)}), ""};
  std::vector<std::string> second;
  for (uint32_t subtask = 0; subtask < 3; ++subtask) {
    const auto dealt = DealFiles(former, subtask, 3, nullptr);
    ASSERT_TRUE(dealt.ok()) << dealt.status();
    EXPECT_TRUE(dealt->lanes.empty());
    second.push_back(dealt->Encode());
  }
  std::vector<std::string> paths;
  for (uint32_t subtask = 0; subtask < 2; ++subtask) {
    const auto dealt = DealFiles(second, subtask, 2, &inputs);
    ASSERT_TRUE(dealt.ok()) << dealt.status();
    EXPECT_TRUE(dealt->former.empty());
    const std::vector<std::string> mine = Paths(*dealt);
    paths.insert(paths.end(), mine.begin(), mine.end());
  }
  EXPECT_THAT(paths, UnorderedElementsAre("a", "b", "c"));
}

TEST(DealFilesTest, WhoLooksForFilesHasThoseOfItsDigests) {
  FilesPosition one = Discovering();
  one.lanes = {{Begun("a", 1), Whole("b")}, {Whole("c")}};
  one.finished.clear();
  FilesPosition two = one;
  two.lanes = {{Whole("d")}};
  for (int i = 0; i < 100; ++i) two.finished.insert(PathDigest::Of(std::to_string(i)));
  std::vector<std::string> paths;
  size_t finished = 0;
  for (uint32_t subtask = 0; subtask < 3; ++subtask) {
    const auto dealt = DealFiles({one.Encode(), "", two.Encode()}, subtask, 3, nullptr);
    ASSERT_TRUE(dealt.ok()) << dealt.status();
    EXPECT_TRUE(dealt->discovers);
    for (const std::string& path : Paths(*dealt)) {
      EXPECT_EQ(PathDigest::Of(path).Subtask(3), subtask);
      paths.push_back(path);
    }
    for (const PathDigest& digest : dealt->finished) EXPECT_EQ(digest.Subtask(3), subtask);
    finished += dealt->finished.size();
  }
  EXPECT_THAT(paths, UnorderedElementsAre("a", "b", "c", "d"));
  EXPECT_EQ(finished, 100u);
}

TEST(DealFilesTest, DamageIsRefused) {
  EXPECT_EQ(DealFiles({"x"}, 0, 2, nullptr).status().code(), absl::StatusCode::kDataLoss);
  std::string deep;
  for (int i = 0; i < 20; ++i) {
    FilesPosition part;
    part.former = {deep, deep.empty() ? "" : "2 0 0 "};
    deep = part.Encode();
  }
  const std::vector<InputFile> inputs;
  EXPECT_EQ(DealFiles({deep}, 0, 2, &inputs).status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace weir

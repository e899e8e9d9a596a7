#include "connectors/files/files_source.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/base/strings.h"
#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_random.h"
#include "common/env/sim/sim_world.h"
#include "common/env/system/system_env.h"
#include "connectors/testing/contexts.h"
#include "connectors/testing/row_type.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string Gzip(std::string_view text) {
  z_stream zlib{};
  EXPECT_EQ(deflateInit2(&zlib, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&zlib, text.size()), '\0');
  std::string in(text);
  zlib.next_in = reinterpret_cast<Bytef*>(in.data());
  zlib.avail_in = static_cast<uInt>(in.size());
  zlib.next_out = reinterpret_cast<Bytef*>(out.data());
  zlib.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&zlib, Z_FINISH), Z_STREAM_END);
  out.resize(zlib.total_out);
  deflateEnd(&zlib);
  return out;
}

std::string Zstd(std::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

std::string JsonLines(int64_t begin, int64_t end) {
  std::string lines;
  for (int64_t i = begin; i < end; ++i)
    lines += "{\"id\":" + std::to_string(i) + ",\"text\":\"t\"}\n";
  return lines;
}

class FilesSourceTest : public ::testing::Test {
 protected:
  FilesSourceTest() { files().CreateDirectories("/in").IgnoreError(); }

  FileSystem& files() { return env_.files(); }
  void Put(const std::string& path, std::string_view content) {
    ASSERT_TRUE(WriteFileAtomically(files(), path, content).ok()) << path;
  }

  std::unique_ptr<FilesSource> Make(const Files& settings) {
    return std::make_unique<FilesSource>(env_, settings, type_, options_);
  }

  // Polls until the end, an error or `stop_after` rows.
  absl::Status Read(SourceReader& reader, TestSourceContext& context,
                    size_t stop_after = SIZE_MAX) {
    bool ended = false;
    while (rows_.size() < stop_after) {
      const int wakes = context.wakes;
      Batch<Row> batch;
      auto result = reader.Poll(batch, max_records_);
      if (!result.ok()) return result.status();
      EXPECT_LE(batch.size(), max_records_);
      for (Row& row : batch.records) rows_.push_back(std::move(row));
      EXPECT_LT(result->split, reader.splits());
      if (result->state == PollState::kEnd) {
        EXPECT_TRUE(result->split_ended);
        ended = true;
        break;
      }
      if (result->state == PollState::kWait) {
        EXPECT_TRUE(world_.RunUntil([&] { return context.wakes > wakes; }, absl::Seconds(10)))
            << "never woken";
        if (context.wakes == wakes) return absl::DeadlineExceededError("never woken");
      }
    }
    EXPECT_TRUE(ended || stop_after < SIZE_MAX);
    return absl::OkStatus();
  }
  // Polls one that never ends, until it waits for the clock and nothing else, or has `stop_after`
  // rows in all.
  absl::Status Follow(SourceReader& reader, TestSourceContext& context,
                      size_t stop_after = SIZE_MAX) {
    while (rows_.size() < stop_after) {
      const int wakes = context.wakes;
      Batch<Row> batch;
      auto result = reader.Poll(batch, max_records_);
      if (!result.ok()) return result.status();
      for (Row& row : batch.records) rows_.push_back(std::move(row));
      EXPECT_NE(result->state, PollState::kEnd);
      if (result->state != PollState::kWait) continue;
      world_.RunFor(absl::Seconds(1));
      if (context.wakes == wakes && result->wake_at > context.now) break;
    }
    return absl::OkStatus();
  }
  // Opens and reads as the only subtask.
  absl::Status ReadAll(const Files& settings) {
    rows_.clear();
    auto reader = Make(settings);
    const absl::Status opened = reader->Open(context_);
    return opened.ok() ? Read(*reader, context_) : opened;
  }
  std::vector<int64_t> Ids() const {
    std::vector<int64_t> ids;
    for (const Row& row : rows_) ids.push_back(row.id);
    return ids;
  }
  std::vector<int64_t> Range(int64_t begin, int64_t end) {
    std::vector<int64_t> ids;
    for (int64_t i = begin; i < end; ++i) ids.push_back(i);
    return ids;
  }

  SimWorld world_;
  SimEnv& env_ = world_.StartProcess("worker", "host");
  RowType type_;
  ReadAheadOptions options_{.chunk_bytes = 100, .headroom_bytes = 16, .max_chunks = 3};
  size_t max_records_ = 7;
  TestSourceContext context_{0, 1};
  std::vector<Row> rows_;
};

TEST_F(FilesSourceTest, ReadsJsonLinesOfAFile) {
  Put("/in/a.jsonl", "{\"id\":1,\"text\":\"x\"}\r\n\n  {\"id\":2}\n{\"id\":3}");
  ASSERT_TRUE(ReadAll({.path = "/in/a.jsonl"}).ok());
  EXPECT_THAT(rows_, ElementsAre(Row{1, "x"}, Row{2, ""}, Row{3, ""}));
}

TEST_F(FilesSourceTest, ReadsAFolderInOrderOfNamesAndSkipsHiddenFiles) {
  Put("/in/b.jsonl", JsonLines(10, 40));
  Put("/in/a.jsonl", JsonLines(0, 10));
  Put("/in/.part.inprogress", "garbage");
  Put("/in/_SUCCESS", "garbage");
  ASSERT_TRUE(files().CreateDirectories("/in/c/d").ok());
  Put("/in/c/d/e.jsonl", JsonLines(40, 50));
  ASSERT_TRUE(ReadAll({.path = "/in"}).ok());
  EXPECT_EQ(Ids(), Range(0, 50));
}

TEST_F(FilesSourceTest, ReadsWhatAGlobMatches) {
  ASSERT_TRUE(files().CreateDirectories("/in/2001-01").ok());
  ASSERT_TRUE(files().CreateDirectories("/in/2001-02").ok());
  Put("/in/2001-01/a.jsonl", JsonLines(0, 5));
  Put("/in/2001-02/a.jsonl", JsonLines(5, 9));
  Put("/in/2001-02/b.txt", "garbage");
  ASSERT_TRUE(ReadAll({.path = "/in/2001-*/*.jsonl"}).ok());
  EXPECT_EQ(Ids(), Range(0, 9));
  EXPECT_EQ(ReadAll({.path = "/in/x*.jsonl"}).message(), "no file matches '/in/x*.jsonl'");
}

TEST_F(FilesSourceTest, SubtasksShareTheFiles) {
  for (int i = 0; i < 5; ++i)
    Put("/in/" + std::to_string(i) + ".jsonl", JsonLines(i * 20, i * 20 + 20));
  std::vector<std::unique_ptr<FilesSource>> readers;
  for (uint32_t subtask = 0; subtask < 7; ++subtask) {
    TestSourceContext context(subtask, 7);
    readers.push_back(Make({.path = "/in"}));
    ASSERT_TRUE(readers.back()->Open(context).ok());
    EXPECT_EQ(readers.back()->splits(), 1u);
    const size_t before = rows_.size();
    ASSERT_TRUE(Read(*readers.back(), context).ok());
    EXPECT_EQ(rows_.size() - before, subtask < 5 ? 20u : 0u);
    readers.back()->Close();
  }
  std::vector<int64_t> ids = Ids();
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(ids, Range(0, 100));
}

TEST_F(FilesSourceTest, ItsSplitIsNamedAfterTheFileThatIsRead) {
  Put("/in/a.jsonl", JsonLines(0, 20));
  Put("/in/b.jsonl", JsonLines(20, 40));
  auto reader = Make({.path = "/in"});
  EXPECT_EQ(reader->SplitName(0), "");
  ASSERT_TRUE(reader->Open(context_).ok());
  ASSERT_TRUE(Read(*reader, context_, 10).ok());
  EXPECT_EQ(reader->SplitName(0), "/in/a.jsonl");
  ASSERT_TRUE(Read(*reader, context_, 30).ok());
  EXPECT_EQ(reader->SplitName(0), "/in/b.jsonl");
  EXPECT_EQ(reader->SplitName(1), "");
  ASSERT_TRUE(Read(*reader, context_).ok());
  EXPECT_EQ(reader->SplitName(0), "");
}

TEST_F(FilesSourceTest, ReadsGzipAndZstdByTheirFirstBytes) {
  Put("/in/a.jsonl.gz", Gzip(JsonLines(0, 300)) + Gzip(JsonLines(300, 301)));
  Put("/in/b.jsonl", Gzip(JsonLines(301, 400)));
  Put("/in/c.jsonl.zst", Zstd(JsonLines(400, 600)) + Zstd(JsonLines(600, 700)));
  Put("/in/d.jsonl.gz", "");
  ASSERT_TRUE(ReadAll({.path = "/in"}).ok());
  EXPECT_EQ(Ids(), Range(0, 700));
}

TEST_F(FilesSourceTest, DamagedCompressionIsAnErrorWithThePath) {
  const std::string gzip = Gzip(JsonLines(0, 300));
  Put("/in/a.jsonl.gz", gzip.substr(0, gzip.size() - 9));
  EXPECT_THAT(ReadAll({.path = "/in/a.jsonl.gz"}).ToString(),
              HasSubstr("/in/a.jsonl.gz: the gzip data is cut off"));
  std::string flipped = gzip;
  flipped[gzip.size() - 6] ^= 1;
  Put("/in/b.jsonl.gz", flipped);
  EXPECT_THAT(ReadAll({.path = "/in/b.jsonl.gz"}).ToString(),
              HasSubstr("/in/b.jsonl.gz: the gzip data is damaged"));
  const std::string zstd = Zstd(JsonLines(0, 300));
  Put("/in/c.jsonl.zst", zstd.substr(0, zstd.size() - 3));
  EXPECT_THAT(ReadAll({.path = "/in/c.jsonl.zst"}).ToString(),
              HasSubstr("/in/c.jsonl.zst: the zstd data is cut off"));
  Put("/in/d.jsonl.zst", zstd + std::string(50, 'x'));
  EXPECT_THAT(ReadAll({.path = "/in/d.jsonl.zst"}).ToString(),
              HasSubstr("/in/d.jsonl.zst: the zstd data is damaged"));
  Put("/in/e.jsonl.gz", JsonLines(0, 1));
  EXPECT_THAT(ReadAll({.path = "/in/e.jsonl.gz"}).ToString(),
              HasSubstr("its first bytes that it is not"));
}

TEST_F(FilesSourceTest, ReadsCsvByItsHeader) {
  Put("/in/a.csv", "\xef\xbb\xbftext,more,id\n\"two\nlines, \"\"quoted\"\"\",x,1\r\n,y,2\n");
  ASSERT_TRUE(ReadAll({.path = "/in/a.csv"}).ok());
  EXPECT_THAT(rows_, ElementsAre(Row{1, "two\nlines, \"quoted\""}, Row{2, ""}));
}

TEST_F(FilesSourceTest, ReadsCsvWithoutHeaderInOrderOfTheFields) {
  Put("/in/a.csv", "1,x\n2,y");
  ASSERT_TRUE(ReadAll({.path = "/in/a.csv", .header = false}).ok());
  EXPECT_THAT(rows_, ElementsAre(Row{1, "x"}, Row{2, "y"}));
}

TEST_F(FilesSourceTest, AHeaderThatCannotBeMeantIsRefused) {
  Put("/in/a.csv", "1,x\n");
  EXPECT_EQ(ReadAll({.path = "/in/a.csv"}).message(),
            "/in/a.csv:1: the header names no field of the record (id, text); if the file has no "
            "header, set .header = false");
  Put("/in/b.csv", "id,text,id\n1,x,2\n");
  EXPECT_EQ(ReadAll({.path = "/in/b.csv"}).message(),
            "/in/b.csv:1: the header names column 'id' twice");
}

TEST_F(FilesSourceTest, AMalformedLineFailsTheJobWithFileLineAndReason) {
  Put("/in/a.jsonl", "{\"id\":1}\n\n{\"id\":\"abc\"}\n");
  EXPECT_EQ(ReadAll({.path = "/in/a.jsonl"}).message(),
            "/in/a.jsonl:3: field 'id': expected an integer, found a string \"abc\"");
  EXPECT_EQ(ReadAll({.path = "/in/a.jsonl"}).code(), absl::StatusCode::kInvalidArgument);
  // A CSV record's line is the one where it begins; embedded line ends count.
  Put("/in/b.csv", "id,text\n1,\"x\ny\"\n2,z,too many\n");
  EXPECT_EQ(ReadAll({.path = "/in/b.csv"}).message(), "/in/b.csv:4: has 3 cells, the header 2");
  Put("/in/c.csv", "id,text\n1,\"x\n2,y\n");
  EXPECT_EQ(ReadAll({.path = "/in/c.csv"}).message(),
            "/in/c.csv:2: the quoted cell 2 is not closed");
}

TEST_F(FilesSourceTest, MalformedLinesAreSkippedAndCountedIfAsked) {
  Put("/in/a.jsonl",
      "{\"id\":1}\nnonsense\n{\"id\":2} trailing\n{\"id\":3}{\"id\":4}\n{\"id\":5}\n");
  ASSERT_TRUE(ReadAll({.path = "/in/a.jsonl", .malformed = Malformed::kSkip}).ok());
  EXPECT_THAT(Ids(), ElementsAre(1, 5));
  EXPECT_EQ(context_.metrics().counter("numMalformedRecordsSkipped").value(), 3u);
}

TEST_F(FilesSourceTest, MalformedLinesGoToTheSideOutputWithTheReason) {
  Put("/in/a.jsonl", "{\"id\":1}\n{\"id\":true}\n{\"id\":2}\n" + std::string(100000, 'x') + "\n");
  const Files settings{.path = "/in/a.jsonl", .malformed = Malformed::kSideOutput};
  EXPECT_THAT(ReadAll(settings).ToString(),
              HasSubstr("source 'in' sends malformed records to a side output"));
  CollectingOutput<MalformedRecord> malformed;
  context_.malformed = &malformed;
  ASSERT_TRUE(ReadAll(settings).ok());
  EXPECT_THAT(Ids(), ElementsAre(1, 2));
  ASSERT_EQ(malformed.records.size(), 2u);
  EXPECT_EQ(malformed.records[0].source, "/in/a.jsonl");
  EXPECT_EQ(malformed.records[0].position, 2);
  EXPECT_EQ(malformed.records[0].reason, "field 'id': expected an integer, found true");
  EXPECT_EQ(malformed.records[0].text, "{\"id\":true}");
  EXPECT_EQ(malformed.records[1].text.size(), 64u << 10);
  EXPECT_EQ(context_.metrics().counter("numMalformedRecordsSkipped").value(), 0u);
}

TEST_F(FilesSourceTest, ALineOfMoreThan16MiBIsRefused) {
  options_ = {};
  Put("/in/a.jsonl", "{\"id\":1}\n" + std::string((16 << 20) + 1, 'x') + "\n");
  EXPECT_THAT(ReadAll({.path = "/in/a.jsonl", .malformed = Malformed::kSkip}).ToString(),
              HasSubstr("/in/a.jsonl:2: the record that begins here is longer than 16 MiB"));
}

TEST_F(FilesSourceTest, AnInputThatIsNotThereOrUnreadableIsAnErrorWithThePath) {
  EXPECT_THAT(ReadAll({.path = "/in/missing.jsonl"}).ToString(),
              HasSubstr("there is no file or folder '/in/missing.jsonl'"));
  Put("/in/a.jsonl", JsonLines(0, 100));
  world_.disk("host").set_fault([](std::string_view operation, const std::string& path) {
    return operation == "open"
               ? absl::PermissionDeniedError("open of '" + path + "': permission denied")
               : absl::OkStatus();
  });
  EXPECT_EQ(ReadAll({.path = "/in"}).message(), "open of '/in/a.jsonl': permission denied");
  int reads = 0;
  world_.disk("host").set_fault([&](std::string_view operation, const std::string& path) {
    return operation == "read" && ++reads > 5
               ? absl::UnavailableError("read of '" + path + "': input/output error")
               : absl::OkStatus();
  });
  EXPECT_EQ(ReadAll({.path = "/in"}).message(), "read of '/in/a.jsonl': input/output error");
  EXPECT_GT(rows_.size(), 0u);
}

TEST_F(FilesSourceTest, AFileThatVanishesOrShrinksBeforeItIsReadIsAnError) {
  Put("/in/a.jsonl", JsonLines(0, 100));
  Put("/in/b.jsonl", JsonLines(0, 100));
  auto reader = Make({.path = "/in"});
  ASSERT_TRUE(reader->Open(context_).ok());
  ASSERT_TRUE(Read(*reader, context_, 1).ok());
  ASSERT_TRUE(files().Delete("/in/b.jsonl").ok());
  EXPECT_THAT(Read(*reader, context_).ToString(), HasSubstr("/in/b.jsonl"));

  Put("/in/b.jsonl", JsonLines(0, 100));
  auto shrinking = Make({.path = "/in"});
  ASSERT_TRUE(shrinking->Open(context_).ok());
  rows_.clear();
  ASSERT_TRUE(Read(*shrinking, context_, 1).ok());
  Put("/in/b.jsonl", JsonLines(0, 50));
  EXPECT_THAT(Read(*shrinking, context_).ToString(), HasSubstr("/in/b.jsonl: ended after"));
}

TEST_F(FilesSourceTest, AnUnknownFormatIsAnErrorThatSaysWhatToDo) {
  Put("/in/data.txt", JsonLines(0, 3));
  EXPECT_THAT(ReadAll({.path = "/in"}).ToString(),
              HasSubstr("/in/data.txt: its name does not say its format"));
  ASSERT_TRUE(ReadAll({.path = "/in", .format = FileFormat::kJson}).ok());
  EXPECT_EQ(Ids(), Range(0, 3));
}

TEST_F(FilesSourceTest, AnEmptyFolderAndEmptyFilesGiveNothing) {
  ASSERT_TRUE(ReadAll({.path = "/in"}).ok());
  Put("/in/a.jsonl", "");
  Put("/in/b.csv", "");
  Put("/in/c.csv", "id,text");
  ASSERT_TRUE(ReadAll({.path = "/in"}).ok());
  EXPECT_THAT(rows_, IsEmpty());
}

TEST_F(FilesSourceTest, ReadsNoFurtherAheadThanItsBound) {
  Put("/in/a.jsonl", JsonLines(0, 10000));
  uint64_t reads = 0;
  world_.disk("host").set_fault([&](std::string_view operation, const std::string&) {
    reads += operation == "read" ? 1 : 0;
    return absl::OkStatus();
  });
  auto reader = Make({.path = "/in"});
  ASSERT_TRUE(reader->Open(context_).ok());
  world_.RunFor(absl::Seconds(1));
  EXPECT_EQ(reads, 0u) << "the files are listed";
  Batch<Row> batch;
  ASSERT_EQ(reader->Poll(batch, 10)->state, PollState::kWait);
  world_.RunFor(absl::Seconds(1));
  // One for the first bytes, one a chunk.
  EXPECT_EQ(reads, 1 + options_.max_chunks);
  ASSERT_TRUE(Read(*reader, context_).ok());
  EXPECT_EQ(Ids(), Range(0, 10000));
}

TEST_F(FilesSourceTest, AClosedReaderWakesNobody) {
  Put("/in/a.jsonl", JsonLines(0, 1000));
  auto reader = Make({.path = "/in"});
  ASSERT_TRUE(reader->Open(context_).ok());
  Batch<Row> batch;
  ASSERT_EQ(reader->Poll(batch, 10)->state, PollState::kWait);
  reader->Close();
  reader.reset();
  world_.RunFor(absl::Seconds(1));
  EXPECT_EQ(context_.wakes, 0);
}

TEST_F(FilesSourceTest, GoesOnFromEveryPosition) {
  Put("/in/a.csv", "text,id\n\"two\nlines\",0\nx,1\ny,2\n");
  Put("/in/b.jsonl.gz", Gzip(JsonLines(3, 12)));
  Put("/in/c.jsonl", JsonLines(12, 20));
  max_records_ = 1;
  for (size_t stop = 0; stop <= 20; ++stop) {
    rows_.clear();
    auto reader = Make({.path = "/in"});
    ASSERT_TRUE(reader->Open(context_).ok());
    ASSERT_TRUE(Read(*reader, context_, stop).ok());
    const std::string position = reader->SnapshotPosition();
    reader->Close();
    // A new file is not read by the restored one: it goes on with what it had.
    auto restored = Make({.path = "/in"});
    ASSERT_TRUE(restored->RestorePosition(position).ok());
    EXPECT_EQ(restored->SnapshotPosition(), position);
    ASSERT_TRUE(restored->Open(context_).ok());
    ASSERT_TRUE(Read(*restored, context_).ok()) << stop;
    EXPECT_EQ(Ids(), Range(0, 20)) << stop;
    EXPECT_EQ(rows_[0].text, "two\nlines");
  }
}

// Rule 49
TEST_F(FilesSourceTest, GoesOnAtAnyOtherParallelism) {
  for (int i = 0; i < 7; ++i) {
    const std::string path = StrCat("/in/", i, i % 2 == 0 ? ".jsonl" : ".jsonl.gz");
    const std::string lines = JsonLines(100 * i, 100 * (i + 1));
    Put(path, i % 2 == 0 ? lines : Gzip(lines));
  }
  SimRandom random(7);
  for (int round = 0; round < 60; ++round) {
    rows_.clear();
    std::vector<std::string> positions;
    for (int step = 0; step < 5; ++step) {
      const auto parallelism = static_cast<uint32_t>(random.Between(1, 5));
      std::vector<std::string> next;
      for (uint32_t subtask = 0; subtask < parallelism; ++subtask) {
        auto reader = Make({.path = "/in"});
        TestSourceContext context(subtask, parallelism);
        if (positions.size() == parallelism) {
          ASSERT_TRUE(reader->RestorePosition(positions[subtask]).ok());
        } else if (!positions.empty()) {
          ASSERT_TRUE(
              reader->RestorePositions({positions.begin(), positions.end()}, subtask, parallelism)
                  .ok());
        }
        ASSERT_TRUE(reader->Open(context).ok());
        // Some do not even know their files.
        const size_t more = random.Chance(0.3) ? 0 : static_cast<size_t>(random.Between(0, 100));
        const absl::Status read =
            Read(*reader, context, step == 4 ? SIZE_MAX : rows_.size() + more);
        ASSERT_TRUE(read.ok()) << read;
        next.push_back(reader->SnapshotPosition());
      }
      positions = std::move(next);
    }
    std::vector<int64_t> ids = Ids();
    std::sort(ids.begin(), ids.end());
    ASSERT_EQ(ids, Range(0, 700)) << round;
  }
}

// A watermark of one may have passed what is still to come in another.
TEST_F(FilesSourceTest, FilesThatSeveralHadBegunAreASplitEach) {
  Put("/in/a.jsonl", JsonLines(0, 100));
  Put("/in/b.jsonl", JsonLines(100, 200));
  std::vector<std::string> positions;
  for (uint32_t subtask = 0; subtask < 2; ++subtask) {
    rows_.clear();
    TestSourceContext context(subtask, 2);
    auto reader = Make({.path = "/in"});
    ASSERT_TRUE(reader->Open(context).ok());
    ASSERT_TRUE(Read(*reader, context, 50).ok());
    positions.push_back(reader->SnapshotPosition());
  }
  auto reader = Make({.path = "/in"});
  ASSERT_TRUE(reader->RestorePositions({positions.begin(), positions.end()}, 0, 1).ok());
  ASSERT_TRUE(reader->Open(context_).ok());
  EXPECT_EQ(reader->splits(), 2u);
  std::map<uint32_t, std::set<int64_t>> by_split;
  size_t turns = 0;
  uint32_t last = 2;
  for (size_t ended = 0; ended < 2;) {
    const int wakes = context_.wakes;
    Batch<Row> batch;
    const auto result = reader->Poll(batch, max_records_);
    ASSERT_TRUE(result.ok()) << result.status();
    if (!batch.empty() && result->split != last) {
      ++turns;
      last = result->split;
    }
    for (const Row& row : batch.records) by_split[result->split].insert(row.id / 100);
    if (result->split_ended) ++ended;
    EXPECT_EQ(result->state == PollState::kEnd, ended == 2);
    if (result->state == PollState::kWait) {
      ASSERT_TRUE(world_.RunUntil([&] { return context_.wakes > wakes; }, absl::Seconds(10)));
    }
  }
  EXPECT_EQ(by_split, (std::map<uint32_t, std::set<int64_t>>{{0, {0}}, {1, {1}}}));
  EXPECT_GT(turns, 6u) << "side by side";
}

TEST_F(FilesSourceTest, FindsFilesThatComeWhileItRuns) {
  Put("/in/b.jsonl", JsonLines(0, 10));
  const Files settings = {.path = "/in", .discover = Duration(1'000'000)};
  auto reader = Make(settings);
  ASSERT_TRUE(reader->Open(context_).ok());
  ASSERT_TRUE(Follow(*reader, context_).ok());
  EXPECT_EQ(Ids(), Range(0, 10));
  // Also one whose name comes before those that were read.
  Put("/in/a.jsonl", JsonLines(10, 20));
  ASSERT_TRUE(Follow(*reader, context_).ok());
  EXPECT_EQ(Ids(), Range(0, 10)) << "it is not time yet";
  context_.now += 1'000'000;
  ASSERT_TRUE(Follow(*reader, context_).ok());
  EXPECT_EQ(Ids(), Range(0, 20));
  // What was read may go, and what comes under its name later is another file.
  ASSERT_TRUE(files().Delete("/in/b.jsonl").ok());
  context_.now += 1'000'000;
  ASSERT_TRUE(Follow(*reader, context_).ok());
  Put("/in/b.jsonl", JsonLines(20, 30));
  context_.now += 1'000'000;
  ASSERT_TRUE(Follow(*reader, context_).ok());
  EXPECT_EQ(Ids(), Range(0, 30));
  EXPECT_LT(reader->SnapshotPosition().size(), 60u) << "16 bytes a file";
}

TEST_F(FilesSourceTest, FilesThatComeAreReadOnceAtAnyParallelism) {
  SimRandom random(3);
  const Files settings = {.path = "/in/*.jsonl", .discover = Duration(1'000'000)};
  int64_t written = 0;
  Ticks now = 0;
  std::vector<std::string> positions;
  for (int step = 0; step < 60; ++step) {
    const auto parallelism = static_cast<uint32_t>(random.Between(1, 4));
    std::vector<std::string> next;
    for (uint32_t subtask = 0; subtask < parallelism; ++subtask) {
      TestSourceContext context(subtask, parallelism);
      context.now = now += 1'000'000;
      auto reader = Make(settings);
      if (positions.size() == parallelism) {
        ASSERT_TRUE(reader->RestorePosition(positions[subtask]).ok());
      } else if (!positions.empty()) {
        ASSERT_TRUE(
            reader->RestorePositions({positions.begin(), positions.end()}, subtask, parallelism)
                .ok());
      }
      ASSERT_TRUE(reader->Open(context).ok());
      for (int i = 0; i < random.Between(0, 3) && step < 58; ++i) {
        Put(StrCat("/in/", random.Next() % 1000000, ".jsonl"), JsonLines(written, written + 20));
        written += 20;
      }
      const size_t more = random.Chance(0.3) ? 0 : static_cast<size_t>(random.Between(0, 60));
      const absl::Status read =
          Follow(*reader, context, step >= 58 ? SIZE_MAX : rows_.size() + more);
      ASSERT_TRUE(read.ok()) << read;
      next.push_back(reader->SnapshotPosition());
    }
    positions = std::move(next);
  }
  std::vector<int64_t> ids = Ids();
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(ids, Range(0, written));
  EXPECT_GT(written, 1000);
}

TEST_F(FilesSourceTest, ToLookForFilesAfterASnapshotWithoutThatIsRefused) {
  Put("/in/a.jsonl", JsonLines(0, 10));
  auto reader = Make({.path = "/in"});
  ASSERT_TRUE(reader->Open(context_).ok());
  ASSERT_TRUE(Read(*reader, context_).ok());
  auto restored = Make({.path = "/in", .discover = Duration(1'000'000)});
  ASSERT_TRUE(restored->RestorePosition(reader->SnapshotPosition()).ok());
  EXPECT_THAT(restored->Open(context_).ToString(), HasSubstr("take .discover out"));
}

TEST_F(FilesSourceTest, AFolderThatIsNotThereIsAnErrorAlsoIfFilesAreLookedFor) {
  auto reader = Make({.path = "/nowhere", .discover = Duration(1'000'000)});
  ASSERT_TRUE(reader->Open(context_).ok());
  EXPECT_THAT(Follow(*reader, context_).ToString(), HasSubstr("/nowhere"));
  // But a pattern may wait for its first file.
  auto waiting = Make({.path = "/in/*.jsonl", .discover = Duration(1'000'000)});
  ASSERT_TRUE(waiting->Open(context_).ok());
  ASSERT_TRUE(Follow(*waiting, context_).ok());
  EXPECT_THAT(rows_, IsEmpty());
}

TEST_F(FilesSourceTest, AnErrorAfterARestoreHasTheRightLine) {
  Put("/in/a.csv", "text,id\n\"two\nlines\",0\nx,1\nbad,z\n");
  max_records_ = 1;
  auto reader = Make({.path = "/in"});
  ASSERT_TRUE(reader->Open(context_).ok());
  ASSERT_TRUE(Read(*reader, context_, 1).ok());
  auto restored = Make({.path = "/in"});
  ASSERT_TRUE(restored->RestorePosition(reader->SnapshotPosition()).ok());
  ASSERT_TRUE(restored->Open(context_).ok());
  EXPECT_THAT(Read(*restored, context_).ToString(), HasSubstr("/in/a.csv:5: field 'id'"));
}

TEST_F(FilesSourceTest, AReplacedFileIsNoticedAfterARestore) {
  for (const bool compressed : {false, true}) {
    const std::string path = compressed ? "/in/a.jsonl.gz" : "/in/a.jsonl";
    Put(path, compressed ? Gzip(JsonLines(0, 100)) : JsonLines(0, 100));
    rows_.clear();
    auto reader = Make({.path = path});
    ASSERT_TRUE(reader->Open(context_).ok());
    ASSERT_TRUE(Read(*reader, context_, 50).ok());
    Put(path, compressed ? Gzip(JsonLines(0, 5)) : JsonLines(0, 5));
    auto restored = Make({.path = path});
    ASSERT_TRUE(restored->RestorePosition(reader->SnapshotPosition()).ok());
    ASSERT_TRUE(restored->Open(context_).ok());
    EXPECT_THAT(Read(*restored, context_).ToString(), HasSubstr("was it replaced?"));
  }
}

TEST_F(FilesSourceTest, ATypeThatCsvCannotHoldIsRefused) {
  type_.set_csv(absl::InvalidArgumentError("field 'tags' is a list: CSV has none"));
  Put("/in/a.csv", "id,text\n1,x\n");
  EXPECT_EQ(ReadAll({.path = "/in/a.csv"}).message(),
            "/in/a.csv: field 'tags' is a list: CSV has none");
}

// The same on the real file system and its threads.
TEST(FilesSourceOnDiskTest, ReadsRealFilesOnRealThreads) {
  const std::string folder =
      ::testing::TempDir() + "/weir_files_source_" + std::to_string(::getpid());
  auto env = MakeSystemEnv();
  ASSERT_TRUE(env->files().CreateDirectories(folder + "/sub").ok());
  ASSERT_TRUE(WriteFileAtomically(env->files(), folder + "/a.jsonl", JsonLines(0, 20000)).ok());
  ASSERT_TRUE(
      WriteFileAtomically(env->files(), folder + "/b.jsonl.gz", Gzip(JsonLines(20000, 40000)))
          .ok());
  ASSERT_TRUE(
      WriteFileAtomically(env->files(), folder + "/sub/c.jsonl.zst", Zstd(JsonLines(40000, 60000)))
          .ok());
  RowType type;

  // Wakes from another thread, as the runtime's mailbox takes them.
  class WaitingContext final : public SourceContext {
   public:
    explicit WaitingContext(MetricGroup& metrics) : metrics_(metrics) {}
    std::uint32_t subtask() const override { return 0; }
    std::uint32_t parallelism() const override { return 1; }
    Ticks ProcessingTime() const override { return 0; }
    MetricGroup& metrics() override { return metrics_; }
    const std::string& uid() const override { return uid_; }
    void Wake() override {
      wakes.fetch_add(1);
      wakes.notify_one();
    }
    Output* malformed_output() override { return nullptr; }
    std::atomic<int> wakes{0};

   private:
    MetricGroup& metrics_;
    std::string uid_ = "in";
  };
  TestMetrics metrics;
  for (int round = 0; round < 5; ++round) {
    WaitingContext context(metrics);
    FilesSource reader(*env, {.path = folder + (round % 2 == 0 ? "" : "/*")}, type);
    ASSERT_TRUE(reader.Open(context).ok());
    int64_t expected = 0;
    for (;;) {
      const int wakes = context.wakes.load();
      Batch<Row> batch;
      auto result = reader.Poll(batch, 1024);
      ASSERT_TRUE(result.ok()) << result.status();
      for (const Row& row : batch.records) ASSERT_EQ(row.id, expected++);
      if (result->state == PollState::kEnd) break;
      if (result->state == PollState::kWait) context.wakes.wait(wakes);
    }
    EXPECT_EQ(expected, 60000);
    reader.Close();
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace weir

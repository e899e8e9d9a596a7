#include "transport/exchange/frame_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "common/base/strings.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

std::string Encode(std::vector<WireFrame> frames) {
  MessageEncoder encoder;
  for (WireFrame& frame : frames) encoder.Add(std::move(frame));
  std::string bytes;
  for (const std::string& piece : encoder.Finish().pieces) bytes += piece;
  return bytes;
}

WireFrame Data(std::string payload, uint32_t sequence = 0) {
  return {{1, 2, 3}, sequence, {FrameKind::kData, false, 10, 0, std::move(payload)}};
}

absl::Status Decode(std::string message) {
  std::vector<WireFrame> frames;
  absl::Status status = DecodeMessage(std::move(message), &frames);
  EXPECT_EQ(status.ok(), !frames.empty());
  return status;
}

void ExpectMalformed(const std::string& message, const std::string& why) {
  const absl::Status status = Decode(message);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << why;
  EXPECT_THAT(std::string(status.message()), HasSubstr(why));
}

TEST(FrameCodecTest, AMessageOfAllKindsIsReadAsWritten) {
  std::vector<WireFrame> frames;
  frames.push_back({{7, 0, 4095}, 5, {FrameKind::kData, true, 0, 0, std::string(65536, 'x')}});
  frames.push_back({{7, 0, 4095}, 6, {FrameKind::kData, false, 3, 0, "rest"}});
  frames.push_back(
      {{0xffffffff, 1, 2}, 0xffffffff, {FrameKind::kWatermark, false, 0, -12345678901, ""}});
  frames.push_back({{1, 1, 1}, 0, {FrameKind::kIdle, false, 0, 0, ""}});
  frames.push_back({{1, 1, 1}, 1, {FrameKind::kActive, false, 0, 0, ""}});
  frames.push_back({{1, 1, 1}, 2, {FrameKind::kBarrier, false, 0, 17, "options"}});
  frames.push_back({{1, 1, 1}, 3, {FrameKind::kEndOfInput, false, 0, 0, ""}});
  frames.push_back({{1, 1, 1}, 0, {FrameKind::kCredit, false, 16, 0, ""}});
  for (const bool reversed : {false, true}) {
    if (reversed) std::reverse(frames.begin(), frames.end());
    std::vector<WireFrame> read;
    ASSERT_EQ(DecodeMessage(Encode(frames), &read), absl::OkStatus());
    ASSERT_EQ(read.size(), frames.size());
    for (size_t i = 0; i < read.size(); ++i) {
      EXPECT_EQ(read[i].channel, frames[i].channel);
      EXPECT_EQ(read[i].sequence, frames[i].sequence);
      EXPECT_EQ(read[i].frame.kind, frames[i].frame.kind);
      EXPECT_EQ(read[i].frame.more, frames[i].frame.more);
      EXPECT_EQ(read[i].frame.record_count, frames[i].frame.record_count);
      EXPECT_EQ(read[i].frame.time, frames[i].frame.time);
      EXPECT_EQ(read[i].frame.payload, frames[i].frame.payload);
    }
  }
}

// The bytes as docs/FORMATS.md has them: they may not change without a new protocol version.
TEST(FrameCodecTest, TheBytesAreThoseOfTheFormatsPage) {
  std::string bytes = Encode({{{0x01020304, 5, 6}, 7, {FrameKind::kData, true, 8, -2, "abc"}}});
  ASSERT_EQ(bytes.size(), 3 + kFrameEntryBytes + kMessageFooterBytes);
  const std::string checksum = bytes.substr(39, 4);
  bytes.erase(39, 4);
  EXPECT_EQ(bytes, std::string("abc"
                               "\3\0\0\0"
                               "\4\3\2\1\5\0\0\0\6\0\0\0"
                               "\7\0\0\0"
                               "\x08\0\0\0"
                               "\xfe\xff\xff\xff\xff\xff\xff\xff"
                               "\1\1\0\0"
                               "\1\0\0\0WXF1",
                               47));
  EXPECT_EQ(checksum, std::string("\x06\x47\xc4\x78", 4)) << testing::PrintToString(checksum);
}

TEST(FrameCodecTest, AMessageCutAnywhereIsMalformed) {
  const std::string whole = Encode({Data("payload"), Data("more", 1)});
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(Decode(whole.substr(0, size)).code(), absl::StatusCode::kDataLoss) << size;
    EXPECT_EQ(Decode(whole.substr(whole.size() - size)).code(), absl::StatusCode::kDataLoss)
        << size;
  }
  ExpectMalformed("", "truncated");
  ExpectMalformed(whole + whole, "belong to no frame");
}

TEST(FrameCodecTest, AnyChangedBitIsNoticed) {
  const std::string whole = Encode({Data("payload"), Data(std::string(100, 'y'), 1)});
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string changed = whole;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_EQ(Decode(changed).code(), absl::StatusCode::kDataLoss) << bit;
  }
  std::string changed = whole;
  changed[0] = 'P';
  ExpectMalformed(changed, "wrong checksum of a frame of edge 1 from subtask 2 to subtask 3");
}

TEST(FrameCodecTest, WhatIsTooLongIsMalformed) {
  std::string lengthened = Encode({Data("abc")});
  lengthened[3 + 2] = 2;  // 128 KiB
  ExpectMalformed(lengthened, "is too long");
  ExpectMalformed(std::string(kMaxExchangeMessageBytes + 1, 'x'), "too long");
  std::vector<WireFrame> many;
  for (uint32_t i = 0; i <= kMaxFramesPerMessage; ++i) many.push_back(Data("", i));
  ExpectMalformed(Encode(std::move(many)), "1025 frames announced");
}

TEST(FrameCodecTest, AKindAFlagOrAPayloadThatIsNotOfTheFormatIsMalformed) {
  ExpectMalformed(Encode({{{}, 0, {static_cast<FrameKind>(8), false, 0, 0, ""}}}),
                  "unknown kind of frame 8");
  ExpectMalformed(Encode({{{}, 0, {static_cast<FrameKind>(0), false, 0, 0, ""}}}),
                  "unknown kind of frame 0");
  ExpectMalformed(Encode({{{}, 0, {FrameKind::kWatermark, true, 0, 0, ""}}}), "unknown flags");
  ExpectMalformed(Encode({{{}, 0, {FrameKind::kWatermark, false, 0, 0, "x"}}}), "a payload in");
}

TEST(FrameCodecTest, TheFirstPayloadIsTakenOverWithoutACopyIfItIsMostOfTheMessage) {
  std::string message = Encode({Data(std::string(60000, 'x')), Data("small", 1)});
  const char* const buffer = message.data();
  std::vector<WireFrame> frames;
  ASSERT_TRUE(DecodeMessage(std::move(message), &frames).ok());
  EXPECT_EQ(frames[0].frame.payload.data(), buffer);
  EXPECT_EQ(frames[1].frame.payload, "small");
}

TEST(FrameCodecTest, RandomBytesWithAGoodFooterNeitherCrashNorPass) {
  std::mt19937 random(1);
  for (int i = 0; i < 20000; ++i) {
    std::string message(random() % 300, '\0');
    for (char& c : message) c = static_cast<char>(random() % 4 == 0 ? random() : 0);
    message += std::string({static_cast<char>(random() % 5), 0, 0, 0}) + "WXF1";
    EXPECT_FALSE(Decode(message).ok());
  }
}

}  // namespace
}  // namespace weir

// The generator against the vectors of definition.md, bit for bit.

#include "benchmarks/nexmark/generator.h"

#include <simdjson.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "benchmarks/nexmark/result_digest.h"
#include "gtest/gtest.h"

namespace nexmark {
namespace {

using simdjson::dom::element;

std::string_view TextOf(const element& object, const char* field) {
  return object[field].get_string().value();
}
std::int64_t NumberOf(const element& object, const char* field) {
  return object[field].get_int64().value();
}
std::int64_t Millis(weir::EventTime time) { return time.ticks() / 1000; }

// FNV-1a 64 of canonical encodings.
class Checksum {
 public:
  void Bytes(std::string_view bytes) {
    for (const char byte : bytes) {
      hash_ = (hash_ ^ static_cast<unsigned char>(byte)) * 0x100000001B3;
    }
    bytes_ += bytes.size();
  }
  std::uint64_t bytes() const { return bytes_; }
  std::string Hex() const {
    char text[17];
    std::snprintf(text, sizeof(text), "%016lx", hash_);
    return text;
  }

 private:
  std::uint64_t hash_ = 0xCBF29CE484222325;
  std::uint64_t bytes_ = 0;
};

// The type as a byte, then the fields in the order of the definition.
class CanonicalEncoder {
 public:
  std::string_view Encode(const Event& event) {
    bytes_.assign(1, static_cast<char>(event.kind()));
    event.Visit([this](const auto& fields) { Put(fields); });
    return bytes_;
  }

 private:
  void Put(const Person& p) {
    All(p.id, p.name, p.email, p.card, p.city, p.state, p.time, p.extra);
  }
  void Put(const Auction& a) {
    All(a.id, a.item, a.description, a.initial_bid, a.reserve, a.time, a.expires, a.seller,
        a.category, a.extra);
  }
  void Put(const Bid& b) { All(b.auction, b.bidder, b.price, b.channel, b.url, b.time, b.extra); }
  template <class... Fields>
  void All(const Fields&... fields) {
    (Field(fields), ...);
  }
  void Field(std::int64_t number) {
    bytes_.append(reinterpret_cast<const char*>(&number), sizeof(number));
  }
  void Field(weir::EventTime time) { Field(Millis(time)); }
  template <std::size_t N>
  void Field(const Text<N>& text) {
    bytes_.append(reinterpret_cast<const char*>(&text.size), sizeof(text.size));
    bytes_.append(text.view());
  }
  std::string bytes_;
};

class GeneratorTest : public ::testing::Test {
 protected:
  GeneratorTest() : vectors_(parser_.load(NEXMARK_TESTDATA "/vectors.json").value()) {}
  simdjson::dom::parser parser_;
  element vectors_;
};

TEST_F(GeneratorTest, TheFirstEventsAreThoseOfTheDefinition) {
  const Generator make({});
  std::uint64_t number = 0;
  for (const element expected : vectors_["events_seed_1_rate_100000"].get_array()) {
    SCOPED_TRACE(number);
    ASSERT_EQ(NumberOf(expected, "E"), static_cast<std::int64_t>(number));
    const Event event = make(number++);
    EXPECT_EQ(Millis(event.time()), NumberOf(expected, "time"));
    const std::string_view type = TextOf(expected, "type");
    if (type == "person") {
      ASSERT_TRUE(event.IsPerson());
      const Person& person = event.person();
      EXPECT_EQ(person.id, NumberOf(expected, "id"));
      EXPECT_EQ(person.name.view(), TextOf(expected, "name"));
      EXPECT_EQ(person.email.view(), TextOf(expected, "email"));
      EXPECT_EQ(person.card.view(), TextOf(expected, "card"));
      EXPECT_EQ(person.city.view(), TextOf(expected, "city"));
      EXPECT_EQ(person.state.view(), TextOf(expected, "state"));
      EXPECT_EQ(person.extra.view(), TextOf(expected, "extra"));
    } else if (type == "auction") {
      ASSERT_TRUE(event.IsAuction());
      const Auction& auction = event.auction();
      EXPECT_EQ(auction.id, NumberOf(expected, "id"));
      EXPECT_EQ(auction.item.view(), TextOf(expected, "item"));
      EXPECT_EQ(auction.description.view(), TextOf(expected, "description"));
      EXPECT_EQ(auction.initial_bid, NumberOf(expected, "initial_bid"));
      EXPECT_EQ(auction.reserve, NumberOf(expected, "reserve"));
      EXPECT_EQ(Millis(auction.expires), NumberOf(expected, "expires"));
      EXPECT_EQ(auction.seller, NumberOf(expected, "seller"));
      EXPECT_EQ(auction.category, NumberOf(expected, "category"));
      EXPECT_EQ(auction.extra.view(), TextOf(expected, "extra"));
    } else {
      ASSERT_TRUE(event.IsBid());
      const Bid& bid = event.bid();
      EXPECT_EQ(bid.auction, NumberOf(expected, "auction"));
      EXPECT_EQ(bid.bidder, NumberOf(expected, "bidder"));
      EXPECT_EQ(bid.price, NumberOf(expected, "price"));
      EXPECT_EQ(bid.channel.view(), TextOf(expected, "channel"));
      EXPECT_EQ(bid.url.view(), TextOf(expected, "url"));
      EXPECT_EQ(bid.extra.view(), TextOf(expected, "extra"));
    }
  }
  EXPECT_EQ(number, 100u);
}

TEST_F(GeneratorTest, TheStreamsHaveTheChecksumsOfTheDefinition) {
  int streams = 0;
  for (const element expected : vectors_["checksums"].get_array()) {
    ++streams;
    const auto seed = static_cast<std::uint64_t>(NumberOf(expected, "seed"));
    const auto rate = static_cast<std::uint64_t>(NumberOf(expected, "rate"));
    const auto n = static_cast<std::uint64_t>(NumberOf(expected, "n"));
    SCOPED_TRACE(::testing::Message() << "seed " << seed << ", rate " << rate << ", " << n);
    const Generator make({.seed = seed, .rate = rate, .base_ms = NumberOf(expected, "base")});
    Checksum all;
    std::array<Checksum, 3> kinds;
    CanonicalEncoder encoder;
    Event event;
    for (std::uint64_t i = 0; i < n; ++i) {
      make.Make(i, event);
      const std::string_view bytes = encoder.Encode(event);
      all.Bytes(bytes);
      kinds[static_cast<std::size_t>(event.kind())].Bytes(bytes);
    }
    const element bytes = expected["bytes"];
    EXPECT_EQ(static_cast<std::int64_t>(all.bytes()), NumberOf(bytes, "all"));
    EXPECT_EQ(all.Hex(), TextOf(expected, "all"));
    EXPECT_EQ(kinds[0].Hex(), TextOf(expected, "person"));
    EXPECT_EQ(kinds[1].Hex(), TextOf(expected, "auction"));
    EXPECT_EQ(kinds[2].Hex(), TextOf(expected, "bid"));
  }
  EXPECT_EQ(streams, 9);
}

// Between workers and in checkpoints an event is what Codec makes of it.
TEST_F(GeneratorTest, AnEncodedEventIsTheSameEvent) {
  const Generator make({.seed = 3});
  CanonicalEncoder encoder;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const Event event = make(i);
    std::string bytes;
    weir::EncodeValue(event, bytes);
    weir::Decoder in(bytes);
    Event read;
    ASSERT_TRUE(weir::DecodeValue(in, read)) << in.status();
    EXPECT_EQ(in.remaining(), 0u);
    const std::string expected(encoder.Encode(event));
    ASSERT_EQ(encoder.Encode(read), expected) << i;
  }
}

TEST_F(GeneratorTest, DamagedEventsAreRefused) {
  std::string bytes;
  weir::EncodeValue(Generator({})(4), bytes);
  Event read;
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    weir::Decoder in(std::string_view(bytes).substr(0, size));
    EXPECT_FALSE(weir::DecodeValue(in, read)) << size;
  }
  bytes[0] = 3;
  weir::Decoder in(bytes);
  EXPECT_FALSE(weir::DecodeValue(in, read));
}

TEST(ResultDigestTest, ARowIsOneLineWithTheHashOfTheDefinition) {
  const std::string line = Line(std::int64_t{1}, Text<4>("abc"), Thousandths{90'800});
  EXPECT_EQ(line, "1|abc|90.800");
  EXPECT_EQ(Line(weir::EventTime::FromMillis(1'767'225'567'000), Thousandths{1'234'005}),
            "1767225567000|1234.005");
  ResultDigest digest;
  digest.Add(line);
  EXPECT_EQ(digest, (ResultDigest{1, 0x06afc3e2d6a84b6b}));
}

}  // namespace
}  // namespace nexmark

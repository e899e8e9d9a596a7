#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

#include "benchmarks/nexmark/text.h"
#include "weir/sdk.h"

// The events of an auction house, as definition.md has them. The room for a text is that of the
// longest one, rounded up to the 16 letters that the generator writes at a time.
namespace nexmark {

struct Person {
  weir::EventTime time;
  std::int64_t id;
  Text<16> name;
  Text<32> email;
  Text<20> card;
  Text<16> city;
  Text<4> state;
  Text<160> extra;
};

struct Auction {
  weir::EventTime time;
  std::int64_t id;
  std::int64_t initial_bid;
  std::int64_t reserve;
  weir::EventTime expires;
  std::int64_t seller;
  std::int64_t category;
  Text<32> item;
  Text<112> description;
  Text<512> extra;
};

struct Bid {
  weir::EventTime time;
  std::int64_t auction;
  std::int64_t bidder;
  std::int64_t price;
  Text<12> channel;
  Text<80> url;
  Text<96> extra;
};

// One of the three. Bytes that its kind does not use are never read.
class Event {
 public:
  enum class Kind : std::uint8_t { kPerson, kAuction, kBid };

  Event() : kind_(Kind::kBid) { BecomeBid(); }

  Kind kind() const { return kind_; }
  bool IsPerson() const { return kind_ == Kind::kPerson; }
  bool IsAuction() const { return kind_ == Kind::kAuction; }
  bool IsBid() const { return kind_ == Kind::kBid; }
  // Of the kind that it is.
  const Person& person() const { return person_; }
  const Auction& auction() const { return auction_; }
  const Bid& bid() const { return bid_; }

  weir::EventTime time() const {
    return IsBid() ? bid_.time : IsAuction() ? auction_.time : person_.time;
  }

  // Makes it one of that kind, to be filled.
  Person& BecomePerson() { return Become(Kind::kPerson, person_); }
  Auction& BecomeAuction() { return Become(Kind::kAuction, auction_); }
  Bid& BecomeBid() { return Become(Kind::kBid, bid_); }

  // Calls f with the person, auction or bid.
  template <class F>
  void Visit(F&& f) const {
    if (IsBid()) {
      f(bid_);
    } else if (IsAuction()) {
      f(auction_);
    } else {
      f(person_);
    }
  }

 private:
  template <class T>
  T& Become(Kind kind, T& as) {
    kind_ = kind;
    return *::new (static_cast<void*>(&as)) T;
  }

  Kind kind_;
  union {
    Person person_;
    Auction auction_;
    Bid bid_;
  };
};

static_assert(std::is_trivially_copyable_v<Event>);

}  // namespace nexmark

namespace weir {

// The kind, then the fields.
template <>
struct Codec<nexmark::Event> {
  using Event = nexmark::Event;
  static constexpr std::string_view kTypeName = "nexmark.event";
  static void Encode(const Event& event, Encoder& out) {
    out.Fixed(event.kind());
    event.Visit([&out](const auto& fields) { EncodeValue(fields, out); });
  }
  static bool Decode(Decoder& in, Event& event) {
    std::uint8_t kind = 0;
    if (!in.Fixed(kind)) return false;
    switch (kind) {
      case 0:
        return DecodeValue(in, event.BecomePerson());
      case 1:
        return DecodeValue(in, event.BecomeAuction());
      case 2:
        return DecodeValue(in, event.BecomeBid());
      default:
        return in.Fail("no kind of event");
    }
  }
  static absl::Status ReadJson(JsonReader&, Event&) {
    return absl::UnimplementedError("an event of several kinds is not read from JSON");
  }
  static void WriteJson(const Event& event, std::string& out) {
    event.Visit([&out](const auto& fields) { WriteJsonValue(fields, out); });
  }
};

}  // namespace weir

#pragma once

#include <cstdint>
#include <string>

#include "benchmarks/nexmark/event.h"
#include "benchmarks/nexmark/result_digest.h"

// Queries of bids alone.
namespace nexmark {

using Events = weir::Stream<Event>;

// Pass through: what stays of a bid when the query does not ask for all of it.
struct PassedBid {
  std::int64_t auction = 0;
  std::int64_t bidder = 0;
  std::int64_t price = 0;
  weir::EventTime time;
  Text<96> extra;

  std::string Row() const { return Line(auction, bidder, price, time, extra); }
};

inline auto Q0(const Events& events) {
  return events.Filter(&Event::IsBid).Map([](const Event& event) {
    const Bid& bid = event.bid();
    return PassedBid{bid.auction, bid.bidder, bid.price, bid.time, bid.extra};
  });
}

// Prices in another currency.
struct ConvertedBid {
  std::int64_t auction = 0;
  std::int64_t bidder = 0;
  Thousandths price;
  weir::EventTime time;
  Text<96> extra;

  std::string Row() const { return Line(auction, bidder, price, time, extra); }
};

inline auto Q1(const Events& events) {
  return events.Filter(&Event::IsBid).Map([](const Event& event) {
    const Bid& bid = event.bid();
    return ConvertedBid{bid.auction, bid.bidder, {bid.price * 908}, bid.time, bid.extra};
  });
}

// Bids on some auctions.
struct AuctionPrice {
  std::int64_t auction = 0;
  std::int64_t price = 0;

  std::string Row() const { return Line(auction, price); }
};

inline auto Q2(const Events& events) {
  return events
      .Filter([](const Event& event) { return event.IsBid() && event.bid().auction % 123 == 0; })
      .Map([](const Event& event) { return AuctionPrice{event.bid().auction, event.bid().price}; });
}

}  // namespace nexmark

#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "benchmarks/nexmark/bids.h"

// Queries of bids in windows of event time.
namespace nexmark {

// ---- Q5: the auctions with the most bids in the last ten seconds, every two.

struct AuctionBids {
  std::int64_t auction = 0;
  std::int64_t bids = 0;
  weir::EventTime end;

  std::string Row() const { return Line(auction, bids); }
};

// Those with the most.
struct MostBids {
  using Accumulator = std::vector<AuctionBids>;
  void Add(Accumulator& most, const AuctionBids& one) const {
    if (!most.empty() && one.bids < most.front().bids) return;
    if (!most.empty() && one.bids > most.front().bids) most.clear();
    most.push_back(one);
  }
  void Merge(Accumulator& most, const Accumulator& others) const {
    for (const AuctionBids& one : others) Add(most, one);
  }
  Accumulator Result(const Accumulator& most) const { return most; }
};

inline auto Q5(const Events& events) {
  constexpr weir::Duration kSize = std::chrono::seconds(10);
  constexpr weir::Duration kSlide = std::chrono::seconds(2);
  return events.Filter(&Event::IsBid)
      .Map([](const Event& event) { return event.bid().auction; })
      .KeyBy(std::identity())
      .Window(weir::Sliding{kSize, kSlide})
      .Aggregate("bids-of-auction", weir::Count{},
                 [](std::int64_t auction, const weir::TimeWindow& window, std::int64_t bids) {
                   return AuctionBids{auction, bids, window.end};
                 })
      // What one window puts out has the time of its last moment.
      .KeyBy(&AuctionBids::end)
      .Window(weir::Tumbling{kSlide})
      .Aggregate("most", MostBids{},
                 [](weir::EventTime, const weir::TimeWindow&, std::vector<AuctionBids> most) {
                   return most;
                 })
      .FlatMap(std::identity());
}

// ---- Q7: the bids with the highest price of each ten seconds.

struct HighBid {
  std::int64_t auction = 0;
  std::int64_t price = 0;
  std::int64_t bidder = 0;
  weir::EventTime time;
  Text<96> extra;

  std::string Row() const { return Line(auction, price, bidder, time, extra); }
};

struct HighestBids {
  using Accumulator = std::vector<HighBid>;
  void Add(Accumulator& highest, const HighBid& bid) const {
    if (!highest.empty() && bid.price < highest.front().price) return;
    if (!highest.empty() && bid.price > highest.front().price) highest.clear();
    highest.push_back(bid);
  }
  void Merge(Accumulator& highest, const Accumulator& others) const {
    for (const HighBid& bid : others) Add(highest, bid);
  }
  Accumulator Result(const Accumulator& highest) const { return highest; }
};

// First the highest of each of some groups of bidders, so that more than one subtask has a part,
// then of all.
inline auto Q7(const Events& events) {
  constexpr weir::Duration kSize = std::chrono::seconds(10);
  constexpr std::int64_t kGroups = 64;
  const auto bids_of = [](auto, const weir::TimeWindow&, std::vector<HighBid> bids) {
    return bids;
  };
  return events.Filter(&Event::IsBid)
      .Map([](const Event& event) {
        const Bid& bid = event.bid();
        return HighBid{bid.auction, bid.price, bid.bidder, bid.time, bid.extra};
      })
      .KeyBy([](const HighBid& bid) { return bid.bidder % kGroups; })
      .Window(weir::Tumbling{kSize})
      .Aggregate("highest-of-group", HighestBids{}, bids_of)
      .FlatMap(std::identity())
      .KeyBy([](const HighBid&) { return 0; })
      .Window(weir::Tumbling{kSize})
      .Aggregate("highest", HighestBids{}, bids_of)
      .FlatMap(std::identity());
}

// ---- Q11: how often a bidder bids until there is none of his for ten seconds.

struct BidderSession {
  std::int64_t bidder = 0;
  std::int64_t bids = 0;
  weir::EventTime start;
  weir::EventTime end;

  std::string Row() const { return Line(bidder, bids, start, end); }
};

inline auto Q11(const Events& events) {
  constexpr weir::Duration kGap = std::chrono::seconds(10);
  return events.Filter(&Event::IsBid)
      .Map([](const Event& event) { return event.bid().bidder; })
      .KeyBy(std::identity())
      .Window(weir::Session{kGap})
      .Aggregate("sessions", weir::Count{},
                 [](std::int64_t bidder, const weir::TimeWindow& window, std::int64_t bids) {
                   return BidderSession{bidder, bids, window.start, window.end};
                 });
}

// ---- Q17: the prices of each auction and day.

struct Price {
  std::int64_t auction = 0;
  std::int64_t price = 0;
};
struct DayOfAuction {
  std::int64_t auction = 0;
  std::string day;
  std::int64_t bids = 0;
  std::int64_t low = 0, middle = 0, high = 0;
  std::int64_t least = 0, greatest = 0, average = 0, sum = 0;

  std::string Row() const {
    return Line(auction, day, bids, low, middle, high, least, greatest, average, sum);
  }
};

struct PriceStatistics {
  struct Accumulator {
    std::int64_t low = 0, middle = 0, high = 0;
    std::int64_t least = std::numeric_limits<std::int64_t>::max();
    std::int64_t greatest = 0;
    std::int64_t sum = 0;
  };
  void Add(Accumulator& prices, const Price& bid) const {
    prices.low += bid.price < 10'000 ? 1 : 0;
    prices.high += bid.price >= 1'000'000 ? 1 : 0;
    prices.middle += bid.price >= 10'000 && bid.price < 1'000'000 ? 1 : 0;
    prices.least = std::min(prices.least, bid.price);
    prices.greatest = std::max(prices.greatest, bid.price);
    prices.sum += bid.price;
  }
  void Merge(Accumulator& into, const Accumulator& later) const {
    into.low += later.low;
    into.middle += later.middle;
    into.high += later.high;
    into.least = std::min(into.least, later.least);
    into.greatest = std::max(into.greatest, later.greatest);
    into.sum += later.sum;
  }
  Accumulator Result(const Accumulator& prices) const { return prices; }
};

// yyyy-MM-dd, UTC.
inline std::string DayOf(weir::EventTime time) {
  const std::chrono::year_month_day day{std::chrono::floor<std::chrono::days>(
      std::chrono::sys_time<weir::Duration>(weir::Duration(time.ticks())))};
  const auto digits = [](unsigned number, unsigned ten_to) {
    return std::to_string(ten_to + number).substr(1);
  };
  return digits(static_cast<unsigned>(static_cast<int>(day.year())), 10'000) + "-" +
         digits(static_cast<unsigned>(day.month()), 100) + "-" +
         digits(static_cast<unsigned>(day.day()), 100);
}

inline auto Q17(const Events& events) {
  return events.Filter(&Event::IsBid)
      .Map([](const Event& event) { return Price{event.bid().auction, event.bid().price}; })
      .KeyBy(&Price::auction)
      .Window(weir::Tumbling{std::chrono::hours(24)})
      .Aggregate("prices", PriceStatistics{},
                 [](std::int64_t auction, const weir::TimeWindow& day,
                    const PriceStatistics::Accumulator& prices) {
                   const std::int64_t bids = prices.low + prices.middle + prices.high;
                   return DayOfAuction{auction,      DayOf(day.start), bids,
                                       prices.low,   prices.middle,    prices.high,
                                       prices.least, prices.greatest,  prices.sum / bids,
                                       prices.sum};
                 });
}

}  // namespace nexmark

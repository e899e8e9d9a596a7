#include "benchmarks/nexmark/plain_loops.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "benchmarks/nexmark/flat_map.h"
#include "benchmarks/nexmark/row_outcome.h"

namespace nexmark {
namespace {

using weir::Ticks;

constexpr Ticks kSecond = 1'000'000;
constexpr Ticks kTenSeconds = 10 * kSecond;

template <class F>
void ForEachEvent(const Generator& make, std::uint64_t events, F&& f) {
  Event event;
  for (std::uint64_t i = 0; i < events; ++i) {
    make.Make(i, event);
    f(std::as_const(event));
  }
}
template <class F>
void ForEachBid(const Generator& make, std::uint64_t events, F&& f) {
  ForEachEvent(make, events, [&](const Event& event) {
    if (event.IsBid()) f(event.bid());
  });
}

Outcome LoopQ0(const Generator& make, std::uint64_t events) {
  Outcome out;
  ForEachBid(make, events, [&](const Bid& bid) {
    AddFields(out, bid.auction, bid.bidder, bid.price, bid.time, bid.extra);
  });
  return out;
}

Outcome LoopQ1(const Generator& make, std::uint64_t events) {
  Outcome out;
  ForEachBid(make, events, [&](const Bid& bid) {
    AddFields(out, bid.auction, bid.bidder, bid.price * 908, bid.time, bid.extra);
  });
  return out;
}

Outcome LoopQ2(const Generator& make, std::uint64_t events) {
  Outcome out;
  ForEachBid(make, events, [&](const Bid& bid) {
    if (bid.auction % 123 == 0) AddFields(out, bid.auction, bid.price);
  });
  return out;
}

Outcome LoopQ3(const Generator& make, std::uint64_t events) {
  Outcome out;
  struct Known {
    bool here = false;
    Seller seller;
    std::vector<std::int64_t> waiting;
  };
  FlatMap<std::uint32_t> index;
  std::vector<Known> known(1);
  const auto find = [&](std::int64_t id) -> Known& {
    std::uint32_t& at = index[id];
    if (at == 0) {
      at = static_cast<std::uint32_t>(known.size());
      known.emplace_back();
    }
    return known[at];
  };
  const auto add = [&](const Seller& seller, std::int64_t auction) {
    AddFields(out, seller.name, seller.city, seller.state, auction);
  };
  ForEachEvent(make, events, [&](const Event& event) {
    if (event.IsBid()) return;
    if (event.IsAuction()) {
      const Auction& auction = event.auction();
      if (auction.category != 10) return;
      Known& seller = find(auction.seller);
      if (seller.here) {
        add(seller.seller, auction.id);
      } else {
        seller.waiting.push_back(auction.id);
      }
      return;
    }
    const Person& person = event.person();
    const std::string_view state = person.state.view();
    if (state != "OR" && state != "ID" && state != "CA") return;
    Known& seller = find(person.id);
    seller.here = true;
    seller.seller = {person.id, person.name, person.city, person.state};
    for (const std::int64_t auction : seller.waiting) add(seller.seller, auction);
    seller.waiting = {};
  });
  return out;
}

// Counts of slices of two seconds; those of a window of five are kept up slice by slice.
Outcome LoopQ5(const Generator& make, std::uint64_t events) {
  constexpr Ticks kSlide = 2 * kSecond;
  constexpr std::size_t kSlices = 5;
  Outcome out;
  FlatMap<std::int64_t> current;
  FlatMap<std::int64_t> window;
  std::deque<std::vector<std::pair<std::int64_t, std::int64_t>>> slices;
  const auto fire = [&] {
    auto& slice = slices.emplace_back();
    slice.reserve(current.size());
    current.ForEach([&](std::int64_t auction, std::int64_t bids) {
      slice.emplace_back(auction, bids);
      window[auction] += bids;
    });
    current.Clear();
    std::int64_t most = 1;
    std::vector<std::int64_t> auctions;
    std::size_t gone = 0;
    window.ForEach([&](std::int64_t auction, std::int64_t bids) {
      gone += bids == 0 ? 1 : 0;
      if (bids < most) return;
      if (bids > most) auctions.clear();
      most = bids;
      auctions.push_back(auction);
    });
    for (const std::int64_t auction : auctions) AddFields(out, auction, most);
    if (slices.size() < kSlices) return;
    for (const auto& [auction, bids] : slices.front()) window[auction] -= bids;
    slices.pop_front();
    if (2 * gone > window.size()) window.KeepIf([](std::int64_t bids) { return bids > 0; });
  };
  Ticks end = weir::kMinTicks;
  ForEachBid(make, events, [&](const Bid& bid) {
    const Ticks time = bid.time.ticks();
    if (time >= end) [[unlikely]] {
      for (; end != weir::kMinTicks && end <= time; end += kSlide) fire();
      if (end == weir::kMinTicks) end = time / kSlide * kSlide + kSlide;
    }
    ++current[bid.auction];
  });
  for (std::size_t i = 0; i < kSlices && end != weir::kMinTicks; ++i) fire();
  return out;
}

Outcome LoopQ7(const Generator& make, std::uint64_t events) {
  Outcome out;
  std::vector<HighBid> highest;
  std::int64_t price = 0;
  const auto fire = [&] {
    for (const HighBid& bid : highest) AddRow(bid, out);
    highest.clear();
    price = 0;
  };
  Ticks end = weir::kMinTicks;
  ForEachBid(make, events, [&](const Bid& bid) {
    if (bid.time.ticks() >= end) [[unlikely]] {
      fire();
      end = bid.time.ticks() / kTenSeconds * kTenSeconds + kTenSeconds;
    }
    if (bid.price < price) return;
    if (bid.price > price) highest.clear();
    price = bid.price;
    highest.push_back({bid.auction, bid.price, bid.bidder, bid.time, bid.extra});
  });
  fire();
  return out;
}

Outcome LoopQ8(const Generator& make, std::uint64_t events) {
  Outcome out;
  FlatMap<bool> sellers;
  struct User {
    std::int64_t id;
    Text<16> name;
  };
  std::vector<User> users;
  Ticks end = weir::kMinTicks;
  const auto fire = [&] {
    const auto start = weir::EventTime::FromTicks(end - kTenSeconds);
    for (const User& user : users) {
      if (sellers.Find(user.id) != nullptr) AddFields(out, user.id, user.name, start);
    }
    users.clear();
    sellers.Clear();
  };
  ForEachEvent(make, events, [&](const Event& event) {
    if (event.IsBid()) return;
    if (event.time().ticks() >= end) [[unlikely]] {
      fire();
      end = event.time().ticks() / kTenSeconds * kTenSeconds + kTenSeconds;
    }
    if (event.IsAuction()) {
      sellers[event.auction().seller] = true;
    } else {
      users.push_back({event.person().id, event.person().name});
    }
  });
  fire();
  return out;
}

Outcome LoopQ11(const Generator& make, std::uint64_t events) {
  struct Open {
    Ticks start = 0;
    Ticks last = 0;
    std::int64_t bids = 0;
  };
  Outcome out;
  FlatMap<Open> sessions;
  const auto close = [&](std::int64_t bidder, const Open& session) {
    AddFields(out, bidder, session.bids, session.start, session.last + kTenSeconds);
  };
  ForEachBid(make, events, [&](const Bid& bid) {
    const Ticks time = bid.time.ticks();
    Open& session = sessions[bid.bidder];
    if (session.bids == 0 || time > session.last + kTenSeconds) {
      if (session.bids > 0) close(bid.bidder, session);
      session = {time, time, 0};
    }
    session.last = time;
    ++session.bids;
  });
  sessions.ForEach(close);
  return out;
}

Outcome LoopQ17(const Generator& make, std::uint64_t events) {
  constexpr Ticks kDay = 24 * 3600 * kSecond;
  Outcome out;
  const PriceStatistics statistics;
  FlatMap<PriceStatistics::Accumulator> auctions;
  Ticks end = weir::kMinTicks;
  const auto fire = [&] {
    const auto day = DayOf(weir::EventTime::FromTicks(end - kDay));
    auctions.ForEach([&](std::int64_t auction, const PriceStatistics::Accumulator& prices) {
      const std::int64_t bids = prices.low + prices.middle + prices.high;
      AddFields(out, auction, day, bids, prices.low, prices.middle, prices.high, prices.least,
                prices.greatest, prices.sum / bids, prices.sum);
    });
    auctions.Clear();
  };
  ForEachBid(make, events, [&](const Bid& bid) {
    if (bid.time.ticks() >= end) [[unlikely]] {
      if (end != weir::kMinTicks) fire();
      end = bid.time.ticks() / kDay * kDay + kDay;
    }
    statistics.Add(auctions[bid.auction], {bid.auction, bid.price});
  });
  if (end != weir::kMinTicks) fire();
  return out;
}

}  // namespace

Outcome RunPlainLoop(const std::string& query, const Generator& make, std::uint64_t events) {
  static const std::map<std::string, Outcome (*)(const Generator&, std::uint64_t)> loops = {
      {"q0", LoopQ0}, {"q1", LoopQ1}, {"q2", LoopQ2},   {"q3", LoopQ3},  {"q5", LoopQ5},
      {"q7", LoopQ7}, {"q8", LoopQ8}, {"q11", LoopQ11}, {"q17", LoopQ17}};
  return loops.at(query)(make, events);
}

}  // namespace nexmark

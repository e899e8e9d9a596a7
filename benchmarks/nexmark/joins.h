#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "benchmarks/nexmark/bids.h"

// Queries that join auctions with the persons who sell.
namespace nexmark {

// ---- Q3: who sells in a category, in some states, and what.

struct Seller {
  std::int64_t id = 0;
  Text<16> name;
  Text<16> city;
  Text<4> state;
};
struct Offer {
  std::int64_t seller = 0;
  std::int64_t auction = 0;
};
struct LocalOffer {
  Text<16> name;
  Text<16> city;
  Text<4> state;
  std::int64_t auction = 0;

  std::string Row() const { return Line(name, city, state, auction); }
};

// A person comes once; auctions may come before.
struct OffersOfSeller : weir::KeyedTwoInputProcess<std::int64_t, Offer, Seller, LocalOffer> {
  weir::ValueState<Seller> seller{this, "seller"};
  weir::ListState<std::int64_t> waiting{this, "waiting"};

  void Process(const Offer& offer, Context& context) override {
    if (seller.Exists()) {
      Emit(seller.Get(), offer.auction, context);
    } else {
      waiting.Add(offer.auction);
    }
  }
  void ProcessSecond(const Seller& person, Context& context) override {
    seller.Set(person);
    for (const std::int64_t auction : waiting.Get()) Emit(person, auction, context);
    waiting.Clear();
  }

 private:
  static void Emit(const Seller& person, std::int64_t auction, Context& context) {
    context.Emit({person.name, person.city, person.state, auction});
  }
};

inline auto Q3(const Events& events) {
  const auto offers = events
                          .Filter([](const Event& event) {
                            return event.IsAuction() && event.auction().category == 10;
                          })
                          .Map("offers", [](const Event& event) {
                            return Offer{event.auction().seller, event.auction().id};
                          });
  const auto sellers = events
                           .Filter([](const Event& event) {
                             if (!event.IsPerson()) return false;
                             const std::string_view state = event.person().state.view();
                             return state == "OR" || state == "ID" || state == "CA";
                           })
                           .Map("sellers", [](const Event& event) {
                             const Person& person = event.person();
                             return Seller{person.id, person.name, person.city, person.state};
                           });
  return offers.KeyBy(&Offer::seller)
      .Connect(sellers.KeyBy(&Seller::id))
      .Process<OffersOfSeller>("local-offers");
}

// ---- Q8: who opened auctions in the ten seconds of coming.

// That a person came, or that he opened an auction.
struct Activity {
  std::int64_t person = 0;
  bool came = false;
  Text<16> name;
};
struct NewSeller {
  std::int64_t id = 0;
  Text<16> name;
  weir::EventTime start;

  std::string Row() const { return Line(id, name, start); }
};

struct CameAndSold {
  struct Accumulator {
    bool came = false;
    bool sold = false;
    Text<16> name;
  };
  void Add(Accumulator& all, const Activity& one) const {
    all.sold = all.sold || !one.came;
    if (!one.came) return;
    all.came = true;
    all.name = one.name;
  }
  void Merge(Accumulator& into, const Accumulator& later) const {
    into.sold = into.sold || later.sold;
    if (!later.came) return;
    into.came = true;
    into.name = later.name;
  }
  Accumulator Result(const Accumulator& all) const { return all; }
};

inline auto Q8(const Events& events) {
  return events.Filter([](const Event& event) { return !event.IsBid(); })
      .Map([](const Event& event) {
        if (event.IsAuction()) return Activity{event.auction().seller, false, {}};
        return Activity{event.person().id, true, event.person().name};
      })
      .KeyBy(&Activity::person)
      .Window(weir::Tumbling{std::chrono::seconds(10)})
      .Aggregate("new-sellers", CameAndSold{},
                 [](std::int64_t person, const weir::TimeWindow& window,
                    const CameAndSold::Accumulator& all) {
                   std::vector<NewSeller> found;
                   if (all.came && all.sold) found.push_back({person, all.name, window.start});
                   return found;
                 })
      .FlatMap(std::identity());
}

}  // namespace nexmark

#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "benchmarks/lib/comparison.h"
#include "benchmarks/nexmark/queries.h"

namespace nexmark {

using weir::bench::Outcome;

// Of a text, enough to see whether it is another one; to hash all of it would cost more than most
// queries.
inline std::uint64_t Gist(std::string_view text) {
  std::uint64_t ends[2] = {};
  const std::size_t n = std::min(text.size(), sizeof(std::uint64_t));
  std::memcpy(&ends[0], text.data(), n);
  std::memcpy(&ends[1], text.data() + text.size() - n, n);
  return (ends[0] * 31 + ends[1]) * 31 + text.size();
}

template <class... Fields>
void AddFields(Outcome& outcome, const Fields&... fields) {
  constexpr std::uint64_t kStep = 0x9E3779B97F4A7C15;
  const auto number = [](const auto& field) {
    using Field = std::remove_cvref_t<decltype(field)>;
    if constexpr (std::is_same_v<Field, weir::EventTime>) {
      return static_cast<std::uint64_t>(field.ticks());
    } else if constexpr (std::is_integral_v<Field>) {
      return static_cast<std::uint64_t>(field);
    } else if constexpr (requires { field.view(); }) {
      return Gist(field.view());
    } else {
      return Gist(field);
    }
  };
  std::uint64_t mix = 0;
  ((mix = mix * kStep + number(fields)), ...);
  outcome.Add(mix, mix >> 32, 0);
}

// What both the engine's sink and the plain loops do with a row.
inline void AddRow(const PassedBid& r, Outcome& out) {
  AddFields(out, r.auction, r.bidder, r.price, r.time, r.extra);
}
inline void AddRow(const ConvertedBid& r, Outcome& out) {
  AddFields(out, r.auction, r.bidder, r.price.value, r.time, r.extra);
}
inline void AddRow(const AuctionPrice& r, Outcome& out) { AddFields(out, r.auction, r.price); }
inline void AddRow(const LocalOffer& r, Outcome& out) {
  AddFields(out, r.name, r.city, r.state, r.auction);
}
inline void AddRow(const AuctionBids& r, Outcome& out) { AddFields(out, r.auction, r.bids); }
inline void AddRow(const HighBid& r, Outcome& out) {
  AddFields(out, r.auction, r.price, r.bidder, r.time, r.extra);
}
inline void AddRow(const NewSeller& r, Outcome& out) { AddFields(out, r.id, r.name, r.start); }
inline void AddRow(const BidderSession& r, Outcome& out) {
  AddFields(out, r.bidder, r.bids, r.start, r.end);
}
inline void AddRow(const DayOfAuction& r, Outcome& out) {
  AddFields(out, r.auction, r.day, r.bids, r.low, r.middle, r.high, r.least, r.greatest, r.average,
            r.sum);
}

}  // namespace nexmark

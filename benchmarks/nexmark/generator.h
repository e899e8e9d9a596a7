#pragma once

#include <cstdint>
#include <memory>

#include "benchmarks/nexmark/event.h"

namespace nexmark {

struct GeneratorOptions {
  std::uint64_t seed = 1;
  // Events a second of event time, 1 to 10^9.
  std::uint64_t rate = 100'000;
  // Time of event 0, milliseconds since 1970.
  std::int64_t base_ms = 1'767'225'567'000;
};

// Makes event number E, from that and the options alone: any part of the stream can be made
// anywhere, in any order. definition.md says every bit. Copies share their tables; thread safe.
class Generator {
 public:
  explicit Generator(const GeneratorOptions& options);

  Event operator()(std::uint64_t number) const {
    Event event;
    Make(number, event);
    return event;
  }
  // The same into a place that is used again.
  void Make(std::uint64_t number, Event& event) const;

 private:
  struct Channel {
    Text<12> name;
    Text<80> url;
  };
  class Draws;

  Channel MakeChannel(std::uint64_t number) const;
  void MakePerson(std::uint64_t number, std::uint64_t id, Person& person) const;
  void MakeAuction(std::uint64_t number, std::uint64_t id, std::uint64_t last_person,
                   Auction& auction) const;
  void MakeBid(std::uint64_t number, std::uint64_t last_auction, std::uint64_t last_person,
               Bid& bid) const;
  std::int64_t Millis(std::uint64_t number) const;

  GeneratorOptions options_;
  std::uint64_t key_;
  // The largest integer over the rate.
  std::uint64_t per_rate_;
  std::shared_ptr<const Channel[]> channels_;
};

}  // namespace nexmark

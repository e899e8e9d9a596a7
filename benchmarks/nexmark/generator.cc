#include "benchmarks/nexmark/generator.h"

#include <array>
#include <cstddef>
#include <cstdio>
#include <limits>
#include <string>
#include <string_view>

namespace nexmark {
namespace {

__extension__ using Wide = unsigned __int128;

constexpr std::uint64_t kEventStep = 0x9E3779B97F4A7C15;
constexpr std::uint64_t kFieldStep = 0xD1B54A32D192ED03;
constexpr std::uint64_t kFirstId = 1000;
constexpr std::uint64_t kEventsPerEpoch = 50;
constexpr std::uint64_t kHotChannels = 4;
constexpr std::uint64_t kColdChannels = 10'000;

constexpr std::array<std::string_view, 11> kFirstNames = {
    "Ada", "Bruno", "Chen", "Dina", "Edgar", "Fatima", "Goran", "Hana", "Ivan", "Julia", "Kofi"};
constexpr std::array<std::string_view, 9> kLastNames = {
    "Abel", "Brandt", "Castro", "Dubois", "Eriksen", "Fischer", "Garcia", "Hoang", "Ito"};
constexpr std::array<std::string_view, 10> kCities = {
    "Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland",
    "Bend",    "Redmond",     "Seattle",       "Kent",  "Cheyenne"};
constexpr std::array<std::string_view, 6> kStates = {"AZ", "CA", "ID", "OR", "WA", "WY"};
constexpr std::array<std::string_view, kHotChannels> kHotNames = {"Google", "Facebook", "Baidu",
                                                                  "Apple"};

// 100 * 10^(6k/1024) in 32.32 bits.
constexpr std::array<std::uint64_t, 1025> kPrices = [] {
  std::array<std::uint64_t, 1025> prices{};
  prices[0] = std::uint64_t{100} << 32;
  for (std::size_t k = 0; k < 1024; ++k) {
    prices[k + 1] = static_cast<std::uint64_t>(
        (static_cast<Wide>(prices[k]) * 1'168'581'791'127'633'489) >> 60);
  }
  return prices;
}();
static_assert(kPrices[1024] == 429'496'729'562'970'502);

constexpr std::uint64_t High64(std::uint64_t a, std::uint64_t b) {
  return static_cast<std::uint64_t>((static_cast<Wide>(a) * b) >> 64);
}

constexpr std::uint64_t Finish(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}
static_assert(Finish(1 + kEventStep) == 0x910a2dec89025cc1);

// Without a branch, which would be mispredicted every other time.
constexpr std::uint64_t Choose(bool first, std::uint64_t a, std::uint64_t b) {
  return b ^ ((a ^ b) & (std::uint64_t{0} - static_cast<std::uint64_t>(first)));
}

// Sixteen letters a to p: of the lower half of each byte, then of the upper one.
void PutLetters(char* to, std::uint64_t bits) {
  constexpr std::uint64_t kHalf = 0x0F0F0F0F0F0F0F0F;
  constexpr std::uint64_t kA = 0x6161616161616161;
  const std::uint64_t letters[2] = {(bits & kHalf) + kA, ((bits >> 4) & kHalf) + kA};
  std::memcpy(to, letters, sizeof(letters));
}

}  // namespace

// The draws of one event.
class Generator::Draws {
 public:
  Draws(std::uint64_t key, std::uint64_t number) : start_(key + number * kEventStep) {}
  std::uint64_t Bits(std::uint64_t field) const { return Finish(start_ + field * kFieldStep); }
  // 0 to n - 1.
  std::uint64_t Below(std::uint64_t field, std::uint64_t n) const { return High64(Bits(field), n); }
  // False once in n.
  bool Hot(std::uint64_t field, std::uint64_t n) const { return Below(field, n) > 0; }
  template <std::size_t N>
  const std::string_view& OneOf(std::uint64_t field,
                                const std::array<std::string_view, N>& all) const {
    return all[Below(field, N)];
  }
  std::int64_t Price(std::uint64_t field) const {
    const std::uint64_t bits = Bits(field);
    const std::size_t i = bits >> 54;
    const std::uint64_t price = kPrices[i] + High64(kPrices[i + 1] - kPrices[i], bits << 10);
    return static_cast<std::int64_t>((price + (std::uint64_t{1} << 31)) >> 32);
  }
  // At least kLeast of them are written in any case, so that most texts need no loop of their own
  // length.
  template <std::size_t kLeast = 0, std::size_t N>
  void Letters(std::uint64_t field, std::uint64_t size, Text<N>& text) const {
    static_assert(N % 16 == 0 && kLeast <= N, "letters are written 16 at a time");
    text.size = static_cast<std::uint32_t>(size);
    for (std::uint64_t j = 0; 16 * j < kLeast; ++j)
      PutLetters(text.letters + 16 * j, Bits(field + j));
    for (std::uint64_t j = (kLeast + 15) / 16; 16 * j < size; ++j)
      PutLetters(text.letters + 16 * j, Bits(field + j));
  }
  // Fills an event that has `have` bytes up to about `want`.
  template <std::size_t kLeast = 0, std::size_t N>
  void Padding(std::uint64_t size_field, std::uint64_t field, std::uint64_t want,
               std::uint64_t have, Text<N>& text) const {
    if (have >= want) return;
    const std::uint64_t gap = want - have;
    const std::uint64_t spread = gap / 5;
    Letters<kLeast>(field, gap - spread + Below(size_field, 2 * spread + 1), text);
  }
  // One of the last 1,000 persons, or up to 10 that are still to come.
  std::uint64_t NextPerson(std::uint64_t field, std::uint64_t last_person) const {
    const std::uint64_t active = std::min<std::uint64_t>(last_person + 1, 1000);
    return last_person + 1 - active + Below(field, active + 10);
  }
  // One of the last 100 auctions, or up to 10 that are still to come.
  std::uint64_t NextAuction(std::uint64_t field, std::uint64_t last_auction) const {
    const std::uint64_t lowest = last_auction - std::min<std::uint64_t>(last_auction, 100);
    return lowest + Below(field, last_auction - lowest + 1 + 10);
  }

 private:
  std::uint64_t start_;
};

Generator::Generator(const GeneratorOptions& options)
    : options_(options),
      key_(Finish(options.seed + kEventStep)),
      per_rate_(std::numeric_limits<std::uint64_t>::max() / options.rate) {
  const std::shared_ptr<Channel[]> channels(new Channel[kColdChannels + kHotChannels]);
  for (std::uint64_t c = 0; c < kColdChannels + kHotChannels; ++c) channels[c] = MakeChannel(c);
  channels_ = channels;
}

std::int64_t Generator::Millis(std::uint64_t number) const {
  // Divides by the rate: the product is the quotient or one less.
  const std::uint64_t ticks = number * 1000;
  const std::uint64_t quotient = High64(ticks, per_rate_);
  const bool less = ticks - quotient * options_.rate >= options_.rate;
  return options_.base_ms + static_cast<std::int64_t>(quotient + (less ? 1 : 0));
}

Generator::Channel Generator::MakeChannel(std::uint64_t number) const {
  const Draws draws(key_, (std::uint64_t{1} << 62) + number);
  Text<16> parts;
  draws.Letters(0, 15, parts);
  std::string url = "https://auction.example/";
  for (std::size_t part = 0; part < 15; part += 5) {
    url.append(parts.view().substr(part, 5)).append("/");
  }
  url += "item.htm?query=1";
  if (number < kColdChannels && draws.Hot(1, 10)) {
    url += "&channel_id=" + std::to_string(draws.Below(2, std::uint64_t{1} << 31));
  }
  Channel channel;
  channel.name.Assign(number < kColdChannels ? "channel-" + std::to_string(number)
                                             : kHotNames[number - kColdChannels]);
  channel.url.Assign(url);
  return channel;
}

void Generator::Make(std::uint64_t number, Event& event) const {
  const std::uint64_t epoch = number / kEventsPerEpoch;
  const std::uint64_t offset = number % kEventsPerEpoch;
  if (offset >= 4) {
    MakeBid(number, 3 * epoch + 2, epoch, event.BecomeBid());
  } else if (offset > 0) {
    MakeAuction(number, 3 * epoch + offset - 1, epoch, event.BecomeAuction());
  } else {
    MakePerson(number, epoch, event.BecomePerson());
  }
}

void Generator::MakePerson(std::uint64_t number, std::uint64_t id, Person& person) const {
  const Draws draws(key_, number);
  person.time = weir::EventTime::FromMillis(Millis(number));
  person.id = static_cast<std::int64_t>(kFirstId + id);

  const std::string_view first = draws.OneOf(0, kFirstNames);
  const std::string_view last = draws.OneOf(1, kLastNames);
  person.name.Assign(first);
  person.name.letters[first.size()] = ' ';
  std::memcpy(person.name.letters + first.size() + 1, last.data(), last.size());
  person.name.size += static_cast<std::uint32_t>(1 + last.size());

  draws.Letters(5, 12, person.email);
  char* const email = person.email.letters;
  std::memmove(email + 8, email + 7, 5);
  email[7] = '@';
  std::memcpy(email + 13, ".com", 4);
  person.email.size = 17;

  std::uint64_t card = draws.Below(4, 10'000'000'000'000'000);
  person.card.size = 19;
  for (int i = 18; i >= 0; --i) {
    if (i % 5 == 4) {
      person.card.letters[i] = ' ';
      continue;
    }
    person.card.letters[i] = static_cast<char>('0' + card % 10);
    card /= 10;
  }
  person.city.Assign(draws.OneOf(2, kCities));
  person.state.Assign(draws.OneOf(3, kStates));
  const std::uint64_t have = 16 + person.name.size + person.email.size + person.card.size +
                             person.city.size + person.state.size;
  draws.Padding(6, 32, 200, have, person.extra);
}

void Generator::MakeAuction(std::uint64_t number, std::uint64_t id, std::uint64_t last_person,
                            Auction& auction) const {
  const Draws draws(key_, number);
  const std::int64_t time = Millis(number);
  const auto horizon = static_cast<std::uint64_t>(Millis(number + 1666) - time);
  auction.time = weir::EventTime::FromMillis(time);
  auction.id = static_cast<std::int64_t>(kFirstId + id);
  auction.initial_bid = draws.Price(3);
  auction.reserve = auction.initial_bid + draws.Price(4);
  auction.expires = weir::EventTime::FromMillis(
      time + 1 +
      static_cast<std::int64_t>(draws.Below(5, std::max<std::uint64_t>(2 * horizon, 1))));
  auction.seller = static_cast<std::int64_t>(
      kFirstId + (draws.Hot(6, 4) ? last_person / 100 * 100 : draws.NextPerson(7, last_person)));
  auction.category = static_cast<std::int64_t>(10 + draws.Below(2, 5));
  draws.Letters(16, 4 + draws.Below(0, 17), auction.item);
  draws.Letters(24, 20 + draws.Below(1, 81), auction.description);
  draws.Padding(8, 32, 500, 56 + auction.item.size + auction.description.size, auction.extra);
}

void Generator::MakeBid(std::uint64_t number, std::uint64_t last_auction, std::uint64_t last_person,
                        Bid& bid) const {
  const Draws draws(key_, number);
  bid.time = weir::EventTime::FromMillis(Millis(number));
  bid.auction =
      static_cast<std::int64_t>(kFirstId + Choose(draws.Hot(0, 2), last_auction / 100 * 100,
                                                  draws.NextAuction(1, last_auction)));
  bid.bidder =
      static_cast<std::int64_t>(kFirstId + Choose(draws.Hot(2, 4), last_person / 100 * 100 + 1,
                                                  draws.NextPerson(3, last_person)));
  bid.price = draws.Price(4);
  const Channel& channel =
      channels_[Choose(draws.Hot(5, 2), kColdChannels + draws.Below(6, kHotChannels),
                       draws.Below(6, kColdChannels))];
  bid.channel = channel.name;
  bid.url = channel.url;
  draws.Padding<80>(7, 32, 100, 32, bid.extra);
}

}  // namespace nexmark

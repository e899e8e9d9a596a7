// A job whose state has other types from version to version (VERSION: 1, 2 or 3; 4 is one that cannot read the others').
// Counts numbers per key and says at the end what its state holds.
#include <weir/sdk.h>

#include <cstdint>
#include <string>
#include <vector>

namespace {

struct Number {
  std::int64_t key = 0;
  std::int64_t value = 0;
};

#if VERSION == 1
struct Seen {
  std::int16_t tag = 0;
  std::int64_t value = 0;
};
struct Account {
  std::int32_t count = 0;
  std::int64_t sum = 0;
  std::string first;
};
#elif VERSION == 2
// Fields in another order, wider, renamed and new ones.
struct Seen {
  std::int64_t value = 0;
  std::int32_t tag = 0;
  bool kept = true;
};
struct Account {
  std::string origin;
  std::int64_t count = 0;
  std::int64_t sum = 0;
  std::int64_t since = 2;
  static constexpr weir::FormerName kFormerNames[] = {{.field = "origin", .before = "first"}};
};
#elif VERSION == 3
// The sum is gone.
struct Seen {
  std::int64_t value = 0;
  std::int64_t tag = 0;
  bool kept = true;
};
struct Account {
  std::int64_t count = 0;
  std::int64_t since = 3;
  std::string began;
  static constexpr weir::FormerName kFormerNames[] = {{.field = "began", .before = "origin"},
                                                      {.field = "began", .before = "first"}};
};
#else
struct Seen {
  std::int64_t value = 0;
};
struct Account {
  std::int16_t count = 0;
};
#endif

struct Total {
  std::int64_t key = 0;
  std::int64_t count = 0;
  std::string began;
  std::int64_t since = 0;
  std::int64_t sum = 0;
  std::int64_t tags = 0;
  std::int64_t kept = 0;
};

struct Accounts : weir::KeyedProcess<std::int64_t, Number, Total> {
  weir::ValueState<Account> account{this, "account"};
  weir::ListState<Seen> seen{this, "seen"};
  weir::EventTimer end{this, "end"};

  void Process(const Number& number, Context&) override {
    Account& value = account.Mutable();
    ++value.count;
#if VERSION == 1
    if (value.count == 1) value.first = "number " + std::to_string(number.value);
#elif VERSION == 2
    if (value.count == 1) value.origin = "number " + std::to_string(number.value);
#elif VERSION == 3
    if (value.count == 1) value.began = "number " + std::to_string(number.value);
#endif
#if VERSION == 1 || VERSION == 2
    value.sum += number.value;
#endif
    if (number.value % 1000 == number.key) {
      Seen one;
      one.value = number.value;
#if VERSION != 4
      one.tag = 1;
#endif
      seen.Add(one);
    }
    // The end of the input.
    end.Set(weir::EventTime::FromMillis(1'000'000'000'000'000));
  }
  void OnTimer(const weir::EventTimer&, Context& context) override {
    const Account value = account.Get();
    Total total;
    total.key = context.key();
    total.count = value.count;
#if VERSION == 1
    total.began = value.first;
    total.since = 1;
#elif VERSION == 2
    total.began = value.origin;
    total.since = value.since;
#elif VERSION == 3
    total.began = value.began;
    total.since = value.since;
#endif
#if VERSION == 1 || VERSION == 2
    total.sum = value.sum;
#endif
    for (const Seen& one : seen.Get()) {
#if VERSION != 4
      total.tags += one.tag;
#endif
#if VERSION == 2 || VERSION == 3
      total.kept += one.kept ? 1 : 0;
#endif
      total.sum += one.value % 10 == total.key ? 0 : 1;
    }
    context.Emit(total);
  }
};

}  // namespace

WEIR_JOB(job) {
  const auto count = job.Arg<std::int64_t>("count", "how many numbers", 30'000);
  const auto rate = job.Arg<double>("rate", "numbers a second; 0: as many as possible", 5'000);
  job.From<Number>("numbers", weir::Generator{.make =
                                                  [](std::uint64_t i) {
                                                    const auto n = static_cast<std::int64_t>(i);
                                                    return Number{n % 10, n};
                                                  },
                                              .count = static_cast<std::uint64_t>(count),
                                              .rate = rate})
      .KeyBy(&Number::key)
      .Process<Accounts>("accounts")
      .To("out", weir::Print{.prefix = "total"});
}

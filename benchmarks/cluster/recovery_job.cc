// Keyed state of 64 bytes a key that records change at random, and marks of when records came out:
// what interruptions are timed with.
#include <unistd.h>
#include <weir/sdk.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>

namespace {

struct Update {
  std::int64_t key = 0;
  std::int64_t n = 0;
};
// With the key a slot of 64 bytes.
struct Account {
  std::int64_t updates = 0;
  std::int64_t sum = 0;
  std::array<std::int64_t, 5> more{};
};

struct Accounts : weir::KeyedProcess<std::int64_t, Update, std::int64_t> {
  weir::ValueState<Account> account{this, "account"};
  void Process(const Update& update, Context& context) override {
    Account& value = account.Mutable();
    ++value.updates;
    value.sum += update.n;
    context.Emit(update.n);
  }
};

// One file a subtask and attempt: each line the time of a record, in microseconds since 1970, and
// its number; one every half a millisecond at most.
class Marks {
 public:
  explicit Marks(std::string folder) : folder_(std::move(folder)) {}
  Marks(const Marks& other) : folder_(other.folder_) {}
  void operator()(const std::int64_t& n) {
    const std::int64_t now = std::chrono::duration_cast<std::chrono::microseconds>(
                                 std::chrono::system_clock::now().time_since_epoch())
                                 .count();
    if (now - last_ < 500) return;
    last_ = now;
    if (!file_.is_open()) {
      file_.open(folder_ + "/" + std::to_string(now) + "-" + std::to_string(getpid()) + "-" +
                 std::to_string(reinterpret_cast<std::uintptr_t>(this)));
    }
    file_ << now << ' ' << n << '\n' << std::flush;
  }

 private:
  std::string folder_;
  std::ofstream file_;
  std::int64_t last_ = 0;
};

}  // namespace

WEIR_JOB(job) {
  const auto marks = job.Arg<std::string>("marks", "the folder of the marks");
  const auto keys = job.Arg<std::int64_t>("keys", "how many keys there are");
  const auto rate = job.Arg<std::int64_t>("rate", "records a second");
  job.From<Update>(
         "updates",
         weir::Generator{.make =
                             [keys](std::uint64_t i) {
                               // Each once, then four of ten records one of
                               // all and the others one of a thousand.
                               const auto n = static_cast<std::int64_t>(i);
                               std::uint64_t x = i * 0x9E3779B97F4A7C15ULL;
                               x = (x ^ (x >> 32)) * 0xD6E8FEB86659FD93ULL;
                               const auto key = static_cast<std::int64_t>(
                                   (x >> 20) %
                                   (i % 10 < 4 ? static_cast<std::uint64_t>(keys) : 1000));
                               return Update{n < keys ? n : key, n};
                             },
                         .rate = static_cast<double>(rate)})
      .KeyBy(&Update::key)
      .Process<Accounts>("accounts")
      .To("marks", weir::ForEach{Marks(marks)});
}

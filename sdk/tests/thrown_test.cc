// Whatever function of a job throws: the error names the operator, the key and the record.
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "weir/sdk.h"
#include "weir/testing.h"

namespace weir {

struct Order {
  std::string user;
  std::int64_t amount = 0;
};

namespace {

using ::testing::EndsWith;
using ::testing::IsEmpty;
using testing::OperatorHarness;
using ::testing::StartsWith;

// Of the one record that no function here takes.
std::int64_t Checked(const Order& order) {
  if (order.amount == 13) throw std::runtime_error("thirteen");
  return order.amount;
}

// The error of the operator `op` that `define` adds to a source of orders, when it is given orders
// of ann, of which the third is bad, the watermark 100 and the end.
template <class Out, class Define>
std::string ErrorOf(Define&& define, std::size_t input = 0, std::uint32_t node = 1) {
  JobDefinition job;
  const DefineInput in;
  internal::GraphBuilder graph(in, job);
  Job described(graph);
  define(described.From<Order>("in", Files{.path = "x"}), described);
  EXPECT_THAT(job.errors, IsEmpty());
  std::string error;
  for (const std::size_t batch : {0, 1}) {
    testing::HarnessOptions options;
    options.uid = "op";
    options.mode.batch_size = batch;
    OperatorHarness harness(job.nodes[node].make_operator, options);
    harness.AddOutput<Out>();
    EXPECT_TRUE(harness.Open().ok());
    std::vector<testing::Timed<Order>> orders;
    for (const std::int64_t amount : {1, 2, 13, 4}) orders.push_back({{"ann", amount}, 5});
    absl::Status status = harness.Process<Order>(std::move(orders), input);
    if (status.ok()) status = harness.Watermark(100);
    if (status.ok()) status = harness.Finish();
    EXPECT_FALSE(status.ok());
    const std::string text(status.message());
    EXPECT_THAT(text, StartsWith("operator 'op' threw "));
    if (error.empty()) error = text;
    EXPECT_EQ(text, error);
  }
  return error;
}

constexpr char kRecord[] = R"(thirteen, on the record {"user":"ann","amount":13})";
constexpr char kKeyAndRecord[] =
    R"(thirteen, for the key "ann", on the record {"user":"ann","amount":13})";
constexpr char kKey[] = R"(thirteen, for the key "ann")";

TEST(ThrownTest, StepsNameTheRecord) {
  EXPECT_THAT((ErrorOf<std::int64_t>([](auto in, Job&) {
                in.Map("op", [](const Order& order) { return Checked(order); }).To("out", Print{});
              })),
              EndsWith(kRecord));
  EXPECT_THAT(
      (ErrorOf<Order>([](auto in, Job&) {
        in.Filter("op", [](const Order& order) { return Checked(order) > 0; }).To("out", Print{});
      })),
      EndsWith(kRecord));
  EXPECT_THAT((ErrorOf<std::int64_t>([](auto in, Job&) {
                in.FlatMap("op", [](const Order& order) {
                    return std::vector<std::int64_t>{Checked(order)};
                  }).To("out", Print{});
              })),
              EndsWith(kRecord));
  // The second of two steps, which are one loop.
  EXPECT_THAT((ErrorOf<std::int64_t>([](auto in, Job&) {
                in.Filter("first", [](const Order&) { return true; })
                    .Map("op", [](const Order& order) { return Checked(order); })
                    .To("out", Print{});
              })),
              EndsWith(kRecord));
}

// What is left of a record that a function has taken is not shown as if it were that.
TEST(ThrownTest, AStepThatTakesTheRecordAwayNamesNone) {
  EXPECT_THAT((ErrorOf<std::int64_t>([](auto in, Job&) {
                in.Map("op", [](Order order) { return Checked(order); }).To("out", Print{});
              })),
              EndsWith("thirteen"));
}

struct Plain : ProcessFunction<Order, std::int64_t> {
  void Process(const Order& order, Context& context) override { context.Emit(Checked(order)); }
};
struct Keyed : KeyedProcess<std::string, Order, std::int64_t> {
  void Process(const Order& order, Context& context) override { context.Emit(Checked(order)); }
};
struct Timed : KeyedProcess<std::string, Order, std::int64_t> {
  EventTimer timer{this, "timer"};
  void Process(const Order&, Context&) override { timer.Set(EventTime::FromTicks(50)); }
  void OnTimer(const EventTimer&, Context&) override { throw std::runtime_error("thirteen"); }
};
struct Two : KeyedTwoInputProcess<std::string, Order, Order, std::int64_t> {
  void Process(const Order&, Context&) override {}
  void ProcessSecond(const Order& order, Context& context) override {
    context.Emit(Checked(order));
  }
};
struct Rules : BroadcastProcess<Order, Order, std::int64_t> {
  void Process(const Order&, Context&) override {}
  void ProcessBroadcast(const Order& order, BroadcastContext&) override { Checked(order); }
};

TEST(ThrownTest, ProcessFunctionsNameKeyAndRecord) {
  const auto by_user = [](auto& in) { return in.KeyBy(&Order::user); };
  EXPECT_THAT((ErrorOf<std::int64_t>(
                  [](auto in, Job&) { in.template Process<Plain>("op").To("out", Print{}); })),
              EndsWith(kRecord));
  EXPECT_THAT((ErrorOf<std::int64_t>([&](auto in, Job&) {
                by_user(in).template Process<Keyed>("op").To("out", Print{});
              })),
              EndsWith(kKeyAndRecord));
  EXPECT_THAT((ErrorOf<std::int64_t>([&](auto in, Job&) {
                by_user(in).template Process<Timed>("op").To("out", Print{});
              })),
              EndsWith(kKey));
  EXPECT_THAT(
      (ErrorOf<std::int64_t>(
          [&](auto in, Job& job) {
            auto second = job.From<Order>("second", Files{.path = "y"});
            by_user(in).Connect(by_user(second)).template Process<Two>("op").To("out", Print{});
          },
          1, 2)),
      EndsWith(kKeyAndRecord));
  EXPECT_THAT((ErrorOf<std::int64_t>(
                  [&](auto in, Job& job) {
                    auto rules = job.From<Order>("rules", Files{.path = "y"}).Broadcast();
                    in.WithBroadcast(rules).template Process<Rules>("op").To("out", Print{});
                  },
                  1, 2)),
              EndsWith(kRecord));
}

// A sum that does not take every order.
struct CheckedSum {
  using Accumulator = std::int64_t;
  void Add(Accumulator& acc, const Order& order) const { acc += Checked(order); }
  void Merge(Accumulator& into, const Accumulator& later) const { into += later; }
  std::int64_t Result(const Accumulator& acc) const { return acc; }
};
struct Windowed : WindowProcess<std::string, Order, std::int64_t> {
  void OnWindow(const WindowElements<Order>& orders, Context& context) override {
    for (const Order& order : orders) context.Emit(Checked(order));
  }
};

TEST(ThrownTest, AggregationsAndWindowsNameKeyAndRecord) {
  using Sums = WindowResult<std::string, std::int64_t>;
  const auto windows = [](auto& in, auto shape) { return in.KeyBy(&Order::user).Window(shape); };
  EXPECT_THAT((ErrorOf<KeyedResult<std::string, std::int64_t>>([](auto in, Job&) {
                in.KeyBy(&Order::user).Aggregate("op", CheckedSum{}).To("out", Print{});
              })),
              EndsWith(kKeyAndRecord));
  EXPECT_THAT(
      (ErrorOf<Sums>([&](auto in, Job&) {
        windows(in, Tumbling{Duration(10)}).Aggregate("op", CheckedSum{}).To("out", Print{});
      })),
      EndsWith(kKeyAndRecord));
  EXPECT_THAT((ErrorOf<Sums>([&](auto in, Job&) {
                windows(in, Sliding{Duration(10), Duration(5)})
                    .Aggregate("op", CheckedSum{})
                    .To("out", Print{});
              })),
              EndsWith(kKeyAndRecord));
  EXPECT_THAT((ErrorOf<Sums>([&](auto in, Job&) {
                windows(in, Session{Duration(10)}).Aggregate("op", CheckedSum{}).To("out", Print{});
              })),
              EndsWith(kKeyAndRecord));
  // What makes the result, when the window fires.
  EXPECT_THAT((ErrorOf<std::int64_t>([&](auto in, Job&) {
                windows(in, Tumbling{Duration(10)})
                    .Aggregate(
                        "op", Count{},
                        [](const std::string&, const TimeWindow&, std::int64_t) -> std::int64_t {
                          throw std::runtime_error("thirteen");
                        })
                    .To("out", Print{});
              })),
              EndsWith(kKey));
  EXPECT_THAT(
      (ErrorOf<std::int64_t>([&](auto in, Job&) {
        windows(in, Tumbling{Duration(10)}).template Process<Windowed>("op").To("out", Print{});
      })),
      EndsWith(kKey));
  // A gap that is not one (semantics rule 10).
  EXPECT_THAT((ErrorOf<std::int64_t>([&](auto in, Job&) {
                windows(in,
                        SessionBy{[](const Order& order) { return Duration(13 - order.amount); }})
                    .template Process<Windowed>("op")
                    .To("out", Print{});
              })),
              EndsWith(R"(must be greater than 0, for the key "ann", on the record )"
                       R"({"user":"ann","amount":13})"));
}

// An exception of Ask that is none of the standard's is no failed attempt.
struct Asks : AsyncFunction<Order, std::int64_t> {
  void Ask(const Order& order, AsyncReply<std::int64_t> reply) override {
    if (order.amount == 13) throw 13;
    reply.Complete(order.amount);
  }
};
struct GivesUp : AsyncFunction<Order, std::int64_t> {
  void Ask(const Order& order, AsyncReply<std::int64_t> reply) override {
    if (order.amount == 13) {
      reply.Fail("no");
    } else {
      reply.Complete(order.amount);
    }
  }
  bool OnFailure(const Order& order, const AsyncFailure&, std::vector<std::int64_t>&) override {
    Checked(order);
    return true;
  }
};

TEST(ThrownTest, AsyncFunctionsNameTheRecord) {
  EXPECT_THAT((ErrorOf<std::int64_t>([](auto in, Job&) {
                in.template Async<Asks>("op", AsyncOptions{}).To("out", Print{});
              })),
              EndsWith(R"(, on the record {"user":"ann","amount":13})"));
  EXPECT_THAT((ErrorOf<std::int64_t>([](auto in, Job&) {
                in.template Async<GivesUp>("op", AsyncOptions{}).To("out", Print{});
              })),
              EndsWith(kRecord));
}

TEST(ThrownTest, JoinsAndPatternsNameTheKeyAndTheRecordThatCame) {
  EXPECT_THAT((ErrorOf<std::int64_t>([](auto in, Job&) {
                in.KeyBy(&Order::user)
                    .IntervalJoin(in.KeyBy(&Order::user), Between{Duration(-1), Duration(1)})
                    .LeftJoin("op", [](const Order& order, const Order*) { return Checked(order); })
                    .To("out", Print{});
              })),
              EndsWith(kKey));
  EXPECT_THAT((ErrorOf<std::int64_t>([](auto in, Job&) {
                in.KeyBy(&Order::user)
                    .Match(Pattern<Order>::Begin("a").Where(
                        [](const Order& order) { return Checked(order) > 0; }))
                    .Select("op", [](const Match<Order>&) { return std::int64_t{1}; })
                    .To("out", Print{});
              })),
              EndsWith(kKeyAndRecord));
}

}  // namespace
}  // namespace weir

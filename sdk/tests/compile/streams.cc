// Jobs with mistakes. With MISUSE, NO_FIELD or NO_RECORDS defined each line marked with the word has a mistake, of which the compiler must
// say what follows the word, once, pointing to the line; without, what is right. What NO_RECORDS turns on is found while templates are instantiated,
// what MISUSE turns on later, when code is made for the calls.
// clang-format off
#include <weir/sdk.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

using namespace std::chrono_literals;

struct Order {
  std::string customer;
  std::int64_t amount = 0;
  weir::EventTime at;
};
struct Other {
  std::string name;
};
template <int kNumber>
struct WithPointer {
  const char* text = nullptr;
};

constexpr weir::SideOutput<Order> kLate{"late"};
constexpr weir::SideOutput<Other> kOthers{"others"};

struct Cleaning : weir::ProcessFunction<Order, Order> {
  explicit Cleaning(std::int64_t at_least) : least(at_least) {}
  void Process(const Order& order, Context& context) override {
    if (order.amount >= least) context.Emit(order);
#ifdef MISUSE
    context.Emit(Other());  // MISUSE: Emit(record): the record is not of the function's output type
#endif
#ifdef MISUSE
    context.Emit(kOthers, order);  // MISUSE: Emit(tag, record): the record is not of the side output's type
#endif
  }
  std::int64_t least;
};
struct CleaningOthers : weir::ProcessFunction<Other, Order> {
  void Process(const Other&, Context&) override {}
};
struct Unfinished : weir::ProcessFunction<Order, Order> {};
struct NoFunction {};

struct Visits : weir::KeyedProcess<std::string, Order, Order> {
  weir::ValueState<std::int64_t> count{this, "count"};
  void Process(const Order& order, Context& context) override { context.Emit(order); }
};
struct VisitsByNumber : weir::KeyedProcess<std::int64_t, Order, Order> {
  void Process(const Order&, Context&) override {}
};
struct UnfinishedVisits : weir::KeyedProcess<std::string, Order, Order> {};
struct WithPointerState : weir::KeyedProcess<std::string, Order, Order> {
#ifdef NO_RECORDS
  weir::ValueState<WithPointer<1>> seen{this, "seen"};  // NO_RECORDS: a Weir record cannot hold a pointer
#endif
  void Process(const Order&, Context&) override {}
};

struct NoMerge {
  using Accumulator = std::int64_t;
  void Add(Accumulator& acc, const Order& order) const { acc += order.amount; }
  std::int64_t Result(const Accumulator& acc) const { return acc; }
};
struct PointerAccumulator {
  using Accumulator = WithPointer<2>;
  void Add(Accumulator&, const Order&) const {}
  void Merge(Accumulator&, const Accumulator&) const {}
  std::int64_t Result(const Accumulator&) const { return 0; }
};
struct SinkOfOthers {
  using Record = Other;
  std::function<std::unique_ptr<weir::SinkWriter>()> MakeFactory() const { return {}; }
};

struct Priced : weir::BroadcastProcess<Order, Other, Order> {
  weir::BroadcastState<std::string, Other> others{this, "others"};
  void Process(const Order& order, Context& context) override {
    if (others.Contains(order.customer)) context.Emit(order);
#ifdef MISUSE
    others.Put(context, order.customer, Other{});  // MISUSE: Put(context, key, value): broadcast state is written in
#endif
  }
  void ProcessBroadcast(const Other& other, BroadcastContext& context) override { others.Put(context, other.name, other); }
};
struct PricedVisits : weir::KeyedBroadcastProcess<std::string, Order, Other, Order> {
  weir::BroadcastState<std::string, Other> others{this, "others"};
  weir::ValueState<std::int64_t> seen{this, "seen"};
  void Process(const Order& order, Context& context) override { context.Emit(order); }
  void ProcessBroadcast(const Other& other, BroadcastContext& context) override { others.Put(context, other.name, other); }
};

WEIR_JOB(job) {
  const auto orders = job.From<Order>("orders", weir::Files{.path = "in"}, {.timestamp = &Order::at});
  const auto customer = &Order::customer;
  const auto by_customer = orders.KeyBy(customer);
#if !defined(MISUSE) && !defined(NO_RECORDS) && !defined(NO_FIELD)
  // What is right.
  orders.Map("clean", [](Order order) { return order; })
      .Filter([](const Order& order) { return order.amount > 0; })
      .FlatMap([](const Order& order) { return std::vector<Order>(2, order); })
      .FlatMap<Other>([](const Order& order, weir::Collector<Other>& out) { out.Emit({order.customer}); })
      .Union(job.From<Other>("others", weir::Collection{.records = std::vector<Other>()}))
      .To("others-out", SinkOfOthers());
  const auto counts = by_customer.Window(weir::Tumbling{1h}).SideOutputLate(kLate).Aggregate("count", weir::Count());
  counts.To("counts-out", weir::Print{});
  counts.Side(kLate).To("late-out", weir::Print{});
  by_customer.Window(weir::Sliding{2h, 1h})
      .Aggregate("largest", weir::Max{&Order::amount},
                 [](const std::string& key, const weir::TimeWindow&, std::int64_t) { return Other{key}; })
      .To("largest-out", weir::Print{});
  by_customer.Reduce("newest", [](const Order& a, const Order& b) { return a.at < b.at ? b : a; })
      .Process<Cleaning>("cleaned", 3)
      .To("newest-out", weir::Print{});
  by_customer.Process<Visits>("visits").To("visits-out", weir::Print{});
  const auto others = job.From<Other>("known", weir::Files{.path = "others"});
  orders.WithBroadcast(others).Process<Priced>("priced").To("priced-out", weir::Print{});
  by_customer.WithBroadcast(others.Map([](Other other) { return other; }))
      .Process<PricedVisits>("priced-visits")
      .To("priced-visits-out", weir::Print{});
  job.From<std::string>("words", weir::Collection{.records = std::vector<std::string>()})
      .KeyBy(std::identity{})
      .Aggregate("words-count", weir::Count())
      .To("words-out", weir::Print{});
#endif
#ifdef MISUSE
  job.Arg<Order>("limit", "of what");  // MISUSE: Arg<T>(name, help): T must be std::string, an integer, double,
  orders.Process<Cleaning>("cleaning", 3);
  job.From<Order>("x", weir::Collection{.records = std::vector<Other>()});  // MISUSE: From<T>(uid, source): the source makes records of another type
  job.From<Order>("x", NoFunction());  // MISUSE: From<T>(uid, source): this is no source
  job.From("x", weir::Files{.path = "in"}).To("print", weir::Print{});  // MISUSE: From<T>(uid, source): say T, the type of the records:
  orders.Map([](const Other& o) { return o; })  // MISUSE: Map(f) or Map(uid, f): f cannot be called with a record of the
      .Filter([](const Other&) { return true; }).To("print", weir::Print{});
  orders.Map("clean", [](const Other& o) { return o; });  // MISUSE: Map(f) or Map(uid, f): f cannot be called with a record of the
  orders.Map([](Order& order) { return order; });  // MISUSE: Map(f) or Map(uid, f): f cannot be called with a record of the
  orders.Map([](const Order&) {}).To("print", weir::Print{});  // MISUSE: Map(f): f returns nothing
  orders.Filter([](const Other&) { return true; });  // MISUSE: Filter(f) or Filter(uid, f): f cannot be called with a const
  orders.Filter([](const Order& order) { return order.customer; });  // MISUSE: Filter(f): f does not return bool
  orders.Filter([](Order& order) { return ++order.amount > 1; });  // MISUSE: Filter(f) or Filter(uid, f): f cannot be called with a const
  orders.FlatMap([](const Order& order) { return order.amount; });  // MISUSE: FlatMap(f) or FlatMap(uid, f): f must take (const T& record),
  orders.FlatMap([](const Order&, weir::Collector<Other>&) {});  // MISUSE: FlatMap(f) or FlatMap(uid, f): f must take (const T& record),
  orders.FlatMap<Order>([](const Order&, weir::Collector<Other>&) {})  // MISUSE: FlatMap<U>(f) or FlatMap<U>(uid, f): f must take (const T&
      .To("print", weir::Print{});
  orders.KeyBy(&Other::name).Window(weir::Tumbling{1h}).Aggregate("n", weir::Count());  // MISUSE: KeyBy(key): key must be a member of the stream's record type
  orders.KeyBy([](const Order&) {}).Aggregate("n", weir::Count());  // MISUSE: KeyBy(key): key must be a member of the stream's record type
  orders.Union(job.From<Other>("o", weir::Files{})).To("print", weir::Print{});  // MISUSE: Union(streams...): all must be streams of this one's record type
  orders.Union(by_customer);  // MISUSE: Union(streams...): all must be streams of this one's record type
  orders.Window(weir::Tumbling{1h}).Aggregate("n", weir::Count()).To("p", weir::Print{});  // MISUSE: Window(w) is a step of a keyed stream: write KeyBy(key) before
  by_customer.Map([](const Order& order) { return order; }).To("p", weir::Print{});  // MISUSE: a keyed stream has no such step: do it before KeyBy, or after
  by_customer.Window(weir::Tumbling{1h}).To("p", weir::Print{});  // MISUSE: a window has no such step: write Aggregate(uid, ...) or
  by_customer.Window(1h).Aggregate("n", weir::Count());  // MISUSE: Window(w): w must be weir::Tumbling{size} or
  by_customer.Window(weir::Tumbling{1h})
      .Aggregate("n", weir::Avg{&Other::name})  // MISUSE: Aggregate(uid, a): a is no aggregator of the stream's record
      .To("p", weir::Print{});
  by_customer.Window(weir::Tumbling{1h}).Aggregate("n", weir::Sum{&Order::customer});  // MISUSE: Aggregate(uid, a): a is no aggregator of the stream's record
  by_customer.Window(weir::Tumbling{1h}).Aggregate("n", NoMerge());  // MISUSE: Aggregate(uid, a): a is no aggregator of the stream's record
  by_customer.Window(weir::Tumbling{1h}).Aggregate(weir::Count());  // MISUSE: Aggregate(uid, a): the step has no uid
  by_customer.Window(weir::Tumbling{1h})
      .Aggregate("n", weir::Count(), [](std::int64_t, std::int64_t n) { return n; });  // MISUSE: Aggregate(uid, a, finish): finish must take (const Key& key,
  by_customer.Aggregate("n", weir::Sum{&Order::customer}).To("p", weir::Print{});  // MISUSE: Aggregate(uid, a): a is no aggregator of the stream's record
  by_customer.Reduce("r", [](const Order& a, const Order&) { return a.amount; });  // MISUSE: Reduce(uid, f): after a uid comes f, which takes (const T&
  by_customer.Window(weir::Tumbling{1h}).Reduce("r", [](const Order& a) { return a; });  // MISUSE: Reduce(uid, f): after a uid comes f, which takes (const T&
  by_customer.Window(weir::Tumbling{1h}).SideOutputLate(kOthers).Aggregate("n", weir::Count());  // MISUSE: SideOutputLate(tag): tag must be a weir::SideOutput<T>, where T
  orders.Side("late").To("p", weir::Print{});  // MISUSE: Side(tag): tag must be a weir::SideOutput<U>, the same object
  orders.To("p", NoFunction());  // MISUSE: To(uid, sink): this is no sink
  orders.To("p", weir::Collection{.records = std::vector<Order>()});  // MISUSE: To(uid, sink): this is no sink
  orders.To("p", SinkOfOthers());  // MISUSE: To(uid, sink): the sink writes another type of record than the
  orders.To("p", weir::ForEach{[](const Other&) {}});  // MISUSE: To(uid, weir::ForEach{f}): f cannot be called with a record of
  orders.To(weir::Print{});  // MISUSE: To(uid, sink): the sink has no uid
  orders.Process<NoFunction>("p").To("print", weir::Print{});  // MISUSE: Process<F>(uid, args...): F must derive from
  orders.Process<Visits>("p").To("print", weir::Print{});  // MISUSE: Process<F>(uid, args...): F must derive from
  orders.Process<CleaningOthers>("p");  // MISUSE: Process<F>(uid, args...): F takes other records than the stream
  orders.Process<Unfinished>("p");  // MISUSE: Process<F>(uid, args...): F does not override void
  orders.Process<Cleaning>("p", std::string("least"));  // MISUSE: Process<F>(uid, args...): the uid comes first, and F must have
  orders.Process<Cleaning>(3);  // MISUSE: Process<F>(uid, args...): the uid comes first, and F must have
  by_customer.Process<Cleaning>("p", 3).To("print", weir::Print{});  // MISUSE: Process<P>(uid, args...): after KeyBy, P must derive from
  by_customer.Process<VisitsByNumber>("p").To("print", weir::Print{});  // MISUSE: Process<P>(uid, args...): P has another key or takes other
  by_customer.Process<UnfinishedVisits>("p");  // MISUSE: Process<P>(uid, args...): P does not override void
  const auto others = job.From<Other>("others", weir::Files{.path = "others"});
  orders.WithBroadcast(others).Process<Priced>("priced");
  orders.Process<Priced>("p");  // MISUSE: Process<F>(uid, args...): F takes the records of a second stream too
  by_customer.Process<PricedVisits>("p");  // MISUSE: Process<P>(uid, args...): P takes the records of a second stream too
  orders.WithBroadcast(by_customer);  // MISUSE: WithBroadcast(stream): what is broadcast must be a stream without KeyBy
  orders.WithBroadcast(others).Process<PricedVisits>("p");  // MISUSE: Process<F>(uid, args...) after WithBroadcast: F must derive from
  orders.WithBroadcast(orders).Process<Priced>("p");  // MISUSE: Process<F>(uid, args...) after WithBroadcast: F must derive from
  by_customer.WithBroadcast(others).Process<Priced>("p");  // MISUSE: Process<F>(uid, args...) after WithBroadcast: F must derive from
  orders.WithBroadcast(others).Process<Priced>("p", 3);  // MISUSE: Process<F>(uid, args...): the uid comes first, F must have
  by_customer.Process<Visits>("p", 3);  // MISUSE: Process<P>(uid, args...): the uid comes first, and P must have
  const auto joined = by_customer.IntervalJoin(by_customer, weir::Between{0s, 1h});
  joined.Join("p", [](const Order& a, const Order&) { return a; }).To("print", weir::Print{});
  joined.Join("p", [](const Order& a) { return a; });  // MISUSE: Join(uid, f): after the uid comes f, which takes (const A& left, const B& right)
  joined.FullJoin("p", [](const Order& a, const Order&) { return a; });  // MISUSE: FullJoin(uid, f): after the uid comes f, which takes
  by_customer.TemporalJoin(by_customer).Join("p", [](const Order& a, const Order*) { return a; });  // MISUSE: Join(uid, f): f must take (const A& left, const B& version)
  by_customer.Connect(by_customer).Process<Visits>("p");  // MISUSE: Process<P>(uid, args...): after Connect, P must derive from
  const auto matched = by_customer.Match(weir::Pattern<Order>::Begin("large"));
  matched.Select("p", [](const weir::Match<Order>& match) { return *match.First("large"); }).To("print", weir::Print{});
  matched.Select("p", [](const Order& order) { return order; });  // MISUSE: Select(uid, f): f must take
  matched.Select([](const weir::Match<Order>& match) { return *match.First("large"); });  // MISUSE: Select(uid, f): f must take
  matched.Process<Visits>("p").To("print", weir::Print{});  // MISUSE: Process<P>(uid, args...): after Match, P must derive
  weir::Pattern<Order>::Begin("a").Where([](const Other&) { return true; });  // MISUSE: Where(f): f must take
#endif
#ifdef NO_FIELD
  by_customer.Window(weir::Tumbling{1h}).Aggregate("n", weir::Sum{&Order::amout});  // NO_FIELD: amout
  orders.KeyBy(&Order::custommer);  // NO_FIELD: custommer
#endif
#ifdef NO_RECORDS
  job.From<Order>("x", weir::Files{}, {.timestamp = &Order::amount});  // NO_RECORDS: t must be a member of type weir::EventTime
  job.From<WithPointer<3>>("x", weir::Files{.path = "in"}).To("print", weir::Print{});  // NO_RECORDS: a Weir record cannot hold a pointer
  orders.Map([](const Order& order) { return order.customer.c_str(); })  // NO_RECORDS: a Weir record cannot hold a pointer
      .To("print", weir::Print{});
  orders.Map([](const Order&) { return WithPointer<4>(); })  // NO_RECORDS: a Weir record cannot hold a pointer
      .Filter([](const WithPointer<4>&) { return true; }).To("print", weir::Print{});
  orders.FlatMap<WithPointer<5>>([](const Order&, weir::Collector<WithPointer<5>>&) {});  // NO_RECORDS: a Weir record cannot hold a pointer
  orders.FlatMap([](const Order&) { return std::vector<WithPointer<6>>(); });  // NO_RECORDS: a Weir record cannot hold a pointer
  orders.KeyBy([](const Order& order) { return &order; })  // NO_RECORDS: a Weir record cannot hold a pointer
      .Aggregate("n", weir::Count());
  orders.KeyBy([](const Order&) { return WithPointer<7>(); }).Aggregate("n", weir::Count());  // NO_RECORDS: a Weir record cannot hold a pointer
  by_customer.Window(weir::Tumbling{1h}).Aggregate("n", PointerAccumulator());  // NO_RECORDS: a Weir record cannot hold a pointer
  by_customer.Window(weir::Tumbling{1h})
      .Aggregate("n", weir::Count(), [](const std::string&, const weir::TimeWindow&, std::int64_t) {  // NO_RECORDS: a Weir record cannot hold a pointer
        return WithPointer<8>();
      });
  by_customer.Process<WithPointerState>("p");
#endif
}

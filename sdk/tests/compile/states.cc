// State with mistakes. With WRONG_STATE or WRONG_USE defined each line marked with the word has a mistake, of which the compiler
// must say what follows the word, once, pointing to the line; without, what is right.
// clang-format off
#include <weir/sdk.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

using namespace std::chrono_literals;

struct Order {
  std::string customer;
  std::int64_t amount = 0;
};
template <int kNumber>
struct WithPointer {
  const char* text = nullptr;
};
struct PointerAccumulator {
  using Accumulator = WithPointer<1>;
  void Add(Accumulator&, const Order&) const {}
  void Merge(Accumulator&, const Accumulator&) const {}
  std::int64_t Result(const Accumulator&) const { return 0; }
};
struct Longer {
  std::string operator()(const std::string& a, const std::string& b) const { return a.size() < b.size() ? b : a; }
};

struct Keyed : weir::KeyedProcess<std::string, Order, Order> {
  weir::ValueState<std::map<std::string, double>> value{this, "value", weir::Ttl{.after = 1h}};
  weir::ListState<Order> list{this, "list", {.after = 1h, .time = weir::TtlTime::kEvent}};
  weir::ListState<bool> bools{this, "bools"};
  weir::MapState<std::string, Order> map{this, "map", {.after = 1h, .renew = weir::TtlRenew::kOnReadAndWrite}};
  weir::MapState<double, std::vector<bool>> numbers{this, "numbers"};
  weir::ReducingState<std::int64_t, std::plus<>> total{this, "total", {.after = 24h}};
  weir::ReducingState<std::string, Longer> longest{this, "longest", Longer(), {.after = 24h}};
  weir::ReducingState<double, double (*)(const double&, const double&)> least{
      this, "least", +[](const double& a, const double& b) { return a < b ? a : b; }};
  weir::AggregatingState<weir::Count> count{this, "count"};
  weir::AggregatingState<weir::Avg<Order, std::int64_t>> mean{this, "mean", weir::Avg{&Order::amount}, {.after = 1h}};

  void Process(const Order& order, Context& context) override {
    value.Mutable()["a"] += 1;
    list.Add(order);
    list.AddAll(std::vector<Order>{order});
    list.AddAll({order, order});
    list.Set({order});
    bools.AddAll(std::vector<bool>{true, false});
    map.Put("a", order);
    map.Mutable("b").amount += 1;
    map.ForEach([&](const std::string&, const Order& each) { context.Emit(each); });
    map.ForEach([](const std::string&, const Order& each) { return each.amount > 3; });
    const auto odd = [](const std::string&, const Order& each) { return each.amount % 2 != 0; };
    map.RemoveIf(odd);
    numbers.Put(0.5, {true});
    total.Add(order.amount);
    longest.Add(order.customer);
    least.Add(0.5);
    count.Add(order);
    mean.Add(order);
    for (const Order& each : list.Get()) context.Emit(each);
    for (const std::string& key : map.Keys()) {
      if (const Order* found = map.Find(key); found != nullptr && map.Contains("c")) context.Emit(*found);
    }
    if (map.Get("x").has_value() && total.Get() > 3 && mean.Get() < 0.5 && !list.empty()) context.Emit(order);
#ifdef WRONG_USE
    mean.Add(order.amount);  // WRONG_USE: Add(record): the state's aggregator has no Accumulator, Add(Accumulator&, const T&),
#endif
  }
#ifdef WRONG_STATE
  weir::ListState<WithPointer<2>> list2{this, "list2"};  // WRONG_STATE: a Weir record cannot hold a pointer
  weir::ListState<const char*> list3{this, "list3", {.after = 1h}};  // WRONG_STATE: a Weir record cannot hold a pointer
  weir::MapState<std::string, WithPointer<3>> map2{this, "map2"};  // WRONG_STATE: a Weir record cannot hold a pointer
  weir::MapState<std::string_view, int> map3{this, "map3"};  // WRONG_STATE: a Weir record cannot hold a std::string_view
  weir::ReducingState<WithPointer<4>, WithPointer<4> (*)(const WithPointer<4>&, const WithPointer<4>&)> least2{this, "least2"};  // WRONG_STATE: a Weir record cannot hold a pointer
  weir::ReducingState<int, Longer> least3{this, "least3"};  // WRONG_STATE: ReducingState<V, F>: F must take (const V& so_far, const V& next) and return V
  weir::AggregatingState<PointerAccumulator> mean2{this, "mean2"};  // WRONG_STATE: a Weir record cannot hold a pointer
  weir::OperatorList<Order> orders{this, "orders"};  // WRONG_STATE: weir::OperatorList and OperatorUnionList belong in a weir::ProcessFunction
  weir::OperatorUnionList<Order> all{this, "all"};  // WRONG_STATE: weir::OperatorList and OperatorUnionList belong in a weir::ProcessFunction
#endif
};

struct Renamed {
  std::string customer;
#ifdef FORMER_NAME
  static constexpr weir::FormerName kFormerNames[] = {{.field = "costumer", .before = "client"}};
#else
  static constexpr weir::FormerName kFormerNames[] = {{.field = "customer", .before = "client"}};
#endif
};
struct WithRenamed : weir::KeyedProcess<std::string, Order, Order> {
  weir::ValueState<Renamed> renamed{this, "renamed"};  // wrong: FORMER_NAME
  void Process(const Order& order, Context& context) override {
    if (renamed.Exists()) context.Emit(order);
  }
};

struct Unkeyed : weir::ProcessFunction<Order, Order> {
  weir::OperatorList<Order> orders{this, "orders"};
  weir::OperatorUnionList<std::int64_t> all{this, "all"};

  void Process(const Order& order, Context& context) override {
    orders->push_back(order);
    for (const Order& each : orders) context.Emit(each);
    (*all).clear();
  }
#ifdef WRONG_STATE
  weir::OperatorList<WithPointer<5>> orders2{this, "orders2"};  // WRONG_STATE: a Weir record cannot hold a pointer
  weir::ValueState<Order> value{this, "value"};  // WRONG_STATE: state of a key (ValueState, ListState, MapState, ...) belongs in a weir::KeyedProcess
  weir::ListState<Order> list{this, "list"};  // WRONG_STATE: state of a key (ValueState, ListState, MapState, ...) belongs in a weir::KeyedProcess
  weir::MapState<std::string, Order> map{this, "map", {.after = 1h}};  // WRONG_STATE: state of a key (ValueState, ListState, MapState, ...) belongs in a weir::KeyedProcess
  weir::ReducingState<double, std::plus<>> total{this, "total"};  // WRONG_STATE: state of a key (ValueState, ListState, MapState, ...) belongs in a weir::KeyedProcess
  weir::AggregatingState<weir::Count> count{this, "count"};  // WRONG_STATE: state of a key (ValueState, ListState, MapState, ...) belongs in a weir::KeyedProcess
  weir::EventTimer timer{this, "timer"};  // WRONG_STATE: a timer belongs in a weir::KeyedProcess
#endif
};

WEIR_JOB(job) {
  const auto orders = job.From<Order>("orders", weir::Files{.path = "in"});
  orders.KeyBy(&Order::customer).Process<Keyed>("keyed").To("keyed-out", weir::Print{});
  orders.KeyBy(&Order::customer).Process<WithRenamed>("renamed").To("renamed-out", weir::Print{});
  orders.Process<Unkeyed>("unkeyed").To("unkeyed-out", weir::Print{});
}

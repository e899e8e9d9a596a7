// Orders that are not paid within a quarter of an hour, and those that are.
#include <weir/sdk.h>

#include <cstdint>
#include <string>

struct Order {
  std::string order;
  std::string user;
  double amount = 0;
  weir::EventTime at;
};
struct Payment {
  std::string order;
  weir::EventTime at;
};
struct Outcome {
  std::string order;
  std::string user;
  std::string what;
  weir::EventTime at;
};

struct Await : weir::KeyedTwoInputProcess<std::string, Order, Payment, Outcome> {
  explicit Await(weir::Duration limit) : within(limit) {}

  weir::ValueState<Order> open{this, "open"};
  weir::ValueState<weir::EventTime> paid{this, "paid"};
  weir::EventTimer overdue{this, "overdue"};

  void Process(const Order& order, Context& ctx) override {
    open.Set(order);
    overdue.Set(order.at + within);
    if (paid.Exists()) Decide(paid.Get(), ctx);  // of two streams either may be read first
  }
  void ProcessSecond(const Payment& payment, Context& ctx) override {
    if (open.Exists()) {
      Decide(payment.at, ctx);
    } else {
      paid.Set(payment.at);
      overdue.Set(payment.at + within);  // of an order that is unknown or was too late
    }
  }
  void OnTimer(const weir::EventTimer&, Context& ctx) override {
    if (open.Exists()) ctx.Emit({ctx.key(), open.Get().user, "not paid in time", ctx.timestamp()});
    Forget();
  }

 private:
  void Decide(weir::EventTime payment, Context& ctx) {
    if (payment > open.Get().at + within) return;  // the timer says so
    ctx.Emit({ctx.key(), open.Get().user, "paid", payment});
    Forget();
  }
  void Forget() {
    open.Clear();
    paid.Clear();
    overdue.Clear();
  }

  const weir::Duration within;
};

WEIR_JOB(job) {
  const auto input = job.Arg<std::string>("input", "orders as JSON lines");
  const auto payments = job.Arg<std::string>("payments", "payments as JSON lines");
  const auto output = job.Arg<std::string>("output", "folder or file for what became of orders");
  const auto within = job.Arg<weir::Duration>("within", "an order is to be paid after so long",
                                              std::chrono::minutes(15));

  const auto paid =
      job.From<Payment>("payments", weir::Files{.path = payments}, {.timestamp = &Payment::at});
  job.From<Order>("orders", weir::Files{.path = input}, {.timestamp = &Order::at})
      .KeyBy(&Order::order)
      .Connect(paid.KeyBy(&Payment::order))
      .Process<Await>("await-payment", within)
      .To("outcomes", weir::Files{.path = output});
}

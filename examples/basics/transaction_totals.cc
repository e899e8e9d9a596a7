// What each user has done: the number of transactions, the money spent, and the last five actions;
// told with each purchase.
#include <vector>

#include "events.h"

struct Summary {
  std::string user;
  std::int64_t transactions = 0;
  double spent = 0;
  std::vector<std::string> recent;
};

struct Summarize : weir::KeyedProcess<std::string, Transaction, Summary> {
  weir::ValueState<std::int64_t> transactions{this, "transactions"};
  weir::ReducingState<double, std::plus<>> spent{this, "spent"};
  weir::ListState<std::string> recent{this, "recent"};

  void Process(const Transaction& transaction, Context& ctx) override {
    transactions.Mutable() += 1;
    recent.Add(transaction.action);
    if (recent.size() > 5) {
      const auto kept = recent.Get().subspan(1);
      recent.Set(std::vector<std::string>(kept.begin(), kept.end()));
    }
    if (!transaction.amount.has_value()) return;
    spent.Add(*transaction.amount);
    ctx.Emit(
        {ctx.key(), transactions.Get(), spent.Get(), {recent.Get().begin(), recent.Get().end()}});
  }
};

WEIR_JOB(job) {
  const auto input = job.Arg<std::string>("input", "transactions as JSON lines");
  const auto output = job.Arg<std::string>("output", "folder or file for the summaries");

  job.From<Transaction>("transactions", weir::Files{.path = input}, {.timestamp = &Transaction::at})
      .KeyBy(&Transaction::user)
      .Process<Summarize>("summarize")
      .To("summaries", weir::Files{.path = output});
}

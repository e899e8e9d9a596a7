// After each purchase: how many its user has made so far, their sum and their average.
#include "events.h"

struct Total {
  std::string user;
  std::int64_t count = 0;
  double sum = 0;
  double average = 0;
};

WEIR_JOB(job) {
  const auto input = job.Arg<std::string>("input", "purchases as JSON lines");
  const auto output = job.Arg<std::string>("output", "folder or file for the totals");

  using Totals = weir::KeyedResult<std::string, std::tuple<std::int64_t, double, double>>;
  job.From<Purchase>("purchases", weir::Files{.path = input}, {.timestamp = &Purchase::at})
      .KeyBy(&Purchase::user)
      .Aggregate("totals", weir::Combine{weir::Count{}, weir::Sum{&Purchase::amount},
                                         weir::Avg{&Purchase::amount}})
      .Map("to-record",
           [](const Totals& totals) {
             const auto& [count, sum, average] = totals.value;
             return Total{totals.key, count, sum, average};
           })
      .To("totals-out", weir::Files{.path = output});
}

// Clicks and purchases of one user within the same five seconds.
#include "events.h"

struct Match {
  std::string user;
  std::string page;
  std::int64_t product = 0;
  double amount = 0;
};

WEIR_JOB(job) {
  const auto input = job.Arg<std::string>("input", "clicks as JSON lines");
  const auto purchases = job.Arg<std::string>("purchases", "purchases as JSON lines");
  const auto output = job.Arg<std::string>("output", "folder or file for the matches");

  const auto clicked =
      job.From<Click>("clicks", weir::Files{.path = input}, {.timestamp = &Click::at});
  const auto bought =
      job.From<Purchase>("purchases", weir::Files{.path = purchases},
                         {.timestamp = &Purchase::at, .max_delay = std::chrono::seconds(5)});
  clicked.KeyBy(&Click::user)
      .WindowJoin(bought.KeyBy(&Purchase::user), weir::Tumbling{std::chrono::seconds(5)})
      .Join("match",
            [](const Click& click, const Purchase& purchase) {
              return Match{click.user, click.page, purchase.product, purchase.amount};
            })
      .To("matches", weir::Files{.path = output});
}

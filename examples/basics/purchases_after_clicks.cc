// Each purchase with the clicks of its user in the hour before it.
#include "events.h"

struct Match {
  std::string user;
  std::string page;
  std::int64_t product = 0;
  weir::EventTime clicked, bought;
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
      .IntervalJoin(bought.KeyBy(&Purchase::user),
                    weir::Between{std::chrono::seconds(0), std::chrono::hours(1)})
      .Join("match",
            [](const Click& click, const Purchase& purchase) {
              return Match{click.user, click.page, purchase.product, click.at, purchase.at};
            })
      .To("matches", weir::Files{.path = output});
}

// The clicks of premium users, with what others want to know of them.
#include "events.h"

struct PremiumClick {
  std::string user;
  std::string action;
  std::string page;
  std::string priority;
  weir::EventTime at;
};

WEIR_JOB(job) {
  const auto input = job.Arg<std::string>("input", "clicks as JSON lines");
  const auto output = job.Arg<std::string>("output", "folder or file for the premium clicks");

  job.From<Click>("clicks", weir::Files{.path = input}, {.timestamp = &Click::at})
      .Filter("premium", [](const Click& click) { return click.tier == "premium"; })
      .Map("enrich",
           [](const Click& click) {
             return PremiumClick{click.user, click.action, click.page, "high", click.at};
           })
      .To("premium-clicks", weir::Files{.path = output});
}

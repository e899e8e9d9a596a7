// Each click with the city in which its user lived at that time, from a stream of changes.
#include "events.h"

struct Profile {
  std::string user;
  std::string city;
  // The user has left.
  bool closed = false;
  weir::EventTime at;
};
struct Enriched {
  std::string user;
  std::string page;
  std::string city;
};

WEIR_JOB(job) {
  const auto input = job.Arg<std::string>("input", "clicks as JSON lines");
  const auto profiles = job.Arg<std::string>("profiles", "changes of profiles as JSON lines");
  const auto output = job.Arg<std::string>("output", "folder or file for the enriched clicks");

  const auto changes =
      job.From<Profile>("profiles", weir::Files{.path = profiles}, {.timestamp = &Profile::at});
  job.From<Click>("clicks", weir::Files{.path = input}, {.timestamp = &Click::at})
      .KeyBy(&Click::user)
      .TemporalJoin(changes.KeyBy(&Profile::user))
      .Deleted(&Profile::closed)
      .LeftJoin("enrich",
                [](const Click& click, const Profile* profile) {
                  return Enriched{click.user, click.page,
                                  profile != nullptr ? profile->city : "unknown"};
                })
      .To("enriched", weir::Files{.path = output});
}

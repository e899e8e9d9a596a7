// What a user does without a pause is a session: when it began and ended, and what was done in it.
#include <algorithm>
#include <vector>

#include "events.h"

struct Visit {
  std::string user;
  weir::EventTime from, until;
  std::vector<std::string> actions;
};

struct Describe : weir::WindowProcess<std::string, Click, Visit> {
  void OnWindow(const weir::WindowElements<Click>& clicks, Context& ctx) override {
    std::vector<Click> sorted(clicks.begin(), clicks.end());
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const Click& a, const Click& b) { return a.at < b.at; });
    Visit visit{ctx.key(), sorted.front().at, sorted.back().at, {}};
    for (const Click& click : sorted) visit.actions.push_back(click.action);
    ctx.Emit(visit);
  }
};

WEIR_JOB(job) {
  const auto input = job.Arg<std::string>("input", "clicks as JSON lines");
  const auto output = job.Arg<std::string>("output", "folder or file for the sessions");
  const auto pause =
      job.Arg<weir::Duration>("pause", "a session ends after so long", std::chrono::seconds(3));

  job.From<Click>("clicks", weir::Files{.path = input}, {.timestamp = &Click::at})
      .KeyBy(&Click::user)
      .Window(weir::Session{pause})
      .Process<Describe>("sessions")
      .To("sessions-out", weir::Files{.path = output});
}

// Log lines by their level, and the lines of one tenant by themselves.
#include <weir/sdk.h>

#include <string>

struct LogLine {
  std::string tenant;
  std::string level;
  std::string text;
  weir::EventTime at;
};

constexpr weir::SideOutput<LogLine> kErrors{"errors"};
constexpr weir::SideOutput<std::string> kWarnings{"warnings"};
constexpr weir::SideOutput<LogLine> kTenant{"tenant"};

struct Route : weir::ProcessFunction<LogLine, LogLine> {
  explicit Route(std::string t) : tenant(std::move(t)) {}
  void Process(const LogLine& line, Context& ctx) override {
    if (line.tenant == tenant) ctx.Emit(kTenant, line);
    if (line.level == "error") {
      ctx.Emit(kErrors, line);
    } else if (line.level == "warning") {
      ctx.Emit(kWarnings, line.tenant + ": " + line.text);  // each output has a type of its own
    } else {
      ctx.Emit(line);
    }
  }
  const std::string tenant;
};

WEIR_JOB(job) {
  const auto input = job.Arg<std::string>("input", "log lines as JSON lines");
  const auto output = job.Arg<std::string>("output", "folder for the files");
  const auto tenant = job.Arg<std::string>("tenant", "whose lines are wanted by themselves");

  auto routed = job.From<LogLine>("lines", weir::Files{.path = input}, {.timestamp = &LogLine::at})
                    .Process<Route>("route", tenant);
  routed.To("rest", weir::Files{.path = output + "/rest"});
  routed.Side(kErrors).To("errors", weir::Files{.path = output + "/errors"});
  routed.Side(kWarnings).To("warnings", weir::Files{.path = output + "/warnings"});
  routed.Side(kTenant).To("tenant", weir::Files{.path = output + "/tenant"});
}

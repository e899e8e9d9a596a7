#include "client/cli/cli.h"

#include <algorithm>
#include <memory>
#include <sstream>
#include <utility>

#include "CLI/CLI.hpp"
#include "client/cli/commands.h"
#include "client/cli/json_writer.h"
#include "client/cli/text_format.h"
#include "common/base/edit_distance.h"
#include "common/base/strings.h"
#include "common/config/options.h"

namespace weir {
namespace {

struct Command {
  const char* name;
  const char* help;
  const char* target;  // Null: takes none.
  const char* target_help;
  bool plugin;  // Takes a plugin's options and arguments.
  bool remote;  // Talks to a job manager.
  const char* example;
  ExitCode (*run)(CliContext&, const CliOptions&);
};

constexpr Command kCommands[] = {
    {"submit", "Send a job to the cluster and print its id", "job.so", "the job's shared library",
     true, true, "jobctl submit --wait -p 4 flights.so -- --input=/data/flights", RunSubmit},
    {"run", "Run a job in one process, without a cluster", "job.so", "the job's shared library",
     true, false, "jobctl run word_count.so -- --input=/data/text", RunEmbedded},
    {"list", "List jobs and free slots", nullptr, nullptr, false, true, "jobctl list", RunList},
    {"status", "Show how a job is: its operators, and why it failed", "job",
     "id, beginning of the id, or name", false, true, "jobctl status flights", RunStatus},
    {"explain", "Show a job's arguments and graph", "job-or-file",
     "a shared library, or a job of the cluster", true, true,
     "jobctl explain flights.so --dot | dot -Tsvg > flights.svg", RunExplain},
    {"logs", "Show the logs of a job's workers", "job", "id, beginning of the id, or name", false,
     true, "jobctl logs -n 20 flights", RunLogs},
    {"cancel", "End a job", "job", "id, beginning of the id, or name", false, true,
     "jobctl cancel --wait flights", RunCancel},
    {"checkpoints", "Show the checkpoints of a job, or with --id one with its subtasks", "job",
     "id, beginning of the id, or name", false, true, "jobctl checkpoints flights --id 12",
     RunCheckpoints},
    {"watermarks", "Show how far event time is in a running job, and who holds it back", "job",
     "id, beginning of the id, or name", false, true, "jobctl watermarks flights --operator delays",
     RunWatermarks},
    {"late", "Show records of a running job that came too late, and who had moved event time on",
     "job", "id, beginning of the id, or name", false, true,
     "jobctl late flights --operator delays", RunLate},
    {"windows", "Show the open windows of an operator of a running job, and when each fires", "job",
     "id, beginning of the id, or name", false, true, "jobctl windows flights delays", RunWindows},
    {"savepoint", "Take a savepoint of a job, which goes on, and print where it is", "job",
     "id, beginning of the id, or name", false, true,
     "jobctl savepoint flights --dir /shared/savepoints", RunSavepoint},
    {"savepoint inspect", "Show what is in a savepoint or checkpoint", "path",
     "its folder, on this host; no job manager is needed", false, false,
     "jobctl savepoint inspect /shared/savepoints/savepoint-208957-5bac235a4c75",
     RunSavepointInspect},
    {"savepoint check", "Say state by state whether a job can start from a savepoint", "path",
     "the savepoint's folder, on this host; no job manager is needed", true, false,
     "jobctl savepoint check /shared/savepoints/savepoint-208957-5bac235a4c75 flights.so -- "
     "--input=/data/flights",
     RunSavepointCheck},
    {"stop", "End a job with a savepoint from which it can go on, and print where it is", "job",
     "id, beginning of the id, or name", false, true, "jobctl stop flights --savepoint", RunStop},
    {"rescale", "Give a running job another parallelism", "job", "id, beginning of the id, or name",
     false, true, "jobctl rescale flights 8", RunRescale},
    {"version", "Show the version, and what jobs must be built with", nullptr, nullptr, false,
     false, "jobctl version --json", RunVersion},
};

constexpr char kFooter[] =
    "Exit codes: 0 done; 1 the job failed or was canceled, or the job manager refused; 2 wrong "
    "usage; 3 no job manager "
    "answers;\n4 the job's library was refused or its definition is wrong; 5 an internal error.\n"
    "The job manager is the one of -m, else of WEIR_JOBMANAGER, else of the settings "
    "jobmanager.rpc.address and .port\n"
    "in the file of -c (or WEIR_CONFIG), else 127.0.0.1:6123.\n"
    "'jobctl COMMAND --help' shows each command with an example.";

constexpr char kWithCommands[] = "savepoint";

// "did you mean 'submit'?" for a word that is no command.
std::string Suggestion(const std::string& word) {
  std::vector<std::string> names;
  for (const Command& command : kCommands) names.emplace_back(command.name);
  const std::string nearest = Nearest(word, names);
  return nearest.empty() ? "" : StrCat("; did you mean '", nearest, "'?");
}

// "host:port"; a host alone gets the default port.
absl::StatusOr<std::string> JobManagerAddress(const CliContext& context, const CliOptions& cli) {
  std::string address = cli.job_manager;
  std::string from = "-m";
  if (address.empty()) {
    const auto it = context.environment.find("WEIR_JOBMANAGER");
    if (it == context.environment.end() || it->second.empty()) {
      return StrCat(cli.settings.Get(options::kJobManagerAddress), ":",
                    cli.settings.Get(options::kJobManagerPort));
    }
    address = it->second;
    from = "WEIR_JOBMANAGER";
  }
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) return address + ":6123";
  const std::string port = address.substr(colon + 1);
  const bool number =
      !port.empty() && port.size() <= 5 &&
      std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (colon == 0 || !number || std::stoi(port) > 65535 || std::stoi(port) == 0) {
    return absl::InvalidArgumentError(
        StrCat(from, " ", address, ": write host:port, such as localhost:6123"));
  }
  return address;
}

// The command line as CLI11 sees it; filled by its Parse.
class CommandLine {
 public:
  CommandLine() : app_("Submits jobs to a Weir cluster and shows how they are.", "jobctl") {
    app_.require_subcommand(1);
    app_.footer(kFooter);
    for (const Command& command : kCommands) Add(command);
  }

  // The command, or null when there is nothing to run any more: `exit_code` is set then.
  const Command* Parse(CliContext& context, std::vector<std::string> arguments,
                       ExitCode& exit_code) {
    if (const auto separator = std::find(arguments.begin(), arguments.end(), "--");
        separator != arguments.end()) {
      options_.job_arguments.assign(separator + 1, arguments.end());
      arguments.erase(separator, arguments.end());
    }
    const std::string first = arguments.empty() ? "" : arguments.front();
    std::reverse(arguments.begin(), arguments.end());
    try {
      app_.parse(std::move(arguments));
    } catch (const CLI::CallForHelp& help) {
      std::ostringstream out;
      app_.exit(help, out, out);
      context.out(out.str());
      exit_code = ExitCode::kOk;
      return nullptr;
    } catch (const CLI::ParseError& error) {
      const bool no_command = app_.get_subcommands().empty();
      std::string text = StrCat("jobctl: ", error.what());
      if (no_command && !first.empty() && first[0] != '-') {
        text = StrCat("jobctl: there is no command '", first, "'", Suggestion(first));
      }
      context.err(StrCat(Harmless(text), "\nSee 'jobctl ",
                         no_command ? "" : app_.get_subcommands()[0]->get_name() + " ",
                         "--help'.\n"));
      exit_code = ExitCode::kUsage;
      return nullptr;
    }
    const CLI::App& chosen = *app_.get_subcommands()[0];
    std::string name = chosen.get_name();
    if (!chosen.get_subcommands().empty()) {
      name += " " + chosen.get_subcommands()[0]->get_name();
    } else if (name == kWithCommands && options_.target.empty()) {
      context.err(StrCat("jobctl: ", name, " needs a job\nSee 'jobctl ", name, " --help'.\n"));
      exit_code = ExitCode::kUsage;
      return nullptr;
    }
    for (const Command& command : kCommands) {
      if (name == command.name) return &command;
    }
    exit_code = ExitCode::kInternal;
    return nullptr;
  }

  CliOptions& options() { return options_; }

 private:
  void Add(const Command& command) {
    const std::string name = command.name;
    const size_t blank = name.find(' ');
    CLI::App& parent =
        blank == std::string::npos ? app_ : *app_.get_subcommand(name.substr(0, blank));
    CLI::App& sub = *parent.add_subcommand(
        blank == std::string::npos ? name : name.substr(blank + 1), command.help);
    sub.footer(
        StrCat(command.plugin ? "The job's own arguments come after '--', as --name=value.\n" : "",
               "Example: ", command.example));
    if (command.target != nullptr) {
      sub.add_option(command.target, options_.target, command.target_help)
          // One with commands of its own says itself that it is missing.
          ->required(name != kWithCommands)
          ->option_text(" ");
    }
    if (name == "rescale") {
      sub.add_option("parallelism", options_.parallelism,
                     "Subtasks of operators that set no number themselves")
          ->required()
          ->option_text(" ");
    }
    if (name == "savepoint check") {
      sub.add_option("file", options_.plugin, "the job's shared library")
          ->required()
          ->option_text(" ");
    }
    sub.add_option("-c,--config", options_.config_file, "Settings, as YAML")->option_text("FILE");
    sub.add_flag("--json", options_.json, "Write JSON for programs to standard output");
    if (command.remote) {
      sub.add_option("-m,--jobmanager", options_.job_manager, "Address of the job manager")
          ->option_text("HOST:PORT");
    }
    if (command.plugin || command.remote) {
      sub.add_option("-D", options_.overrides,
                     "A setting, such as execution.buffer-timeout=1ms; over those of the file")
          ->option_text("KEY=VALUE")
          ->allow_extra_args(false);
    }
    if (command.plugin) {
      sub.add_option("-p,--parallelism", options_.parallelism,
                     "Subtasks of operators that set no number themselves")
          ->option_text("N");
      sub.add_option("--name", options_.job_name, "The job's name in lists")->option_text("NAME");
    }
    if (name == "submit" || name == "cancel") {
      sub.add_flag("--wait", options_.wait,
                   name == "submit" ? "Show progress until the job ends; exit code 0 if it finished"
                                    : "Return when the job has ended");
    }
    if (name == "savepoint inspect") {
      sub.add_flag("--verify", options_.verify, "Read all files, and see whether one is damaged");
    }
    if (name == "savepoint check") {
      sub.add_flag(
          "--allow-dropped-state", options_.allow_dropped_state,
          "Leave state behind that the job does not have any more, as 'jobctl submit' does "
          "with it");
    }
    if (name == "submit") {
      sub.add_option("--from", options_.restore_from,
                     "Start from this savepoint, or kept checkpoint: a whole path, which job "
                     "manager and task managers see")
          ->option_text("PATH");
      sub.add_flag("--allow-dropped-state", options_.allow_dropped_state,
                   "With --from: leave state behind that the job does not have any more");
    }
    if (name == "savepoint" || name == "stop") {
      sub.add_option(
             "--dir", options_.directory,
             "Folder below which the savepoint's own is made: a whole path, which job "
             "manager and task managers see (default: execution.checkpointing.savepoint-dir "
             "of the job)")
          ->option_text("DIR");
    }
    if (name == "stop") {
      sub.add_flag("--savepoint", options_.with_savepoint,
                   "Needed: without a savepoint a job is ended by 'jobctl cancel'");
      sub.add_flag("--drain", options_.drain,
                   "Before the savepoint, fire all windows and timers as at the end of the input: "
                   "for a job that is not to go on");
    }
    if (name == "checkpoints") {
      sub.add_option("--id", options_.checkpoint, "Show this one, with each of its subtasks")
          ->option_text("N")
          ->check(CLI::PositiveNumber);
    }
    if (name == "watermarks") {
      sub.add_option("--operator", options_.operator_uid,
                     "Show the subtasks of this operator, and the channels or splits of the one "
                     "that is furthest behind")
          ->option_text("UID");
      sub.add_flag("--follow", options_.follow,
                   "Show every second how far it is, until the job ends; then also by how much "
                   "event time goes on for each second");
    }
    if (name == "late") {
      sub.add_option("--operator", options_.operator_uid, "Only of this operator")
          ->option_text("UID");
    }
    if (name == "windows") {
      sub.add_option("operator", options_.operator_uid, "the operator's uid")
          ->required()
          ->option_text(" ");
      sub.add_option("--limit", options_.limit,
                     "How many at most, those that fire first (default 20)")
          ->option_text("N")
          ->check(CLI::Range(1, 1000));
    }
    if (name == "explain") sub.add_flag("--dot", options_.dot, "Write the graph for Graphviz");
    if (name == "logs") {
      sub.add_option("-n,--lines", options_.lines,
                     "Lines from the end of each worker's log (default 100)")
          ->option_text("N")
          ->check(CLI::Range(1, 1'000'000));
    }
  }

  CLI::App app_;
  CliOptions options_;
};

}  // namespace

ExitCode ShowError(CliContext& context, const CliOptions& options, const absl::Status& status,
                   ExitCode code) {
  context.err(StrCat("jobctl: ", Harmless(ToStd(status.message())), "\n"));
  if (options.json) {
    JsonWriter json;
    json.BeginObject().Key("error").BeginObject();
    json.Key("code").String(absl::StatusCodeToString(status.code()));
    json.Key("message").String(ToStd(status.message()));
    json.EndObject().EndObject();
    context.out(json.Finish());
  }
  return code;
}

ExitCode ShowCallError(CliContext& context, const CliOptions& options, const absl::Status& status) {
  if (!absl::IsUnavailable(status)) {
    return ShowError(context, options, status,
                     absl::IsInternal(status) ? ExitCode::kInternal : ExitCode::kJobSaysNo);
  }
  return ShowError(
      context, options,
      absl::UnavailableError(
          StrCat(ToStd(status.message()),
                 "\nStart one with 'deploy/local/start' (or the program 'jobmanager'), or name "
                 "another with -m HOST:PORT.")),
      ExitCode::kUnreachable);
}

int RunCli(CliContext& context, const std::vector<std::string>& arguments) {
  CommandLine line;
  ExitCode code = ExitCode::kOk;
  const Command* command = line.Parse(context, arguments, code);
  if (command == nullptr) return static_cast<int>(code);
  CliOptions& options = line.options();
  if (const auto it = context.environment.find("WEIR_CONFIG");
      it != context.environment.end() && options.config_file.empty()) {
    options.config_file = it->second;
  }
  auto settings = LoadSettings(context.env->files(), options.config_file, options.overrides);
  absl::Status status = settings.status();
  if (settings.ok()) options.settings = *std::move(settings);
  if (status.ok() && !options.job_arguments.empty() && !command->plugin) {
    status = absl::InvalidArgumentError(
        StrCat("'jobctl ", command->name, "' takes no arguments after '--'"));
  }
  if (status.ok()) {
    auto address = JobManagerAddress(context, options);
    status = address.status();
    if (address.ok()) options.job_manager = *address;
  }
  if (!status.ok()) return static_cast<int>(ShowError(context, options, status, ExitCode::kUsage));
  return static_cast<int>(command->run(context, options));
}

}  // namespace weir

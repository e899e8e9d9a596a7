#include <map>
#include <memory>
#include <string>
#include <utility>

#include "client/cli/commands.h"
#include "client/cli/job_commands.h"
#include "client/cli/job_text.h"
#include "client/cli/json_writer.h"
#include "client/cli/plugin_definition.h"
#include "client/cli/text_format.h"
#include "common/base/strings.h"
#include "proto/control.pb.h"
#include "proto/define.pb.h"

namespace weir {
namespace {

// A plugin that takes a moment to send.
constexpr uint64_t kShowUploadBytes = 8 << 20;

// Of all settings those that travel with a job.
std::map<std::string, std::string> JobSettings(const Settings& settings) {
  std::map<std::string, std::string> result;
  for (const auto& [key, value] : settings.SetValues()) {
    if (IsOfJobs(key)) result.emplace(key, value);
  }
  return result;
}

ExitCode ShowEnd(CliContext& context, const CliOptions& options,
                 const proto::JobStatusResponse& status) {
  if (options.json) {
    context.out(JobStatusJson(status));
  } else {
    context.err(SummaryLine(status, NowMicros(context)) + "\n");
    if (status.has_failure()) context.err(FailureText(status.failure()));
  }
  return status.summary().state() == proto::FINISHED ? ExitCode::kOk : ExitCode::kJobSaysNo;
}

}  // namespace

absl::StatusOr<std::map<std::string, std::string>> ParseJobArguments(
    const std::vector<std::string>& arguments) {
  std::map<std::string, std::string> result;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& text = arguments[i];
    if (text.size() < 3 || !text.starts_with("--") || text[2] == '=') {
      return absl::InvalidArgumentError(
          StrCat("'", text, "' is no argument of a job: after '--' they are written --name=value"));
    }
    const size_t equals = text.find('=');
    std::string name = text.substr(2, equals == std::string::npos ? std::string::npos : equals - 2);
    std::string value = "true";
    if (equals != std::string::npos) {
      value = text.substr(equals + 1);
    } else if (i + 1 < arguments.size() && !arguments[i + 1].starts_with("--")) {
      value = arguments[++i];
    }
    if (!result.emplace(name, value).second) {
      return absl::InvalidArgumentError(StrCat("the job's argument --", name, " is given twice"));
    }
  }
  return result;
}

ExitCode RunSubmit(CliContext& context, const CliOptions& options) {
  auto arguments = ParseJobArguments(options.job_arguments);
  if (arguments.ok() && options.allow_dropped_state && options.restore_from.empty()) {
    arguments = absl::InvalidArgumentError("--allow-dropped-state goes with --from PATH");
  }
  if (!arguments.ok()) return ShowError(context, options, arguments.status(), ExitCode::kUsage);
  auto definition = DefinePlugin(context, options, *arguments, /*describe_only=*/false);
  if (!definition.ok()) {
    return ShowError(
        context, options, definition.status(),
        absl::IsInternal(definition.status()) ? ExitCode::kInternal : ExitCode::kPluginRefused);
  }
  Submission submission;
  submission.plugin_path = options.target;
  submission.arguments = *std::move(arguments);
  submission.settings = JobSettings(options.settings);
  submission.restore_from = options.restore_from;
  submission.allow_dropped_state = options.allow_dropped_state;
  submission.fingerprint = definition->fingerprint();
  submission.graph = std::make_shared<proto::JobGraph>(std::move(*definition->mutable_graph()));

  auto session = OpenSession(context, options);
  const auto progress = [&](uint64_t sent, uint64_t total) {
    if (!context.err_is_terminal || total < kShowUploadBytes) return;
    context.err(StrCat("\rsent ", FormatBytes(sent), " of ", FormatBytes(total),
                       sent == total ? "\x1b[K\r" : "\x1b[K"));
  };
  auto job = session->Call<JobId>([&](JobManagerClient& client, auto done) {
    client.Submit(submission, progress, std::move(done));
  });
  if (!job.ok()) return ShowCallError(context, options, job.status());
  if (!options.wait) {
    if (options.json) {
      JsonWriter json;
      json.BeginObject();
      json.Key("job_id").String(job->ToString());
      json.Key("name").String(submission.graph->job_name());
      json.EndObject();
      context.out(json.Finish());
    } else {
      context.out(job->ToString() + "\n");
    }
    return ExitCode::kOk;
  }
  if (!options.json) context.out(job->ToString() + "\n");
  if (!options.json && context.err_is_terminal) {
    context.err(StrCat("waiting for its end; Ctrl-C leaves it running, jobctl cancel ",
                       job->ToString(), " ends it\n"));
  }
  auto end = WaitForEnd(context, *session, *job);
  if (!end.ok()) return ShowCallError(context, options, end.status());
  return ShowEnd(context, options, *end);
}

}  // namespace weir

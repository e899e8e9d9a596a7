#include <algorithm>
#include <string>

#include "client/cli/commands.h"
#include "client/cli/graph_text.h"
#include "client/cli/job_commands.h"
#include "client/cli/json_writer.h"
#include "client/cli/plugin_definition.h"
#include "client/cli/text_format.h"
#include "common/base/strings.h"
#include "proto/control.pb.h"
#include "proto/define.pb.h"

namespace weir {
namespace {

// A job's name has no '/', and its id no '.'.
bool IsPluginFile(CliContext& context, const std::string& target) {
  return target.find('/') != std::string::npos || target.ends_with(".so") ||
         context.env->files().Stat(target).ok();
}

void Show(CliContext& context, const CliOptions& options, const proto::JobGraph& graph,
          bool has_graph) {
  if (options.json) {
    JsonWriter json;
    json.BeginObject();
    WriteGraphJson(graph, json);
    json.EndObject();
    context.out(json.Finish());
    return;
  }
  if (options.dot) {
    if (has_graph) context.out(GraphDot(graph));
    return;
  }
  const std::string arguments = ArgumentsText(graph);
  std::string text = StrCat("job  ", Harmless(graph.job_name()));
  if (has_graph) {
    text += StrCat(", parallelism ", graph.default_parallelism(), " (at most ",
                   graph.max_parallelism(), ")");
  }
  text += "\n";
  if (!arguments.empty()) text += StrCat("\n", arguments);
  if (has_graph) text += StrCat("\n", GraphText(graph));
  context.out(text);
}

ExitCode ExplainPlugin(CliContext& context, const CliOptions& options) {
  auto arguments = ParseJobArguments(options.job_arguments);
  if (!arguments.ok()) return ShowError(context, options, arguments.status(), ExitCode::kUsage);
  auto definition = DefinePlugin(context, options, *arguments, /*describe_only=*/true);
  if (!definition.ok()) {
    return ShowError(
        context, options, definition.status(),
        absl::IsInternal(definition.status()) ? ExitCode::kInternal : ExitCode::kPluginRefused);
  }
  if (definition->has_graph()) {
    Show(context, options, definition->graph(), true);
    return ExitCode::kOk;
  }
  // A job that cannot say its graph without its arguments is in order; one that was given them is
  // not.
  const bool incomplete =
      std::any_of(definition->arguments().begin(), definition->arguments().end(),
                  [&](const proto::Argument& argument) {
                    return argument.required() && !arguments->contains(argument.name());
                  });
  proto::JobGraph only_arguments;
  only_arguments.set_job_name(definition->job_name());
  *only_arguments.mutable_arguments() = definition->arguments();
  if (incomplete && arguments->empty() && !options.dot) {
    Show(context, options, only_arguments, false);
    context.err(StrCat("the graph depends on the arguments; give them after '--' to see it\n"));
    return ExitCode::kOk;
  }
  if (!options.json) Show(context, options, only_arguments, false);
  return ShowError(context, options, absl::InvalidArgumentError(ToAbsl(definition->message())),
                   ExitCode::kPluginRefused);
}

}  // namespace

ExitCode RunExplain(CliContext& context, const CliOptions& options) {
  if (IsPluginFile(context, options.target)) return ExplainPlugin(context, options);
  auto session = OpenSession(context, options);
  auto job = ResolveJob(*session, options.target);
  if (!job.ok()) return ShowCallError(context, options, job.status());
  auto status = FetchStatus(*session, *job);
  if (!status.ok()) return ShowCallError(context, options, status.status());
  Show(context, options, status->graph(), true);
  return ExitCode::kOk;
}

}  // namespace weir

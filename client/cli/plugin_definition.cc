#include "client/cli/plugin_definition.h"

#include "client/define/define_runner.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/define.pb.h"
#include "weir/time_format.h"

namespace weir {
absl::StatusOr<proto::DefineResponse> DefinePlugin(
    CliContext& context, const CliOptions& cli,
    const std::map<std::string, std::string>& job_arguments, bool describe_only) {
  proto::DefineRequest request;
  request.set_plugin_path(cli.target);
  request.mutable_arguments()->insert(job_arguments.begin(), job_arguments.end());
  request.set_describe_only(describe_only);
  request.set_job_name(cli.job_name);
  const auto parallelism = static_cast<uint32_t>(cli.settings.Get(options::kDefaultParallelism));
  request.set_parallelism(cli.parallelism.value_or(parallelism));
  request.set_max_parallelism(static_cast<uint32_t>(cli.settings.Get(options::kMaxParallelism)));
  DefineOptions define;
  define.executable = context.executable;
  define.timeout = cli.settings.Get(options::kDefineTimeout);
  return DefineInChild(context.env->clock(), define, request);
}

}  // namespace weir

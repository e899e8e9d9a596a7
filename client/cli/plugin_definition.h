#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "client/cli/cli.h"
#include "client/cli/commands.h"

namespace weir {

namespace proto {
class DefineResponse;
}

// Runs the define() of cli.target in a child, with the settings that concern it. Errors as
// DefineInChild.
absl::StatusOr<proto::DefineResponse> DefinePlugin(
    CliContext& context, const CliOptions& cli,
    const std::map<std::string, std::string>& job_arguments, bool describe_only);

}  // namespace weir

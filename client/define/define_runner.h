#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/env/clock.h"

namespace weir {

namespace proto {
class DefineRequest;
class DefineResponse;
}  // namespace proto

// Of a request and of a response; a graph must fit a control message to the job manager with room
// for its other fields.
inline constexpr size_t kMaxDefineMessageBytes = 3 << 20;
// Of the child, where parent and child do not understand each other.
inline constexpr int kDefineProtocolExitCode = 90;
// First argument of the child.
inline constexpr char kDefineCommand[] = "__define";

struct DefineOptions {
  // The program that runs RunDefineChild when called with kDefineCommand.
  std::string executable = "/proc/self/exe";
  absl::Duration timeout = absl::Seconds(30);  // client.define-timeout
};

// Runs a plugin's define() in a child process, so that one that crashes, exits or never returns
// harms nobody. The child's output goes to standard error, its input is empty. Blocks up to the
// timeout and a few seconds more. kInvalidArgument: the plugin was refused, define() threw or made
// no valid graph, crashed (with signal and stack), ended the process, or did not return in time.
// kInternal: the child could not be started or understood.
absl::StatusOr<proto::DefineResponse> DefineInChild(Clock& clock, const DefineOptions& options,
                                                    const proto::DefineRequest& request);

}  // namespace weir

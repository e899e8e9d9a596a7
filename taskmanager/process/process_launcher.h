#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/env/env.h"
#include "taskmanager/slots/worker_launcher.h"

namespace weir {

// Descriptors that a worker process finds open besides the standard ones.
inline constexpr int kParentPipeFd = 3;  // closed when the agent ends
inline constexpr int kParametersFd = 4;  // holds a serialized WorkerSpec

// Starts workers as processes of their own: `program --worker`, in their working folder, in a
// process group of their own, output to stdout.log and stderr.log there. They see the end of this
// process by a pipe. A thread reaps them; SIGCHLD is left alone. Destroyed after the workers have
// ended, or the process ends with it: on_exit does not run afterwards. Thread safe.
//
// Of each of the two files about the last `max_output_bytes` are kept, seen to once a second: more
// may be there for so long.
absl::StatusOr<std::unique_ptr<WorkerLauncher>> MakeProcessLauncher(Env& env, std::string program,
                                                                    uint64_t max_output_bytes);

}  // namespace weir

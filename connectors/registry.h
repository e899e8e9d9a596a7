#pragma once

#include <memory>

#include "common/env/env.h"
#include "connectors/print/print_sink.h"
#include "runtime/job_runtime.h"

namespace weir {

// The connectors of this build: "files", "print" and "blackhole". `env` outlives it and all that it
// makes; print sinks write to `stream`.
std::unique_ptr<ConnectorRegistry> MakeConnectorRegistry(Env& env,
                                                         std::shared_ptr<PrintStream> stream);
// The same, with print sinks that write to standard output.
std::unique_ptr<ConnectorRegistry> MakeConnectorRegistry(Env& env);

}  // namespace weir

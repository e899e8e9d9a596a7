#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "runtime/job_runtime.h"

namespace weir::bench {

// Jobs of benchmarks bring their sources and sinks along: no connector of the host is known.
class NoConnectors final : public ConnectorRegistry {
 public:
  absl::Status Validate(const ConnectorSpec& spec, bool) const override {
    return absl::InvalidArgumentError("a benchmark uses connector '" + spec.connector + "'");
  }
  absl::StatusOr<std::unique_ptr<SourceReader>> MakeSource(const ConnectorSpec& spec,
                                                           const RecordType&) const override {
    return Validate(spec, true);
  }
  absl::StatusOr<std::unique_ptr<SinkWriter>> MakeSink(const ConnectorSpec& spec,
                                                       const RecordType&) const override {
    return Validate(spec, false);
  }
};

}  // namespace weir::bench

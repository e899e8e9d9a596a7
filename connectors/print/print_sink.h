#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "common/env/env.h"
#include "weir/record_type.h"
#include "weir/source.h"

namespace weir {

// Where the print sinks of a process write. Thread safe: what is given to one call stays together.
// Blocks.
class PrintStream {
 public:
  virtual ~PrintStream() = default;
  virtual absl::Status Write(std::string_view lines) = 0;
};

// The process's standard output.
std::unique_ptr<PrintStream> MakeStandardOutput();

// Writes each record as `prefix> {json}`, or as JSON alone if the prefix is empty. The lines of a
// batch stay together.
std::unique_ptr<SinkWriter> MakePrintSink(Env& env, std::shared_ptr<PrintStream> stream,
                                          const std::string& prefix, const RecordType& type);

}  // namespace weir

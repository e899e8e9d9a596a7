#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/time/watermark_combiner.h"
#include "tests/conformance/subject.h"
#include "weir/connectors.h"
#include "weir/graph_builder.h"
#include "weir/job.h"

namespace weir::conformance {

// A job with one operator behind its sources, and how the harness is to read and feed it.
struct OperatorUnderTest {
  JobDefinition job;
  // Of its nodes, the operator: sources come before it.
  std::size_t node = 1;
  // Port 0 puts out records of which this makes text. Null: it puts out text.
  std::function<std::string(const CaseRecord&, Ticks timestamp)> text_of;
  // The side outputs, of records or of text.
  struct Side {
    std::string name;
    bool records = true;
  };
  std::vector<Side> sides;
  bool results_have_times = true;
  std::string_view depends_on_order;
  // Gives records to an input. Null: they are given as they are.
  using Feed = std::function<absl::Status(
      testing::OperatorHarness&, std::vector<testing::Timed<CaseRecord>>, std::size_t input)>;
  Feed feed;
};

// Defines a job: `define` gets a Job.
template <class Define>
void DefineJob(OperatorUnderTest& test, Define&& define) {
  const DefineInput input;
  internal::GraphBuilder graph(input, test.job);
  Job job(graph);
  define(job);
}

// Runs an operator in the harness: records, watermarks and status as the runtime combines them over
// the inputs, the clock, the end. kInvalidArgument: the job has errors.
absl::StatusOr<std::unique_ptr<Subject>> MakeOperatorSubject(
    OperatorUnderTest test, const testing::HarnessOptions& options);

}  // namespace weir::conformance

#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/conformance/case_file.h"
#include "tests/conformance/outputs.h"
#include "weir/testing.h"

namespace weir::conformance {

// What a case is run on: an operator, or a class of the runtime, made as the case describes it.
class Subject {
 public:
  virtual ~Subject() = default;

  // Takes one step and adds to `out` what it put out. An error: the job would fail.
  virtual absl::Status Take(const CaseValue& step, Outputs& out) = 0;
  // Takes steps that are all records of one input, as one batch where there are batches.
  virtual absl::Status TakeRecords(std::span<const CaseValue> steps, Outputs& out) {
    for (const CaseValue& step : steps) {
      absl::Status status = Take(step, out);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }
  // Whether results have the timestamps that the case says.
  virtual bool results_have_times() const { return true; }
  // What follows this text in a result depends on an order that is open; see Outputs::Comparable.
  virtual std::string_view depends_on_order() const { return ""; }
};

// Makes what the case describes. kInvalidArgument: it was refused, and why. What is not known of it
// is a problem of the case; then anything may be returned.
using MakeSubject = std::function<absl::StatusOr<std::unique_ptr<Subject>>(
    const Case& test, const testing::HarnessOptions& options)>;

}  // namespace weir::conformance

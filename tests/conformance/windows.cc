// Keyed windows.
#include <string>
#include <utility>

#include "tests/conformance/kinds.h"
#include "tests/conformance/window_case.h"

namespace weir::conformance {

absl::StatusOr<std::unique_ptr<Subject>> MakeWindow(const Case& test,
                                                    const testing::HarnessOptions& options) {
  OperatorUnderTest made = WindowsUnderTest(test.op());
  DefineJob(made, [&](Job& job) {
    AddWindows(job.From<CaseRecord>("in", Files{.path = "x"}).KeyBy(&CaseRecord::key), test.op(),
               made);
  });
  return MakeOperatorSubject(std::move(made), options);
}

absl::StatusOr<std::unique_ptr<Subject>> MakeCountWindow(const Case& test,
                                                         const testing::HarnessOptions& options) {
  const CaseValue& op = test.op();
  OperatorUnderTest made = WindowsUnderTest(op);
  DefineJob(made, [&](Job& job) {
    const auto keyed = job.From<CaseRecord>("in", Files{.path = "x"}).KeyBy(&CaseRecord::key);
    if (op.Has("slide")) {
      AddFunction(keyed.CountWindow(op.Number("size"), op.Number("slide")), op);
    } else {
      AddFunction(keyed.CountWindow(op.Number("size")), op);
    }
  });
  return MakeOperatorSubject(std::move(made), options);
}

}  // namespace weir::conformance

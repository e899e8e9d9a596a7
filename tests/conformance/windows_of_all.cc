// Windows of all records of a stream.
#include <utility>

#include "tests/conformance/kinds.h"
#include "tests/conformance/window_case.h"

namespace weir::conformance {
namespace {

// In the place of a keyed stream.
template <class Records>
struct AllOf {
  Records stream;
  template <class W>
  auto Window(const W& window) const {
    return stream.WindowAll(window);
  }
};
template <class Records>
AllOf(Records) -> AllOf<Records>;

}  // namespace

absl::StatusOr<std::unique_ptr<Subject>> MakeWindowOfAll(const Case& test,
                                                         const testing::HarnessOptions& options) {
  OperatorUnderTest made = WindowsUnderTest(test.op());
  DefineJob(made, [&](Job& job) {
    AddWindows(AllOf{job.From<CaseRecord>("in", Files{.path = "x"})}, test.op(), made);
  });
  return MakeOperatorSubject(std::move(made), options);
}

}  // namespace weir::conformance

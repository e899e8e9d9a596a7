#pragma once

#include <map>
#include <string>

#include "tests/conformance/case_file.h"
#include "tests/conformance/replay.h"

namespace weir::conformance {

// Counts results by family and says them as text.
class Report {
 public:
  // Returns what is to be said of the case at once: nothing if it passed or is not supported.
  std::string Add(const std::string& file, const Case& test, const CaseResult& result);

  int cases() const { return cases_; }
  int failed() const { return failed_; }
  // The table of families, and why cases are not supported.
  std::string Summary() const;

 private:
  struct Family {
    int passed = 0;
    int failed = 0;
    int not_supported = 0;
  };
  std::map<std::string, Family> families_;
  // How many cases of a family, by "family: reason".
  std::map<std::string, int> reasons_;
  int cases_ = 0;
  int failed_ = 0;
};

}  // namespace weir::conformance

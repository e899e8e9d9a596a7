#include "tests/conformance/report.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace weir::conformance {

std::string Report::Add(const std::string& file, const Case& test, const CaseResult& result) {
  ++cases_;
  Family& family = families_[test.family()];
  switch (result.verdict) {
    case Verdict::kPassed:
      ++family.passed;
      return "";
    case Verdict::kNotSupported:
      ++family.not_supported;
      ++reasons_[test.family() + ": " + result.detail];
      return "";
    case Verdict::kFailed:
      break;
  }
  ++family.failed;
  ++failed_;
  return absl::StrCat("FAILED ", test.family(), " ", test.name(), " (", file, ")\n", result.detail,
                      "\n");
}

std::string Report::Summary() const {
  std::size_t width = std::string_view("all").size();
  Family all;
  for (const auto& [name, family] : families_) {
    width = std::max(width, name.size());
    all.passed += family.passed;
    all.failed += family.failed;
    all.not_supported += family.not_supported;
  }
  const auto row = [width](const std::string& name, const auto& passed, const auto& failed,
                           const auto& not_supported) {
    std::string line = name + std::string(width - name.size(), ' ');
    for (const auto& [text, column] : {std::pair(absl::StrCat(passed), std::size_t{8}),
                                       std::pair(absl::StrCat(failed), std::size_t{8}),
                                       std::pair(absl::StrCat(not_supported), std::size_t{15})})
      line += std::string(column - std::min(column, text.size()), ' ') + text;
    return line + "\n";
  };
  std::string text = row(std::string(width, ' '), "passed", "failed", "not supported");
  for (const auto& [name, family] : families_)
    text += row(name, family.passed, family.failed, family.not_supported);
  if (families_.size() > 1) text += row("all", all.passed, all.failed, all.not_supported);
  if (!reasons_.empty()) text += "\nnot supported:\n";
  for (const auto& [reason, cases] : reasons_)
    absl::StrAppend(&text, "  ", cases, " of ", reason, "\n");
  return text;
}

}  // namespace weir::conformance

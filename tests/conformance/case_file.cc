#include "tests/conformance/case_file.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"

namespace weir::conformance {
namespace {

// The rules that a case may name in `differs`, of which Replay knows what they mean.
const std::set<std::int64_t>& KnownDifferences() {
  static const std::set<std::int64_t> rules = {7, 10, 11, 22, 25, 32};
  return rules;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Case>> Case::Parse(std::string_view line) {
  auto parsed = std::unique_ptr<Case>(new Case());
  absl::StatusOr<CaseValue> value = CaseValue::Parse(line, parsed->problems_.get());
  if (!value.ok()) return value.status();
  parsed->value_ = *std::move(value);
  const CaseValue& fields = parsed->value_;
  parsed->name_ = fields.Text("name");
  parsed->family_ = fields.Text("family");
  parsed->op_ = &fields.Object("operator");
  parsed->kind_ = parsed->op_->Text("kind");
  parsed->refused_ = parsed->op_->Flag("refused");
  parsed->steps_ = &fields.List("input");
  parsed->outputs_ = &fields.List("output");
  const std::string order = fields.Text("order");
  // Without these a line is no case; what comes after may be one of a later format.
  if (!parsed->problems_->empty())
    return absl::InvalidArgumentError("no case: " + parsed->problems_->front());
  if (parsed->steps_->size() != parsed->outputs_->size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "no case: ", parsed->steps_->size(), " steps and outputs of ", parsed->outputs_->size()));
  }
  if (order == "exact") {
    parsed->order_ = Order::kExact;
  } else if (order == "per-key") {
    parsed->order_ = Order::kPerKey;
  } else if (order == "unordered-within-step") {
    parsed->order_ = Order::kUnordered;
  } else {
    fields.Problem("order '" + order + "' is not known");
  }
  if (fields.Has("differs")) {
    for (const CaseValue& rule : fields.List("differs")) {
      parsed->differs_.push_back(rule.AsNumber());
      if (!KnownDifferences().contains(parsed->differs_.back()))
        fields.Problem(absl::StrCat("it is not known how to compare where rule ",
                                    parsed->differs_.back(), " differs"));
    }
  }
  return parsed;
}

bool Case::Differs(std::int64_t rule) const {
  return std::find(differs_.begin(), differs_.end(), rule) != differs_.end();
}

absl::StatusOr<std::vector<std::unique_ptr<Case>>> ReadCaseFile(const std::string& path) {
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(path + ": cannot be read");
  std::vector<std::unique_ptr<Case>> cases;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.empty()) continue;
    absl::StatusOr<std::unique_ptr<Case>> parsed = Case::Parse(line);
    if (!parsed.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ":", number, ": ", parsed.status().message()));
    }
    cases.push_back(*std::move(parsed));
  }
  if (file.bad()) return absl::UnavailableError(path + ": an error while it was read");
  return cases;
}

absl::StatusOr<std::vector<std::string>> CaseFiles(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error))
    return absl::NotFoundError(path + ": there is no such file or folder");
  if (!std::filesystem::is_directory(path, error)) return std::vector<std::string>{path};
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    if (entry.path().extension() == ".jsonl") files.push_back(entry.path().string());
  }
  if (error) return absl::UnavailableError(path + ": " + error.message());
  if (files.empty()) return absl::NotFoundError(path + ": no file there is named *.jsonl");
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace weir::conformance

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/conformance/case_value.h"

namespace weir::conformance {

// One line of a case file.
class Case {
 public:
  // How the outputs of a step are compared.
  enum class Order { kExact, kPerKey, kUnordered };

  // `line` without its end. An error says what the line lacks.
  static absl::StatusOr<std::unique_ptr<Case>> Parse(std::string_view line);
  Case(const Case&) = delete;
  Case& operator=(const Case&) = delete;

  const std::string& name() const { return name_; }
  const std::string& family() const { return family_; }
  const std::string& kind() const { return kind_; }
  Order order() const { return order_; }
  const CaseValue& op() const { return *op_; }
  // Defining the operator must fail; there are no steps.
  bool refused() const { return refused_; }
  // As many outputs as steps.
  const std::vector<CaseValue>& steps() const { return *steps_; }
  const std::vector<CaseValue>& outputs() const { return *outputs_; }
  // Whether our rule is another one than Flink's, and this case shows it.
  bool Differs(std::int64_t rule) const;
  // What makes that the case cannot be run; it grows while the case is run.
  const CaseValue::Problems& problems() const { return *problems_; }

 private:
  Case() = default;

  // The values keep its address.
  const std::unique_ptr<CaseValue::Problems> problems_ = std::make_unique<CaseValue::Problems>();
  CaseValue value_;
  std::string name_;
  std::string family_;
  std::string kind_;
  Order order_ = Order::kExact;
  bool refused_ = false;
  const CaseValue* op_ = nullptr;
  const std::vector<CaseValue>* steps_ = nullptr;
  const std::vector<CaseValue>* outputs_ = nullptr;
  std::vector<std::int64_t> differs_;
};

// All cases of a file. An error begins with FILE:LINE.
absl::StatusOr<std::vector<std::unique_ptr<Case>>> ReadCaseFile(const std::string& path);

// The files of a folder whose names end in .jsonl, in the order of their names; of a file, itself.
absl::StatusOr<std::vector<std::string>> CaseFiles(const std::string& path);

}  // namespace weir::conformance

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/conformance/case_file.h"
#include "weir/state_store.h"
#include "weir/testing.h"

namespace weir::conformance {

// One way to run a case; its result must not depend on it.
struct ReplayMode {
  std::string name;
  testing::HarnessMode harness;
  // Records that follow each other are given in batches of 1 to 7, drawn from this seed. 0: each by
  // itself.
  std::uint64_t batch_seed = 0;
  // As in testing::HarnessOptions.
  std::function<std::unique_ptr<StateStore>()> make_store;
};

// Plain, restored after every step, in batches, with outputs that refuse, and all of these at once.
// `backend` is the prefix of their names.
std::vector<ReplayMode> ModesOf(const std::string& backend,
                                const std::function<std::unique_ptr<StateStore>()>& make_store,
                                std::uint64_t seed);

// Plain, in batches, and all at once: to make and restore a store on files takes milliseconds.
std::vector<ReplayMode> StoreModesOf(const std::string& backend,
                                     const std::function<std::unique_ptr<StateStore>()>& make_store,
                                     std::uint64_t seed);

enum class Verdict { kPassed, kFailed, kNotSupported };

struct CaseResult {
  Verdict verdict = Verdict::kPassed;
  // Of kNotSupported the reason; of kFailed the mode, the first step that differs, its input, what
  // was expected and what came, in lines.
  std::string detail;
};

// Runs a case in each of the modes, until one fails.
CaseResult RunCase(const Case& test, const std::vector<ReplayMode>& modes);

}  // namespace weir::conformance

#include "tests/conformance/replay.h"

#include <algorithm>
#include <optional>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/conformance/kinds.h"
#include "tests/conformance/outputs.h"

namespace weir::conformance {
namespace {

// A step of SplitMix64.
std::uint64_t NextRandom(std::uint64_t& state) {
  std::uint64_t z = (state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

std::string Indented(const std::vector<std::string>& lines) {
  return lines.empty() ? "\n      (nothing)" : "\n      " + absl::StrJoin(lines, "\n      ");
}

// One run of a case.
class Replay {
 public:
  Replay(const Case& test, const ReplayMode& mode, Subject& subject)
      : test_(test), mode_(mode), subject_(subject), random_(mode.batch_seed) {}

  // Nothing, or how the case failed.
  std::optional<std::string> Run() {
    std::size_t begin = 0;
    while (begin < test_.steps().size() && !over_) {
      const std::size_t end = begin + BatchAt(begin);
      std::optional<std::string> failure = RunSteps(begin, end);
      if (failure.has_value()) return failure;
      begin = end;
    }
    return std::nullopt;
  }

 private:
  // A record that is refused here: rule 10.
  bool Fails(std::size_t step) const {
    const CaseValue& in = test_.steps()[step];
    return test_.Differs(10) && in.Has("record") && TimeOf(in.Object("record")) == kMinTicks;
  }
  Outputs Expected(std::size_t begin, std::size_t end) const {
    Outputs expected;
    for (std::size_t i = begin; i < end; ++i) expected.AddExpected(test_.outputs()[i]);
    if (!subject_.results_have_times()) expected.ForgetTimes();
    if (test_.Differs(32)) expected.ForgetDropped();
    return expected;
  }

  // How many steps from this one on are taken at once: records of one input, none of which fails.
  std::size_t BatchAt(std::size_t begin) {
    if (mode_.batch_seed == 0) return 1;
    const std::size_t most = 1 + NextRandom(random_) % 7;
    const auto batched = [&](std::size_t i) {
      return i < test_.steps().size() && test_.steps()[i].Has("record") && !Fails(i) &&
             !Expected(i, i + 1).error();
    };
    const auto input = [&](std::size_t i) { return test_.steps()[i].NumberOr("input", 0); };
    if (!batched(begin)) return 1;
    std::size_t size = 1;
    while (size < most && batched(begin + size) && input(begin) == input(begin + size)) ++size;
    return size;
  }

  std::optional<std::string> RunSteps(std::size_t begin, std::size_t end) {
    Outputs expected = Expected(begin, end);
    // Rule 25: in Flink a finished channel is one at MAX, and what comes after it is another thing.
    if (test_.Differs(25) && expected.HasLastWatermark()) {
      over_ = true;
      return std::nullopt;
    }
    Outputs got;
    const std::span<const CaseValue> steps(&test_.steps()[begin], end - begin);
    const absl::Status status =
        steps.size() > 1 ? subject_.TakeRecords(steps, got) : subject_.Take(steps.front(), got);
    for (const CaseValue& step : steps) {
      for (const std::string& field : step.Unread())
        step.Problem("the field '" + field + "' of a step is not known");
    }
    const bool last = end == test_.steps().size();
    // Rule 11: Flink fails, and here the step is one like others; what it puts out is not recorded.
    const bool flink_fails = expected.error() && test_.Differs(11);
    if ((expected.error() && !flink_fails) || Fails(begin)) {
      over_ = true;
      if (!status.ok()) return std::nullopt;
      return Difference(begin, end, {"an error"}, got.Lines());
    }
    if (!status.ok())
      return Difference(begin, end, expected.Lines(), {"error: " + status.ToString()});
    // Rule 22: what stands of processing time at the end fires here, and is lost in Flink.
    if (flink_fails || (last && test_.Differs(22))) {
      over_ = true;
      return std::nullopt;
    }
    if (!subject_.results_have_times()) got.ForgetTimes();
    if (test_.Differs(32)) got.ForgetDropped();
    const std::string_view apart = subject_.depends_on_order();
    if (expected.Comparable(test_.order(), apart) == got.Comparable(test_.order(), apart))
      return std::nullopt;
    return Difference(begin, end, expected.Lines(), got.Lines());
  }

  std::string Difference(std::size_t begin, std::size_t end,
                         const std::vector<std::string>& expected,
                         const std::vector<std::string>& got) const {
    std::vector<std::string> inputs;
    for (std::size_t i = begin; i < end; ++i) inputs.push_back(test_.steps()[i].Json());
    return absl::StrCat("    mode: ", mode_.name, "\n    step ", begin,
                        end - begin > 1 ? absl::StrCat(" to ", end - 1, ", one batch") : "", " of ",
                        test_.steps().size(), "\n    input:", Indented(inputs),
                        "\n    expected:", Indented(expected), "\n    got:", Indented(got));
  }

  const Case& test_;
  const ReplayMode& mode_;
  Subject& subject_;
  std::uint64_t random_;
  bool over_ = false;
};

CaseResult NotSupported(const std::string& reason) { return {Verdict::kNotSupported, reason}; }

// How the case does in one mode.
CaseResult RunIn(const Case& test, const MakeSubject& make, const ReplayMode& mode) {
  testing::HarnessOptions options;
  options.mode = mode.harness;
  options.make_store = mode.make_store;
  const absl::StatusOr<std::unique_ptr<Subject>> subject = make(test, options);
  for (const std::string& field : test.op().Unread())
    test.op().Problem("the field '" + field + "' of the operator is not known");
  if (!test.problems().empty()) return NotSupported(test.problems().front());
  if (test.refused()) {
    if (subject.status().code() == absl::StatusCode::kInvalidArgument) return {};
    return {Verdict::kFailed, subject.ok()
                                  ? "    the operator must be refused, and is not"
                                  : "    the operator must be refused when it is defined, but: " +
                                        subject.status().ToString()};
  }
  if (!subject.ok())
    return {Verdict::kFailed, "    the operator is refused: " + subject.status().ToString()};
  const std::optional<std::string> failure = Replay(test, mode, **subject).Run();
  if (!test.problems().empty()) return NotSupported(test.problems().front());
  if (failure.has_value()) return {Verdict::kFailed, *failure};
  return {};
}

}  // namespace

std::vector<ReplayMode> ModesOf(const std::string& backend,
                                const std::function<std::unique_ptr<StateStore>()>& make_store,
                                std::uint64_t seed) {
  const testing::HarnessMode plain{.name = "plain"};
  testing::HarnessMode restoring{.name = "restored after every step"};
  restoring.restore_between_inputs = true;
  testing::HarnessMode refusing{.name = "outputs refuse now and then"};
  refusing.refuse_outputs = true;
  testing::HarnessMode all = restoring;
  all.refuse_outputs = true;
  const std::string batches = absl::StrCat("batches of seed ", seed);
  return {
      {backend + ", plain", plain, 0, make_store},
      {backend + ", " + batches, plain, seed, make_store},
      {backend + ", " + restoring.name, restoring, 0, make_store},
      {backend + ", " + refusing.name, refusing, 0, make_store},
      {backend + ", " + batches + ", " + restoring.name + ", " + refusing.name, all, seed,
       make_store},
  };
}

std::vector<ReplayMode> StoreModesOf(const std::string& backend,
                                     const std::function<std::unique_ptr<StateStore>()>& make_store,
                                     std::uint64_t seed) {
  const std::vector<ReplayMode> all = ModesOf(backend, make_store, seed);
  return {all[0], all[1], all.back()};
}

CaseResult RunCase(const Case& test, const std::vector<ReplayMode>& modes) {
  if (!test.problems().empty()) return NotSupported(test.problems().front());
  const MakeSubject make = MakerOf(test.kind());
  if (make == nullptr) return NotSupported("the kind '" + test.kind() + "' is not known");
  for (const ReplayMode& mode : modes) {
    CaseResult result = RunIn(test, make, mode);
    if (result.verdict != Verdict::kPassed) return result;
  }
  return {};
}

}  // namespace weir::conformance

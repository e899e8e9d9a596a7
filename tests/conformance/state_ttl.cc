#include <optional>
#include <utility>
#include <vector>

#include "sdk/tests/state_commands.h"
#include "tests/conformance/kinds.h"
#include "tests/conformance/operator_subject.h"

namespace weir::conformance {

absl::StatusOr<std::unique_ptr<Subject>> MakeStateTtl(const Case& test,
                                                      const testing::HarnessOptions& options) {
  const CaseValue& op = test.op();
  const std::string update = op.Text("update");
  if (update != "read_and_write" && update != "create_and_write")
    op.Problem("the update '" + update + "' is not known");
  const Ttl ttl{
      .after = Duration(op.Number("ttl")),
      .renew = update == "read_and_write" ? TtlRenew::kOnReadAndWrite : TtlRenew::kOnWrite};
  OperatorUnderTest made;
  DefineJob(made, [&](Job& job) {
    job.From<StateCommand>("in", Files{.path = "x"})
        .KeyBy(&StateCommand::key)
        .Process<StateCommands>("state", std::optional<Ttl>(ttl))
        .To("out", Print{});
  });
  made.feed = [](testing::OperatorHarness& harness, std::vector<testing::Timed<CaseRecord>> records,
                 std::size_t input) {
    std::vector<testing::Timed<StateCommand>> commands;
    for (auto& [record, timestamp] : records)
      commands.push_back({{record.key, record.text, record.value}, timestamp});
    return harness.Process(std::move(commands), input);
  };
  return MakeOperatorSubject(std::move(made), options);
}

}  // namespace weir::conformance

// Window join and coGroup, interval join, temporal join.
#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tests/conformance/kinds.h"
#include "tests/conformance/operator_subject.h"
#include "weir/interval_join.h"
#include "weir/temporal_join.h"
#include "weir/window_join.h"

namespace weir::conformance {
namespace {

constexpr SideOutput<CaseRecord> kLateLeft{"late left"};
constexpr SideOutput<CaseRecord> kLateRight{"late right"};

// `define` gets both keyed streams; the operator comes behind two sources.
template <class Define>
OperatorUnderTest TwoKeyedStreams(Define&& define) {
  OperatorUnderTest made;
  made.node = 2;
  DefineJob(made, [&](Job& job) {
    define(job.From<CaseRecord>("left", Files{.path = "l"}).KeyBy(&CaseRecord::key),
           job.From<CaseRecord>("right", Files{.path = "r"}).KeyBy(&CaseRecord::key));
  });
  return made;
}

std::string Text(std::int64_t number) { return std::to_string(number); }

std::string Sorted(const std::vector<const CaseRecord*>& records) {
  std::vector<std::int64_t> values;
  for (const CaseRecord* record : records) values.push_back(record->value);
  std::sort(values.begin(), values.end());
  std::string text = "[";
  for (const std::int64_t value : values) text += (text.size() > 1 ? "," : "") + Text(value);
  return text + "]";
}

template <class Windows>
void AddWindowJoin(Windows windows, const CaseValue& op) {
  windows = windows.AllowLateness(Duration(op.NumberOr("lateness", 0)));
  if (op.Text("kind") == "window_join") {
    windows
        .Join("join",
              [](const CaseRecord& l, const CaseRecord& r) {
                return l.key + "|" + Text(l.value) + "|" + Text(r.value);
              })
        .To("out", Print{});
  } else {
    windows
        .CoGroup("join",
                 [](const std::string& key, const std::vector<const CaseRecord*>& lefts,
                    const std::vector<const CaseRecord*>& rights) {
                   return key + "|" + Sorted(lefts) + "|" + Sorted(rights);
                 })
        .To("out", Print{});
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Subject>> MakeWindowJoin(const Case& test,
                                                        const testing::HarnessOptions& options) {
  const CaseValue& op = test.op();
  const CaseValue& assigner = op.Object("assigner");
  const std::string type = assigner.Text("type");
  const auto duration = [&](const char* field) { return Duration(assigner.Number(field)); };
  const auto offset = [&] { return Duration(assigner.NumberOr("offset", 0)); };
  return MakeOperatorSubject(
      TwoKeyedStreams([&](auto left, auto right) {
        if (type == "tumbling") {
          AddWindowJoin(left.WindowJoin(right, Tumbling{duration("size"), offset()}), op);
        } else if (type == "sliding") {
          AddWindowJoin(
              left.WindowJoin(right, Sliding{duration("size"), duration("slide"), offset()}), op);
        } else if (type == "session") {
          AddWindowJoin(left.WindowJoin(right, Session{duration("gap")}), op);
        } else {
          op.Problem("the assigner '" + type + "' is not known for a join");
        }
      }),
      options);
}

absl::StatusOr<std::unique_ptr<Subject>> MakeIntervalJoin(const Case& test,
                                                          const testing::HarnessOptions& options) {
  const CaseValue& op = test.op();
  const bool late = op.Flag("late_output");
  OperatorUnderTest made = TwoKeyedStreams([&](auto left, auto right) {
    auto join = left.IntervalJoin(
        right, Between{Duration(op.Number("lower")), Duration(op.Number("upper"))});
    if (op.Flag("lower_exclusive")) join = join.LowerExclusive();
    if (op.Flag("upper_exclusive")) join = join.UpperExclusive();
    if (late) join = join.SideOutputLateLeft(kLateLeft).SideOutputLateRight(kLateRight);
    auto joined = join.Join("join", [](const CaseRecord& l, const CaseRecord& r) {
      return l.key + "|" + Text(l.value) + "|" + Text(r.value) + "|" + Text(l.at.ticks()) + "|" +
             Text(r.at.ticks());
    });
    joined.To("out", Print{});
    if (late) {
      joined.Side(kLateLeft).To("late-left", Print{});
      joined.Side(kLateRight).To("late-right", Print{});
    }
  });
  if (late) made.sides = {{"late_left"}, {"late_right"}};
  return MakeOperatorSubject(std::move(made), options);
}

absl::StatusOr<std::unique_ptr<Subject>> MakeTemporalJoin(const Case& test,
                                                          const testing::HarnessOptions& options) {
  const std::string type = test.op().Text("type");
  OperatorUnderTest made = TwoKeyedStreams([&](auto left, auto right) {
    auto join = left.TemporalJoin(right).Deleted(
        [](const CaseRecord& version) { return version.text == "delete"; });
    const auto text = [](const CaseRecord& l, const CaseRecord* r) {
      return l.key + "|" + Text(l.at.ticks()) + "|" + Text(l.value) + "|" +
             (r == nullptr ? "null|null" : Text(r->at.ticks()) + "|" + Text(r->value));
    };
    if (type == "left") {
      join.LeftJoin("join", text).To("out", Print{});
    } else if (type == "inner") {
      join.Join("join", [text](const CaseRecord& l, const CaseRecord& r) { return text(l, &r); })
          .To("out", Print{});
    } else {
      test.op().Problem("the temporal join '" + type + "' is not known");
    }
  });
  // Flink's operator for tables knows no timestamps of records; ours are those of the left side.
  made.results_have_times = false;
  return MakeOperatorSubject(std::move(made), options);
}

}  // namespace weir::conformance

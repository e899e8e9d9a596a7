// A keyed stream that looks up what has been broadcast.
#include "weir/broadcast.h"

#include <cstdint>
#include <string>
#include <utility>

#include "tests/conformance/kinds.h"
#include "tests/conformance/operator_subject.h"

namespace weir::conformance {
namespace {

using Lookup = KeyedBroadcastProcess<std::string, CaseRecord, CaseRecord, std::string>;

struct Enrich : Lookup {
  BroadcastState<std::string, std::int64_t> table{this, "table"};
  ValueState<std::int64_t> count{this, "count"};
  EventTimers timers{this, "timers"};

  void Process(const CaseRecord& record, Context& context) override {
    count.Set(count.Get() + 1);
    context.Emit(context.key() + "|" + std::to_string(record.value) + "|" + Found(record.text) +
                 "|" + std::to_string(count.Get()) +
                 "|wm=" + std::to_string(context.watermark().ticks()));
    timers.Set(record.at + Duration(5));
  }
  void ProcessBroadcast(const CaseRecord& record, BroadcastContext& context) override {
    const std::size_t blank = record.text.find(' ');
    const std::string word = record.text.substr(0, blank);
    if (word == "each") {
      ForEachKey(context, count, [&](const std::string& key) {
        context.Emit(key + "|each|" + std::to_string(count.Get()));
      });
    } else if (word == "put") {
      table.Put(context, record.text.substr(blank + 1), record.value);
    } else {
      table.Remove(context, record.text.substr(blank + 1));
    }
  }
  void OnTimer(const EventTimers&, EventTime time, Context& context) override {
    context.Emit(context.key() + "|timer|" + std::to_string(time.ticks()) + "|" + Found("k"));
  }

 private:
  std::string Found(const std::string& key) const {
    const std::int64_t* const found = table.Find(key);
    return key + "=" + (found == nullptr ? "null" : std::to_string(*found));
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Subject>> MakeBroadcast(const Case& test,
                                                       const testing::HarnessOptions& options) {
  for (const CaseValue& step : test.steps()) {
    if (step.NumberOr("input", 0) != 1 || !step.Has("record")) continue;
    const std::string text = step.Object("record").Text("text");
    if (text != "each" && !text.starts_with("put ") && !text.starts_with("remove "))
      step.Problem("a command is not known: " + step.Json());
  }
  OperatorUnderTest made;
  made.node = 2;
  DefineJob(made, [](Job& job) {
    const auto in = job.From<CaseRecord>("in", Files{.path = "x"});
    const auto table = job.From<CaseRecord>("table", Files{.path = "y"});
    in.KeyBy(&CaseRecord::key).WithBroadcast(table).Process<Enrich>("enrich").To("out", Print{});
  });
  return MakeOperatorSubject(std::move(made), options);
}

}  // namespace weir::conformance

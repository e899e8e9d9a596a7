#include "weir/stream.h"

#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "weir/connectors.h"
#include "weir/job.h"
#include "weir/testing.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::OperatorHarness;
using ::testing::SizeIs;
using testing::Timed;
using namespace std::chrono_literals;

struct Click {
  std::string user;
  std::int64_t page = 0;
  EventTime at;
};

constexpr SideOutput<Click> kLate{"late"};

JobDefinition Define(void (*function)(Job&), DefineInput input = {}) {
  JobDefinition definition;
  DefineJob(function, input, definition);
  return definition;
}

const NodeDefinition& NodeNamed(const JobDefinition& job, std::string_view uid) {
  for (const NodeDefinition& node : job.nodes) {
    if (node.uid == uid) return node;
  }
  ADD_FAILURE() << "no node " << uid;
  static const NodeDefinition none;
  return none;
}

// Of two operators that read one stream, the one that leaves the records as they are needs no copy
// of them.
TEST(StreamTest, AChainLeavesItsInputIfItsFirstFunctionsTakeConstReferences) {
  const JobDefinition job = Define([](Job& j) {
    const auto clicks = j.From<Click>("clicks", Files{.path = "in"});
    const auto even = [](const Click& click) { return click.page % 2 == 0; };
    const auto end = [](const auto& stream, const char* uid) { stream.To(uid, Print{}); };
    end(clicks.Filter(even).Map("page", [](const Click& click) { return click.page; }), "1");
    end(clicks.FlatMap("pages", [](const Click& c) { return std::vector{c.page, c.page}; }), "2");
    end(clicks
            .FlatMap<std::string>(
                "users",
                [](const Click& click, Collector<std::string>& out) { out.Emit(click.user); })
            .Map([](std::string&& user) { return std::move(user); }),
        "3");
    end(clicks.Map("taken", [](Click click) { return std::move(click.user); }), "4");
    end(clicks.Map("moved", [](Click&& click) { return std::move(click.user); }), "5");
    end(clicks.Map("member", &Click::user), "6");
    end(clicks.Map("generic", [](auto&& click) { return click.page; }), "7");
    end(clicks.Filter("itself", even), "8");
    end(clicks.Map([](const Click& click) { return click.page; }).Filter("number", std::identity()),
        "9");
  });
  ASSERT_THAT(job.errors, IsEmpty());
  const auto leaves = [&](std::string_view uid) {
    return NodeNamed(job, uid).make_operator()->LeavesInput();
  };
  EXPECT_TRUE(leaves("page"));
  EXPECT_TRUE(leaves("pages"));
  EXPECT_TRUE(leaves("users"));
  EXPECT_TRUE(leaves("number"));
  EXPECT_FALSE(leaves("taken"));
  EXPECT_FALSE(leaves("moved"));
  EXPECT_FALSE(leaves("member")) << "the member is moved from";
  EXPECT_FALSE(leaves("generic")) << "it may do anything";
  EXPECT_FALSE(leaves("itself")) << "the record goes on";
}

TEST(StreamTest, AChainOfStatelessStepsIsOneOperator) {
  const JobDefinition job = Define([](Job& j) {
    j.From<Click>("clicks", Files{.path = "in"})
        .Map("parse", [](const Click& click) { return click.page; })
        .Filter([](std::int64_t page) { return page > 0; })
        .FlatMap("twice", [](std::int64_t page) { return std::vector<std::int64_t>{page, page}; })
        .To("out", Print{});
  });
  EXPECT_THAT(job.errors, IsEmpty());
  ASSERT_THAT(job.nodes, SizeIs(3));
  EXPECT_EQ(job.nodes[1].uid, "parse+twice");
  EXPECT_EQ(job.nodes[1].description, "Map-Filter-FlatMap");
  EXPECT_THAT(job.edges, SizeIs(2));
}

TEST(StreamTest, AFusedChainKeepsTheTimestampOfTheRecordThatAResultComesFrom) {
  const JobDefinition job = Define([](Job& j) {
    j.From<Click>("clicks", Files{.path = "in"})
        .Filter([](const Click& click) { return click.page > 1; })
        .FlatMap("pages",
                 [](const Click& click) { return std::vector<std::int64_t>(2, click.page); })
        .Map([](std::int64_t page) { return page * 10; })
        .To("out", Print{});
  });
  OperatorHarness harness(job.nodes[1].make_operator);
  harness.AddOutput<std::int64_t>();
  ASSERT_TRUE(harness.Open().ok());
  ASSERT_TRUE(
      harness.Process<Click>({{{"a", 1, {}}, 10}, {{"b", 2, {}}, 20}, {{"c", 3, {}}, 30}}).ok());
  EXPECT_THAT(harness.Take<std::int64_t>(),
              ElementsAre(Timed<std::int64_t>{20, 20}, Timed<std::int64_t>{20, 20},
                          Timed<std::int64_t>{30, 30}, Timed<std::int64_t>{30, 30}));
}

// Drives a sink's writer as the harness drives an operator.
class WriterOperator final : public Operator {
 public:
  explicit WriterOperator(std::unique_ptr<SinkWriter> writer) : writer_(std::move(writer)) {}
  absl::Status Open(OperatorContext& context) override { return writer_->Open(context); }
  absl::Status ProcessBatch(std::size_t, BatchBase& batch) override {
    absl::Status status = writer_->Write(batch);
    EXPECT_TRUE(!status.ok() || batch.empty());
    return status.ok() ? writer_->Flush() : status;
  }
  absl::StatusOr<bool> Finish() override { return writer_->Finish(); }
  void Close() override { writer_->Close(); }

 private:
  std::unique_ptr<SinkWriter> writer_;
};

// What a sink function saw, in order.
std::vector<std::string>& Seen() {
  static std::vector<std::string> seen;
  return seen;
}
struct RichSink {
  void Open(FunctionContext& context) { Seen().push_back("open " + context.uid()); }
  void operator()(std::int64_t page) { Seen().push_back(std::to_string(page)); }
  void Flush() { Seen().push_back("flush"); }
  void Finish() { Seen().push_back("finish"); }
  void Close() { Seen().push_back("close"); }
};

TEST(StreamTest, AFunctionAtTheEndIsOneSinkWithTheStepsBeforeIt) {
  const JobDefinition job = Define([](Job& j) {
    j.From<Click>("clicks", Files{.path = "in"})
        .Map("parse", [](const Click& click) { return click.page; })
        .FlatMap([](std::int64_t page) { return std::vector<std::int64_t>{page, page + 1}; })
        .Filter([](std::int64_t page) { return page != 2; })
        .To("out", ForEach{RichSink()});
  });
  EXPECT_THAT(job.errors, IsEmpty());
  ASSERT_THAT(job.nodes, SizeIs(2));
  const NodeDefinition& sink = job.nodes[1];
  EXPECT_EQ(sink.kind, NodeKind::kSink);
  EXPECT_EQ(sink.uid, "parse+out");
  EXPECT_EQ(sink.description, "Map-FlatMap-Filter-Sink(function)");
  EXPECT_EQ(sink.record_type, &RecordTypeOf<Click>());
  ASSERT_THAT(job.edges, SizeIs(1));
  EXPECT_EQ(job.edges[0].type, &RecordTypeOf<Click>());

  Seen().clear();
  {
    OperatorHarness harness([&] { return std::make_unique<WriterOperator>(sink.make_sink()); });
    ASSERT_TRUE(harness.Open().ok());
    ASSERT_TRUE(harness.Process<Click>({{{"a", 1, {}}, 10}, {{"b", 5, {}}, 20}}).ok());
    ASSERT_TRUE(harness.Finish().ok());
  }
  EXPECT_THAT(Seen(), ElementsAre("open operator", "1", "5", "6", "flush", "finish", "close"));
}

TEST(StreamTest, ASinkFunctionThatThrowsFailsWithItsReason) {
  const JobDefinition job = Define([](Job& j) {
    j.From<Click>("clicks", Files{.path = "in"}).To("out", ForEach{[](const Click& click) {
                                                      throw std::runtime_error("no " + click.user);
                                                    }});
  });
  OperatorHarness harness(
      [&] { return std::make_unique<WriterOperator>(job.nodes[1].make_sink()); });
  ASSERT_TRUE(harness.Open().ok());
  EXPECT_THAT(harness.Process<Click>({{{"ann", 1, {}}, 10}}).message(), HasSubstr("no ann"));
}

TEST(StreamTest, ANamedStreamIsComputedOnceForSeveralSinkFunctions) {
  const JobDefinition job = Define([](Job& j) {
    const auto pages = j.From<Click>("clicks", Files{.path = "in"}).Map("page", &Click::page);
    pages.To("first", ForEach{[](std::int64_t) {}});
    pages.To("second", ForEach{[](std::int64_t) {}});
  });
  EXPECT_THAT(job.errors, IsEmpty());
  ASSERT_THAT(job.nodes, SizeIs(4));
  EXPECT_EQ(job.nodes[1].uid, "page");
  EXPECT_EQ(job.nodes[2].uid, "first");
  EXPECT_EQ(job.nodes[3].uid, "second");
}

TEST(StreamTest, ACollectorEmitsAnyNumberOfRecords) {
  const JobDefinition job = Define([](Job& j) {
    j.From<std::string>("lines", Files{.path = "in"})
        .FlatMap<std::string>([](const std::string& line, Collector<std::string>& out) {
          for (char c : line) out.Emit(std::string(1, c));
        })
        .To("out", Print{});
  });
  OperatorHarness harness(job.nodes[1].make_operator);
  harness.AddOutput<std::string>();
  ASSERT_TRUE(harness.Open().ok());
  ASSERT_TRUE(harness.Process<std::string>({{"ab", 1}, {"", 2}, {"c", kMinTicks}}).ok());
  EXPECT_THAT(harness.Take<std::string>(),
              ElementsAre(Timed<std::string>{"a", 1}, Timed<std::string>{"b", 1},
                          Timed<std::string>{"c", kMinTicks}));
}

TEST(StreamTest, ANamedStreamIsComputedOnceForAllWhoReadIt) {
  const JobDefinition job = Define([](Job& j) {
    const auto pages = j.From<Click>("clicks", Files{.path = "in"}).Map("page", [](const Click& c) {
      return c.page;
    });
    pages.To("all", Print{});
    pages.Filter("big", [](std::int64_t page) { return page > 9; }).To("some", Print{});
  });
  EXPECT_THAT(job.nodes, SizeIs(5));
  std::vector<std::uint32_t> readers_of_map;
  for (const EdgeDefinition& edge : job.edges) {
    if (job.nodes[edge.from_node].uid == "page") readers_of_map.push_back(edge.to_node);
  }
  EXPECT_THAT(readers_of_map, SizeIs(2));
}

TEST(StreamTest, StepsWithoutAUidGetDifferentStableOnes) {
  const auto function = [](Job& j) {
    const auto clicks = j.From<Click>("clicks", Files{.path = "in"});
    clicks.Map([](const Click& c) { return c.page; }).To("a", Print{});
    clicks.Map([](const Click& c) { return c.page; }).To("b", Print{});
  };
  const JobDefinition job = Define(function);
  EXPECT_EQ(job.nodes[1].uid, "clicks/Map");
  EXPECT_EQ(job.nodes[3].uid, "clicks/Map-2");
}

TEST(StreamTest, AUnionHasAnEdgeFromEachOfItsStreams) {
  const JobDefinition job = Define([](Job& j) {
    const auto a = j.From<Click>("a", Files{.path = "a"});
    const auto b = j.From<Click>("b", Files{.path = "b"});
    a.Union(b).Rebalance().Map("m", [](const Click& c) { return c.page; }).To("out", Print{});
  });
  int edges = 0;
  for (const EdgeDefinition& edge : job.edges) {
    if (job.nodes[edge.to_node].uid != "m") continue;
    ++edges;
    EXPECT_EQ(edge.to_input, 0U);
  }
  EXPECT_EQ(edges, 2);
}

TEST(StreamTest, TheLateSideOutputIsASecondPortOfTheWindow) {
  const JobDefinition job = Define([](Job& j) {
    const auto counts =
        j.From<Click>("clicks", Files{.path = "in"}, {.timestamp = &Click::at, .max_delay = 5s})
            .KeyBy(&Click::page)
            .Window(Tumbling{1min})
            .SideOutputLate(kLate)
            .Aggregate("count", Count{});
    counts.To("out", Print{});
    counts.Side(kLate).To("late", Print{});
  });
  EXPECT_THAT(job.errors, IsEmpty());
  const NodeDefinition& window = NodeNamed(job, "count");
  ASSERT_THAT(window.outputs, SizeIs(2));
  EXPECT_EQ(window.outputs[1].tag, "late");
  EXPECT_EQ(window.states.at(0).name, "windows");
  bool hashed = false;
  for (const EdgeDefinition& edge : job.edges) {
    hashed = hashed ||
             (job.nodes[edge.to_node].uid == "count" && edge.partitioning == Partitioning::kHash);
  }
  EXPECT_TRUE(hashed);
}

TEST(StreamTest, ReadingASideOutputWithAnotherTypeIsRefused) {
  const JobDefinition job = Define([](Job& j) {
    const auto counts = j.From<Click>("clicks", Files{.path = "in"}, {.timestamp = &Click::at})
                            .KeyBy(&Click::page)
                            .Window(Tumbling{1min})
                            .Aggregate("count", Count{});
    counts.Side(kLate).To("late", Print{});
    counts.Side(SideOutput<std::string>{"late"}).To("late-2", Print{});
  });
  EXPECT_THAT(job.errors, ElementsAre(HasSubstr("two record types")));
}

TEST(StreamTest, ASourceHasTheSideOutputForMalformedRecordsOnly) {
  const JobDefinition right = Define([](Job& j) {
    auto clicks = j.From<Click>("clicks", Files{.path = "in", .malformed = Malformed::kSideOutput});
    clicks.Side(kMalformed).To("malformed", Print{});
    clicks.To("out", Print{});
  });
  EXPECT_THAT(right.errors, IsEmpty());
  const JobDefinition wrong = Define(
      [](Job& j) { j.From<Click>("clicks", Files{.path = "in"}).Side(kLate).To("late", Print{}); });
  EXPECT_THAT(wrong.errors,
              ElementsAre(HasSubstr("source 'clicks' has no side output 'late'; the one that a "
                                    "source has is weir::kMalformed")));
}

// Rule 2.
TEST(StreamTest, AWindowThatCannotBeIsRefusedWithTheOperatorsName) {
  const auto errors = [](void (*function)(Job&)) { return Define(function).errors; };
  EXPECT_THAT(errors([](Job& j) {
                j.From<Click>("c", Files{.path = "in"})
                    .KeyBy(&Click::page)
                    .Window(Tumbling{0s})
                    .Aggregate("w0", Count{});
              }),
              ElementsAre(::testing::AllOf(HasSubstr("'w0'"), HasSubstr("size is 0"),
                                           HasSubstr("stream_test.cc:"))));
  EXPECT_THAT(errors([](Job& j) {
                j.From<Click>("c", Files{.path = "in"})
                    .KeyBy(&Click::page)
                    .Window(Tumbling{1s, 1s})
                    .Aggregate("w1", Count{});
              }),
              ElementsAre(HasSubstr("offset")));
  EXPECT_THAT(errors([](Job& j) {
                j.From<Click>("c", Files{.path = "in"})
                    .KeyBy(&Click::page)
                    .Window(Sliding{10s, 2s, -2s})
                    .Aggregate("w2", Count{});
              }),
              ElementsAre(HasSubstr("offset")));
  EXPECT_THAT(errors([](Job& j) {
                j.From<Click>("c", Files{.path = "in"})
                    .KeyBy(&Click::page)
                    .Window(Sliding{10s, 0s})
                    .Aggregate("w3", Count{});
              }),
              ElementsAre(HasSubstr("slide is 0")));
  EXPECT_THAT(errors([](Job& j) {
                j.From<Click>("c", Files{.path = "in"})
                    .KeyBy(&Click::page)
                    .Window(Sliding{10s, 2s, -1s})
                    .Aggregate("w4", Count{});
              }),
              IsEmpty());
}

struct Pass : ProcessFunction<Click, Click> {
  void Process(const Click& click, Context& context) override { context.Emit(click); }
};
struct KeyedPass : KeyedProcess<std::int64_t, Click, Click> {
  void Process(const Click& click, Context& context) override { context.Emit(click); }
};

TEST(StreamTest, EveryNodeKnowsTheLineOfItsStepInTheUsersFile) {
  const std::uint32_t first_line = __LINE__ + 2;
  const JobDefinition definition = Define([](Job& j) {
    auto clicks = j.From<Click>("c", Files{.path = "in"});
    clicks.Process<Pass>("pass")
        .KeyBy(&Click::page)
        .Process<KeyedPass>("keyed-pass")
        .Map([](const Click& c) { return c; })
        .Union(clicks.Filter([](const Click&) { return true; }))
        .KeyBy(&Click::page)
        .Window(Tumbling{1s})
        .Aggregate("count", Count{})
        .To("out", Print{});
  });
  std::map<std::string, std::string> lines;
  for (const NodeDefinition& node : definition.nodes)
    lines[node.description] += node.location + " ";
  const auto line = [&](std::uint32_t n) {
    return "stream_test.cc:" + std::to_string(first_line + n) + " ";
  };
  EXPECT_EQ(lines["Source(files)"], line(0));
  EXPECT_EQ(lines["Process"], line(1) + line(3));
  EXPECT_EQ(lines["Map"], line(4));
  EXPECT_EQ(lines["Filter"], line(5));
  EXPECT_EQ(lines["TumblingWindow(1s)"], line(8));
  EXPECT_EQ(lines["Sink(print)"], line(9));
}

TEST(StreamTest, AParallelismOfZeroIsRefused) {
  const JobDefinition job = Define([](Job& j) {
    j.From<Click>("c", Files{.path = "in"})
        .Map("m", [](const Click& c) { return c.page; })
        .Parallelism(0)
        .To("o", Print{});
  });
  EXPECT_THAT(job.errors, ElementsAre(HasSubstr("parallelism 0 of operator 'm'")));
}

TEST(JobTest, ArgumentsAreTypedAndListed) {
  static std::string seen;
  const auto function = [](Job& j) {
    seen = j.Arg<std::string>("input", "where from");
    seen += "|" + std::to_string(j.Arg<int>("limit", "how many", 7));
    seen += j.Arg<bool>("fast", "hurry", false) ? "|fast" : "|slow";
    seen += "|" + std::to_string(j.Arg<Duration>("gap", "how long", 90s).count());
  };
  const JobDefinition job =
      Define(function, {.arguments = {{"input", "x"}, {"fast", "true"}}, .describe_only = false});
  EXPECT_THAT(job.errors, IsEmpty());
  EXPECT_EQ(seen, "x|7|fast|90000000");
  ASSERT_THAT(job.arguments, SizeIs(4));
  EXPECT_TRUE(job.arguments[0].required);
  EXPECT_EQ(job.arguments[1].default_text, "7");
  EXPECT_EQ(job.arguments[2].type, "bool");
}

TEST(JobTest, WrongArgumentsAreErrorsThatNameTheRightOnes) {
  const auto function = [](Job& j) {
    j.Arg<std::string>("input", "where from");
    j.Arg<int>("limit", "how many", 7);
  };
  EXPECT_THAT(Define(function).errors, ElementsAre(HasSubstr("--input is missing")));
  EXPECT_THAT(
      Define(function, {.arguments = {{"input", "x"}, {"limit", "many"}}, .describe_only = false})
          .errors,
      ElementsAre(HasSubstr("'many' is not a valid int")));
  EXPECT_THAT(
      Define(function, {.arguments = {{"input", "x"}, {"limt", "3"}}, .describe_only = false})
          .errors,
      ElementsAre(::testing::AllOf(HasSubstr("--limt"), HasSubstr("did you mean --limit?"),
                                   HasSubstr("--input, --limit"))));
  EXPECT_THAT(Define(function, {.arguments = {}, .describe_only = true}).errors, IsEmpty());
}

struct CountingFilter {
  Counter* seen = nullptr;
  void Open(FunctionContext& context) { seen = &context.counter("seen"); }
  bool operator()(const Click& click) {
    seen->Add();
    return click.page > 0;
  }
};

TEST(StreamTest, ARichFunctionHasMetricsOfItsOwn) {
  const JobDefinition job = Define([](Job& j) {
    j.From<Click>("c", Files{.path = "in"}).Filter("f", CountingFilter{}).To("o", Print{});
  });
  OperatorHarness harness(job.nodes[1].make_operator);
  harness.AddOutput<Click>();
  ASSERT_TRUE(harness.Open().ok());
  ASSERT_TRUE(harness.Process<Click>({{{"a", 0, {}}, 1}, {{"a", 1, {}}, 2}}).ok());
  EXPECT_EQ(harness.counter("seen"), 2U);
  EXPECT_THAT(harness.Take<Click>(), SizeIs(1));
}

TEST(StreamTest, TimestampsAreReadFromAMemberOrByAFunction) {
  const JobDefinition job = Define([](Job& j) {
    j.From<Click>("a", Files{.path = "in"}, {.timestamp = &Click::at}).To("o1", Print{});
    j.From<Click>(
         "b", Files{.path = "in"},
         {.timestamp = [](const Click& click) { return EventTime::FromMillis(click.page); }})
        .To("o2", Print{});
  });
  Batch<Click> batch;
  batch.records.emplace_back(Click{"x", 5, EventTime::FromTicks(77)});
  std::size_t failed_at = 0;
  EXPECT_EQ(NodeNamed(job, "a").watermarks.timestamps->Assign(batch, failed_at), 77);
  EXPECT_EQ(batch.timestamps[0], 77);
  EXPECT_EQ(NodeNamed(job, "b").watermarks.timestamps->Assign(batch, failed_at), 5000);
  EXPECT_EQ(batch.timestamps[0], 5000);
  EXPECT_FALSE(NodeNamed(job, "a").watermarks.none);
}

}  // namespace
}  // namespace weir

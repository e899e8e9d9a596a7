// Rule 51.
#include "weir/async.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "weir/connectors.h"
#include "weir/job.h"
#include "weir/lookup.h"
#include "weir/testing.h"

namespace weir {

struct Question {
  std::string key;
  std::int64_t value = 0;
};

namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::OperatorHarness;
using ::testing::SizeIs;
using testing::Timed;

// Where questions wait for the test's answers.
struct Oracle {
  std::multimap<std::string, AsyncReply<std::string>> asked;
  std::vector<std::string> order;

  void Answer(const std::string& key) {
    auto reply = asked.extract(asked.find(key));
    reply.mapped().Complete(key + "!");
  }
  void Fail(const std::string& key, const std::string& why) {
    asked.extract(asked.find(key)).mapped().Fail(why);
  }
};

struct AskOracle : AsyncFunction<Question, std::string> {
  explicit AskOracle(std::shared_ptr<Oracle> o) : oracle(std::move(o)) {}
  void Ask(const Question& question, AsyncReply<std::string> reply) override {
    oracle->order.push_back(question.key);
    if (question.key == "throws") throw std::runtime_error("no way");
    if (question.key == "forgets") return;
    oracle->asked.emplace(question.key, std::move(reply));
  }
  bool OnFailure(const Question& question, const AsyncFailure& failure,
                 std::vector<std::string>& results) override {
    if (question.value == 0) return false;
    results.push_back(question.key + (failure.timed_out ? " timed out" : " failed") + " after " +
                      std::to_string(failure.attempts) + ": " + failure.reason);
    return true;
  }
  std::shared_ptr<Oracle> oracle;
};

template <class F>
JobDefinition Define(F&& step) {
  JobDefinition job;
  const DefineInput input;
  internal::GraphBuilder graph(input, job);
  step(Job(graph).From<Question>("in", Files{.path = "x"})).To("out", Print{});
  return job;
}

class AsyncTest : public ::testing::Test {
 protected:
  void Start(AsyncOptions options, testing::HarnessMode mode = {}) {
    const JobDefinition job = Define([&](const auto& stream) {
      return stream.template Async<AskOracle>("ask", options, oracle_);
    });
    ASSERT_THAT(job.errors, IsEmpty());
    EXPECT_TRUE(job.nodes[1].answers_later);
    make_ = job.nodes[1].make_operator;
    testing::HarnessOptions harness_options;
    harness_options.uid = "ask";
    harness_options.answers_later = true;
    harness_options.mode = std::move(mode);
    harness_ = std::make_unique<OperatorHarness>(make_, harness_options);
    harness_->AddOutput<std::string>();
    ASSERT_TRUE(harness_->Open().ok());
  }
  void Ask(const std::string& key, Ticks time, std::int64_t value = 0) {
    ASSERT_TRUE(harness_->Process<Question>({{{key, value}, time}}).ok());
  }
  std::vector<std::string> Results() {
    EXPECT_TRUE(harness_->Wake().ok());
    std::vector<std::string> results;
    for (const auto& out : harness_->Take<std::string>())
      results.push_back(out.value + "@" + std::to_string(out.timestamp));
    return results;
  }

  const std::shared_ptr<Oracle> oracle_ = std::make_shared<Oracle>();
  std::function<std::unique_ptr<Operator>()> make_;
  std::unique_ptr<OperatorHarness> harness_;
};

TEST_F(AsyncTest, OrderedResultsComeInTheOrderOfTheRecords) {
  Start({});
  for (const char* key : {"a", "b", "c"}) Ask(key, 7);
  oracle_->Answer("b");
  oracle_->Answer("c");
  EXPECT_THAT(Results(), IsEmpty());
  oracle_->Answer("a");
  EXPECT_THAT(Results(), ElementsAre("a!@7", "b!@7", "c!@7"));
}

TEST_F(AsyncTest, UnorderedResultsComeAsTheyAreAnsweredButNeverOvertakeAWatermark) {
  Start({.order = AsyncOrder::kUnordered});
  Ask("a", 1);
  Ask("b", 2);
  ASSERT_TRUE(harness_->Watermark(5).ok());
  Ask("c", 6);
  Ask("d", 7);
  ASSERT_TRUE(harness_->Watermark(9).ok());
  oracle_->Answer("d");
  oracle_->Answer("b");
  EXPECT_THAT(Results(), ElementsAre("b!@2"));
  EXPECT_EQ(harness_->passed(), kMinTicks) << "a is not answered";
  oracle_->Answer("a");
  EXPECT_THAT(Results(), ElementsAre("a!@1", "d!@7"));
  EXPECT_EQ(harness_->passed(), 5);
  oracle_->Answer("c");
  EXPECT_THAT(Results(), ElementsAre("c!@6"));
  EXPECT_EQ(harness_->passed(), 9);
  EXPECT_TRUE(harness_->Watermark(12).ok());
  EXPECT_EQ(harness_->passed(), 12) << "nothing is before it";
}

// What comes behind a mark is put out in a later call than the one in which the mark is told.
TEST_F(AsyncTest, ResultsBehindAMarkComeAfterIt) {
  Start({});
  Ask("a", 1);
  ASSERT_TRUE(harness_->Watermark(5).ok());
  Ask("b", 6);
  oracle_->Answer("a");
  oracle_->Answer("b");
  Operator& op = harness_->op();
  ASSERT_TRUE(op.OnWake().value());
  EXPECT_THAT(harness_->Take<std::string>(), ElementsAre(Timed<std::string>{"a!", 1}));
  EXPECT_EQ(op.TakePassed(), 1u);
  ASSERT_TRUE(op.OnWake().value());
  EXPECT_THAT(harness_->Take<std::string>(), ElementsAre(Timed<std::string>{"b!", 6}));
  EXPECT_EQ(op.TakePassed(), 0u);
}

TEST_F(AsyncTest, NoMoreThanTheCapacityAreAskedAndTheRestWaits) {
  Start({.capacity = 2});
  ASSERT_TRUE(harness_->Process<Question>({{{"a"}, 1}, {{"b"}, 2}, {{"c"}, 3}, {{"d"}, 4}}).ok());
  EXPECT_THAT(oracle_->order, ElementsAre("a", "b"));
  EXPECT_TRUE(harness_->op().Full());
  EXPECT_EQ(harness_->gauge("asyncInFlight"), 2);
  oracle_->Answer("b");
  EXPECT_THAT(Results(), IsEmpty());
  EXPECT_THAT(oracle_->order, SizeIs(2)) << "b waits for a, and counts";
  oracle_->Answer("a");
  EXPECT_THAT(Results(), ElementsAre("a!@1", "b!@2"));
  EXPECT_THAT(oracle_->order, ElementsAre("a", "b", "c", "d"));
  oracle_->Answer("c");
  oracle_->Answer("d");
  EXPECT_THAT(Results(), SizeIs(2));
  EXPECT_FALSE(harness_->op().Full());
}

TEST_F(AsyncTest, WhatIsInFlightIsPartOfTheSnapshotAndAskedAgain) {
  Start({.capacity = 2});
  ASSERT_TRUE(harness_->Process<Question>({{{"a"}, 1}, {{"b"}, 2}, {{"c"}, 3}}).ok());
  ASSERT_TRUE(harness_->Watermark(5).ok());
  oracle_->Answer("b");
  const auto before = oracle_->asked.extract("a");
  oracle_->order.clear();
  ASSERT_TRUE(harness_->SnapshotAndRestore().ok());
  ASSERT_TRUE(harness_->Wake().ok());
  EXPECT_THAT(oracle_->order, ElementsAre("a", "b")) << "b was answered, but not put out";
  AsyncReply<std::string>(before.mapped()).Complete("from another life");
  Ask("d", 8);
  oracle_->Answer("a");
  oracle_->Answer("b");
  EXPECT_THAT(Results(), ElementsAre("a!@1", "b!@2"));
  oracle_->Answer("c");
  EXPECT_THAT(Results(), ElementsAre("c!@3"));
  EXPECT_EQ(harness_->passed(), 5);
  oracle_->Answer("d");
  EXPECT_THAT(Results(), ElementsAre("d!@8"));
}

TEST_F(AsyncTest, AFailureIsTriedAgainAfterABackoffThatDoubles) {
  Start({.attempts = 3, .backoff = Duration(100), .max_backoff = Duration(150)});
  ASSERT_TRUE(harness_->SetProcessingTime(1000).ok());
  Ask("a", 1, 1);
  oracle_->Fail("a", "busy");
  EXPECT_THAT(Results(), IsEmpty());
  ASSERT_TRUE(harness_->SetProcessingTime(1100).ok());
  EXPECT_THAT(oracle_->order, SizeIs(1)) << "the clock is not past it";
  ASSERT_TRUE(harness_->SetProcessingTime(1101).ok());
  EXPECT_THAT(oracle_->order, SizeIs(2));
  oracle_->Fail("a", "busy");
  EXPECT_THAT(Results(), IsEmpty());
  ASSERT_TRUE(harness_->SetProcessingTime(1251).ok());
  EXPECT_THAT(oracle_->order, SizeIs(2)) << "150 after that";
  ASSERT_TRUE(harness_->SetProcessingTime(1252).ok());
  EXPECT_THAT(oracle_->order, SizeIs(3));
  oracle_->Fail("a", "still busy");
  EXPECT_THAT(Results(), ElementsAre("a failed after 3: still busy@1"));
  EXPECT_EQ(harness_->counter("asyncRetries"), 2u);
}

TEST_F(AsyncTest, ATimeoutCountsAllAttemptsAndComesWithoutAnotherRecord) {
  Start({.timeout = Duration(500), .attempts = 2, .backoff = Duration(300)});
  Ask("a", 1, 1);
  Ask("b", 2, 1);
  oracle_->Fail("a", "busy");
  EXPECT_THAT(Results(), IsEmpty());
  ASSERT_TRUE(harness_->SetProcessingTime(301).ok());
  const auto late = oracle_->asked.extract("b");
  ASSERT_TRUE(harness_->SetProcessingTime(500).ok());
  EXPECT_THAT(Results(), IsEmpty());
  ASSERT_TRUE(harness_->SetProcessingTime(501).ok());
  EXPECT_THAT(Results(), ElementsAre("a timed out after 2: busy@1", "b timed out after 1: @2"));
  EXPECT_EQ(harness_->counter("asyncTimeouts"), 2u);
  AsyncReply<std::string>(late.mapped()).Complete("too late");
  EXPECT_THAT(Results(), IsEmpty());
}

TEST_F(AsyncTest, WhatTheFunctionDoesNotHandleFailsTheJobWithTheRecord) {
  Start({.timeout = Duration(2'000'000)});
  Ask("a", 1);
  const absl::Status status = harness_->SetProcessingTime(2'000'001);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("operator 'ask'"), HasSubstr("no answer within 2s (1 attempt)"),
                    HasSubstr(R"({"key":"a","value":0})"), HasSubstr("OnFailure")));
}

TEST_F(AsyncTest, AnExceptionAndAForgottenReplyAreFailures) {
  Start({});
  Ask("throws", 1, 1);
  Ask("forgets", 2, 1);
  EXPECT_THAT(Results(),
              ElementsAre("throws failed after 1: no way@1",
                          AllOf(HasSubstr("forgets failed after 1"), HasSubstr("every reply"))));
  Start({});
  EXPECT_THAT(std::string(harness_->Process<Question>({{{"throws"}, 1}}).message()),
              HasSubstr("asking failed (1 attempt): no way"));
}

TEST_F(AsyncTest, OnlyTheFirstAnswerCounts) {
  Start({});
  Ask("a", 1);
  AsyncReply<std::string> reply = oracle_->asked.extract("a").mapped();
  reply.Complete(std::vector<std::string>{"x", "y"});
  reply.Complete("z");
  reply.Fail("why");
  EXPECT_THAT(Results(), ElementsAre("x@1", "y@1"));
}

TEST_F(AsyncTest, TheEndWaitsForTheAnswersAndSoDoesItsWatermark) {
  Start({});
  Ask("a", 1);
  EXPECT_EQ(harness_->Finish().code(), absl::StatusCode::kUnavailable);
  oracle_->Answer("a");
  EXPECT_TRUE(harness_->Finish().ok());
  EXPECT_THAT(Results(), ElementsAre("a!@1"));
  EXPECT_EQ(harness_->passed(), kMaxTicks);
}

TEST_F(AsyncTest, AnswersComeFromAnyThreadAlsoAfterTheEnd) {
  Start({.capacity = 1000, .order = AsyncOrder::kUnordered});
  for (int i = 0; i < 1000; ++i) Ask("k" + std::to_string(i), i);
  std::vector<AsyncReply<std::string>> replies;
  for (auto& [key, reply] : oracle_->asked) replies.push_back(reply);
  std::vector<std::thread> threads;
  for (std::size_t share = 0; share < 4; ++share) {
    threads.emplace_back([&, share] {
      for (std::size_t i = share; i < 1000; i += 4) replies[i].Complete("x");
    });
  }
  std::size_t results = 0;
  while (results < 900) results += Results().size();
  harness_.reset();
  for (auto& thread : threads) thread.join();
}

// The results are the same however the operator is driven.
TEST_F(AsyncTest, EveryModeGivesTheSame) {
  for (const testing::HarnessMode& mode : testing::AllHarnessModes()) {
    oracle_->asked.clear();
    Start({.capacity = 3}, mode);
    std::vector<std::string> results;
    for (int i = 0; i < 20; ++i) {
      Ask("k" + std::to_string(i), i);
      ASSERT_TRUE(harness_->Watermark(i).ok());
      while (!oracle_->asked.empty()) {
        oracle_->Answer(oracle_->asked.begin()->first);
        for (const std::string& result : Results()) results.push_back(result);
      }
    }
    ASSERT_TRUE(harness_->Finish().ok()) << mode.name;
    for (const std::string& result : Results()) results.push_back(result);
    ASSERT_THAT(results, SizeIs(20)) << mode.name;
    for (int i = 0; i < 20; ++i) {
      EXPECT_EQ(results[static_cast<std::size_t>(i)],
                "k" + std::to_string(i) + "!@" + std::to_string(i))
          << mode.name;
    }
  }
}

TEST(AsyncOptionsTest, WrongValuesAreRefusedWithTheOperator) {
  const auto error = [](const AsyncOptions& options) {
    const JobDefinition job = Define([&](const auto& stream) {
      return stream.template Async<AskOracle>("ask", options, std::make_shared<Oracle>());
    });
    return job.errors.size() == 1 ? job.errors[0] : "";
  };
  EXPECT_THAT(error({.capacity = 0}), HasSubstr("operator 'ask': capacity is 0"));
  EXPECT_THAT(error({.timeout = Duration(0)}), HasSubstr("timeout is 0"));
  EXPECT_THAT(error({.attempts = 0}), HasSubstr("attempts is 0"));
  EXPECT_THAT(error({.backoff = Duration(0)}), HasSubstr("backoff is 0"));
  EXPECT_THAT(error({.backoff = Duration(5), .max_backoff = Duration(4)}),
              HasSubstr("max_backoff"));
}

// ---- Calls that block.

struct Double : BlockingFunction<Question, std::int64_t> {
  std::vector<std::int64_t> Call(const Question& question) override {
    if (question.value < 0) throw std::runtime_error("negative");
    return {question.value, question.value * 2};
  }
};

TEST(BlockingFunctionTest, GivesTheResultsOfItsCalls) {
  const JobDefinition job = Define(
      [](const auto& stream) { return stream.template Async<Double>("double", {.capacity = 2}); });
  testing::HarnessOptions options;
  options.uid = "double";
  options.answers_later = true;
  OperatorHarness harness(job.nodes[1].make_operator, options);
  harness.AddOutput<std::int64_t>();
  ASSERT_TRUE(harness.Open().ok());
  for (std::int64_t i = 1; i <= 3; ++i)
    ASSERT_TRUE(harness.Process<Question>({{{"k", i}, i}}).ok());
  EXPECT_THAT(
      harness.Take<std::int64_t>(),
      ElementsAre(Timed<std::int64_t>{1, 1}, Timed<std::int64_t>{2, 1}, Timed<std::int64_t>{2, 2},
                  Timed<std::int64_t>{4, 2}, Timed<std::int64_t>{3, 3}, Timed<std::int64_t>{6, 3}));
  const absl::Status status = harness.Process<Question>({{{"k", -1}, 4}});
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("asking failed (1 attempt): negative"), HasSubstr("-1")));
}

// ---- Lookups.

// Values of keys, one call each.
struct Table : AsyncFunction<std::string, std::int64_t> {
  explicit Table(std::shared_ptr<std::vector<std::string>> a) : asked(std::move(a)) {}
  void Ask(const std::string& key, AsyncReply<std::int64_t> reply) override {
    asked->push_back(key);
    if (key == "waits") {
      waiting.push_back(std::move(reply));
    } else if (key == "none") {
      reply.Complete(std::vector<std::int64_t>());
    } else {
      reply.Complete(static_cast<std::int64_t>(asked->size()));
    }
  }
  std::shared_ptr<std::vector<std::string>> asked;
  std::vector<AsyncReply<std::int64_t>> waiting;
};

class LookupTest : public ::testing::Test {
 protected:
  void Start(LookupOptions options) {
    const JobDefinition job = Define([&](const auto& stream) {
      return stream.template Lookup<Table>(
          "enrich", &Question::key,
          [](const Question& question,
             const std::optional<std::int64_t>& value) -> std::optional<std::string> {
            if (question.value == 0) return std::nullopt;
            return question.key + "=" + (value ? std::to_string(*value) : "?");
          },
          options, asked_);
    });
    ASSERT_THAT(job.errors, IsEmpty());
    testing::HarnessOptions harness_options;
    harness_options.answers_later = true;
    harness_ = std::make_unique<OperatorHarness>(job.nodes[1].make_operator, harness_options);
    harness_->AddOutput<std::string>();
    ASSERT_TRUE(harness_->Open().ok());
  }
  std::vector<std::string> Give(const std::vector<std::string>& keys, std::int64_t value = 1) {
    for (const std::string& key : keys)
      EXPECT_TRUE(harness_->Process<Question>({{{key, value}, 1}}).ok());
    std::vector<std::string> results;
    for (const auto& out : harness_->Take<std::string>()) results.push_back(out.value);
    return results;
  }
  const std::shared_ptr<std::vector<std::string>> asked_ =
      std::make_shared<std::vector<std::string>>();
  std::unique_ptr<OperatorHarness> harness_;
};

TEST_F(LookupTest, AsksOnceForWhatItKeeps) {
  Start({.cache_entries = 2, .cache_time = Duration(100)});
  EXPECT_THAT(Give({"a", "b", "a", "none", "a"}),
              ElementsAre("a=1", "b=2", "a=1", "none=?", "a=1"));
  EXPECT_THAT(*asked_, ElementsAre("a", "b", "none"));
  EXPECT_THAT(Give({"none", "b"}), ElementsAre("none=?", "b=4")) << "b was used least recently";
  EXPECT_EQ(harness_->counter("lookupCacheHits"), 3u);
  ASSERT_TRUE(harness_->SetProcessingTime(100).ok());
  EXPECT_THAT(Give({"b"}), ElementsAre("b=5")) << "it was kept for so long";
  EXPECT_THAT(Give({"b"}, 0), IsEmpty()) << "combine gives nothing for a value of 0";
}

TEST_F(LookupTest, KeepsNothingIfToldSo) {
  Start({.cache_entries = 0});
  EXPECT_THAT(Give({"a", "a"}), ElementsAre("a=1", "a=2"));
  Start({.cache_missing = false});
  asked_->clear();
  EXPECT_THAT(Give({"none", "none"}), ElementsAre("none=?", "none=?"));
  EXPECT_THAT(*asked_, SizeIs(2));
}

TEST_F(LookupTest, OneQuestionServesAllThatWaitForIt) {
  Start({.async = {.timeout = Duration(50)}});
  EXPECT_THAT(Give({"waits", "waits", "waits"}), IsEmpty());
  EXPECT_THAT(*asked_, SizeIs(1));
}

TEST(LookupOptionsTest, WrongValuesAreRefused) {
  const auto asked = std::make_shared<std::vector<std::string>>();
  const JobDefinition job = Define([&](const auto& stream) {
    return stream.template Lookup<Table>(
        "enrich", &Question::key,
        [](const Question& question, const std::optional<std::int64_t>&) { return question; },
        {.cache_time = Duration(0)}, asked);
  });
  EXPECT_THAT(job.errors, ElementsAre(HasSubstr("operator 'enrich': cache_time is 0")));
}

}  // namespace
}  // namespace weir

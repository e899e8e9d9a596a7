#include "weir/pattern.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "weir/connectors.h"
#include "weir/job.h"
#include "weir/pattern_stream.h"
#include "weir/testing.h"

namespace weir {

struct PatternEvent {
  std::string key;
  std::string text;
  std::int64_t value = 0;
  friend bool operator==(const PatternEvent&, const PatternEvent&) = default;
};

namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::OperatorHarness;
using testing::Timed;
using ::testing::UnorderedElementsAre;

constexpr SideOutput<std::string> kTimedOut{"timed out"};
constexpr SideOutput<PatternEvent> kLate{"late"};

// key|step=e1,e2|...
std::string Text(const std::string& key, const Match<PatternEvent>& match,
                 const std::vector<std::string>& steps) {
  std::string text = key;
  for (const std::string& step : steps) {
    if (!match.Has(step)) continue;
    text += "|" + step + "=";
    const char* comma = "";
    match.ForEach(step, [&](const PatternEvent& event) {
      text += comma + event.text;
      comma = ",";
    });
  }
  return text;
}

struct Defined {
  JobDefinition job;
  std::vector<std::string> errors;
};

// A job with the one pattern; its late and timed-out outputs are read if `late`, `timed_out`.
Defined Define(const Pattern<PatternEvent>& pattern, const std::vector<std::string>& steps,
               bool late = false, bool timed_out = false, bool by_value = false,
               std::optional<std::pair<std::size_t, AtPartialMatchLimit>> limit = {}) {
  Defined defined;
  const DefineInput input;
  internal::GraphBuilder graph(input, defined.job);
  auto matched = Job(graph)
                     .From<PatternEvent>("in", Files{.path = "x"})
                     .KeyBy(&PatternEvent::key)
                     .Match(pattern);
  if (late) matched = matched.SideOutputLate(kLate);
  if (by_value) {
    matched = matched.OrderBy(
        [](const PatternEvent& a, const PatternEvent& b) { return a.value < b.value; });
  }
  if (limit.has_value()) matched = matched.LimitPartialMatches(limit->first, limit->second);
  const auto text = [steps](const std::string& key, const Match<PatternEvent>& match) {
    return Text(key, match, steps);
  };
  auto found = matched.Select("matches", text, kTimedOut, text);
  found.To("out", Print{});
  if (timed_out) found.Side(kTimedOut).To("timed out", Print{});
  if (late) found.Side(kLate).To("late", Print{});
  for (const auto& error : defined.job.errors) defined.errors.push_back(error);
  return defined;
}

using Events = Pattern<PatternEvent>;

auto Letter(char letter) {
  return [letter](const PatternEvent& event) { return event.text[0] == letter; };
}
Events Begin(char letter) { return Events::Begin(std::string(1, letter)).Where(Letter(letter)); }
Events FollowedBy(const Events& pattern, char letter, const std::string& name) {
  return pattern.FollowedBy(name).Where(Letter(letter));
}

// What is found in `events`, each of one tick after the other and named by letter and number.
std::vector<std::string> Find(const Events& pattern, const std::string& letters,
                              testing::HarnessMode mode = {}) {
  // All events in their order, without the names of the steps.
  JobDefinition job;
  const DefineInput input;
  internal::GraphBuilder graph(input, job);
  Job(graph)
      .From<PatternEvent>("in", Files{.path = "x"})
      .KeyBy(&PatternEvent::key)
      .Match(pattern)
      .Select("matches",
              [](const Match<PatternEvent>& match) {
                std::string text;
                for (std::size_t i = 0; i < match.size(); ++i) text += match.event(i).text + " ";
                return text;
              })
      .To("out", Print{});
  EXPECT_THAT(job.errors, IsEmpty());
  testing::HarnessOptions options;
  options.mode = std::move(mode);
  OperatorHarness harness(job.nodes[1].make_operator, options);
  harness.AddOutput<std::string>();
  EXPECT_TRUE(harness.Open().ok());
  for (std::size_t i = 0; i < letters.size(); ++i) {
    const auto time = static_cast<Ticks>(i + 1);
    const std::string text = letters[i] + std::to_string(i);
    EXPECT_TRUE(harness.Process<PatternEvent>({{{"k", text, 0}, time}}).ok());
    EXPECT_TRUE(harness.Watermark(time).ok());
  }
  EXPECT_TRUE(harness.Finish().ok());
  std::vector<std::string> found;
  for (const auto& out : harness.Take<std::string>()) found.push_back(out.value);
  std::sort(found.begin(), found.end());
  return found;
}

std::string RandomLetters(std::mt19937_64& random, std::size_t most) {
  std::string letters(1 + random() % most, ' ');
  for (char& letter : letters) letter = static_cast<char>('a' + random() % 3);
  return letters;
}

// A group that comes n times is its steps written n times.
TEST(PatternGroupTest, IsItsSteps) {
  const Events pair = FollowedBy(Begin('a'), 'b', "b");
  const Events twice = FollowedBy(Begin('c').FollowedBy(pair).Times(2), 'c', "end");
  Events written = FollowedBy(FollowedBy(Begin('c'), 'a', "a1"), 'b', "b1");
  written = FollowedBy(FollowedBy(written, 'a', "a2"), 'b', "b2");
  written = FollowedBy(written, 'c', "end");
  const Events once = FollowedBy(Begin('c').Next(pair).Optional(), 'c', "end");
  std::mt19937_64 random(1);
  std::size_t matches = 0;
  for (int i = 0; i < 300; ++i) {
    const std::string letters = RandomLetters(random, 24);
    SCOPED_TRACE(letters);
    const auto expected = Find(written, letters);
    EXPECT_EQ(Find(twice, letters), expected);
    matches += expected.size();
    // With an optional group: what is found with it or without.
    std::vector<std::string> either =
        Find(FollowedBy(Begin('c').Next("x").Where(Letter('a')).FollowedBy("b").Where(Letter('b')),
                        'c', "end"),
             letters);
    for (std::string& match : Find(FollowedBy(Begin('c'), 'c', "end"), letters))
      either.push_back(std::move(match));
    std::sort(either.begin(), either.end());
    EXPECT_EQ(Find(once, letters), either);
  }
  EXPECT_GT(matches, 50u);
}

TEST(PatternGroupTest, RepeatsUntilSomethingComes) {
  const Events pair = FollowedBy(Begin('a'), 'b', "b");
  const Events loop = Events::Begin(pair).OneOrMore().Until(Letter('u'));
  EXPECT_THAT(Find(loop, "abab"), ElementsAre("a0 b1 ", "a0 b1 a2 b3 ", "a2 b3 "));
  EXPECT_THAT(Find(loop, "abuab"), ElementsAre("a0 b1 ", "a3 b4 "));
  EXPECT_THAT(Find(loop.Consecutive(), "abcab"), ElementsAre("a0 b1 ", "a3 b4 "));
}

TEST(PatternTest, ConditionsAreJoined) {
  const Events either =
      Events::Begin("x").Where(Letter('a')).OrWhere(Letter('b')).Next("y").Where(Letter('c'));
  EXPECT_THAT(Find(either, "acbccc"), ElementsAre("a0 c1 ", "b2 c3 "));
  const Events both = Events::Begin("x").Where(Letter('a')).Where([](const PatternEvent& event) {
    return event.text == "a2";
  });
  EXPECT_THAT(Find(both, "aaa"), ElementsAre("a2 "));
  // As many b as a.
  const Events balanced =
      Begin('a')
          .OneOrMore()
          .Consecutive()
          .Greedy()
          .Next("b")
          .Where(Letter('b'))
          .OneOrMore()
          .Consecutive()
          .Next("end")
          .Where([](const PatternEvent& event, const Match<PatternEvent>& match) {
            return event.text[0] == 'c' && match.Count("a") == match.Count("b") &&
                   match.First("a")->text == "a0" && match.Last("b")->text[0] == 'b' &&
                   match.All("a").size() == match.Count("a") && !match.Has("end");
          });
  EXPECT_THAT(Find(balanced, "aabbc"), ElementsAre("a0 a1 b2 b3 c4 "));
  EXPECT_THAT(Find(balanced, "aabc"), IsEmpty());
}

// ---- What a plan is checked for.

std::vector<std::string> Mistakes(const Events& pattern) { return Define(pattern, {}).errors; }

TEST(PatternMistakeTest, IsRefusedWithOperatorAndReason) {
  const auto refused = [](const Events& pattern, const std::string& reason) {
    EXPECT_THAT(Mistakes(pattern),
                ElementsAre(AllOf(HasSubstr("operator 'matches': "), HasSubstr(reason))));
  };
  const Events a = Begin('a');
  refused(Events::Begin(""), "a step has no name");
  refused(a.Next("a"), "two steps are named 'a'");
  refused(a.Next(a), "two steps are named 'a'");
  refused(a.Within(Duration(0)), "Within is not positive");
  refused(a.Within(Duration(-5)), "Within is not positive");
  refused(a.Next("b").WithinPrevious(Duration(0)), "WithinPrevious that is not positive");
  refused(a.Next("b").WithinPrevious(Duration(5)).Within(Duration(4)), "longer than the pattern's");
  refused(a.Times(0), "is to come 0 times");
  refused(a.TimesOrMore(0), "is to come 0 times");
  refused(a.Times(3, 2), "at least 3 and at most 2 times: it can never match");
  refused(a.Greedy(), "only a repeated step can be");
  refused(a.Consecutive(), "only a repeated step can be");
  refused(a.OneOrMore().AllowCombinations().Greedy(), "both greedy and of all combinations");
  refused(a.Times(2).Until(Letter('b')), "any number of times");
  refused(a.Optional().NotNext("b").Where(Letter('b')), "cannot follow an optional step");
  refused(a.NotNext("b").Where(Letter('b')).Optional(), "neither optional nor repeated");
  refused(a.NotNext("b"), "has no Where: it can never match");
  refused(a.NotFollowedBy("b").Where(Letter('b')), "it never ends");
  refused(a.OneOrMore().Greedy().Next("b").Optional(), "cannot follow a greedy step");
  refused(a.After(AfterMatch::SkipToFirst("z")), "skips to a step 'z' that it does not have");
  refused(Events::Begin(a.FollowedBy("b")).OneOrMore().Greedy(),
          "a group of steps cannot be greedy");
  EXPECT_THAT(Mistakes(a.Next(Begin('b')).After(AfterMatch::SkipToLast("b"))), IsEmpty());
  const auto limited =
      Define(a, {}, false, false, false, std::pair(std::size_t{0}, AtPartialMatchLimit::kFail));
  EXPECT_THAT(limited.errors, ElementsAre(HasSubstr("LimitPartialMatches(0)")));
}

// ---- Limits.

TEST(PatternLimitTest, FailsWithTheKey) {
  const Defined defined = Define(FollowedBy(Begin('a'), 'b', "b"), {"a", "b"}, false, false, false,
                                 std::pair(std::size_t{3}, AtPartialMatchLimit::kFail));
  OperatorHarness harness(defined.job.nodes[1].make_operator);
  harness.AddOutput<std::string>();
  ASSERT_TRUE(harness.Open().ok());
  for (Ticks i = 1; i <= 3; ++i)
    ASSERT_TRUE(harness.Process<PatternEvent>({{{"ann", "a", 0}, i}}).ok());
  ASSERT_TRUE(harness.Watermark(3).ok());
  ASSERT_TRUE(harness.Process<PatternEvent>({{{"ann", "a", 0}, 4}}).ok());
  const absl::Status status = harness.Watermark(4);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("key \"ann\" has more than 3 partial matches"));
}

TEST(PatternLimitTest, DropsTheOldest) {
  const Defined defined = Define(FollowedBy(Begin('a'), 'b', "b"), {"a", "b"}, false, false, false,
                                 std::pair(std::size_t{2}, AtPartialMatchLimit::kDropOldest));
  OperatorHarness harness(defined.job.nodes[1].make_operator);
  harness.AddOutput<std::string>();
  ASSERT_TRUE(harness.Open().ok());
  const std::vector<std::string> texts = {"a1", "a2", "a3", "a4", "b"};
  for (std::size_t i = 0; i < texts.size(); ++i) {
    ASSERT_TRUE(
        harness.Process<PatternEvent>({{{"k", texts[i], 0}, static_cast<Ticks>(i + 1)}}).ok());
  }
  ASSERT_TRUE(harness.Watermark(9).ok());
  std::vector<std::string> found;
  for (const auto& out : harness.Take<std::string>()) found.push_back(out.value);
  EXPECT_THAT(found, UnorderedElementsAre("k|a=a3|b=b", "k|a=a4|b=b"));
  EXPECT_EQ(harness.counter("partialMatchesDropped"), 2u);
}

TEST(PatternTest, RefusesARecordWithoutATimestamp) {
  const Defined defined = Define(Begin('a'), {"a"});
  OperatorHarness harness(defined.job.nodes[1].make_operator);
  harness.AddOutput<std::string>();
  ASSERT_TRUE(harness.Open().ok());
  const absl::Status status = harness.Process<PatternEvent>({{{"k", "a", 0}, kMinTicks}});
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("operator"), HasSubstr("without a timestamp")));
}

// ---- State.

std::unique_ptr<OperatorHarness> Opened(const Defined& defined) {
  auto harness = std::make_unique<OperatorHarness>(defined.job.nodes[1].make_operator);
  harness->AddOutput<std::string>();
  EXPECT_TRUE(harness->Open().ok());
  return harness;
}

TEST(PatternStateTest, IsGoneWithTheLastPartialMatch) {
  const Defined defined = Define(FollowedBy(Begin('a'), 'b', "b").Within(Duration(10)), {"a", "b"});
  const auto harness = Opened(defined);
  for (int i = 0; i < 100; ++i) {
    const std::string key = std::to_string(i);
    ASSERT_TRUE(harness->Process<PatternEvent>({{{key, "a", 0}, 5}, {{key, "c", 0}, 6}}).ok());
  }
  ASSERT_TRUE(harness->Watermark(8).ok());
  const auto entries = [&] {
    std::size_t total = 0;
    for (KeyedStateTable* table : harness->op().keyed_state()) total += table->entries();
    return total;
  };
  EXPECT_EQ(entries(), 200u);  // and a timer each
  ASSERT_TRUE(harness->Watermark(14).ok());
  EXPECT_EQ(entries(), 200u);
  ASSERT_TRUE(harness->Watermark(15).ok());
  EXPECT_EQ(entries(), 0u);
}

TEST(PatternStateTest, OfAnotherPatternHasAnotherName) {
  const auto name = [](const Events& pattern) {
    return Define(pattern, {}).job.nodes[1].states[0].name;
  };
  const std::string two = name(FollowedBy(Begin('a'), 'b', "b"));
  EXPECT_EQ(name(FollowedBy(Begin('x').Where(Letter('y')), 'c', "b")).size(), two.size());
  EXPECT_EQ(name(FollowedBy(Begin('a'), 'c', "b")), two);
  EXPECT_NE(name(Begin('a').Next("b").Where(Letter('b'))), two);
  EXPECT_NE(name(FollowedBy(Begin('a'), 'b', "z")), two);
}

TEST(PatternStateTest, DamagedIsRefused) {
  const Defined defined = Define(FollowedBy(Begin('a'), 'b', "b"), {"a", "b"});
  const auto harness = Opened(defined);
  ASSERT_TRUE(harness->Process<PatternEvent>({{{"k", "a", 7}, 5}, {{"k", "c", 0}, 6}}).ok());
  ASSERT_TRUE(harness->Watermark(5).ok());
  testing::HarnessSnapshot snapshot = harness->Snapshot();
  std::size_t refused = 0;
  for (auto& [name, table] : snapshot.tables) {
    if (name == "due") continue;
    for (auto& [group, bytes] : table.key_groups) {
      const std::string whole = bytes;
      for (std::size_t i = 0; i < whole.size(); ++i) {
        for (const int flip : {0x01, 0x80}) {
          bytes = whole;
          bytes[i] = static_cast<char>(bytes[i] ^ flip);
          // Anything but a crash; other values of a record are no damage that shows.
          if (!Opened(defined)->Restore(snapshot).ok()) ++refused;
        }
      }
      bytes = whole;
    }
  }
  EXPECT_GT(refused, 20u);
}

}  // namespace
}  // namespace weir

#include <algorithm>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sdk/tests/rule_steps.h"
#include "weir/connectors.h"
#include "weir/pattern_stream.h"

// The rules of patterns, one by one, as small examples. An event is a letter and a number, "b1":
// steps are named by the letter that they take.

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Events = Pattern<RuleRecord>;
constexpr SideOutput<RuleRecord> kTimedOut{"timed out"};
constexpr SideOutput<RuleRecord> kLate{"late"};

std::int64_t EventOf(const std::string& word) {
  return word[0] * 100 + (word.size() > 1 ? word[1] - '0' : 0);
}
std::string WordOf(const RuleRecord& event) {
  std::string word(1, static_cast<char>(event.value / 100));
  return event.value % 100 != 0 ? word + std::to_string(event.value % 100) : word;
}
auto Is(char letter) {
  return [letter](const RuleRecord& event) { return event.value / 100 == letter; };
}
std::string Shown(const Match<RuleRecord>& match) {
  std::string text = "{";
  for (std::size_t i = 0; i < match.size(); ++i)
    text += (i == 0 ? "" : " ") + WordOf(match.event(i));
  return text + "}";
}
Events Begin(char letter) { return Events::Begin(std::string(1, letter)).Where(Is(letter)); }

JobDefinition Define(const Events& pattern, bool side_outputs = false) {
  JobDefinition job;
  const DefineInput input;
  internal::GraphBuilder graph(input, job);
  auto matched =
      Job(graph).From<RuleRecord>("in", Files{.path = "x"}).KeyBy(&RuleRecord::key).Match(pattern);
  if (!side_outputs) {
    matched.Select("m", Shown).To("out", Print{});
    return job;
  }
  auto found = matched.SideOutputLate(kLate).Select(
      "m", Shown, kTimedOut, [](const Match<RuleRecord>& match) { return match.event(0); });
  found.To("out", Print{});
  found.Side(kTimedOut).To("timed out", Print{});
  found.Side(kLate).To("late", Print{});
  return job;
}
RuleStep Event(const std::string& word, Ticks time) { return Rec(EventOf(word), time); }

// The matches in events of one tick after the other, by their text.
std::vector<std::string> Find(const Events& pattern, const std::string& words) {
  std::vector<RuleStep> steps;
  std::istringstream in(words);
  for (std::string word; in >> word;) {
    const auto time = static_cast<Ticks>(steps.size() + 1);
    steps.push_back(Event(word, time));
    steps.push_back(Mark(time));
  }
  steps.push_back(End());
  std::vector<std::string> found;
  for (const std::string& text : StepsOf(Define(pattern), 1, steps)) {
    for (std::size_t at = 0; (at = text.find('{', at)) != std::string::npos; ++at)
      found.push_back(text.substr(at, text.find('}', at) + 1 - at));
  }
  std::sort(found.begin(), found.end());
  return found;
}
std::string ErrorOf(const Events& pattern) {
  const JobDefinition job = Define(pattern);
  return job.errors.size() == 1 ? job.errors[0] : std::to_string(job.errors.size()) + " errors";
}

TEST(PatternRules, Rule36EventsAreTakenInTheOrderOfTimeAndLateOnesPutAside) {
  const Events ab = Begin('a').Next("b").Where(Is('b'));
  EXPECT_THAT(
      StepsOf(Define(ab, true), 1,
              {Event("b", 5), Event("a", 4), Mark(3), Mark(5), Event("a1", 5), Event("a2", 6)}, 2),
      ElementsAre("", "", "", "{a b}@5", "!9701@5", ""))
      << "what is at the watermark is late";
}

TEST(PatternRules, Rule37AMatchSpansLessThanItsTime) {
  const Events within = Begin('a').FollowedBy("b").Where(Is('b')).Within(Duration(10));
  EXPECT_THAT(
      StepsOf(Define(within, true), 1,
              {Event("a1", 1), Event("b", 10), Mark(10), Event("a2", 20), Event("b", 30), Mark(30)},
              2),
      ElementsAre("", "", "{a1 b}@10", "", "", "!9702@30"))
      << "a time of exactly 10 is too long; it is over at the first event's time and 10";
  const Events between =
      Begin('a').FollowedBy("b").Where(Is('b')).FollowedBy("c").Where(Is('c')).WithinPrevious(
          Duration(10));
  EXPECT_THAT(StepsOf(Define(between, true), 1,
                      {Event("a", 1), Event("b", 50), Event("c", 60), Mark(60)}, 2),
              ElementsAre("", "", "", "!9700@60"))
      << "from b to c";
}

TEST(PatternRules, Rule38Contiguity) {
  const std::string events = "a c b1 b2";
  EXPECT_THAT(Find(Begin('a').Next("b").Where(Is('b')), events), IsEmpty());
  EXPECT_THAT(Find(Begin('a').FollowedBy("b").Where(Is('b')), events), ElementsAre("{a b1}"));
  EXPECT_THAT(Find(Begin('a').FollowedByAny("b").Where(Is('b')), events),
              ElementsAre("{a b1}", "{a b2}"));
  const Events loop = Begin('c').FollowedBy("a").Where(Is('a')).OneOrMore();
  const auto with_end = [](const Events& start) { return start.FollowedBy("b").Where(Is('b')); };
  const std::string longer = "c d a1 a2 a3 d a4 b";
  EXPECT_THAT(Find(with_end(loop.Consecutive()), longer),
              ElementsAre("{c a1 a2 a3 b}", "{c a1 a2 b}", "{c a1 b}"));
  EXPECT_THAT(Find(with_end(loop), longer),
              ElementsAre("{c a1 a2 a3 a4 b}", "{c a1 a2 a3 b}", "{c a1 a2 b}", "{c a1 b}"));
  EXPECT_EQ(Find(with_end(loop.AllowCombinations()), longer).size(), 8u);
  EXPECT_THAT(Find(Begin('a').OneOrMore().Until(Is('b')), "a1 c a2 b a3"),
              ElementsAre("{a1 a2}", "{a1}", "{a2}", "{a3}"));
}

TEST(PatternRules, Rule39Negations) {
  const auto b = Is('b');
  EXPECT_THAT(ErrorOf(Begin('a').Optional().NotNext("b").Where(b).FollowedBy("c")), HasSubstr("b"));
  EXPECT_THAT(ErrorOf(Begin('a').NotNext("b").Where(b).Optional().FollowedBy("c")), HasSubstr("b"));
  EXPECT_THAT(ErrorOf(Begin('a').FollowedBy("a")), HasSubstr("a"));
  EXPECT_THAT(ErrorOf(Begin('a').NotFollowedBy("b").Where(b)), HasSubstr("Within"));
  const Events none = Begin('a').NotFollowedBy("b").Where(b).Within(Duration(10));
  EXPECT_THAT(StepsOf(Define(none), 1, {Event("a", 1), Mark(1), Mark(10), Mark(12)}),
              ElementsAre("", "", "", "{a}@12"))
      << "the watermark at which it was found";
  const Events not_next = Begin('a').NotNext("b").Where(b);
  EXPECT_THAT(Find(not_next, "a1 b a2 c"), ElementsAre("{a2}"));
}

TEST(PatternRules, Rule40WhereTheSearchGoesOnAfterAMatch) {
  const auto sizes = [](const Events& pattern) {
    std::vector<std::size_t> counts;
    for (const AfterMatch& skip :
         {AfterMatch::NoSkip(), AfterMatch::SkipToNext(), AfterMatch::SkipPastLastEvent(),
          AfterMatch::SkipToFirst("b"), AfterMatch::SkipToLast("b")}) {
      counts.push_back(Find(pattern.After(skip), "b1 b2 b3 c").size());
    }
    return counts;
  };
  const Events loop = Begin('b').OneOrMore();
  EXPECT_THAT(sizes(loop.Consecutive().Next("c").Where(Is('c'))), ElementsAre(3, 3, 1, 3, 2));
  EXPECT_THAT(sizes(loop.FollowedBy("c").Where(Is('c'))), ElementsAre(6, 3, 1, 3, 2));
  EXPECT_THAT(sizes(loop.Next("c").Where(Is('c'))), ElementsAre(3, 3, 1, 1, 2));
  EXPECT_THAT(Find(loop.Consecutive().Next("c").Where(Is('c')).After(AfterMatch::SkipToLast("b")),
                   "b1 b2 b3 c"),
              ElementsAre("{b1 b2 b3 c}", "{b3 c}"));
}

}  // namespace
}  // namespace weir

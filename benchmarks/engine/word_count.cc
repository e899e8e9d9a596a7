// Words of lines of text, counted by word.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "benchmarks/lib/comparison.h"
#include "benchmarks/lib/embedded.h"

namespace weir::bench {
namespace {

struct Line {
  EventTime at;
  std::string text;
};
using Result = WindowResult<std::string, std::int64_t>;

std::uint64_t TextHash(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return hash;
}

// About ten words a line, of 20,000 words whose frequency falls with their rank.
Input<Line> MakeLines(std::uint64_t words) {
  std::mt19937_64 random(5);
  std::vector<std::string> vocabulary;
  for (int i = 0; i < 20'000; ++i) {
    std::string word;
    for (std::uint64_t length = 3 + random() % 9; length > 0; --length)
      word += static_cast<char>('a' + random() % 26);
    vocabulary.push_back(std::move(word));
  }
  Input<Line> lines(words / 10);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    Line line{EventTime::FromTicks(static_cast<Ticks>(i)), ""};
    for (int w = 0; w < 10; ++w) {
      const double u = static_cast<double>(random() >> 11) * 0x1.0p-53;
      const auto rank = static_cast<std::size_t>(20'000 * u * u * u);
      if (w > 0) line.text += ' ';
      line.text += vocabulary[rank];
    }
    lines.Add(std::move(line));
  }
  return lines;
}

template <class F>
void ForEachWord(std::string_view text, F&& f) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    if (end > 0) f(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

// The loop: a flat table of owned words, found by a view.
Outcome Loop(Input<Line>& lines) {
  struct Slot {
    std::uint64_t hash = 0;
    std::string word;
    std::int64_t count = 0;
  };
  std::vector<Slot> slots(1 << 16);
  lines.ForEach([&](const Line& line) {
    ForEachWord(line.text, [&](std::string_view word) {
      std::uint64_t hash = word.size();
      for (std::string_view rest = word; !rest.empty();
           rest.remove_prefix(std::min<std::size_t>(8, rest.size()))) {
        std::uint64_t part = 0;
        std::memcpy(&part, rest.data(), std::min<std::size_t>(8, rest.size()));
        hash = (hash ^ part) * 0x9E3779B97F4A7C15ULL;
        hash ^= hash >> 29;
      }
      std::size_t i = hash & (slots.size() - 1);
      while (slots[i].count != 0 && (slots[i].hash != hash || slots[i].word != word))
        i = (i + 1) & (slots.size() - 1);
      if (slots[i].count++ == 0) {
        slots[i].hash = hash;
        slots[i].word = word;
      }
    });
  });
  Outcome out;
  for (const Slot& slot : slots) {
    if (slot.count > 0) out.Add(TextHash(slot.word), 0, static_cast<std::uint64_t>(slot.count));
  }
  return out;
}

Outcome Engine(Input<Line>& lines) {
  Outcome out;
  const JobDefinition job = Describe([&](Job& j) {
    j.From<Line>("lines", MemorySource<Line>(lines), {.timestamp = &Line::at})
        .FlatMap<std::string>([](const Line& line, Collector<std::string>& words) {
          ForEachWord(line.text, [&](std::string_view word) { words.Emit(std::string(word)); });
        })
        .KeyBy([](const std::string& word) -> const std::string& { return word; })
        .Window(Tumbling{Duration(1'000'000'000)})
        .Aggregate("count", Count{})
        .To("out", SinkTo(out, [](const Result& r, Outcome& o) {
              o.Add(TextHash(r.key), 0, static_cast<std::uint64_t>(r.value));
            }));
  });
  if (const absl::Status status = RunEmbedded(job, 1, 1); !status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    std::exit(1);
  }
  return out;
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  using namespace weir::bench;
  const auto options = BenchOptions::Parse(
      argc, argv, "Counts of words of lines in memory, against a loop over a flat table.");
  const std::uint64_t words = options.Scaled(20'000'000);
  Input<Line> lines = MakeLines(words);
  Compare(
      options, "word_count", words, 0.6, [&] { return Loop(lines); },
      [&] { return Engine(lines); });
}

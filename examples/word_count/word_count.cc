// How often each word occurs in lines of text: the running count after each word.
#include <weir/sdk.h>

#include <cctype>
#include <string>

struct Line {
  std::string text;
};

// Emits the words of a line: letters and digits, in lower case.
void SplitWords(const Line& line, weir::Collector<std::string>& words) {
  std::string word;
  for (const char c : line.text + " ") {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    } else if (!word.empty()) {
      words.Emit(word);
      word.clear();
    }
  }
}

WEIR_JOB(job) {
  const auto input =
      job.Arg<std::string>("input", "lines of text, as JSON lines with a field 'text'");
  const auto output = job.Arg<std::string>("output", "folder or file for the counts");

  job.From<Line>("lines", weir::Files{.path = input})
      .FlatMap<std::string>("words", SplitWords)
      .KeyBy([](const std::string& word) { return word; })
      .Aggregate("count", weir::Count{})
      .To("counts", weir::Files{.path = output});
}

// weir-conformance: see kUsage.
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/conformance/case_file.h"
#include "tests/conformance/replay.h"
#include "tests/conformance/report.h"
#include "tests/conformance/rocksdb_stores.h"

namespace weir::conformance {
namespace {

constexpr int kAllPassed = 0;
constexpr int kSomeFailed = 1;
constexpr int kWrongUsage = 2;

constexpr char kUsage[] =
    R"(weir-conformance [OPTION]... PATH...

Runs recorded cases on the operators that jobs are made of, and compares what comes out. PATH is a
case file (one case a line, in JSON) or a folder with files named *.jsonl.

Each case is run with keyed state in memory: plain; with its records in batches of random size;
snapshotted and restored into a new instance after every step; with outputs that refuse now and
then; and all of these at once. Then with keyed state in RocksDB: plain, in batches, all at once.

  --family NAME     only cases of this family; may be given more than once
  --case NAME       only the case of this name; may be given more than once
  --backend WHICH   memory, rocksdb or both (both)
  --seed N          of the sizes of batches (1); the same seed gives the same batches
  --help

A failure is printed with the case's name, the mode, the first step that differs, its input, what
was expected and what came. A table says per family how many passed, failed, and are not supported.

Exit code: 0 all that are supported passed, 1 some failed, 2 wrong usage or a file that is none.

Example: weir-conformance --case rule-20-after-the-tick tests/conformance/testdata/timers.jsonl
)";

struct Arguments {
  std::vector<std::string> paths;
  std::vector<std::string> families;
  std::vector<std::string> cases;
  std::string backend = "both";
  std::uint64_t seed = 1;
  bool help = false;
};

// Nothing, after a line on stderr, if they are wrong.
std::optional<Arguments> Parse(int argc, char** argv) {
  Arguments arguments;
  const auto wrong = [](const std::string& what) {
    std::fprintf(stderr, "weir-conformance: %s; --help says more\n", what.c_str());
    return std::nullopt;
  };
  for (int i = 1; i < argc; ++i) {
    std::string name = argv[i];
    if (name == "--help") {
      arguments.help = true;
      return arguments;
    }
    if (!name.starts_with("--")) {
      arguments.paths.push_back(name);
      continue;
    }
    std::string value;
    if (const std::size_t equals = name.find('='); equals != std::string::npos) {
      value = name.substr(equals + 1);
      name.resize(equals);
    } else if (i + 1 < argc) {
      value = argv[++i];
    }
    if (value.empty()) return wrong(name + " has no value, or is not known");
    if (name == "--family") {
      arguments.families.push_back(value);
    } else if (name == "--case") {
      arguments.cases.push_back(value);
    } else if (name == "--backend") {
      arguments.backend = value;
      if (value != "memory" && value != "rocksdb" && value != "both")
        return wrong("--backend must be memory, rocksdb or both, not '" + value + "'");
    } else if (name == "--seed") {
      const auto [end, error] =
          std::from_chars(value.data(), value.data() + value.size(), arguments.seed);
      if (error != std::errc() || end != value.data() + value.size() || arguments.seed == 0)
        return wrong("--seed must be a number above 0, not '" + value + "'");
    } else {
      return wrong("there is no option " + name);
    }
  }
  if (arguments.paths.empty()) return wrong("no path is given");
  return arguments;
}

bool Chosen(const std::vector<std::string>& names, const std::string& name) {
  if (names.empty()) return true;
  for (const std::string& chosen : names) {
    if (chosen == name) return true;
  }
  return false;
}

// False, after a line on stderr, if the file is none.
bool RunFile(const std::string& file, const Arguments& arguments,
             const std::vector<ReplayMode>& modes, Report& report) {
  const auto cases = ReadCaseFile(file);
  if (!cases.ok()) {
    std::fprintf(stderr, "weir-conformance: %s\n", std::string(cases.status().message()).c_str());
    return false;
  }
  for (const auto& test : *cases) {
    if (!Chosen(arguments.families, test->family()) || !Chosen(arguments.cases, test->name()))
      continue;
    std::fputs(report.Add(file, *test, RunCase(*test, modes)).c_str(), stdout);
    std::fflush(stdout);
  }
  return true;
}

int Run(const Arguments& arguments) {
  RocksDbStores stores;
  std::vector<ReplayMode> modes;
  if (arguments.backend != "rocksdb") modes = ModesOf("memory", nullptr, arguments.seed);
  if (arguments.backend != "memory") {
    for (ReplayMode& mode : StoreModesOf("rocksdb", stores.Maker(), arguments.seed))
      modes.push_back(std::move(mode));
  }
  Report report;
  for (const std::string& path : arguments.paths) {
    const auto files = CaseFiles(path);
    if (!files.ok()) {
      std::fprintf(stderr, "weir-conformance: %s\n", std::string(files.status().message()).c_str());
      return kWrongUsage;
    }
    for (const std::string& file : *files) {
      if (!RunFile(file, arguments, modes, report)) return kWrongUsage;
    }
  }
  if (report.cases() == 0) {
    std::fprintf(stderr, "weir-conformance: no case has the family or name that was asked for\n");
    return kWrongUsage;
  }
  std::printf("%s\n%zu modes a case, batches of seed %llu\n", report.Summary().c_str(),
              modes.size(), static_cast<unsigned long long>(arguments.seed));
  return report.failed() == 0 ? kAllPassed : kSomeFailed;
}

}  // namespace
}  // namespace weir::conformance

int main(int argc, char** argv) {
  using namespace weir::conformance;
  const std::optional<Arguments> arguments = Parse(argc, argv);
  if (!arguments.has_value()) return kWrongUsage;
  if (arguments->help) {
    std::fputs(kUsage, stdout);
    return kAllPassed;
  }
  return Run(*arguments);
}

// replay_main SEEDS_FOLDER MUTATIONS [SEED]
//
// Runs a fuzz target on every file of the folder, and then on MUTATIONS inputs made of them by
// random changes that depend on SEED alone. A file whose name begins with "valid" must be accepted.
// A broken promise ends the process, which then shows the input in hex digits.
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "common/base/strings.h"
#include "common/env/system/posix_file_system.h"
#include "tests/fuzz/fuzz_target.h"

namespace weir {
namespace {

constexpr size_t kMaxInputBytes = 64 << 10;

class Mutator {
 public:
  Mutator(const std::vector<std::string>& seeds, uint64_t seed) : seeds_(seeds), random_(seed) {}

  std::string Next() {
    std::string input = seeds_[Below(seeds_.size())];
    for (size_t changes = 1 + Below(6); changes > 0; --changes) Change(input);
    if (input.size() > kMaxInputBytes) input.resize(kMaxInputBytes);
    return input;
  }

 private:
  size_t Below(size_t bound) { return static_cast<size_t>(random_() % bound); }

  void Change(std::string& input) {
    const size_t at = Below(input.size() + 1);
    const size_t length = std::min(input.size() - at, 1 + Below(16));
    switch (Below(8)) {
      case 0:
        if (at < input.size()) input[at] = static_cast<char>(input[at] ^ (1 << Below(8)));
        break;
      case 1:
        if (at < input.size()) input[at] = static_cast<char>(random_());
        break;
      case 2:
        input.insert(at, 1 + Below(8), static_cast<char>(random_()));
        break;
      case 3:
        input.erase(at, length);
        break;
      case 4:
        input.insert(Below(input.size() + 1), input.substr(at, length));
        break;
      case 5:
        input.resize(at);
        break;
      case 6: {  // lengths and counts at their limits
        constexpr uint64_t kNumbers[] = {0, 1, 0x7f, 0x80, 0xff, 0x7fffffff, 0x80000000, ~0ull};
        uint64_t number = kNumbers[Below(std::size(kNumbers))];
        for (size_t i = at; i < std::min(input.size(), at + 8); ++i, number >>= 8) {
          input[i] = static_cast<char>(number & 0xff);
        }
        break;
      }
      default: {
        const std::string& other = seeds_[Below(seeds_.size())];
        input = input.substr(0, at) + other.substr(Below(other.size() + 1));
      }
    }
  }

  const std::vector<std::string>& seeds_;
  std::mt19937_64 random_;
};

// What is being run: all that a signal handler can know.
const std::string* current_input = nullptr;

void ShowInput(int number) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::fputs("the input was ", stderr);
  for (const char c : *current_input) {
    const auto byte = static_cast<unsigned char>(c);
    std::fputc(kDigits[byte >> 4], stderr);
    std::fputc(kDigits[byte & 15], stderr);
  }
  std::fputc('\n', stderr);
  std::signal(number, SIG_DFL);
  std::raise(number);
}

bool RunShown(const std::string& input) {
  current_input = &input;
  return RunOneInput(input);
}

int Replay(const std::string& folder, uint64_t mutations, uint64_t seed) {
  PosixFileSystem files;
  const auto listing = files.List(folder);
  if (!listing.ok() || listing->empty()) {
    std::fprintf(stderr, "no seeds in %s: %s\n", folder.c_str(),
                 listing.status().ToString().c_str());
    return 1;
  }
  std::vector<std::string> seeds;
  for (const FileInfo& file : *listing) {
    auto content = ReadFile(files, file.path, kMaxInputBytes);
    if (!content.ok()) {
      std::fprintf(stderr, "%s\n", content.status().ToString().c_str());
      return 1;
    }
    const bool accepted = RunShown(*content);
    const std::string name = file.path.substr(file.path.rfind('/') + 1);
    std::printf("%s: %s\n", name.c_str(), accepted ? "accepted" : "refused");
    WEIR_CHECK_EQ(accepted, name.starts_with("valid"));
    seeds.push_back(std::move(*content));
  }
  Mutator mutator(seeds, seed);
  uint64_t accepted = 0;
  for (uint64_t i = 0; i < mutations; ++i) accepted += RunShown(mutator.Next()) ? 1 : 0;
  std::printf("%llu of %llu changed inputs were accepted\n",
              static_cast<unsigned long long>(accepted),
              static_cast<unsigned long long>(mutations));
  // Else the changes never get past the first check, and test nothing.
  WEIR_CHECK(mutations < 1000 || accepted > 0);
  return 0;
}

}  // namespace
}  // namespace weir

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s SEEDS_FOLDER MUTATIONS [SEED]\n", argv[0]);
    return 2;
  }
  std::signal(SIGABRT, weir::ShowInput);
  std::signal(SIGSEGV, weir::ShowInput);
  return weir::Replay(argv[1], std::strtoull(argv[2], nullptr, 10),
                      argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1);
}

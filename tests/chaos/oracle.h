#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace weir::chaos {

// What the job of chaos_job.cc must have written, computed again by plain loops, and what is wrong
// with what it did write. It knows nothing of the engine: it reads files.
struct Expectation {
  // Of each of the two sources.
  std::int64_t count = 0;
  std::int64_t keys = 0;
  // How often each copied record must be there; 0: at least once.
  int copies = 0;
};

// Reads the files below `out` whose names do not begin with '.' (nor those of their folders): those
// that are committed. Returns at most 20 sentences, each of one result that is missing, there too
// often or wrong; empty: all is right.
std::vector<std::string> Verify(const std::string& out, const Expectation& expectation);

}  // namespace weir::chaos

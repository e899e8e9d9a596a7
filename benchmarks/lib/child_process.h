#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace weir::bench {

// The other process of a benchmark: this program, run again with other arguments, which is talked
// to through its standard input and output. Used by one thread. Its destructor closes the input and
// waits for its end. If the child ends early, this process ends too, with 1: a benchmark without
// its other half has nothing to say.
class ChildProcess {
 public:
  explicit ChildProcess(std::vector<std::string> arguments);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  void Write(std::string_view bytes);
  void Read(void* to, size_t size);
  template <class T>
  T Read() {
    T value;
    Read(&value, sizeof(value));
    return value;
  }

 private:
  pid_t pid_ = 0;
  int to_ = -1;
  int from_ = -1;
};

// The child's side: what it says to its parent.
void WriteToParent(const void* bytes, size_t size);
// False at the end of what the parent says.
bool ReadFromParent(void* to, size_t size);

// A line of at most 255 characters as an answer of fixed size.
struct Line {
  char text[256] = {};
  static Line Of(std::string_view text);
};

}  // namespace weir::bench

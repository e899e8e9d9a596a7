#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "benchmarks/lib/latency_recorder.h"

namespace weir::bench {

// What a receiver has seen of one stream.
struct StreamSummary {
  uint64_t messages = 0;
  uint64_t bytes = 0;
  // CPU time of the receiving process during the stream.
  double cpu_s = 0;
  // How late the messages came that carry the time at which they were due.
  LatencySummary latency;
};

int64_t MonotonicNanos();
double ProcessCpuSeconds();
// Returns at `nanos` of that clock, or at once if it is past.
void SleepUntil(int64_t nanos);

// The yardstick: a server that takes one gRPC stream after another and counts what comes, written
// as simply as gRPC's generic interface allows, with gRPC's defaults. One thread.
class BareServer {
 public:
  BareServer();
  ~BareServer();
  const std::string& address() const;

 private:
  class State;
  std::unique_ptr<State> state_;
};

// The client's end of one bare stream: one message after another, each once the stream has taken
// the one before. Used by one thread.
class BareStream {
 public:
  enum class Kind : uint8_t {
    kBulk,   // messages are counted
    kProbe,  // they begin with the time at which they were due, 0 for none, and how late they come
             // is recorded
  };
  BareStream(const std::string& address, Kind kind);
  ~BareStream();
  void Write(std::string_view message);
  // Waits until the server has seen all messages.
  StreamSummary Finish();

 private:
  class State;
  std::unique_ptr<State> state_;
};

// Sends `count` messages that are copies of `message` as fast as the stream takes them, and waits
// until the server has seen them all.
StreamSummary SendBare(const std::string& address, const std::string& message, uint64_t count);

// Sends `per_second` messages a second for `seconds`, each with the time at which it was due in
// front, whether or not earlier ones have arrived (an open loop).
StreamSummary ProbeBare(const std::string& address, std::string message, double per_second,
                        double seconds);

}  // namespace weir::bench

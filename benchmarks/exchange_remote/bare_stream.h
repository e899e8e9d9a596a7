#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace weir::bench {

// What a receiver has seen of one stream.
struct StreamSummary {
  uint64_t messages = 0;
  uint64_t bytes = 0;
  // CPU time of the receiving process during the stream.
  double cpu_s = 0;
  // Of messages that carry the time at which they were due: how late they came, in microseconds.
  double p50_us = 0;
  double p99_us = 0;
  double p999_us = 0;
  double max_us = 0;
};

// Times since messages were due, in nanoseconds.
class LatencyRecorder {
 public:
  void Add(int64_t nanos) { nanos_.push_back(nanos); }
  void Summarize(StreamSummary& summary);

 private:
  std::vector<int64_t> nanos_;
};

int64_t MonotonicNanos();
double ProcessCpuSeconds();

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

// Sends `count` messages that are copies of `message` as fast as the stream takes them, and waits
// until the server has seen them all.
StreamSummary SendBare(const std::string& address, const std::string& message, uint64_t count);

// Sends `per_second` messages a second for `seconds`, each with the time at which it was due in
// front, whether or not earlier ones have arrived (an open loop).
StreamSummary ProbeBare(const std::string& address, std::string message, double per_second,
                        double seconds);

}  // namespace weir::bench

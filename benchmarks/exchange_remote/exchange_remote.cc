// Two processes on this host: records of 100 bytes through Exchange, against one bare gRPC stream
// with frames of the same size, alternately in one run. Then how late messages come at a fixed
// rate, through each of the two.
#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <vector>

#include "benchmarks/lib/bare_stream.h"
#include "benchmarks/lib/child_process.h"
#include "benchmarks/lib/comparison.h"
#include "common/base/check.h"
#include "common/base/malloc_tuning.h"
#include "common/base/strings.h"
#include "common/env/system/system_env.h"
#include "transport/exchange/exchange.h"
#include "transport/rpc/grpc_network.h"

namespace weir::bench {
namespace {

constexpr size_t kRecordBytes = 100;
constexpr JobId kJob(1, 2);

// One measurement of the exchange; its number is the edge of its channels.
struct Stage {
  uint32_t edge = 0;
  uint32_t channels = 1;
};

// A process's network, environment and exchange.
struct Worker {
  explicit Worker(uint32_t index) {
    ExchangeOptions options;
    options.job = kJob;
    options.worker_index = index;
    auto made = MakeExchange(*env, "localhost:0", options);
    WEIR_CHECK(made.ok());
    exchange = *std::move(made);
  }
  ~Worker() { exchange->Shutdown(); }
  std::unique_ptr<Network> network = MakeGrpcNetwork({});
  std::unique_ptr<Env> env = MakeSystemEnv({.network = network.get()});
  std::unique_ptr<Exchange> exchange;
};

// ---- The receiving process ----

// Counts what comes on the channels of one stage and says so on standard output when all have
// ended.
class StageReceiver {
 public:
  StageReceiver(Exchange& exchange, Stage stage) : exchange_(exchange), stage_(stage) {
    channels_.reserve(stage.channels);
    for (uint32_t c = 0; c < stage.channels; ++c) {
      channels_.push_back(std::make_unique<Channel>(*this, ChannelId{stage.edge, c, 0}));
      exchange.RegisterReceiver(channels_.back()->id, 1, channels_.back().get());
    }
  }

 private:
  struct Channel final : public ChannelReceiver {
    Channel(StageReceiver& o, ChannelId i) : owner(o), id(i) {}
    void OnFrame(Frame frame) override { owner.OnFrame(*this, frame); }
    void OnError(absl::Status status) override {
      if (ended) return;
      std::fprintf(stderr, "receiving: %s\n", status.ToString().c_str());
      std::_Exit(1);
    }
    StageReceiver& owner;
    const ChannelId id;
    bool ended = false;
  };

  // All channels are of one stream: one call at a time.
  void OnFrame(Channel& channel, const Frame& frame) {
    if (summary_.messages == 0) cpu_ = ProcessCpuSeconds();
    if (frame.kind == FrameKind::kData) {
      ++summary_.messages;
      summary_.bytes += frame.payload.size();
      if (frame.time != 0) latency_.Add(MonotonicNanos() - frame.time);
      exchange_.GrantCredits(channel.id, 1);
    } else if (frame.kind == FrameKind::kEndOfInput) {
      channel.ended = true;
      if (++ended_ < stage_.channels) return;
      summary_.cpu_s = ProcessCpuSeconds() - cpu_;
      summary_.latency = latency_.Summarize();
      WriteToParent(&summary_, sizeof(summary_));
    }
  }

  Exchange& exchange_;
  const Stage stage_;
  std::vector<std::unique_ptr<Channel>> channels_;
  StreamSummary summary_;
  LatencyRecorder latency_;
  double cpu_ = 0;
  uint32_t ended_ = 0;
};

int Serve(int stages, char** channels) {
  const BareServer bare;
  Worker worker(0);
  std::vector<std::unique_ptr<StageReceiver>> receivers;
  for (int i = 0; i < stages; ++i) {
    const Stage stage{static_cast<uint32_t>(i), static_cast<uint32_t>(std::atoi(channels[i]))};
    receivers.push_back(std::make_unique<StageReceiver>(*worker.exchange, stage));
  }
  for (const std::string& address : {bare.address(), worker.exchange->address()}) {
    const Line line = Line::Of(address);
    WriteToParent(&line, sizeof(line));
  }
  // Until the other end of standard input is closed.
  char byte = 0;
  while (ReadFromParent(&byte, 1)) {
  }
  worker.exchange->Shutdown();
  return 0;
}

// ---- The sending process ----

struct Child {
  explicit Child(const std::vector<Stage>& stages) : process(Arguments(stages)) {
    bare_address = process.Read<Line>().text;
    exchange_address = process.Read<Line>().text;
  }
  static std::vector<std::string> Arguments(const std::vector<Stage>& stages) {
    std::vector<std::string> arguments = {"--serve"};
    for (const Stage& stage : stages) arguments.push_back(StrCat(stage.channels));
    return arguments;
  }
  StreamSummary ReadSummary() { return process.Read<StreamSummary>(); }

  ChildProcess process;
  std::string bare_address;
  std::string exchange_address;
};

// The senders of one stage, used by one thread that waits for credits.
class StageSender {
 public:
  StageSender(Exchange& exchange, const std::string& address, Stage stage) {
    for (uint32_t c = 0; c < stage.channels; ++c) {
      senders_.push_back(exchange.OpenSender(
          {stage.edge, c, 0}, 0, address,
          [this] {
            const std::lock_guard<std::mutex> lock(mutex_);
            changed_.notify_one();
          },
          [](absl::Status status) {
            std::fprintf(stderr, "%s\n", status.ToString().c_str());
            std::_Exit(1);
          }));
    }
  }

  void Send(Frame frame) {
    Next().Send(std::move(frame));
    senders_[last_]->Flush();
  }
  StreamSummary Finish(Child& child) {
    for (auto& sender : senders_) {
      sender->Send({FrameKind::kEndOfInput, false, 0, 0, ""});
      sender->Flush();
    }
    return child.ReadSummary();
  }

 private:
  // The next channel that has credits.
  ChannelSender& Next() {
    if (TryNext()) return *senders_[last_];
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return TryNext(); });
    return *senders_[last_];
  }
  bool TryNext() {
    for (size_t i = 0; i < senders_.size(); ++i) {
      last_ = (last_ + 1) % senders_.size();
      if (senders_[last_]->credits() > 0) return true;
    }
    return false;
  }

  std::vector<std::unique_ptr<ChannelSender>> senders_;
  size_t last_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
};

struct Throughput {
  std::vector<double> seconds;
  std::vector<double> sender_cpu;
  std::vector<double> receiver_cpu;
};

template <class Run>
void Measure(Throughput& throughput, uint64_t messages, const Run& run) {
  const double cpu = ProcessCpuSeconds();
  const int64_t begin = MonotonicNanos();
  const StreamSummary summary = run();
  throughput.seconds.push_back(static_cast<double>(MonotonicNanos() - begin) * 1e-9);
  throughput.sender_cpu.push_back(ProcessCpuSeconds() - cpu);
  throughput.receiver_cpu.push_back(summary.cpu_s);
  if (summary.messages != messages) {
    std::fprintf(stderr, "%llu messages arrived of %llu\n",
                 static_cast<unsigned long long>(summary.messages),
                 static_cast<unsigned long long>(messages));
    std::exit(1);
  }
}

void PrintThroughput(const BenchOptions& options, size_t frame_bytes, uint32_t channels,
                     double records, const Throughput& exchange, const Throughput& bare) {
  std::vector<double> ratios;
  for (size_t i = 0; i < bare.seconds.size(); ++i) {
    ratios.push_back(bare.seconds[i] / exchange.seconds[i]);
  }
  const double ratio = MedianOf(ratios);
  const auto rate = [&](const Throughput& t) { return records / MedianOf(t.seconds) / 1e6; };
  const auto nanos = [&](const std::vector<double>& cpu) { return MedianOf(cpu) / records * 1e9; };
  std::printf(
      options.json
          ? "{\"name\":\"exchange_remote\",\"frame_bytes\":%zu,\"channels\":%u,\"ratio\":%.3f,"
            "\"goal\":0.8,\"exchange_mrec_per_s\":%.2f,\"bare_mrec_per_s\":%.2f,"
            "\"exchange_sender_cpu_ns\":%.1f,\"exchange_receiver_cpu_ns\":%.1f,"
            "\"bare_sender_cpu_ns\":%.1f,\"bare_receiver_cpu_ns\":%.1f}\n"
          : "exchange, frames of %5zu bytes, %2u channels: ratio %.2f (goal 0.80)  exchange %5.1f "
            "M records/s, bare stream %5.1f M records/s; CPU ns a record: %.0f + %.0f, bare %.0f "
            "+ %.0f\n",
      frame_bytes, channels, ratio, rate(exchange), rate(bare), nanos(exchange.sender_cpu),
      nanos(exchange.receiver_cpu), nanos(bare.sender_cpu), nanos(bare.receiver_cpu));
  std::fflush(stdout);
}

void PrintLatency(const BenchOptions& options, const char* what, double per_second, size_t bytes,
                  const LatencySummary& s) {
  std::printf(options.json
                  ? "{\"name\":\"exchange_latency\",\"through\":\"%s\",\"messages_per_s\":%.0f,"
                    "\"bytes\":%zu,\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,"
                    "\"max_us\":%.1f}\n"
                  : "open loop, %-11s %6.0f messages/s of %5zu bytes: p50 %6.0f us, p99 %6.0f us, "
                    "p99.9 %6.0f us, max %6.0f us\n",
              what, per_second, bytes, s.p50_us, s.p99_us, s.p999_us, s.max_us);
  std::fflush(stdout);
}

void CompareThroughput(const BenchOptions& options, Child& child, Worker& worker,
                       size_t frame_bytes, const Stage* stages) {
  const uint64_t frames = options.Scaled(20'000'000) * kRecordBytes / frame_bytes;
  const std::string payload(frame_bytes / kRecordBytes * kRecordBytes, 'r');
  Throughput exchange;
  Throughput bare;
  for (int round = 0; round < options.rounds; ++round) {
    StageSender sender(*worker.exchange, child.exchange_address, stages[round]);
    Measure(exchange, frames, [&] {
      const auto records = static_cast<uint32_t>(payload.size() / kRecordBytes);
      for (uint64_t i = 0; i < frames; ++i) {
        sender.Send({FrameKind::kData, false, records, 0, payload});
      }
      return sender.Finish(child);
    });
    Measure(bare, frames, [&] { return SendBare(child.bare_address, payload, frames); });
  }
  PrintThroughput(options, payload.size(), stages[0].channels,
                  static_cast<double>(frames * payload.size() / kRecordBytes), exchange, bare);
}

void CompareLatency(const BenchOptions& options, Child& child, Worker& worker, size_t bytes,
                    double per_second, Stage stage) {
  const double seconds = options.quick ? 1 : 5;
  const StreamSummary bare =
      ProbeBare(child.bare_address, std::string(bytes, 'r'), per_second, seconds);
  PrintLatency(options, "bare stream", per_second, bytes, bare.latency);
  StageSender sender(*worker.exchange, child.exchange_address, stage);
  const int64_t begin = MonotonicNanos() + 10'000'000;
  const auto count = static_cast<int64_t>(per_second * seconds);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t due = begin + static_cast<int64_t>(static_cast<double>(i) * 1e9 / per_second);
    SleepUntil(due);
    sender.Send({FrameKind::kData, false, 1, due, std::string(bytes, 'r')});
  }
  PrintLatency(options, "exchange", per_second, bytes, sender.Finish(child).latency);
}

int Main(const BenchOptions& options) {
  struct Shape {
    const char* name;
    size_t frame_bytes;
    uint32_t channels;
  };
  std::vector<Shape> shapes = {{"exchange/4x32KiB", 32 << 10, 4},
                               {"exchange/1x64KiB", 64 << 10, 1},
                               {"exchange/4x64KiB", 64 << 10, 4},
                               {"exchange/16x64KiB", 64 << 10, 16}};
  struct Probe {
    const char* name;
    size_t bytes;
    double per_second;
  };
  std::vector<Probe> probes = {{"open_loop/1000B", 1000, 2000},
                               {"open_loop/32KiB", 32 << 10, 5000}};
  const auto unwanted = [&options](const auto& one) {
    return std::string_view(one.name).find(options.only) == std::string_view::npos;
  };
  std::erase_if(shapes, unwanted);
  std::erase_if(probes, unwanted);
  std::vector<Stage> stages;
  const auto add = [&stages](uint32_t channels) {
    stages.push_back({static_cast<uint32_t>(stages.size()), channels});
  };
  for (const Shape& shape : shapes) {
    for (int round = 0; round < options.rounds; ++round) add(shape.channels);
  }
  for ([[maybe_unused]] const Probe& probe : probes) add(1);
  Child child(stages);
  Worker worker(1);
  size_t next = 0;
  for (const Shape& shape : shapes) {
    CompareThroughput(options, child, worker, shape.frame_bytes, &stages[next]);
    next += static_cast<size_t>(options.rounds);
  }
  for (const Probe& probe : probes) {
    CompareLatency(options, child, worker, probe.bytes, probe.per_second, stages[next++]);
  }
  return 0;
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  weir::KeepFreedMemory();  // As a worker does; it holds for the bare stream too.
  if (argc > 1 && std::strcmp(argv[1], "--serve") == 0) {
    return weir::bench::Serve(argc - 2, argv + 2);
  }
  return weir::bench::Main(weir::bench::BenchOptions::Parse(
      argc, argv,
      "Records between two processes through Exchange against a bare gRPC stream: throughput, and "
      "latency at a fixed rate."));
}

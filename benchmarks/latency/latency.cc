// From a window's watermark to its result, over two processes: the source of a job in one, window
// and sink in the other, at half of the load that they carry, in an open loop. Beside it, in turns,
// a bare gRPC stream with the same bytes at the same times.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "benchmarks/latency/job_half.h"
#include "benchmarks/latency/window_job.h"
#include "benchmarks/lib/bare_stream.h"
#include "benchmarks/lib/child_process.h"
#include "benchmarks/lib/comparison.h"
#include "common/base/malloc_tuning.h"
#include "common/base/strings.h"
#include "common/env/system/system_env.h"
#include "runtime/exchange/data_message.h"
#include "transport/rpc/grpc_network.h"

namespace weir::bench {
namespace {

constexpr double kGoal = 3;
// Records of a burst come in steps of this, so that every window has all keys equally often.
constexpr int64_t kBurstStep = Schedule::kKeys / Schedule::kBurstsPerWindow;
// What the watermark that follows a burst takes as a frame.
constexpr size_t kWatermarkBytes = 48;

struct Process {
  std::unique_ptr<Network> network = MakeGrpcNetwork({});
  std::unique_ptr<Env> env = MakeSystemEnv({.network = network.get()});
};

// One run of the job, as the parent asks for it.
struct Request {
  Schedule schedule;
  Line address_of_source;
};

[[noreturn]] void End(const std::string& why) {
  std::fprintf(stderr, "latency: %s\n", why.c_str());
  std::_Exit(1);
}
void EndUnlessOk(const absl::Status& status) {
  if (!status.ok()) End(status.ToString());
}

// ---- The process of the window and the sink, and of the bare stream's receiver ----

int Serve() {
  Process process;
  const BareServer bare;
  const Line bare_address = Line::Of(bare.address());
  WriteToParent(&bare_address, sizeof(bare_address));
  Request request;
  while (ReadFromParent(&request, sizeof(request))) {
    WindowsSeen seen;
    const JobDefinition definition =
        DescribeWindowJob(request.schedule, process.env->clock(), seen);
    JobHalf half(*process.env, 1);
    EndUnlessOk(half.Start(definition, request.address_of_source.text));
    const Line address = Line::Of(half.address());
    WriteToParent(&address, sizeof(address));
    EndUnlessOk(half.Wait());
    WriteToParent(&seen, sizeof(seen));
  }
  return 0;
}

// ---- The process of the source, which leads ----

struct EngineRun {
  WindowsSeen seen;
  double bytes_per_record = 0;
};

EngineRun RunEngine(Process& process, ChildProcess& child, Schedule schedule) {
  // Enough for the other process to have started.
  schedule.begin =
      ((MonotonicNanos() + 300'000'000) / Schedule::kWindowNanos) * Schedule::kWindowNanos;
  WindowsSeen unused;
  const JobDefinition definition = DescribeWindowJob(schedule, process.env->clock(), unused);
  JobHalf half(*process.env, 0);
  const Request request{schedule, Line::Of(half.address())};
  child.Write({reinterpret_cast<const char*>(&request), sizeof(request)});
  EndUnlessOk(half.Start(definition, child.Read<Line>().text));
  EndUnlessOk(half.Wait());
  EngineRun run;
  run.seen = child.Read<WindowsSeen>();
  run.bytes_per_record =
      static_cast<double>(half.bytes_out()) / static_cast<double>(schedule.total_records());
  if (run.seen.wrong != 0 || run.seen.complete != schedule.windows) {
    End(StrCat(run.seen.complete, " windows came out right of ", schedule.windows, ", ",
               run.seen.wrong, " results are wrong"));
  }
  return run;
}

LatencySummary RunBare(const std::string& address, Schedule schedule, double bytes_per_record) {
  BareStream stream(address, BareStream::Kind::kProbe);
  schedule.begin =
      ((MonotonicNanos() + 50'000'000) / Schedule::kWindowNanos) * Schedule::kWindowNanos;
  const auto burst_bytes =
      static_cast<size_t>(static_cast<double>(schedule.records) * bytes_per_record);
  std::string data(kTargetMessageBytes, 'r');
  std::memset(data.data(), 0, sizeof(int64_t));  // No time: not measured.
  std::string watermark(kWatermarkBytes, 'w');
  uint64_t messages = 0;
  for (int64_t burst = 0; burst < schedule.windows * Schedule::kBurstsPerWindow; ++burst) {
    SleepUntil(schedule.DueOfBurst(burst));
    for (size_t sent = 0; sent < burst_bytes; sent += kTargetMessageBytes, ++messages) {
      stream.Write(std::string_view(data).substr(
          0, std::max(std::min(burst_bytes - sent, data.size()), sizeof(int64_t))));
    }
    // The first burst of a window closes the one before.
    const int64_t closed = burst / Schedule::kBurstsPerWindow - 1;
    const bool closes = burst % Schedule::kBurstsPerWindow == 0 && closed >= 0;
    const int64_t due = closes && schedule.IsMeasured(closed) ? schedule.EndOfWindow(closed) : 0;
    std::memcpy(watermark.data(), &due, sizeof(due));
    stream.Write(watermark);
    ++messages;
  }
  const StreamSummary summary = stream.Finish();
  if (summary.messages != messages) {
    End(StrCat(summary.messages, " messages of the bare stream arrived of ", messages));
  }
  return summary.latency;
}

// Records a second that the path takes when the source does not wait.
double MeasureCapacity(const BenchOptions& options, Process& process, ChildProcess& child) {
  std::vector<double> rates;
  for (int round = 0; round < std::min(options.rounds, 3); ++round) {
    Schedule schedule;
    schedule.paced = false;
    schedule.records = 40 * kBurstStep;
    schedule.windows = static_cast<int64_t>(options.Scaled(800));
    const WindowsSeen seen = RunEngine(process, child, schedule).seen;
    rates.push_back(static_cast<double>((schedule.windows - 1) * schedule.window_records()) /
                    (static_cast<double>(seen.last_nanos - seen.first_nanos) * 1e-9));
  }
  return MedianOf(rates);
}

// Percentiles of each round, of which the median is printed: one disturbed round does not decide.
struct Side {
  std::vector<double> p50, p99, p999, max;
  void Add(const LatencySummary& s) {
    p50.push_back(s.p50_us);
    p99.push_back(s.p99_us);
    p999.push_back(s.p999_us);
    max.push_back(s.max_us);
  }
};

double MedianRatio(const std::vector<double>& engine, const std::vector<double>& bare) {
  std::vector<double> ratios;
  for (size_t i = 0; i < engine.size(); ++i) ratios.push_back(engine[i] / bare[i]);
  return MedianOf(ratios);
}

void Print(const BenchOptions& options, double rate, double capacity, uint64_t windows,
           const Side& engine, const Side& bare) {
  const double p50 = MedianRatio(engine.p50, bare.p50);
  const double p999 = MedianRatio(engine.p999, bare.p999);
  const auto greatest = [](const Side& side) {
    return *std::max_element(side.max.begin(), side.max.end());
  };
  if (options.json) {
    std::printf(
        "{\"name\":\"latency\",\"records_per_s\":%.0f,\"capacity_records_per_s\":%.0f,"
        "\"windows\":%llu,\"ratio_p50\":%.3f,\"ratio_p999\":%.3f,\"goal\":%.1f",
        rate, capacity, static_cast<unsigned long long>(windows), p50, p999, kGoal);
    const auto print = [&greatest](const char* name, const Side& side) {
      std::printf(",\"%s_p50_us\":%.1f,\"%s_p99_us\":%.1f,\"%s_p999_us\":%.1f,\"%s_max_us\":%.1f",
                  name, MedianOf(side.p50), name, MedianOf(side.p99), name, MedianOf(side.p999),
                  name, greatest(side));
    };
    print("engine", engine);
    print("bare", bare);
    std::printf("}\n");
  } else {
    std::printf(
        "latency, window result after its watermark: %.1f M records/s in an open loop (the path "
        "carries %.1f M), %llu windows\n",
        rate / 1e6, capacity / 1e6, static_cast<unsigned long long>(windows));
    const auto print = [&greatest](const char* name, const Side& side) {
      std::printf("  %-32s p50 %6.0f us, p99 %6.0f us, p99.9 %6.0f us, max %6.0f us\n", name,
                  MedianOf(side.p50), MedianOf(side.p99), MedianOf(side.p999), greatest(side));
    };
    print("engine, two processes", engine);
    print("bare stream, the same bytes", bare);
    std::printf("  %-32s p50 %6.2f, p99.9 %.2f (goal: at most %.0f, %s)\n", "ratio", p50, p999,
                kGoal, p50 <= kGoal && p999 <= kGoal ? "met" : "not met");
  }
  std::fflush(stdout);
}

int Main(const BenchOptions& options, double fixed_rate) {
  ChildProcess child({"--serve"});
  const std::string bare_address = child.Read<Line>().text;
  Process process;
  const double capacity = MeasureCapacity(options, process, child);
  const double rate = fixed_rate > 0 ? fixed_rate : capacity / 2;
  Schedule schedule;
  constexpr double kBurstsPerSecond = 1e9 / static_cast<double>(Schedule::kBurstNanos);
  schedule.records =
      kBurstStep * std::max<int64_t>(1, std::llround(rate / kBurstsPerSecond / kBurstStep));
  schedule.warmup_windows = 100;
  const int64_t measured = static_cast<int64_t>(options.Scaled(2000));
  schedule.windows = schedule.warmup_windows + measured + 1;
  Side engine;
  Side bare;
  for (int round = 0; round < options.rounds; ++round) {
    const EngineRun run = RunEngine(process, child, schedule);
    const LatencySummary beside = RunBare(bare_address, schedule, run.bytes_per_record);
    for (const uint64_t count : {run.seen.latency.count, beside.count}) {
      if (count != static_cast<uint64_t>(measured)) {
        End(StrCat(count, " windows were measured of ", measured));
      }
    }
    engine.Add(run.seen.latency);
    bare.Add(beside);
  }
  Print(options, static_cast<double>(schedule.records) * kBurstsPerSecond, capacity,
        static_cast<uint64_t>(measured * options.rounds), engine, bare);
  return 0;
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  weir::KeepFreedMemory();  // As a worker does; it holds for the bare stream too.
  if (argc > 1 && std::strcmp(argv[1], "--serve") == 0) return weir::bench::Serve();
  // Beside the options of all benchmarks: --rate N.
  double rate = 0;
  std::vector<char*> others = {argv[0]};
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--rate") == 0 && i + 1 < argc && std::atof(argv[i + 1]) > 0) {
      rate = std::atof(argv[++i]);
    } else {
      others.push_back(argv[i]);
    }
  }
  return weir::bench::Main(
      weir::bench::BenchOptions::Parse(
          static_cast<int>(others.size()), others.data(),
          "The time from a window's watermark to its result over two processes, at half load, "
          "against a bare gRPC\nstream with the same bytes. --rate N: at N records a second "
          "instead."),
      rate);
}

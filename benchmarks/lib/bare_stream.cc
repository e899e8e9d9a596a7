#include "benchmarks/lib/bare_stream.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <time.h>

#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>

#include "common/base/check.h"

namespace weir::bench {
namespace {

constexpr char kBulk[] = "/bench.Bare/Bulk";
constexpr char kProbe[] = "/bench.Bare/Probe";

double Seconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

grpc::ByteBuffer ToBuffer(const void* data, size_t size) {
  const grpc::Slice slice(data, size);
  return grpc::ByteBuffer(&slice, 1);
}

template <class T>
T FromBuffer(const grpc::ByteBuffer& buffer) {
  grpc::Slice slice;
  WEIR_CHECK(buffer.DumpToSingleSlice(&slice).ok());
  WEIR_CHECK_EQ(slice.size(), sizeof(T));
  T value;
  std::memcpy(&value, slice.begin(), sizeof(T));
  return value;
}

}  // namespace

int64_t MonotonicNanos() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

double ProcessCpuSeconds() { return Seconds(CLOCK_PROCESS_CPUTIME_ID); }

void SleepUntil(int64_t nanos) {
  if (MonotonicNanos() >= nanos) return;
  timespec until{};
  until.tv_sec = nanos / 1'000'000'000;
  until.tv_nsec = nanos % 1'000'000'000;
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) != 0) {
  }
}

class BareServer::State {
 public:
  State() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterAsyncGenericService(&service_);
    queue_ = builder.AddCompletionQueue();
    server_ = builder.BuildAndStart();
    WEIR_CHECK(server_ != nullptr);
    address_ = "127.0.0.1:" + std::to_string(port);
    thread_ = std::thread([this] {
      while (ServeOne()) {
      }
    });
  }
  ~State() {
    server_->Shutdown(std::chrono::system_clock::now());
    queue_->Shutdown();
    thread_.join();
  }
  const std::string& address() const { return address_; }

 private:
  bool Wait() {
    void* tag = nullptr;
    bool ok = false;
    return queue_->Next(&tag, &ok) && ok;
  }
  bool ServeOne() {
    grpc::GenericServerContext context;
    grpc::GenericServerAsyncReaderWriter stream(&context);
    service_.RequestCall(&context, &stream, queue_.get(), queue_.get(), nullptr);
    if (!Wait()) return false;
    const bool probe = context.method() == kProbe;
    const double cpu = ProcessCpuSeconds();
    StreamSummary summary;
    LatencyRecorder latency;
    grpc::ByteBuffer message;
    for (;;) {
      stream.Read(&message, nullptr);
      if (!Wait()) break;
      ++summary.messages;
      summary.bytes += message.Length();
      if (!probe) continue;
      grpc::Slice slice;
      WEIR_CHECK(message.DumpToSingleSlice(&slice).ok());
      int64_t due = 0;
      std::memcpy(&due, slice.begin(), sizeof(due));
      if (due != 0) latency.Add(MonotonicNanos() - due);
    }
    summary.cpu_s = ProcessCpuSeconds() - cpu;
    summary.latency = latency.Summarize();
    stream.WriteAndFinish(ToBuffer(&summary, sizeof(summary)), {}, grpc::Status::OK, nullptr);
    return Wait();
  }

  grpc::AsyncGenericService service_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  std::thread thread_;
};

BareServer::BareServer() : state_(std::make_unique<State>()) {}
BareServer::~BareServer() = default;
const std::string& BareServer::address() const { return state_->address(); }

class BareStream::State {
 public:
  State(const std::string& address, const char* method)
      : stub_(grpc::CreateChannel(address, grpc::InsecureChannelCredentials())) {
    stream_ = stub_.PrepareCall(&context_, method, &queue_);
    stream_->StartCall(nullptr);
    Wait();
  }
  void Write(const grpc::ByteBuffer& buffer) {
    stream_->Write(buffer, nullptr);
    Wait();
  }
  StreamSummary Finish() {
    stream_->WritesDone(nullptr);
    Wait();
    grpc::ByteBuffer answer;
    stream_->Read(&answer, nullptr);
    Wait();
    grpc::Status status;
    stream_->Finish(&status, nullptr);
    Wait();
    WEIR_CHECK(status.ok());
    return FromBuffer<StreamSummary>(answer);
  }

 private:
  void Wait() {
    void* tag = nullptr;
    bool ok = false;
    WEIR_CHECK(queue_.Next(&tag, &ok) && ok);
  }
  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
};

BareStream::BareStream(const std::string& address, Kind kind)
    : state_(std::make_unique<State>(address, kind == Kind::kProbe ? kProbe : kBulk)) {}
BareStream::~BareStream() = default;
void BareStream::Write(std::string_view message) {
  state_->Write(ToBuffer(message.data(), message.size()));
}
StreamSummary BareStream::Finish() { return state_->Finish(); }

StreamSummary SendBare(const std::string& address, const std::string& message, uint64_t count) {
  BareStream stream(address, BareStream::Kind::kBulk);
  for (uint64_t i = 0; i < count; ++i) stream.Write(message);
  return stream.Finish();
}

StreamSummary ProbeBare(const std::string& address, std::string message, double per_second,
                        double seconds) {
  BareStream stream(address, BareStream::Kind::kProbe);
  const int64_t begin = MonotonicNanos() + 10'000'000;
  const auto count = static_cast<int64_t>(per_second * seconds);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t due = begin + static_cast<int64_t>(static_cast<double>(i) * 1e9 / per_second);
    SleepUntil(due);
    std::memcpy(message.data(), &due, sizeof(due));
    stream.Write(message);
  }
  return stream.Finish();
}

}  // namespace weir::bench

#include "connectors/print/print_sink.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/mutex.h"
#include "common/base/strings.h"
#include "connectors/output/encoding_sink.h"

namespace weir {
namespace {

class StandardOutput final : public PrintStream {
 public:
  absl::Status Write(std::string_view lines) override {
    MutexLock lock(mutex_);
    while (!lines.empty()) {
      const ssize_t n = ::write(STDOUT_FILENO, lines.data(), lines.size());
      if (n >= 0) {
        lines.remove_prefix(static_cast<size_t>(n));
      } else if (errno == EAGAIN) {
        pollfd waiting{.fd = STDOUT_FILENO, .events = POLLOUT, .revents = 0};
        ::poll(&waiting, 1, -1);
      } else if (errno != EINTR) {
        return absl::UnavailableError(
            StrCat("writing to standard output: ", std::string_view(std::strerror(errno))));
      }
    }
    return absl::OkStatus();
  }

 private:
  Mutex mutex_;
};

class PrintTarget final : public OutputTarget {
 public:
  explicit PrintTarget(std::shared_ptr<PrintStream> stream) : stream_(std::move(stream)) {}
  absl::Status Open() override { return absl::OkStatus(); }
  absl::Status Write(std::string_view data) override { return stream_->Write(data); }
  absl::Status Commit() override { return absl::OkStatus(); }
  void Abandon() override {}

 private:
  std::shared_ptr<PrintStream> stream_;
};

}  // namespace

std::unique_ptr<PrintStream> MakeStandardOutput() { return std::make_unique<StandardOutput>(); }

std::unique_ptr<SinkWriter> MakePrintSink(Env& env, std::shared_ptr<PrintStream> stream,
                                          const std::string& prefix, const RecordType& type) {
  auto encode = [&type, head = prefix.empty() ? std::string() : StrCat(prefix, "> ")](
                    const BatchBase& batch, std::string& out) {
    for (size_t i = 0; i < batch.size(); ++i) {
      out.append(head);
      type.WriteJson(batch, i, out);
      out.push_back('\n');
    }
  };
  auto make_target =
      [stream](const OperatorContext&) -> absl::StatusOr<std::unique_ptr<OutputTarget>> {
    return std::make_unique<PrintTarget>(stream);
  };
  return std::make_unique<EncodingSink>(env, std::move(encode), std::move(make_target));
}

}  // namespace weir

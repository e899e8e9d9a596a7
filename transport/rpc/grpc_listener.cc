#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>

#include <charconv>
#include <condition_variable>
#include <unordered_map>

#include "common/base/call_gate.h"
#include "common/base/check.h"
#include "common/base/strings.h"
#include "transport/rpc/grpc_listener_internal.h"
#include "transport/rpc/listen_address_internal.h"
#include "transport/rpc/stream_call_internal.h"

namespace weir::rpc {
namespace {

// Calls asked for in advance: more than can arrive while one is being taken.
constexpr int kRequestedCalls = 8;

// One unary call at the server: reads the request, runs the handler, sends the answer. It lives
// until the answer is sent or the client went away, and as long as the handler keeps the responder.
class UnaryAnswer : public std::enable_shared_from_this<UnaryAnswer> {
 public:
  using Handle = std::function<void(std::string request, std::shared_ptr<UnaryAnswer> answer)>;

  UnaryAnswer(std::shared_ptr<CompletionQueue> queue, grpc_call* call, Handle handle)
      : queue_(std::move(queue)), call_(call), handle_(std::move(handle)) {}
  ~UnaryAnswer() {
    if (buffer_ != nullptr) grpc_byte_buffer_destroy(buffer_);
    grpc_call_unref(call_);
  }

  void Read() {
    grpc_op operations[2] = {};
    operations[0].op = GRPC_OP_RECV_CLOSE_ON_SERVER;
    operations[0].data.recv_close_on_server.cancelled = &cancelled_;
    if (!queue_->Start(call_, operations, 1, on_over_.Arm(shared_from_this()))) {
      on_over_.Arm(nullptr);
      return;
    }
    operations[1].op = GRPC_OP_RECV_MESSAGE;
    operations[1].data.recv_message.recv_message = &buffer_;
    if (!queue_->Start(call_, operations + 1, 1, on_read_.Arm(shared_from_this()))) {
      on_read_.Arm(nullptr);
    }
  }

  // Any thread; the first answer counts.
  void Answer(absl::StatusOr<std::string> response) {
    {
      MutexLock lock(mutex_);
      if (answered_) return;
      answered_ = true;
    }
    const size_t limit = queue_->options().max_message_bytes;
    if (response.ok() && response->size() > limit) {
      response = absl::ResourceExhaustedError(
          StrCat("the answer has ", response->size(), " bytes; at most ", limit, " are allowed"));
    }
    grpc_op operations[3] = {};
    size_t count = 0;
    operations[count++].op = GRPC_OP_SEND_INITIAL_METADATA;
    if (response.ok()) {
      MessageBytes message;
      message.pieces.push_back(*std::move(response));
      buffer_ = ToByteBuffer(std::move(message));
      operations[count].op = GRPC_OP_SEND_MESSAGE;
      operations[count++].data.send_message.send_message = buffer_;
    }
    const std::string text = ToGrpcMessage(response.status());
    const grpc_slice details = grpc_slice_from_copied_buffer(text.data(), text.size());
    operations[count].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    operations[count].data.send_status_from_server.status = ToGrpcCode(response.status().code());
    if (!text.empty()) operations[count].data.send_status_from_server.status_details = &details_;
    details_ = details;
    ++count;
    if (!queue_->Start(call_, operations, count, on_answered_.Arm(shared_from_this()))) {
      on_answered_.Arm(nullptr);
    }
    grpc_slice_unref(details);
  }

 private:
  void OnRead(bool ok) {
    grpc_byte_buffer* const buffer = std::exchange(buffer_, nullptr);
    if (!ok || buffer == nullptr) {
      return Answer(absl::InvalidArgumentError("the call came without a request message"));
    }
    absl::StatusOr<std::string> request = Flatten(buffer);
    grpc_byte_buffer_destroy(buffer);
    if (!request.ok()) return Answer(request.status());
    // Given up: it keeps the server, and the answer may be kept by what the server keeps.
    const Handle handle = std::move(handle_);
    handle_ = nullptr;
    handle(*std::move(request), shared_from_this());
  }
  void OnAnswered(bool /*ok*/) {}
  void OnOver(bool /*ok*/) {}

  const std::shared_ptr<CompletionQueue> queue_;
  grpc_call* const call_;
  Handle handle_;
  // The request while reading, then the answer.
  grpc_byte_buffer* buffer_ = nullptr;
  grpc_slice details_{};
  int cancelled_ = 0;
  MemberCompletion<UnaryAnswer, &UnaryAnswer::OnRead> on_read_;
  MemberCompletion<UnaryAnswer, &UnaryAnswer::OnAnswered> on_answered_;
  MemberCompletion<UnaryAnswer, &UnaryAnswer::OnOver> on_over_;
  Mutex mutex_;
  bool answered_ ABSL_GUARDED_BY(mutex_) = false;
};

// What the handler's responder holds: an answer is sent even if the handler forgets to.
class PendingAnswer {
 public:
  explicit PendingAnswer(std::shared_ptr<UnaryAnswer> answer) : answer_(std::move(answer)) {}
  PendingAnswer(PendingAnswer&& other) noexcept = default;
  PendingAnswer& operator=(PendingAnswer&&) = delete;
  ~PendingAnswer() {
    if (answer_ != nullptr) {
      answer_->Answer(absl::UnavailableError("the server is shutting down"));
    }
  }
  void operator()(absl::StatusOr<std::string> response) {
    if (answer_ != nullptr) std::exchange(answer_, nullptr)->Answer(std::move(response));
  }

 private:
  std::shared_ptr<UnaryAnswer> answer_;
};

std::string PeerOf(grpc_call* call) {
  char* const peer = grpc_call_get_peer(call);
  std::string name = peer == nullptr ? "" : peer;
  gpr_free(peer);
  return name;
}

}  // namespace

// The gRPC server and what its calls need; kept by every call that waits for it.
class GrpcListener::Server : public std::enable_shared_from_this<Server> {
 public:
  Server(std::shared_ptr<CompletionQueue> queue, ServerMethods methods) : queue_(std::move(queue)) {
    for (ServerMethods::Unary& unary : methods.unary) {
      std::string name = unary.method;
      WEIR_CHECK(unary_.emplace(std::move(name), std::move(unary)).second);
    }
    for (ServerMethods::Stream& stream : methods.streams) {
      std::string name = stream.method;
      WEIR_CHECK(streams_.emplace(std::move(name), std::move(stream)).second);
    }
    const std::vector<grpc_arg> arguments = queue_->ChannelArguments();
    const grpc_channel_args server_arguments{arguments.size(),
                                             const_cast<grpc_arg*>(arguments.data())};
    server_ = grpc_server_create(&server_arguments, nullptr);
    grpc_server_register_completion_queue(server_, queue_->get(), nullptr);
  }
  ~Server() {
    if (server_ != nullptr) grpc_server_destroy(server_);
  }

  // The port bound, 0 on failure.
  int Bind(const std::string& numeric_address) {
    grpc_server_credentials* credentials = grpc_insecure_server_credentials_create();
    const int port = grpc_server_add_http2_port(server_, numeric_address.c_str(), credentials);
    grpc_server_credentials_release(credentials);
    return port;
  }

  void Start() {
    grpc_server_start(server_);
    for (int i = 0; i < kRequestedCalls; ++i) {
      std::make_shared<Request>(shared_from_this())->Ask();
    }
  }

  void Shutdown() {
    gate_->CloseAndWait();
    if (queue_->ShutdownServer(server_, on_shutdown_.Arm(shared_from_this()))) {
      std::unique_lock<std::mutex> lock(shutdown_mutex_);
      shutdown_done_.wait(lock, [this] { return is_shut_down_; });
    } else {
      on_shutdown_.Arm(nullptr);
    }
  }

 private:
  // One call asked for.
  class Request : public std::enable_shared_from_this<Request> {
   public:
    explicit Request(std::shared_ptr<Server> server) : server_(std::move(server)) {
      grpc_call_details_init(&details_);
      grpc_metadata_array_init(&metadata_);
    }
    ~Request() {
      grpc_call_details_destroy(&details_);
      grpc_metadata_array_destroy(&metadata_);
    }
    void Ask() {
      if (!server_->queue_->RequestCall(server_->server_, &call_, &details_, &metadata_,
                                        on_call_.Arm(shared_from_this()))) {
        on_call_.Arm(nullptr);
      }
    }

   private:
    void OnCall(bool ok) {
      if (!ok) return;  // The server is shut down.
      std::make_shared<Request>(server_)->Ask();
      uint64_t stream_id = 0;
      for (size_t i = 0; i < metadata_.count; ++i) {
        if (View(metadata_.metadata[i].key) != kStreamIdHeader) continue;
        const std::string_view text = View(metadata_.metadata[i].value);
        if (std::from_chars(text.data(), text.data() + text.size(), stream_id).ec != std::errc()) {
          stream_id = 0;
        }
      }
      server_->Take(call_, std::string(View(details_.method)), stream_id);
    }

    const std::shared_ptr<Server> server_;
    grpc_call* call_ = nullptr;
    grpc_call_details details_;
    grpc_metadata_array metadata_;
    MemberCompletion<Request, &Request::OnCall> on_call_;
  };

  // Streams by connection and the id that the client gave them.
  using StreamKey = std::pair<std::string, uint64_t>;

  void Take(grpc_call* call, const std::string& method, uint64_t stream_id) {
    // A stream may bring no message for ever: a unary method is not for it.
    const auto unary = stream_id == 0 ? unary_.find(method) : unary_.end();
    if (unary != unary_.end()) {
      std::make_shared<UnaryAnswer>(queue_, call,
                                    [self = shared_from_this(), &offered = unary->second](
                                        std::string request, std::shared_ptr<UnaryAnswer> answer) {
                                      self->HandleUnary(offered, std::move(request),
                                                        std::move(answer));
                                    })
          ->Read();
    } else if (const auto stream = streams_.find(method); stream != streams_.end()) {
      TakeStream(call, stream->second, stream_id);
    } else if (method == kCancelMethod) {
      std::make_shared<UnaryAnswer>(
          queue_, call,
          [self = shared_from_this(), peer = PeerOf(call)](
              const std::string& request, const std::shared_ptr<UnaryAnswer>& answer) {
            answer->Answer(self->CancelStream(peer, request));
          })
          ->Read();
    } else {
      grpc_call_cancel_with_status(
          call, GRPC_STATUS_UNIMPLEMENTED,
          StrCat("this server has no ", stream_id == 0 ? "method " : "stream ", method,
                 "; is it of another version?")
              .c_str(),
          nullptr);
      grpc_call_unref(call);
    }
  }

  void HandleUnary(const ServerMethods::Unary& offered, std::string request,
                   std::shared_ptr<UnaryAnswer> answer) {
    auto run = [self = shared_from_this(), &offered, request = std::move(request),
                pending = PendingAnswer(std::move(answer))]() mutable {
      const CallGate::Pass pass(*self->gate_);
      if (pass) offered.handler(std::move(request), Responder(std::move(pending)));
    };
    if (offered.executor == nullptr) {
      run();
    } else if (const CallGate::Pass pass(*gate_); pass) {
      offered.executor->Post(std::move(run));
    }
  }

  void TakeStream(grpc_call* call, const ServerMethods::Stream& offered, uint64_t stream_id) {
    StreamCall::Role role;
    role.peer = PeerOf(call);
    const StreamKey key(role.peer, stream_id);
    role.on_over = [self = shared_from_this(), key] {
      MutexLock lock(self->mutex_);
      self->open_streams_.erase(key);
    };
    auto stream =
        std::make_shared<StreamCall>(queue_, call, offered.executor, std::move(role), gate_);
    if (stream_id != 0) {
      MutexLock lock(mutex_);
      open_streams_[key] = stream;
    }
    stream->StartServer();
    auto run = [self = shared_from_this(), &offered, stream] {
      const CallGate::Pass pass(*self->gate_);
      if (!pass) return;
      absl::StatusOr<StreamCallbacks> callbacks = offered.handler(stream);
      if (callbacks.ok()) {
        stream->Accept(*std::move(callbacks));
      } else {
        stream->Refuse(callbacks.status());
      }
    };
    if (offered.executor == nullptr) {
      run();
    } else if (const CallGate::Pass pass(*gate_); pass) {
      offered.executor->Post(std::move(run));
    }
  }

  absl::StatusOr<std::string> CancelStream(const std::string& peer, const std::string& request) {
    uint64_t stream_id = 0;
    absl::Status why;
    if (!DecodeCancel(request, &stream_id, &why)) {
      return absl::InvalidArgumentError("a malformed request to cancel a stream");
    }
    std::shared_ptr<StreamCall> stream;
    {
      MutexLock lock(mutex_);
      const auto found = open_streams_.find(StreamKey(peer, stream_id));
      if (found != open_streams_.end()) stream = found->second.lock();
    }
    if (stream == nullptr) return absl::NotFoundError("the stream is over");
    stream->CancelledByPeer(why);
    return std::string();
  }

  void OnShutdown(bool /*ok*/) {
    const std::lock_guard<std::mutex> lock(shutdown_mutex_);
    is_shut_down_ = true;
    shutdown_done_.notify_all();
  }

  const std::shared_ptr<CompletionQueue> queue_;
  const std::shared_ptr<CallGate> gate_ = std::make_shared<CallGate>();
  std::unordered_map<std::string, ServerMethods::Unary> unary_;
  std::unordered_map<std::string, ServerMethods::Stream> streams_;
  grpc_server* server_ = nullptr;

  Mutex mutex_;
  std::map<StreamKey, std::weak_ptr<StreamCall>> open_streams_ ABSL_GUARDED_BY(mutex_);

  MemberCompletion<Server, &Server::OnShutdown> on_shutdown_;
  std::mutex shutdown_mutex_;
  std::condition_variable shutdown_done_;
  bool is_shut_down_ = false;
};

GrpcListener::GrpcListener(std::shared_ptr<Server> server, std::string address)
    : server_(std::move(server)), address_(std::move(address)) {}

GrpcListener::~GrpcListener() { server_->Shutdown(); }

absl::StatusOr<std::unique_ptr<Listener>> GrpcListener::Make(std::shared_ptr<CompletionQueue> queue,
                                                             const std::string& address,
                                                             ServerMethods methods) {
  absl::StatusOr<ListenAddress> resolved = ResolveListenAddress(address);
  if (!resolved.ok()) return resolved.status();
  if (!resolved->loopback && !queue->options().allow_insecure_non_loopback) {
    return absl::InvalidArgumentError(
        StrCat(address,
               " can be reached from other hosts, and this connection is not encrypted: "
               "listen on localhost, or allow it by --insecure-allow-plaintext in a "
               "network that you trust"));
  }
  auto server = std::make_shared<Server>(std::move(queue), std::move(methods));
  const int port = server->Bind(resolved->numeric);
  if (port == 0) {
    server->Shutdown();
    return ExplainBindFailure(address, *resolved);
  }
  server->Start();
  return std::unique_ptr<Listener>(new GrpcListener(std::move(server), resolved->Reachable(port)));
}

}  // namespace weir::rpc

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>

#include <utility>

#include "common/base/strings.h"
#include "transport/rpc/grpc_peer_internal.h"
#include "transport/rpc/stream_call_internal.h"

namespace weir::rpc {
namespace {

// How long a cancelling client tries to tell the server why.
constexpr absl::Duration kCancelTimeout = absl::Seconds(2);

// "localhost" is where Listen puts it, and needs no name service.
std::string Target(const std::string& address) {
  constexpr std::string_view kLocalhost = "localhost:";
  if (address.compare(0, kLocalhost.size(), kLocalhost) != 0) return address;
  return StrCat("127.0.0.1:", address.substr(kLocalhost.size()));
}

// One unary call. Keeps itself alive until it is over.
class UnaryCall : public std::enable_shared_from_this<UnaryCall> {
 public:
  UnaryCall(std::shared_ptr<CompletionQueue> queue, grpc_call* call, Responder done)
      : queue_(std::move(queue)),
        call_(call),
        done_(std::move(done)),
        details_(grpc_empty_slice()) {
    grpc_metadata_array_init(&initial_metadata_);
    grpc_metadata_array_init(&trailing_metadata_);
  }
  ~UnaryCall() {
    if (request_ != nullptr) grpc_byte_buffer_destroy(request_);
    if (response_ != nullptr) grpc_byte_buffer_destroy(response_);
    grpc_metadata_array_destroy(&initial_metadata_);
    grpc_metadata_array_destroy(&trailing_metadata_);
    grpc_slice_unref(details_);
    queue_->UnregisterCall(call_);
    grpc_call_unref(call_);
  }

  void Start(std::string request) {
    MessageBytes message;
    message.pieces.push_back(std::move(request));
    request_ = ToByteBuffer(std::move(message));
    grpc_op operations[6] = {};
    operations[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    operations[1].op = GRPC_OP_SEND_MESSAGE;
    operations[1].data.send_message.send_message = request_;
    operations[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    operations[3].op = GRPC_OP_RECV_INITIAL_METADATA;
    operations[3].data.recv_initial_metadata.recv_initial_metadata = &initial_metadata_;
    operations[4].op = GRPC_OP_RECV_MESSAGE;
    operations[4].data.recv_message.recv_message = &response_;
    operations[5].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    operations[5].data.recv_status_on_client.trailing_metadata = &trailing_metadata_;
    operations[5].data.recv_status_on_client.status = &code_;
    operations[5].data.recv_status_on_client.status_details = &details_;
    if (!queue_->RegisterCall(call_) ||
        !queue_->Start(call_, operations, 6, on_over_.Arm(shared_from_this()))) {
      on_over_.Arm(nullptr);
    }
  }

 private:
  void OnOver(bool /*ok*/) {
    absl::Status status = FromGrpc(code_, View(details_));
    if (!status.ok()) return done_(std::move(status));
    if (response_ == nullptr) {
      return done_(absl::InternalError("the peer answered OK without a message"));
    }
    done_(Flatten(response_));
  }

  const std::shared_ptr<CompletionQueue> queue_;
  grpc_call* const call_;
  Responder done_;
  grpc_byte_buffer* request_ = nullptr;
  grpc_byte_buffer* response_ = nullptr;
  grpc_metadata_array initial_metadata_;
  grpc_metadata_array trailing_metadata_;
  grpc_status_code code_ = GRPC_STATUS_OK;
  grpc_slice details_;
  MemberCompletion<UnaryCall, &UnaryCall::OnOver> on_over_;
};

}  // namespace

struct GrpcPeer::Channel {
  Channel(CompletionQueue& queue, const std::string& address) {
    const std::vector<grpc_arg> arguments = queue.ChannelArguments();
    const grpc_channel_args channel_arguments{arguments.size(),
                                              const_cast<grpc_arg*>(arguments.data())};
    grpc_channel_credentials* credentials = grpc_insecure_credentials_create();
    channel = grpc_channel_create(Target(address).c_str(), credentials, &channel_arguments);
    grpc_channel_credentials_release(credentials);
  }
  ~Channel() { grpc_channel_destroy(channel); }
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  grpc_call* NewCall(CompletionQueue& queue, const std::string& method, gpr_timespec deadline) {
    const grpc_slice name = grpc_slice_from_copied_buffer(method.data(), method.size());
    grpc_call* call =
        grpc_channel_create_call(channel, nullptr, GRPC_PROPAGATE_DEFAULTS, queue.get(), name,
                                 /*host=*/nullptr, deadline, nullptr);
    grpc_slice_unref(name);
    return call;
  }

  grpc_channel* channel = nullptr;
  std::atomic<uint64_t> next_stream_id{1};
};

GrpcPeer::GrpcPeer(std::shared_ptr<CompletionQueue> queue, std::string address)
    : queue_(std::move(queue)),
      address_(std::move(address)),
      channel_(std::make_shared<Channel>(*queue_, address_)) {}

GrpcPeer::~GrpcPeer() = default;

void GrpcPeer::Call(std::string method, std::string request, absl::Duration timeout,
                    Executor* executor, Responder done) {
  // Hands the outcome to the executor; nothing runs once the network is shut down.
  auto post = [queue = queue_, executor,
               done = std::move(done)](absl::StatusOr<std::string> response) mutable {
    auto run = [queue, done = std::move(done), response = std::move(response)]() mutable {
      const CallGate::Pass pass(queue->callbacks());
      if (pass) done(std::move(response));
    };
    if (executor == nullptr) {
      run();
    } else if (const CallGate::Pass pass(queue->callbacks()); pass) {
      executor->Post(std::move(run));
    }
  };
  if (request.size() > queue_->options().max_message_bytes) {
    post(absl::ResourceExhaustedError(StrCat("a request of ", request.size(), " bytes for ", method,
                                             " of ", address_, "; at most ",
                                             queue_->options().max_message_bytes, " are allowed")));
    return;
  }
  grpc_call* call = channel_->NewCall(*queue_, method, DeadlineAfter(timeout));
  auto annotated = [channel = channel_, address = address_, method,
                    post = std::move(post)](absl::StatusOr<std::string> response) mutable {
    // Only the connection's own errors lack the peer's name.
    if (absl::IsUnavailable(response.status()) || absl::IsDeadlineExceeded(response.status())) {
      response =
          absl::Status(response.status().code(),
                       ToAbsl(StrCat(method, " of ", address, ": ", response.status().message())));
    }
    post(std::move(response));
  };
  std::make_shared<UnaryCall>(queue_, call, std::move(annotated))->Start(std::move(request));
}

std::shared_ptr<MessageStream> GrpcPeer::OpenStream(std::string method, Executor* executor,
                                                    StreamCallbacks callbacks) {
  grpc_call* call = channel_->NewCall(*queue_, method, gpr_inf_future(GPR_CLOCK_MONOTONIC));
  StreamCall::Role role;
  role.client = true;
  role.peer = address_;
  role.stream_id = channel_->next_stream_id.fetch_add(1, std::memory_order_relaxed);
  role.tell_peer = [queue = queue_, channel = channel_, stream_id = role.stream_id](
                       const absl::Status& why, Closure then) {
    grpc_call* cancel = channel->NewCall(*queue, kCancelMethod, DeadlineAfter(kCancelTimeout));
    std::make_shared<UnaryCall>(
        queue, cancel,
        // The server hears of the end in any case, if not of the reason.
        [then = std::move(then)](absl::StatusOr<std::string> /*answer*/) mutable { then(); })
        ->Start(EncodeCancel(stream_id, why));
  };
  auto stream =
      std::make_shared<StreamCall>(queue_, call, executor, std::move(role),
                                   std::shared_ptr<CallGate>(queue_, &queue_->callbacks()));
  if (queue_->RegisterCall(call)) stream->StartClient(std::move(callbacks));
  return stream;
}

}  // namespace weir::rpc

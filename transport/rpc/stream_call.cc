#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/slice.h>

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/strings.h"
#include "transport/rpc/stream_call_internal.h"

namespace weir::rpc {
namespace {

// Calls `abandoned` if it is destroyed before it was run: an executor that was shut down drops its
// closures.
class RunOrAbandon {
 public:
  RunOrAbandon(Closure run, Closure abandoned)
      : run_(std::move(run)), abandoned_(std::move(abandoned)) {}
  RunOrAbandon(RunOrAbandon&& other) noexcept
      : run_(std::move(other.run_)), abandoned_(std::exchange(other.abandoned_, nullptr)) {}
  RunOrAbandon& operator=(RunOrAbandon&&) = delete;
  ~RunOrAbandon() {
    if (abandoned_ != nullptr) abandoned_();
  }
  void operator()() {
    abandoned_ = nullptr;
    run_();
  }

 private:
  Closure run_;
  Closure abandoned_;
};

}  // namespace

StreamCall::StreamCall(std::shared_ptr<CompletionQueue> queue, grpc_call* call, Executor* executor,
                       Role role, std::shared_ptr<CallGate> gate)
    : queue_(std::move(queue)),
      gate_(std::move(gate)),
      call_(call),
      executor_(executor),
      role_(std::move(role)),
      details_(grpc_empty_slice()) {
  grpc_metadata_array_init(&initial_metadata_);
  grpc_metadata_array_init(&trailing_metadata_);
}

StreamCall::~StreamCall() {
  if (writing_buffer_ != nullptr) grpc_byte_buffer_destroy(writing_buffer_);
  if (reading_buffer_ != nullptr) grpc_byte_buffer_destroy(reading_buffer_);
  grpc_metadata_array_destroy(&initial_metadata_);
  grpc_metadata_array_destroy(&trailing_metadata_);
  grpc_slice_unref(details_);
  if (role_.client) queue_->UnregisterCall(call_);
  grpc_call_unref(call_);
}

void StreamCall::StartClient(StreamCallbacks callbacks) {
  TakeCallbacks(std::move(callbacks));
  grpc_op operations[3] = {};
  operations[0].op = GRPC_OP_SEND_INITIAL_METADATA;
  grpc_metadata stream_id{};
  const std::string id = StrCat(role_.stream_id);
  stream_id.key = grpc_slice_from_static_string(kStreamIdHeader);
  stream_id.value = grpc_slice_from_copied_buffer(id.data(), id.size());
  operations[0].data.send_initial_metadata.metadata = &stream_id;
  operations[0].data.send_initial_metadata.count = 1;
  operations[1].op = GRPC_OP_RECV_INITIAL_METADATA;
  operations[1].data.recv_initial_metadata.recv_initial_metadata = &initial_metadata_;
  operations[2].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
  operations[2].data.recv_status_on_client.trailing_metadata = &trailing_metadata_;
  operations[2].data.recv_status_on_client.status = &code_;
  operations[2].data.recv_status_on_client.status_details = &details_;
  initial_metadata_sent_ = true;
  const bool started = queue_->Start(call_, operations, 3, on_call_over_.Arm(shared_from_this()));
  grpc_slice_unref(stream_id.value);
  if (!started) {
    on_call_over_.Arm(nullptr);
    Abandon();
    return;
  }
  ReadNext();
}

void StreamCall::TakeCallbacks(StreamCallbacks callbacks) {
  OnDrained dropped;
  {
    MutexLock lock(mutex_);
    dropped = std::move(on_drained_);
    on_drained_ = nullptr;
    if (callbacks.on_drained != nullptr) {
      on_drained_ = std::make_shared<absl::AnyInvocable<void()>>(std::move(callbacks.on_drained));
    }
  }
  callbacks_ = std::move(callbacks);
}

void StreamCall::StartServer() {
  grpc_op operation{};
  operation.op = GRPC_OP_RECV_CLOSE_ON_SERVER;
  operation.data.recv_close_on_server.cancelled = &cancelled_;
  if (!queue_->Start(call_, &operation, 1, on_call_over_.Arm(shared_from_this()))) {
    on_call_over_.Arm(nullptr);
    Abandon();
  }
}

void StreamCall::Accept(StreamCallbacks callbacks) {
  TakeCallbacks(std::move(callbacks));
  bool close_now = false;
  {
    MutexLock lock(mutex_);
    // The handler may have cancelled the stream that it accepts.
    close_now = reason_given_;
    if (close_now) reading_ = Reading::kDone;
  }
  if (close_now) {
    CloseIfOver();
  } else {
    ReadNext();
  }
}

void StreamCall::Refuse(const absl::Status& why) {
  {
    MutexLock lock(mutex_);
    close_posted_ = true;
    broken_ = true;
    outgoing_.clear();
    queued_bytes_ = 0;
  }
  CancelCall(why);
}

void StreamCall::Send(MessageBytes message) {
  const size_t size = message.size();
  if (size > queue_->options().max_message_bytes) {
    Cancel(absl::ResourceExhaustedError(
        StrCat("a message of ", size, " bytes was to be sent to ", role_.peer, "; at most ",
               queue_->options().max_message_bytes, " are allowed: send it in parts")));
    return;
  }
  {
    MutexLock lock(mutex_);
    if (broken_ || finish_requested_) return;
    queued_bytes_ += size;
    outgoing_.push_back(std::move(message));
    if (writing_) return;
    writing_ = true;
  }
  WriteNext();
}

size_t StreamCall::queued_bytes() const {
  MutexLock lock(mutex_);
  return queued_bytes_;
}

void StreamCall::Finish() {
  {
    MutexLock lock(mutex_);
    if (broken_ || finish_requested_) return;
    finish_requested_ = true;
    if (writing_) return;
    writing_ = true;
  }
  WriteNext();
}

// `writing_` is set and stays so until there is nothing to write.
void StreamCall::WriteNext() {
  MessageBytes message;
  bool closing = false;
  bool more_follows = false;
  {
    MutexLock lock(mutex_);
    if (!broken_ && !outgoing_.empty()) {
      message = std::move(outgoing_.front());
      outgoing_.pop_front();
      writing_bytes_ = message.size();
      more_follows = !outgoing_.empty() || finish_requested_;
    } else if (!broken_ && finish_requested_ && !finish_sent_) {
      finish_sent_ = true;
      closing = true;
    } else {
      writing_ = false;
      return;
    }
  }
  grpc_op operations[2] = {};
  size_t count = 0;
  if (!initial_metadata_sent_) {
    operations[count++].op = GRPC_OP_SEND_INITIAL_METADATA;
    initial_metadata_sent_ = true;
  }
  grpc_op& operation = operations[count++];
  if (!closing) {
    writing_buffer_ = ToByteBuffer(std::move(message));
    operation.op = GRPC_OP_SEND_MESSAGE;
    operation.data.send_message.send_message = writing_buffer_;
    if (more_follows) operation.flags = GRPC_WRITE_BUFFER_HINT;
  } else if (role_.client) {
    operation.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
  } else {
    operation.op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    operation.data.send_status_from_server.status = GRPC_STATUS_OK;
  }
  if (!queue_->Start(call_, operations, count, on_written_.Arm(shared_from_this()))) {
    on_written_.Arm(nullptr);
    OnWritten(false);
  }
}

void StreamCall::OnWritten(bool ok) {
  OnDrained on_drained;
  if (writing_buffer_ != nullptr) {
    grpc_byte_buffer_destroy(writing_buffer_);
    writing_buffer_ = nullptr;
  }
  {
    MutexLock lock(mutex_);
    queued_bytes_ -= std::min(queued_bytes_, writing_bytes_);
    writing_bytes_ = 0;
    if (!ok) {
      // Reading tells why.
      broken_ = true;
      outgoing_.clear();
      queued_bytes_ = 0;
    }
    if (queued_bytes_ == 0 && !broken_ && !finish_requested_) on_drained = on_drained_;
  }
  // What it sends waits for WriteNext: it is never called again while it runs.
  if (on_drained != nullptr) TellDrained(on_drained);
  WriteNext();
}

void StreamCall::TellDrained(const OnDrained& on_drained) {
  const CallGate::Pass pass(*gate_);
  if (!pass) return;
  if (executor_ == nullptr) {
    (*on_drained)();
    return;
  }
  executor_->Post([self = shared_from_this(), on_drained] {
    const CallGate::Pass running(*self->gate_);
    if (running) (*on_drained)();
  });
}

void StreamCall::ReadNext() {
  {
    MutexLock lock(mutex_);
    reading_ = Reading::kWaiting;
  }
  grpc_op operation{};
  operation.op = GRPC_OP_RECV_MESSAGE;
  operation.data.recv_message.recv_message = &reading_buffer_;
  if (!queue_->Start(call_, &operation, 1, on_read_.Arm(shared_from_this()))) {
    on_read_.Arm(nullptr);
    OnRead(false);
  }
}

void StreamCall::OnRead(bool ok) {
  grpc_byte_buffer* const buffer = std::exchange(reading_buffer_, nullptr);
  if (buffer == nullptr) {
    {
      MutexLock lock(mutex_);
      read_failed_ = !ok || grpc_call_failed_before_recv_message(call_) != 0;
      reading_ = Reading::kDone;
    }
    CloseIfOver();
    return;
  }
  absl::StatusOr<std::string> message = Flatten(buffer);
  grpc_byte_buffer_destroy(buffer);
  if (!message.ok()) {
    Cancel(message.status());
    return;
  }
  {
    MutexLock lock(mutex_);
    if (close_posted_) return;  // Cancelled on this side while reading.
    reading_ = Reading::kDelivering;
  }
  Deliver(*std::move(message));
}

void StreamCall::Deliver(std::string message) {
  std::shared_ptr<StreamCall> self = shared_from_this();
  if (executor_ == nullptr) {
    {
      const CallGate::Pass pass(*gate_);
      if (!pass) return Abandon();
      callbacks_.on_message(std::move(message));
    }
    AfterDelivery();
    return;
  }
  const CallGate::Pass posting(*gate_);
  if (!posting) return Abandon();
  executor_->Post(RunOrAbandon(
      [self, message = std::move(message)]() mutable {
        {
          const CallGate::Pass pass(*self->gate_);
          if (!pass) return self->Abandon();
          self->callbacks_.on_message(std::move(message));
        }
        self->AfterDelivery();
      },
      [self] { self->Abandon(); }));
}

void StreamCall::AfterDelivery() {
  bool over = false;
  {
    MutexLock lock(mutex_);
    over = reason_given_;
    if (over) reading_ = Reading::kDone;
  }
  if (over) {
    CloseIfOver();
  } else {
    ReadNext();
  }
}

void StreamCall::OnCallOver(bool /*ok*/) {
  {
    MutexLock lock(mutex_);
    status_known_ = true;
    broken_ = true;
    outgoing_.clear();
    queued_bytes_ = writing_bytes_;
  }
  if (role_.on_over != nullptr) role_.on_over();
  CloseIfOver();
}

void StreamCall::CloseIfOver() {
  absl::Status status;
  {
    MutexLock lock(mutex_);
    if (close_posted_ || reading_ != Reading::kDone) return;
    if (reason_given_) {
      status = reason_;
    } else if (role_.client) {
      if (!status_known_) return;
      status = FromGrpc(code_, View(details_));
    } else if (read_failed_ && !finish_sent_) {
      status = absl::UnavailableError(StrCat("the connection from ", role_.peer, " was lost"));
    }
    close_posted_ = true;
  }
  PostClose(std::move(status));
}

// Where nothing can be posted any more, nobody uses the callbacks: no message is being delivered
// when a stream closes.
void StreamCall::PostClose(absl::Status status) {
  close_status_ = std::move(status);
  if (executor_ != nullptr) {
    const CallGate::Pass posting(*gate_);
    if (posting) {
      executor_->Post([self = shared_from_this()] { self->OnClose(true); });
    } else {
      TakeCallbacks({});
    }
    return;
  }
  // A batch without operations: its end is reported on a thread of the queue, wherever this one is.
  if (!queue_->Start(call_, nullptr, 0, on_close_.Arm(shared_from_this()))) {
    on_close_.Arm(nullptr);
    TakeCallbacks({});
  }
}

void StreamCall::OnClose(bool /*ok*/) {
  {
    const CallGate::Pass pass(*gate_);
    if (pass) callbacks_.on_close(std::move(close_status_));
  }
  TakeCallbacks({});
}

void StreamCall::Abandon() {
  {
    MutexLock lock(mutex_);
    close_posted_ = true;
    broken_ = true;
    outgoing_.clear();
    queued_bytes_ = writing_bytes_;
    reading_ = Reading::kDone;
  }
  TakeCallbacks({});
  CancelCall(absl::UnavailableError("the receiver of the stream is shut down"));
}

void StreamCall::Cancel(absl::Status why) {
  if (why.ok()) why = absl::CancelledError("the stream was cancelled");
  {
    MutexLock lock(mutex_);
    // A server may still cancel after the client has finished and on_close has run.
    if (reason_given_ || status_known_) return;
    reason_given_ = true;
    reason_ = why;
    broken_ = true;
    outgoing_.clear();
    queued_bytes_ = writing_bytes_;
    if (reading_ == Reading::kWaiting) reading_ = Reading::kDone;
  }
  if (role_.client) {
    role_.tell_peer(why, [self = shared_from_this(), why] { self->CancelCall(why); });
  } else {
    CancelCall(why);
  }
  CloseIfOver();
}

void StreamCall::CancelledByPeer(const absl::Status& why) {
  {
    MutexLock lock(mutex_);
    if (reason_given_ || close_posted_) return;
    reason_given_ = true;
    reason_ = why;
    broken_ = true;
    outgoing_.clear();
    queued_bytes_ = writing_bytes_;
    if (reading_ == Reading::kWaiting) reading_ = Reading::kDone;
  }
  CancelCall(why);
  CloseIfOver();
}

// On a server this sends code and message to the client, past what waits to be sent.
void StreamCall::CancelCall(const absl::Status& why) {
  grpc_call_cancel_with_status(call_, ToGrpcCode(why.code()), ToGrpcMessage(why).c_str(), nullptr);
}

}  // namespace weir::rpc

#pragma once

#include <grpc/grpc.h>

#include <deque>
#include <functional>
#include <memory>

#include "common/base/call_gate.h"
#include "common/base/mutex.h"
#include "common/env/network.h"
#include "transport/rpc/completion_queue_internal.h"

namespace weir::rpc {

// One end of a stream as a gRPC call: at most one write and one read are in progress, the next of
// each begins when the last is over. Thread safe; callbacks come one at a time on the executor (or
// the queue's threads), through `gate`.
//
// It lives as long as an operation of its call is in progress; the call's end is always waited for
// by one.
class StreamCall : public MessageStream, public std::enable_shared_from_this<StreamCall> {
 public:
  struct Role {
    bool client = false;
    // Client: names the stream within its connection.
    uint64_t stream_id = 0;
    // Client: tells the server why the stream is cancelled, then calls the closure; also if that
    // failed.
    std::function<void(const absl::Status& why, Closure then)> tell_peer;
    // Run once when the stream is over on this side.
    std::function<void()> on_over;
    // "127.0.0.1:6123", for messages.
    std::string peer;
  };

  // Takes over a reference to `call`. `gate` is kept by `keep_gate`.
  StreamCall(std::shared_ptr<CompletionQueue> queue, grpc_call* call, Executor* executor, Role role,
             std::shared_ptr<CallGate> gate);
  ~StreamCall() override;

  // Client: begins the call.
  void StartClient(StreamCallbacks callbacks);
  // Server: waits for the end of the call. Then Accept or Refuse follows.
  void StartServer();
  void Accept(StreamCallbacks callbacks);
  void Refuse(const absl::Status& why);
  // The server was told by the client why it cancels.
  void CancelledByPeer(const absl::Status& why);

  void Send(MessageBytes message) override;
  size_t queued_bytes() const override;
  void Finish() override;
  void Cancel(absl::Status why) override;

 private:
  enum class Reading { kIdle, kWaiting, kDelivering, kDone };

  using OnDrained = std::shared_ptr<absl::AnyInvocable<void()>>;

  // Sets or, with empty ones, destroys the callbacks.
  void TakeCallbacks(StreamCallbacks callbacks);
  void WriteNext();
  void TellDrained(const OnDrained& on_drained);
  void OnWritten(bool ok);
  void ReadNext();
  void OnRead(bool ok);
  void OnCallOver(bool ok);
  void OnClose(bool ok);
  void Deliver(std::string message);
  void AfterDelivery();
  // Posts on_close if all has been read and the status is known.
  void CloseIfOver();
  void PostClose(absl::Status status);
  // The callbacks' executor drops what it is given: nobody is left to read.
  void Abandon();
  void CancelCall(const absl::Status& why);

  const std::shared_ptr<CompletionQueue> queue_;
  const std::shared_ptr<CallGate> gate_;
  grpc_call* const call_;
  Executor* const executor_;
  const Role role_;

  // Used by the operation in progress only.
  grpc_byte_buffer* writing_buffer_ = nullptr;
  grpc_byte_buffer* reading_buffer_ = nullptr;
  bool initial_metadata_sent_ = false;
  grpc_metadata_array initial_metadata_;
  grpc_metadata_array trailing_metadata_;
  grpc_status_code code_ = GRPC_STATUS_OK;
  grpc_slice details_;
  int cancelled_ = 0;
  MemberCompletion<StreamCall, &StreamCall::OnWritten> on_written_;
  MemberCompletion<StreamCall, &StreamCall::OnRead> on_read_;
  MemberCompletion<StreamCall, &StreamCall::OnCallOver> on_call_over_;
  MemberCompletion<StreamCall, &StreamCall::OnClose> on_close_;
  absl::Status close_status_;

  // Used by one callback at a time.
  StreamCallbacks callbacks_;

  mutable Mutex mutex_;
  OnDrained on_drained_ ABSL_GUARDED_BY(mutex_);
  std::deque<MessageBytes> outgoing_ ABSL_GUARDED_BY(mutex_);
  size_t queued_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t writing_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finish_requested_ ABSL_GUARDED_BY(mutex_) = false;
  bool finish_sent_ ABSL_GUARDED_BY(mutex_) = false;
  // Nothing more is written; set by an error, a Cancel or the end of the call.
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;
  Reading reading_ ABSL_GUARDED_BY(mutex_) = Reading::kIdle;
  bool read_failed_ ABSL_GUARDED_BY(mutex_) = false;
  bool close_posted_ ABSL_GUARDED_BY(mutex_) = false;
  bool status_known_ ABSL_GUARDED_BY(mutex_) = false;
  // Why the stream ends, if that was decided here or by the peer's word.
  bool reason_given_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status reason_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace weir::rpc

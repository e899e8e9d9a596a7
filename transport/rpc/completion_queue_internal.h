#pragma once

#include <grpc/grpc.h>

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_set>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/call_gate.h"
#include "common/base/mutex.h"
#include "common/env/network.h"
#include "transport/rpc/grpc_network.h"

namespace weir::rpc {

// What waits for a batch of gRPC operations. It keeps itself alive while the batch is in progress.
class Completion {
 public:
  virtual ~Completion() = default;
  // On a thread of the queue. `ok` is false if the batch failed or never began.
  virtual void OnComplete(bool ok) = 0;
};

// Completion that calls a method of its owner and holds a reference to it while armed. A member of
// the owner.
template <class Owner, void (Owner::*kMethod)(bool ok)>
class MemberCompletion final : public Completion {
 public:
  Completion* Arm(std::shared_ptr<Owner> owner) {
    owner_ = std::move(owner);
    return this;
  }
  void OnComplete(bool ok) override {
    std::shared_ptr<Owner> owner = std::move(owner_);
    ((*owner).*kMethod)(ok);
  }

 private:
  std::shared_ptr<Owner> owner_;
};

// One gRPC completion queue, its threads, and the channel arguments that all connections of a
// network share. Thread safe.
//
// gRPC itself is not instrumented for the thread sanitizer, which therefore does not see that what
// was written before a batch was started is visible to the thread that learns of its end. Start and
// the threads' loop make that order explicit, by a release and an acquire on `handed_over_`.
class CompletionQueue {
 public:
  explicit CompletionQueue(GrpcNetworkOptions options);
  ~CompletionQueue();

  // Starts operations; `completion` hears of their end once. Returns false, and starts nothing,
  // after Shutdown.
  [[nodiscard]] bool Start(grpc_call* call, const grpc_op* operations, size_t count,
                           Completion* completion);
  // Asks `server` for its next call.
  [[nodiscard]] bool RequestCall(grpc_server* server, grpc_call** call, grpc_call_details* details,
                                 grpc_metadata_array* metadata, Completion* completion);
  // Ends `server`; `completion` hears of it when its last call is over.
  [[nodiscard]] bool ShutdownServer(grpc_server* server, Completion* completion);

  // Client calls are known here so that Shutdown can end them. Register returns false after
  // Shutdown.
  [[nodiscard]] bool RegisterCall(grpc_call* call);
  void UnregisterCall(grpc_call* call);

  // Ends client calls, stops callbacks and threads. Servers have been shut down before. Not from a
  // callback.
  void Shutdown();

  grpc_completion_queue* get() { return queue_; }
  // Through which client callbacks pass.
  CallGate& callbacks() { return callbacks_; }
  const GrpcNetworkOptions& options() const { return options_; }
  // For channels and servers alike.
  std::vector<grpc_arg> ChannelArguments() const;

 private:
  void Loop();

  const GrpcNetworkOptions options_;
  grpc_resource_quota* quota_ = nullptr;
  grpc_completion_queue* queue_ = nullptr;
  std::atomic<uint64_t> handed_over_{0};
  CallGate starts_;
  CallGate callbacks_;
  Mutex mutex_;
  bool shut_down_ ABSL_GUARDED_BY(mutex_) = false;
  std::unordered_set<grpc_call*> calls_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;
};

// Hands the pieces over to gRPC without copying any but small ones. The caller destroys the buffer.
grpc_byte_buffer* ToByteBuffer(MessageBytes message);
// One string of what was received; one copy. Fails with kDataLoss if gRPC cannot read its buffer.
absl::StatusOr<std::string> Flatten(grpc_byte_buffer* buffer);

// Status as gRPC carries it: the codes are the same numbers. A message is cut at what fits into
// HTTP/2 headers.
grpc_status_code ToGrpcCode(absl::StatusCode code);
std::string ToGrpcMessage(const absl::Status& status);
absl::Status FromGrpc(grpc_status_code code, std::string_view message);
// `timeout` from now on, as gRPC's deadline.
gpr_timespec DeadlineAfter(absl::Duration timeout);
std::string_view View(const grpc_slice& slice);

// gRPC's method that carries the reason of a client's MessageStream::Cancel (HTTP/2 has only a
// number for it), and the header by which the server finds the stream.
inline constexpr char kCancelMethod[] = "/weir.transport.Streams/Cancel";
inline constexpr char kStreamIdHeader[] = "weir-stream-id";
std::string EncodeCancel(uint64_t stream_id, const absl::Status& why);
bool DecodeCancel(std::string_view bytes, uint64_t* stream_id, absl::Status* why);

}  // namespace weir::rpc

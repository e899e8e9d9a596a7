#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "common/env/executor.h"

namespace weir {

// Bytes handed over without a copy: a list of owned pieces that are one message on the wire.
struct MessageBytes {
  std::vector<std::string> pieces;

  size_t size() const {
    size_t total = 0;
    for (const auto& piece : pieces) total += piece.size();
    return total;
  }
  // One contiguous string; cheap when there is one piece.
  std::string Flatten() &&;
};

// One side of a bidirectional stream of messages. Order is kept; a message arrives whole or the stream ends with an error.
// The callbacks given at opening run one at a time, on the executor given there; where that is null, on a thread of the
// network's own, which saves a change of thread per message and where they must not block. Thread safe.
class MessageStream {
 public:
  virtual ~MessageStream() = default;

  // Queues a message; never blocks. The bytes queued and not yet on the wire are bounded by the caller (credits).
  virtual void Send(MessageBytes message) = 0;
  // Bytes queued by Send that the network has not taken yet.
  virtual size_t queued_bytes() const = 0;
  // No more Send from this side; the peer's on_close comes with OK once it has read everything.
  virtual void Finish() = 0;
  // Ends the stream now; the peer's on_close comes with `why`, and so does this side's. What is on its way may be lost.
  virtual void Cancel(absl::Status why) = 0;
};

struct StreamCallbacks {
  // A message arrived. Reading of the next one starts when this returns.
  absl::AnyInvocable<void(std::string message)> on_message;
  // Last call. OK: the peer finished; kUnavailable: the connection was lost; otherwise the peer's reason.
  absl::AnyInvocable<void(absl::Status status)> on_close;
  // May be null. The network has taken all that was queued by Send: queued_bytes() fell to 0. May run at the same time as
  // the others, and as Send.
  absl::AnyInvocable<void()> on_drained = nullptr;
};

using Responder = absl::AnyInvocable<void(absl::StatusOr<std::string> response)>;

// What a server offers. A method's name is its full gRPC path, e.g. "/weir.control.JobManager/ListJobs"; messages are
// serialized Protobuf. Registered before Listen; handlers run on the given executor and answer by `responder`, once, from
// any thread, at any later time.
struct ServerMethods {
  using UnaryHandler = std::function<void(std::string request, Responder responder)>;
  // Returns the callbacks for a new stream, or refuses it.
  using StreamHandler =
      std::function<absl::StatusOr<StreamCallbacks>(std::shared_ptr<MessageStream> stream)>;

  struct Unary {
    std::string method;
    Executor* executor;
    UnaryHandler handler;
  };
  struct Stream {
    std::string method;
    Executor* executor;  // null: the network's own threads, for the handler and the stream's callbacks
    StreamHandler handler;
  };
  std::vector<Unary> unary;
  std::vector<Stream> streams;
};

// A listening server. Destruction stops it: calls in progress end with kUnavailable. The destructor blocks until no
// handler runs (in the real implementation), so it is not called from a handler; once it returns, neither handlers nor callbacks
// of this server's streams run.
class Listener {
 public:
  virtual ~Listener() = default;
  // "host:port" that others can connect to, with the port really bound.
  virtual const std::string& address() const = 0;
};

// Client side of one address. Connects when first used and again after a loss. Thread safe.
class RemotePeer {
 public:
  virtual ~RemotePeer() = default;

  // Sends a request; `done` runs once on `executor`: the response, kDeadlineExceeded, kUnavailable (not reachable, or lost
  // while waiting: the outcome is unknown), or the handler's error with its message.
  virtual void Call(std::string method, std::string request, absl::Duration timeout, Executor* executor,
                    Responder done) = 0;
  // Opens a stream. Errors come by on_close. Callbacks run on `executor`, or on the network's own threads if it is null.
  virtual std::shared_ptr<MessageStream> OpenStream(std::string method, Executor* executor,
                                                    StreamCallbacks callbacks) = 0;
};

// How processes talk. GrpcNetwork (transport/rpc) is the real one, SimNetwork (common/env/sim) the simulated one.
class Network {
 public:
  virtual ~Network() = default;

  // `address` is "host:port"; port 0 takes a free one. kAlreadyExists (with the address) if the port is in use.
  virtual absl::StatusOr<std::unique_ptr<Listener>> Listen(const std::string& address, ServerMethods methods) = 0;
  virtual std::shared_ptr<RemotePeer> Connect(const std::string& address) = 0;
};

// Largest control message, in bytes (security: limits).
inline constexpr size_t kMaxControlMessageBytes = 4 << 20;

}  // namespace weir

#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "common/env/network.h"
#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_fabric.h"

namespace weir {

// "host:port" taken apart.
struct SimAddress {
  std::string host;
  uint16_t port = 0;

  // kInvalidArgument, naming `text`, if it is not "host:port". Names of the own machine become
  // `own_host`.
  static absl::StatusOr<SimAddress> Parse(const std::string& text, const std::string& own_host);
  std::string ToString() const;
};

// An executor as the network keeps it: posts to it unless its process is dead. Where the caller
// named none it has one of its own, a thread of the network.
class SimTarget {
 public:
  SimTarget() = default;
  SimTarget(SimEnv& env, Executor* executor);

  void Post(Closure closure) const;
  SimEnv* env() const { return env_; }

 private:
  SimEnv* env_ = nullptr;
  std::shared_ptr<SimExecutorCore> core_;
};

// A server of a simulated process.
class SimListener final : public Listener {
 public:
  SimListener(SimFabric& fabric, SimEnv& env, SimAddress address, ServerMethods methods);
  ~SimListener() override;

  const std::string& address() const override { return text_; }
  SimEnv& env() { return env_; }
  const ServerMethods& methods() const { return methods_; }
  uint64_t id() const { return id_; }
  // Does what destruction does to others. Again: nothing.
  void Stop();

 private:
  SimFabric& fabric_;
  SimEnv& env_;
  const uint64_t id_;
  const SimAddress address_;
  const std::string text_;
  const ServerMethods methods_;
  bool stopped_ = false;
};

// One unary call, from the request until `done` has been posted.
class SimCall : public std::enable_shared_from_this<SimCall> {
 public:
  SimCall(SimFabric& fabric, SimEnv& client, Executor* executor, Responder done);

  void Begin(const absl::StatusOr<SimAddress>& to, const std::string& method, std::string request,
             absl::Duration timeout);
  // The answer, or what ended the call instead; the first counts.
  void Complete(absl::StatusOr<std::string> result);
  // What is on its way is lost: ends with kUnavailable after a while, or by its deadline.
  void Lose(const std::string& why);
  void CompleteAfter(int64_t delay_nanos, absl::StatusOr<std::string> result);
  // Forgets the caller, who is dead.
  void Abandon();

  SimEnv& client() const { return *client_.env(); }
  const std::string& server_host() const { return to_.host; }
  // The listener whose handler has the call; 0 before.
  uint64_t listener_id() const { return listener_id_; }

 private:
  void ArriveAtServer(const std::string& method, std::string request);
  void ArriveAtClient(SimEnv& server, absl::StatusOr<std::string> response);

  SimFabric& fabric_;
  const uint64_t id_;
  const SimTarget client_;
  SimAddress to_;
  Responder done_;
  uint64_t listener_id_ = 0;
  bool lost_ = false;
  bool completed_ = false;
};

// A bidirectional stream: side 0 opened it, side 1 is the server's. Lives until both sides are
// closed.
class SimConnection : public std::enable_shared_from_this<SimConnection> {
 public:
  SimConnection(SimFabric& fabric, SimEnv& client, Executor* executor, StreamCallbacks callbacks);

  void Open(const absl::StatusOr<SimAddress>& to, const std::string& method);
  void Send(int side, MessageBytes message);
  void Finish(int side);
  void Cancel(int side, absl::Status why);
  size_t queued_bytes(int side) const { return sides_[side].queued_bytes; }

  // Nothing more gets through; each side that lives learns it after a while.
  void Break(const std::string& why);
  // The side's callbacks are destroyed; the other side learns that the connection is lost.
  void Abandon(int side, const std::string& why);

  SimEnv* env(int side) const { return sides_[side].target.env(); }
  const std::string& host(int side) const;
  uint64_t listener_id() const { return listener_id_; }

 private:
  // What travels. An item without a message is the opening or the end.
  struct Item {
    enum class Kind { kOpen, kMessage, kFinish, kCancel } kind;
    std::string message;  // kOpen: the method.
    absl::Status status;
  };
  struct Side {
    SimTarget target;
    StreamCallbacks callbacks;
    // On their way to the other side.
    std::deque<Item> sent;
    size_t queued_bytes = 0;
    int64_t last_arrival_nanos = 0;
    bool may_send = true;
    bool closed = false;
  };

  void Push(int side, Item item);
  bool Arrive(int from);
  void ArriveOpen(const std::string& method);
  void Deliver(int side, std::string message);
  void Drained(int side);
  // Posts the end of a side; the first counts.
  void PostClose(int side, absl::Status status);
  void Close(int side, const absl::Status& status);
  void CloseAfter(int side, int64_t delay_nanos, absl::Status status);
  void RemoveIfOver();

  SimFabric& fabric_;
  const uint64_t id_;
  SimAddress to_;
  uint64_t listener_id_ = 0;
  bool broken_ = false;
  Side sides_[2];
};

}  // namespace weir

#include <algorithm>

#include "common/base/check.h"
#include "common/base/strings.h"
#include "common/env/sim/sim_network_internal.h"

namespace weir {

std::shared_ptr<MessageStream> MakeSimStream(std::shared_ptr<SimConnection> connection, int side);

SimConnection::SimConnection(SimFabric& fabric, SimEnv& client, Executor* executor,
                             StreamCallbacks callbacks)
    : fabric_(fabric), id_(fabric.NextId()) {
  sides_[0].target = SimTarget(client, executor);
  sides_[0].callbacks = std::move(callbacks);
}

const std::string& SimConnection::host(int side) const {
  return side == 0 ? env(0)->host() : to_.host;
}

void SimConnection::Open(const absl::StatusOr<SimAddress>& to, const std::string& method) {
  fabric_.connections.emplace(id_, shared_from_this());
  if (!to.ok()) {
    sides_[1].closed = true;
    return PostClose(0, absl::UnavailableError(to.status().message()));
  }
  to_ = *to;
  if (!fabric_.HasHost(to_.host)) {
    broken_ = true;
    sides_[1].closed = true;
    return CloseAfter(0, fabric_.DrawDelay(host(0), host(0)),
                      absl::UnavailableError(StrCat("no host is named '", to_.host, "'")));
  }
  Push(0, Item{.kind = Item::Kind::kOpen, .message = method, .status = {}});
  if (fabric_.IsCut(host(0), host(1)) || fabric_.IsCut(host(1), host(0))) {
    Break("the link is cut");
  }
}

void SimConnection::Send(int side, MessageBytes message) {
  fabric_.world().CheckThread();
  Side& own = sides_[side];
  if (!own.may_send || !env(side)->alive()) return;
  if (message.size() > kMaxControlMessageBytes) {
    return Cancel(side, absl::ResourceExhaustedError(StrCat("a message of ", message.size(),
                                                            " bytes is larger than the limit of ",
                                                            kMaxControlMessageBytes)));
  }
  own.queued_bytes += message.size();
  Push(side,
       Item{.kind = Item::Kind::kMessage, .message = std::move(message).Flatten(), .status = {}});
  if (!broken_ && fabric_.DrawLoss()) Break("the connection was lost");
}

void SimConnection::Finish(int side) {
  fabric_.world().CheckThread();
  Side& own = sides_[side];
  if (!own.may_send || !env(side)->alive()) return;
  own.may_send = false;
  Push(side, Item{.kind = Item::Kind::kFinish, .message = {}, .status = {}});
}

void SimConnection::Cancel(int side, absl::Status why) {
  fabric_.world().CheckThread();
  Side& own = sides_[side];
  if ((own.closed && !own.may_send) || !env(side)->alive()) return;
  WEIR_CHECK(!why.ok());  // A stream that ends well is finished, not cancelled.
  own.may_send = false;
  std::erase_if(own.sent, [](const Item& item) { return item.kind != Item::Kind::kOpen; });
  own.queued_bytes = 0;
  Push(side, Item{.kind = Item::Kind::kCancel, .message = {}, .status = why});
  PostClose(side, std::move(why));
}

void SimConnection::Push(int side, Item item) {
  SimWorld& world = fabric_.world();
  Side& own = sides_[side];
  const uint64_t content =
      world.options().hash_message_bytes ? StableHash(item.message) : item.message.size();
  own.last_arrival_nanos = std::max(
      own.last_arrival_nanos, world.now_nanos() + fabric_.DrawDelay(host(side), host(1 - side)));
  own.sent.push_back(std::move(item));
  world.Schedule(nullptr, own.last_arrival_nanos, SimWorld::EventKind::kNetwork,
                 MixBits(2 * id_ + static_cast<uint64_t>(side)) + content,
                 [self = shared_from_this(), side] { return self->Arrive(side); });
}

bool SimConnection::Arrive(int from) {
  Side& sender = sides_[from];
  if (broken_ || sender.sent.empty()) return false;
  Item item = std::move(sender.sent.front());
  sender.sent.pop_front();
  const int to = 1 - from;
  switch (item.kind) {
    case Item::Kind::kOpen:
      ArriveOpen(item.message);
      break;
    case Item::Kind::kMessage:
      sender.queued_bytes -= item.message.size();
      if (sender.queued_bytes == 0 && sender.callbacks.on_drained) {
        sender.target.Post([self = shared_from_this(), from] { self->Drained(from); });
      }
      sides_[to].target.Post(
          [self = shared_from_this(), to, message = std::move(item.message)]() mutable {
            self->Deliver(to, std::move(message));
          });
      break;
    case Item::Kind::kFinish:
      PostClose(to, absl::OkStatus());
      break;
    case Item::Kind::kCancel:
      PostClose(to, std::move(item.status));
      break;
  }
  return true;
}

void SimConnection::ArriveOpen(const std::string& method) {
  SimListener* const listener = fabric_.FindListener(to_.host, to_.port);
  const auto refuse = [&](absl::Status status) {
    broken_ = true;
    sides_[1].closed = true;
    CloseAfter(0, fabric_.DrawDelay(host(1), host(0)), std::move(status));
  };
  if (listener == nullptr) {
    return refuse(
        absl::UnavailableError(StrCat("connecting to ", to_.ToString(), ": connection refused")));
  }
  const auto& methods = listener->methods().streams;
  const auto found = std::find_if(methods.begin(), methods.end(),
                                  [&](const auto& stream) { return stream.method == method; });
  if (found == methods.end()) {
    return refuse(absl::UnimplementedError(
        StrCat("the server at ", to_.ToString(), " has no stream ", method)));
  }
  listener_id_ = listener->id();
  sides_[1].target = SimTarget(listener->env(), found->executor);
  sides_[1].target.Post([self = shared_from_this(), handler = found->handler] {
    if (self->sides_[1].closed) return;
    absl::StatusOr<StreamCallbacks> callbacks = handler(MakeSimStream(self, 1));
    if (!callbacks.ok()) {
      self->Cancel(1, callbacks.status());
    } else if (!self->sides_[1].closed) {
      self->sides_[1].callbacks = std::move(*callbacks);
    }
  });
}

void SimConnection::Deliver(int side, std::string message) {
  Side& own = sides_[side];
  if (own.closed || !own.callbacks.on_message) return;
  // Out of the way while it runs: it may end its own process, and with it the callbacks.
  auto on_message = std::move(own.callbacks.on_message);
  own.callbacks.on_message = nullptr;
  on_message(std::move(message));
  if (!own.closed) own.callbacks.on_message = std::move(on_message);
}

// Out of the way while it runs, as in Deliver.
void SimConnection::Drained(int side) {
  Side& own = sides_[side];
  if (own.closed || !own.callbacks.on_drained) return;
  auto on_drained = std::move(own.callbacks.on_drained);
  own.callbacks.on_drained = nullptr;
  on_drained();
  if (!own.closed) own.callbacks.on_drained = std::move(on_drained);
}

void SimConnection::PostClose(int side, absl::Status status) {
  sides_[side].target.Post(
      [self = shared_from_this(), side, status = std::move(status)] { self->Close(side, status); });
}

void SimConnection::Close(int side, const absl::Status& status) {
  Side& own = sides_[side];
  if (std::exchange(own.closed, true)) return;
  if (!status.ok()) own.may_send = false;
  StreamCallbacks callbacks = std::move(own.callbacks);
  own.callbacks = {};
  RemoveIfOver();
  if (callbacks.on_close) callbacks.on_close(status);
}

void SimConnection::CloseAfter(int side, int64_t delay_nanos, absl::Status status) {
  SimWorld& world = fabric_.world();
  SimEnv* const process = env(side);
  world.Schedule(process, world.now_nanos() + delay_nanos, SimWorld::EventKind::kNetwork,
                 MixBits(2 * id_ + static_cast<uint64_t>(side)) - 1,
                 [self = shared_from_this(), side, status = std::move(status)] {
                   if (self->sides_[side].closed) return false;
                   self->PostClose(side, status);
                   return true;
                 });
}

void SimConnection::Break(const std::string& why) {
  if (std::exchange(broken_, true)) return;
  if (env(1) == nullptr) sides_[1].closed = true;  // Never opened, and never will be.
  for (const int side : {0, 1}) {
    if (sides_[side].closed) continue;
    CloseAfter(side, fabric_.DrawDetection(),
               absl::UnavailableError(StrCat("the stream with ", host(1 - side), ": ", why)));
  }
}

void SimConnection::Abandon(int side, const std::string& why) {
  Side& own = sides_[side];
  const auto self = shared_from_this();
  own.may_send = false;
  if (!own.closed) {
    own.closed = true;
    const StreamCallbacks dropped = std::move(own.callbacks);
    own.callbacks = {};
  }
  if (env(1) == nullptr) sides_[1].closed = true;
  if (!std::exchange(broken_, true) && !sides_[1 - side].closed) {
    CloseAfter(1 - side, fabric_.DrawDelay(host(side), host(1 - side)),
               absl::UnavailableError(StrCat("the stream with ", host(side), ": ", why)));
  }
  RemoveIfOver();
}

// Whoever calls this holds the connection.
void SimConnection::RemoveIfOver() {
  if (sides_[0].closed && sides_[1].closed) fabric_.connections.erase(id_);
}

}  // namespace weir

#include <algorithm>

#include "common/base/check.h"
#include "common/base/strings.h"
#include "common/env/sim/sim_network_internal.h"

namespace weir {
namespace {

constexpr absl::Duration kLongestTimeout = absl::Hours(24 * 365 * 10);

uint64_t LabelOf(const SimWorld& world, uint64_t id, std::string_view bytes) {
  const uint64_t content = world.options().hash_message_bytes ? StableHash(bytes) : bytes.size();
  return MixBits(id) + content;
}

absl::Status TooLarge(const std::string& method, size_t size) {
  return absl::ResourceExhaustedError(StrCat(method, ": a message of ", size,
                                             " bytes is larger than the limit of ",
                                             kMaxControlMessageBytes));
}

}  // namespace

SimCall::SimCall(SimFabric& fabric, SimEnv& client, Executor* executor, Responder done)
    : fabric_(fabric), id_(fabric.NextId()), client_(client, executor), done_(std::move(done)) {}

void SimCall::Begin(const absl::StatusOr<SimAddress>& to, const std::string& method,
                    std::string request, absl::Duration timeout) {
  SimWorld& world = fabric_.world();
  const auto self = shared_from_this();
  fabric_.calls.emplace(id_, self);
  if (!to.ok()) return Complete(absl::UnavailableError(to.status().message()));
  to_ = *to;
  const absl::Duration bounded = std::clamp(timeout, absl::ZeroDuration(), kLongestTimeout);
  world.Schedule(client_.env(), world.now_nanos() + absl::ToInt64Nanoseconds(bounded),
                 SimWorld::EventKind::kNetwork, MixBits(id_) + 1, [self, method, bounded] {
                   if (self->completed_) return false;
                   self->Complete(absl::DeadlineExceededError(
                       StrCat(method, " at ", self->to_.ToString(), ": no answer within ",
                              absl::FormatDuration(bounded))));
                   return true;
                 });
  if (request.size() > kMaxControlMessageBytes) return Complete(TooLarge(method, request.size()));
  if (!fabric_.HasHost(to_.host)) {
    return CompleteAfter(fabric_.DrawDelay(to_.host, to_.host),
                         absl::UnavailableError(StrCat("no host is named '", to_.host, "'")));
  }
  const std::string& client_host = client().host();
  if (fabric_.IsCut(client_host, to_.host)) return Lose("the link is cut");
  if (fabric_.DrawLoss()) return Lose("the connection was lost");
  const uint64_t label = LabelOf(world, id_, request);
  world.Schedule(nullptr, world.now_nanos() + fabric_.DrawDelay(client_host, to_.host),
                 SimWorld::EventKind::kNetwork, label,
                 [self, method, request = std::move(request)]() mutable {
                   if (self->lost_ || self->completed_) return false;
                   self->ArriveAtServer(method, std::move(request));
                   return true;
                 });
}

void SimCall::ArriveAtServer(const std::string& method, std::string request) {
  SimListener* const listener = fabric_.FindListener(to_.host, to_.port);
  const auto refuse = [&](absl::Status status) {
    if (fabric_.IsCut(to_.host, client().host())) return Lose("the link is cut");
    CompleteAfter(fabric_.DrawDelay(to_.host, client().host()), std::move(status));
  };
  if (listener == nullptr) {
    return refuse(
        absl::UnavailableError(StrCat("connecting to ", to_.ToString(), ": connection refused")));
  }
  const auto& methods = listener->methods().unary;
  const auto found = std::find_if(methods.begin(), methods.end(),
                                  [&](const auto& unary) { return unary.method == method; });
  if (found == methods.end()) {
    return refuse(absl::UnimplementedError(
        StrCat("the server at ", to_.ToString(), " has no method ", method)));
  }
  listener_id_ = listener->id();
  SimEnv& server = listener->env();
  SimWorld& world = fabric_.world();
  // The handler may answer at any later time; what it holds keeps the call known until then.
  Responder responder = [self = shared_from_this(), &server, &world, method,
                         answered = false](absl::StatusOr<std::string> response) mutable {
    WEIR_CHECK(!std::exchange(answered, true));
    world.CheckThread();
    if (!server.alive() || self->completed_ || self->lost_) return;
    if (response.ok() && response->size() > kMaxControlMessageBytes) {
      response = TooLarge(method, response->size());
    }
    const std::string& client_host = self->client().host();
    if (self->fabric_.IsCut(server.host(), client_host)) return self->Lose("the link is cut");
    if (self->fabric_.DrawLoss()) return self->Lose("the connection was lost");
    const uint64_t label = LabelOf(world, self->id_, response.ok() ? *response : std::string());
    world.Schedule(nullptr, world.now_nanos() + self->fabric_.DrawDelay(server.host(), client_host),
                   SimWorld::EventKind::kNetwork, label,
                   [self, response = std::move(response)]() mutable {
                     if (self->lost_ || self->completed_) return false;
                     self->Complete(std::move(response));
                     return true;
                   });
  };
  // The listener is looked up again: it may be gone when the handler's turn comes.
  SimTarget(server, found->executor)
      .Post([self = shared_from_this(), address = to_, id = listener_id_, handler = found->handler,
             request = std::move(request), responder = std::move(responder)]() mutable {
        const SimListener* const now = self->fabric_.FindListener(address.host, address.port);
        if (now == nullptr || now->id() != id) return;
        handler(std::move(request), std::move(responder));
      });
}

void SimCall::Complete(absl::StatusOr<std::string> result) {
  if (std::exchange(completed_, true)) return;
  const auto self = shared_from_this();
  fabric_.calls.erase(id_);
  client_.Post(
      [done = std::move(done_), result = std::move(result)]() mutable { done(std::move(result)); });
}

void SimCall::CompleteAfter(int64_t delay_nanos, absl::StatusOr<std::string> result) {
  SimWorld& world = fabric_.world();
  world.Schedule(client_.env(), world.now_nanos() + delay_nanos, SimWorld::EventKind::kNetwork,
                 MixBits(id_) + 2,
                 [self = shared_from_this(), result = std::move(result)]() mutable {
                   if (self->completed_) return false;
                   self->Complete(std::move(result));
                   return true;
                 });
}

void SimCall::Lose(const std::string& why) {
  if (std::exchange(lost_, true)) return;
  // Half of the time nothing is heard before the deadline.
  if (!fabric_.world().world_random().Chance(0.5)) return;
  CompleteAfter(fabric_.DrawDetection(),
                absl::UnavailableError(StrCat("calling ", to_.ToString(), ": ", why)));
}

void SimCall::Abandon() {
  completed_ = true;
  const auto self = shared_from_this();
  fabric_.calls.erase(id_);
  const Responder dropped = std::move(done_);
}

}  // namespace weir

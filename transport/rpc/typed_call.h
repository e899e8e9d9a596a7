#pragma once

#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/strings.h"
#include "common/env/network.h"

// Protobuf messages over Network's bytes. `Req` and `Resp` are generated messages; this header
// needs none of them. Method paths are "/weir.<Service>/<Method>", as proto/control.proto lists
// them.
namespace weir {

template <class Resp>
using TypedResponder = absl::AnyInvocable<void(absl::StatusOr<Resp> response)>;

// Calls `method` of `peer`; `done` runs once on `executor`. Errors: those of RemotePeer::Call;
// kResourceExhausted if the request is larger than a control message may be; kInternal if the
// answer is no `Resp`. Never blocks.
template <class Req, class Resp>
void TypedCall(RemotePeer& peer, std::string method, const Req& request, absl::Duration timeout,
               Executor* executor, TypedResponder<Resp> done) {
  std::string bytes;
  if (request.ByteSizeLong() > kMaxControlMessageBytes || !request.SerializeToString(&bytes)) {
    executor->Post([done = std::move(done), method = std::move(method),
                    size = request.ByteSizeLong()]() mutable {
      done(absl::ResourceExhaustedError(StrCat("the request of ", method, " has ", size,
                                               " bytes; at most ", kMaxControlMessageBytes,
                                               " are allowed in a control message")));
    });
    return;
  }
  std::string name = method;
  peer.Call(std::move(method), std::move(bytes), timeout, executor,
            [done = std::move(done),
             name = std::move(name)](absl::StatusOr<std::string> response) mutable {
              if (!response.ok()) return done(response.status());
              Resp message;
              if (!message.ParseFromString(*response)) {
                return done(absl::InternalError(
                    StrCat("the answer of ", name, " is malformed (", response->size(),
                           " bytes); is the peer of another version?")));
              }
              done(std::move(message));
            });
}

// One method for ServerMethods::unary: `handler(Req request, TypedResponder<Resp> respond)` runs on
// `executor` and answers once, at any time. A request that is no `Req` is refused with
// kInvalidArgument and never reaches it.
template <class Req, class Resp, class Handler>
ServerMethods::Unary TypedUnary(std::string method, Executor* executor, Handler handler) {
  std::string name = method;
  return ServerMethods::Unary{
      std::move(method), executor,
      [handler = std::move(handler), name = std::move(name)](std::string request,
                                                             Responder responder) {
        Req message;
        if (!message.ParseFromString(request)) {
          return responder(absl::InvalidArgumentError(
              StrCat("the request of ", name, " is malformed (", request.size(), " bytes)")));
        }
        handler(
            std::move(message), TypedResponder<Resp>([responder = std::move(responder),
                                                      name](absl::StatusOr<Resp> response) mutable {
              if (!response.ok()) return responder(response.status());
              std::string bytes;
              if (response->ByteSizeLong() > kMaxControlMessageBytes ||
                  !response->SerializeToString(&bytes)) {
                return responder(absl::ResourceExhaustedError(StrCat(
                    "the answer of ", name, " has ", response->ByteSizeLong(), " bytes; at most ",
                    kMaxControlMessageBytes, " are allowed in a control message")));
              }
              responder(std::move(bytes));
            }));
      }};
}

}  // namespace weir

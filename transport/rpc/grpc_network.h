#pragma once

#include <cstddef>
#include <memory>

#include "absl/time/time.h"
#include "common/env/network.h"

namespace weir {

struct GrpcNetworkOptions {
  // Threads that wait for the network and run its work, and the callbacks that name no executor.
  // 0: one for every four cores, at most 4.
  int threads = 0;
  // A larger message ends its call with kResourceExhausted, on the sending side already.
  size_t max_message_bytes = kMaxControlMessageBytes;
  // What all connections of this network together may hold in buffers.
  size_t max_buffer_bytes = 512 << 20;
  // Calls and streams that one connection may have open at a server; more wait at the client.
  int max_streams_per_connection = 128;
  // Waits between tries to connect: doubled from the first to the second.
  absl::Duration min_reconnect_backoff = absl::Milliseconds(100);
  absl::Duration max_reconnect_backoff = absl::Seconds(1);
  // Bound of one try to connect and of a server's handshake.
  absl::Duration handshake_timeout = absl::Seconds(5);
  // A silent connection is probed after `keepalive_time` and given up after `keepalive_timeout`
  // more.
  absl::Duration keepalive_time = absl::Seconds(10);
  absl::Duration keepalive_timeout = absl::Seconds(5);
  // Listening on an address that other hosts can reach is refused unless this is set: nothing is
  // encrypted here.
  bool allow_insecure_non_loopback = false;
};

// Network over gRPC (HTTP/2), as common/env/network.h says. Every RemotePeer has a connection of
// its own, so what must not wait behind bulk data uses another RemotePeer. It is destroyed after
// all its listeners; calls that are then still open end without a callback.
//
// The server side of a stream gives up its half of it with Finish; as in any gRPC call, that ends
// the client's half too.
std::unique_ptr<Network> MakeGrpcNetwork(GrpcNetworkOptions options);

}  // namespace weir

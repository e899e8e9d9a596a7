#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace weir::rpc {

// Where to listen, resolved: the numeric form is what is bound, so that "localhost" means one
// socket and not two, of which one may be in use.
struct ListenAddress {
  std::string host;     // as given
  std::string numeric;  // "127.0.0.1:6123" or "[::1]:6123"
  bool loopback = false;
  bool wildcard = false;

  // "host:port" for others: the host as given, this machine's name for a wildcard.
  std::string Reachable(int port) const;
};

// Parses "host:port" ("[v6]:port") and resolves the host; IPv4 is preferred. Blocks while a name is
// looked up.
absl::StatusOr<ListenAddress> ResolveListenAddress(const std::string& address);

// Why `address` could not be bound: tries it once more. kAlreadyExists if it is in use.
absl::Status ExplainBindFailure(const std::string& address, const ListenAddress& resolved);

}  // namespace weir::rpc

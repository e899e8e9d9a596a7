#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>

#include "common/base/strings.h"
#include "transport/rpc/listen_address_internal.h"

namespace weir::rpc {
namespace {

using AddressInfo = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

struct HostAndPort {
  std::string host;
  std::string port;
};

absl::StatusOr<HostAndPort> Split(const std::string& address) {
  const size_t colon = address.rfind(':');
  const auto malformed = [&address] {
    return absl::InvalidArgumentError(
        StrCat("'", address, "' is no address: write HOST:PORT, e.g. localhost:6123"));
  };
  if (colon == std::string::npos || colon == 0) return malformed();
  HostAndPort result{address.substr(0, colon), address.substr(colon + 1)};
  int port = 0;
  const char* const end = result.port.data() + result.port.size();
  const auto parsed = std::from_chars(result.port.data(), end, port);
  if (parsed.ec != std::errc() || parsed.ptr != end || port < 0 || port > 65535) return malformed();
  if (result.host.front() == '[') {
    if (result.host.back() != ']') return malformed();
    result.host = result.host.substr(1, result.host.size() - 2);
  } else if (result.host.find(':') != std::string::npos) {
    return absl::InvalidArgumentError(
        StrCat("'", address, "': write an IPv6 address in brackets, e.g. [::1]:6123"));
  }
  return result;
}

absl::StatusOr<AddressInfo> Lookup(const std::string& host, const std::string& port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
  if (error != 0) {
    return absl::InvalidArgumentError(StrCat("the host '", host,
                                             "' is not known: ", gai_strerror(error),
                                             "; listen on localhost or an address of this host"));
  }
  return AddressInfo(found, &freeaddrinfo);
}

const addrinfo* PreferV4(const addrinfo* list) {
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    if (entry->ai_family == AF_INET) return entry;
  }
  return list;
}

}  // namespace

std::string ListenAddress::Reachable(int port) const {
  std::string name = host;
  if (wildcard) {
    std::array<char, 256> buffer{};
    if (gethostname(buffer.data(), buffer.size() - 1) == 0) name = buffer.data();
  }
  if (name.find(':') != std::string::npos) return StrCat("[", name, "]:", port);
  return StrCat(name, ":", port);
}

absl::StatusOr<ListenAddress> ResolveListenAddress(const std::string& address) {
  absl::StatusOr<HostAndPort> parts = Split(address);
  if (!parts.ok()) return parts.status();
  // As the connecting side understands it.
  const std::string host = parts->host == "localhost" ? "127.0.0.1" : parts->host;
  absl::StatusOr<AddressInfo> list = Lookup(host, parts->port);
  if (!list.ok()) return list.status();
  const addrinfo* entry = PreferV4(list->get());
  std::array<char, NI_MAXHOST> numeric{};
  const int error = getnameinfo(entry->ai_addr, entry->ai_addrlen, numeric.data(), numeric.size(),
                                nullptr, 0, NI_NUMERICHOST);
  if (error != 0) {
    return absl::InvalidArgumentError(StrCat("'", address, "': ", gai_strerror(error)));
  }
  ListenAddress result;
  result.host = parts->host;
  if (entry->ai_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, entry->ai_addr, sizeof(v4));
    const uint32_t ip = ntohl(v4.sin_addr.s_addr);
    result.loopback = (ip >> 24) == 127;
    result.wildcard = ip == INADDR_ANY;
    result.numeric = StrCat(numeric.data(), ":", parts->port);
  } else {
    sockaddr_in6 v6{};
    std::memcpy(&v6, entry->ai_addr, sizeof(v6));
    result.loopback = IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
    result.wildcard = IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr);
    result.numeric = StrCat("[", numeric.data(), "]:", parts->port);
  }
  return result;
}

absl::Status ExplainBindFailure(const std::string& address, const ListenAddress& resolved) {
  absl::StatusOr<HostAndPort> parts = Split(resolved.numeric);
  if (!parts.ok()) return parts.status();
  absl::StatusOr<AddressInfo> list = Lookup(parts->host, parts->port);
  if (!list.ok()) return list.status();
  const addrinfo* entry = list->get();
  const int fd = socket(entry->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    return absl::ResourceExhaustedError(
        StrCat("cannot listen on ", address, ": no socket: ", std::strerror(errno)));
  }
  const int on = 1;
  int error = 0;
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      bind(fd, entry->ai_addr, entry->ai_addrlen) != 0 || listen(fd, 1) != 0) {
    error = errno;
  }
  close(fd);
  switch (error) {
    case EADDRINUSE:
      return absl::AlreadyExistsError(
          StrCat("cannot listen on ", address,
                 ": another process uses the port. Stop it (ss -ltnp shows which), or choose "
                 "another port; port 0 takes a free one"));
    case EACCES:
      return absl::PermissionDeniedError(
          StrCat("cannot listen on ", address, ": ports below 1024 need a privilege"));
    case EADDRNOTAVAIL:
      return absl::InvalidArgumentError(
          StrCat("cannot listen on ", address, ": it is no address of this host"));
    case 0:
      return absl::UnavailableError(
          StrCat("cannot listen on ", address, ", but the port is free now: try again"));
    default:
      return absl::UnavailableError(
          StrCat("cannot listen on ", address, ": ", std::strerror(error)));
  }
}

}  // namespace weir::rpc

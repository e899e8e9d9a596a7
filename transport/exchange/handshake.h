#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/env/network.h"
#include "transport/exchange/exchange.h"

namespace weir {

inline constexpr char kExchangeMethod[] = "/weir.exchange.Exchange/Connect";
inline constexpr uint32_t kExchangeProtocolVersion = 2;
// Of one pair of workers; a graph has at most 4,096 subtasks a vertex.
inline constexpr size_t kMaxChannelsPerStream = 1 << 20;

// The first message of the worker that connects: which job, leader epoch, region and attempt, and
// who it is.
MessageBytes EncodeHello(const ExchangeOptions& options);
// The region that a hello names; kInvalidArgument if it is no hello.
absl::StatusOr<uint32_t> RegionOfHello(const std::string& message);
// The index of the worker that says hello; kFailedPrecondition, with both values, if it does not
// belong to this worker's execution; kInvalidArgument if it is no hello.
absl::StatusOr<uint32_t> CheckHello(const std::string& message, const ExchangeOptions& options);

// The answer.
MessageBytes EncodeWelcome(uint32_t worker_index);
// kFailedPrecondition if another worker than `expected` answers; kDataLoss if it is no welcome.
absl::Status CheckWelcome(const std::string& message, uint32_t expected);

}  // namespace weir

#include "transport/exchange/handshake.h"

#include <cstring>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/exchange.pb.h"

namespace weir {
namespace {

MessageBytes Serialize(const google::protobuf::MessageLite& message) {
  MessageBytes bytes;
  bytes.pieces.push_back(message.SerializeAsString());
  return bytes;
}

absl::Status Parse(const std::string& message, proto::ExchangeHello& hello) {
  if (hello.ParseFromString(message) && hello.job_id().size() == JobId::kBytes) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      "the first message of an exchange stream is no hello; is the peer of another version?");
}

}  // namespace

MessageBytes EncodeHello(const ExchangeOptions& options) {
  proto::ExchangeHello hello;
  hello.set_protocol_version(kExchangeProtocolVersion);
  hello.set_job_id(options.job.bytes().data(), options.job.bytes().size());
  hello.set_leader_epoch(options.leader_epoch);
  hello.set_attempt(options.attempt);
  hello.set_region(options.region);
  hello.set_worker_index(options.worker_index);
  return Serialize(hello);
}

absl::StatusOr<uint32_t> RegionOfHello(const std::string& message) {
  proto::ExchangeHello hello;
  WEIR_RETURN_IF_ERROR(Parse(message, hello));
  return hello.region();
}

absl::StatusOr<uint32_t> CheckHello(const std::string& message, const ExchangeOptions& options) {
  proto::ExchangeHello hello;
  WEIR_RETURN_IF_ERROR(Parse(message, hello));
  if (hello.protocol_version() != kExchangeProtocolVersion) {
    return absl::FailedPreconditionError(
        StrCat("the peer speaks version ", hello.protocol_version(),
               " of the exchange protocol, this worker version ", kExchangeProtocolVersion,
               ": install the same version on all hosts"));
  }
  std::array<uint8_t, JobId::kBytes> id{};
  std::memcpy(id.data(), hello.job_id().data(), id.size());
  const auto refuse = [&](std::string_view what, const auto& theirs, const auto& ours) {
    return absl::FailedPreconditionError(StrCat("worker ", hello.worker_index(), " is of ", what,
                                                " ", theirs, ", this worker is of ", ours));
  };
  if (JobId(id) != options.job) {
    return refuse("job", JobId(id).ToString(), options.job.ToString());
  }
  if (hello.leader_epoch() != options.leader_epoch) {
    return refuse("leader epoch", hello.leader_epoch(), options.leader_epoch);
  }
  if (hello.attempt() != options.attempt) {
    return refuse(hello.attempt() < options.attempt ? "an older attempt," : "a newer attempt,",
                  hello.attempt(), options.attempt);
  }
  return hello.worker_index();
}

MessageBytes EncodeWelcome(uint32_t worker_index) {
  proto::ExchangeWelcome welcome;
  welcome.set_worker_index(worker_index);
  return Serialize(welcome);
}

absl::Status CheckWelcome(const std::string& message, uint32_t expected) {
  proto::ExchangeWelcome welcome;
  if (!welcome.ParseFromString(message)) {
    return absl::DataLossError("its first message is no welcome; is it of another version?");
  }
  if (welcome.worker_index() != expected) {
    return absl::FailedPreconditionError(StrCat(
        "worker ", welcome.worker_index(), " answers where worker ", expected, " was expected"));
  }
  return absl::OkStatus();
}

}  // namespace weir

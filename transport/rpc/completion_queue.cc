#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <grpc/support/log.h>
#include <grpc/support/time.h>
#include <pthread.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

#include "common/base/check.h"
#include "common/base/strings.h"
#include "transport/rpc/completion_queue_internal.h"

namespace weir::rpc {
namespace {

// Below this a copy costs less than a slice with an owner of its own.
constexpr size_t kCopiedPieceBytes = 512;
// Percent encoding may treble it; gRPC bounds a header block by kMaxHeaderBytes.
constexpr size_t kMaxStatusMessageBytes = 16 << 10;
constexpr int kMaxHeaderBytes = 64 << 10;

grpc_arg IntegerArgument(const char* key, int64_t value) {
  grpc_arg argument{};
  argument.type = GRPC_ARG_INTEGER;
  argument.key = const_cast<char*>(key);
  argument.value.integer = static_cast<int>(std::min<int64_t>(value, INT32_MAX));
  return argument;
}

// A piece of a message that gRPC reads and gives back. The flag makes the order between writing and
// deleting explicit (see CompletionQueue).
struct OwnedPiece {
  explicit OwnedPiece(std::string b) : bytes(std::move(b)) {}
  std::string bytes;
  std::atomic<bool> ready{false};

  static void Destroy(void* piece) {
    auto* owned = static_cast<OwnedPiece*>(piece);
    WEIR_CHECK(owned->ready.load(std::memory_order_acquire));
    delete owned;
  }
};

}  // namespace

CompletionQueue::CompletionQueue(GrpcNetworkOptions options) : options_(options) {
  grpc_init();
  // What gRPC would log of failures is in the statuses that it returns. GRPC_VERBOSITY=debug brings
  // the log back.
  if (gpr_should_log(GPR_LOG_SEVERITY_DEBUG) == 0) gpr_set_log_function([](gpr_log_func_args*) {});
  quota_ = grpc_resource_quota_create("weir");
  grpc_resource_quota_resize(quota_, options_.max_buffer_bytes);
  queue_ = grpc_completion_queue_create_for_next(nullptr);
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  const int threads = options_.threads > 0 ? options_.threads : std::clamp(cores / 4, 1, 4);
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this] { Loop(); });
    pthread_setname_np(threads_.back().native_handle(), StrCat("weir-net-", i).c_str());
  }
}

CompletionQueue::~CompletionQueue() {
  Shutdown();
  grpc_completion_queue_destroy(queue_);
  grpc_resource_quota_unref(quota_);
  grpc_shutdown();
}

bool CompletionQueue::Start(grpc_call* call, const grpc_op* operations, size_t count,
                            Completion* completion) {
  const CallGate::Pass pass(starts_);
  if (!pass) return false;
  handed_over_.fetch_add(1, std::memory_order_release);
  const grpc_call_error error = grpc_call_start_batch(call, operations, count, completion, nullptr);
  // Anything else is a wrong sequence of operations.
  WEIR_CHECK_EQ(error, GRPC_CALL_OK);
  return true;
}

bool CompletionQueue::RequestCall(grpc_server* server, grpc_call** call, grpc_call_details* details,
                                  grpc_metadata_array* metadata, Completion* completion) {
  const CallGate::Pass pass(starts_);
  if (!pass) return false;
  handed_over_.fetch_add(1, std::memory_order_release);
  const grpc_call_error error =
      grpc_server_request_call(server, call, details, metadata, queue_, queue_, completion);
  WEIR_CHECK_EQ(error, GRPC_CALL_OK);
  return true;
}

bool CompletionQueue::ShutdownServer(grpc_server* server, Completion* completion) {
  const CallGate::Pass pass(starts_);
  if (!pass) return false;
  handed_over_.fetch_add(1, std::memory_order_release);
  grpc_server_shutdown_and_notify(server, queue_, completion);
  grpc_server_cancel_all_calls(server);
  return true;
}

bool CompletionQueue::RegisterCall(grpc_call* call) {
  MutexLock lock(mutex_);
  if (shut_down_) return false;
  calls_.insert(call);
  return true;
}

void CompletionQueue::UnregisterCall(grpc_call* call) {
  MutexLock lock(mutex_);
  calls_.erase(call);
}

void CompletionQueue::Shutdown() {
  {
    MutexLock lock(mutex_);
    if (shut_down_) return;
    shut_down_ = true;
    for (grpc_call* call : calls_) {
      grpc_call_cancel_with_status(call, GRPC_STATUS_UNAVAILABLE, "the network is shut down",
                                   nullptr);
    }
  }
  callbacks_.CloseAndWait();
  starts_.CloseAndWait();
  grpc_completion_queue_shutdown(queue_);
  for (std::thread& thread : threads_) thread.join();
}

void CompletionQueue::Loop() {
  for (;;) {
    const grpc_event event =
        grpc_completion_queue_next(queue_, gpr_inf_future(GPR_CLOCK_REALTIME), nullptr);
    if (event.type == GRPC_QUEUE_SHUTDOWN) return;
    handed_over_.load(std::memory_order_acquire);
    static_cast<Completion*>(event.tag)->OnComplete(event.success != 0);
  }
}

std::vector<grpc_arg> CompletionQueue::ChannelArguments() const {
  std::vector<grpc_arg> arguments;
  const auto add = [&arguments](const char* key, int64_t value) {
    arguments.push_back(IntegerArgument(key, value));
  };
  const auto add_ms = [&add](const char* key, absl::Duration value) {
    add(key, absl::ToInt64Milliseconds(value));
  };
  add(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, static_cast<int64_t>(options_.max_message_bytes));
  add(GRPC_ARG_MAX_CONCURRENT_STREAMS, options_.max_streams_per_connection);
  add(GRPC_ARG_MAX_METADATA_SIZE, kMaxHeaderBytes);
  add(GRPC_ARG_ALLOW_REUSEPORT, 0);
  add_ms(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, options_.handshake_timeout);
  add_ms(GRPC_ARG_KEEPALIVE_TIME_MS, options_.keepalive_time);
  add_ms(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, options_.keepalive_timeout);
  add(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  add(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // Peers are of one cluster and probe each other: no penalty for it.
  add(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  // Names and proxies of the environment do not decide where a cluster's traffic goes.
  add(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  add(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  // A retry keeps copies of what was sent; the callers retry where it is right.
  add(GRPC_ARG_ENABLE_RETRIES, 0);
  // A connection of its own for each RemotePeer.
  add(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  add_ms(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, options_.min_reconnect_backoff);
  add_ms(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, options_.max_reconnect_backoff);
  // Despite its name the bound of one try to connect.
  add_ms(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, options_.handshake_timeout);
  add(GRPC_ARG_ENABLE_CHANNELZ, 0);
  grpc_arg quota{};
  quota.type = GRPC_ARG_POINTER;
  quota.key = const_cast<char*>(GRPC_ARG_RESOURCE_QUOTA);
  quota.value.pointer.p = quota_;
  quota.value.pointer.vtable = grpc_resource_quota_arg_vtable();
  arguments.push_back(quota);
  return arguments;
}

grpc_byte_buffer* ToByteBuffer(MessageBytes message) {
  std::vector<grpc_slice> slices;
  slices.reserve(message.pieces.size());
  for (std::string& piece : message.pieces) {
    if (piece.size() <= kCopiedPieceBytes) {
      slices.push_back(grpc_slice_from_copied_buffer(piece.data(), piece.size()));
      continue;
    }
    auto* owned = new OwnedPiece(std::move(piece));
    slices.push_back(grpc_slice_new_with_user_data(owned->bytes.data(), owned->bytes.size(),
                                                   &OwnedPiece::Destroy, owned));
    owned->ready.store(true, std::memory_order_release);
  }
  grpc_byte_buffer* buffer = grpc_raw_byte_buffer_create(slices.data(), slices.size());
  for (const grpc_slice& slice : slices) grpc_slice_unref(slice);
  return buffer;
}

absl::StatusOr<std::string> Flatten(grpc_byte_buffer* buffer) {
  std::string bytes;
  bytes.reserve(grpc_byte_buffer_length(buffer));
  grpc_byte_buffer_reader reader;
  if (grpc_byte_buffer_reader_init(&reader, buffer) == 0) {
    return absl::DataLossError("a received message cannot be decompressed");
  }
  grpc_slice* slice = nullptr;
  while (grpc_byte_buffer_reader_peek(&reader, &slice) != 0) {
    bytes.append(reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(*slice)),
                 GRPC_SLICE_LENGTH(*slice));
  }
  grpc_byte_buffer_reader_destroy(&reader);
  return bytes;
}

grpc_status_code ToGrpcCode(absl::StatusCode code) { return static_cast<grpc_status_code>(code); }

std::string ToGrpcMessage(const absl::Status& status) {
  std::string message(status.message().data(), status.message().size());
  // gRPC takes it as a C string.
  std::replace(message.begin(), message.end(), '\0', ' ');
  if (message.size() > kMaxStatusMessageBytes) {
    message.resize(kMaxStatusMessageBytes);
    message += "... (cut)";
  }
  return message;
}

absl::Status FromGrpc(grpc_status_code code, std::string_view message) {
  if (code < GRPC_STATUS_OK || code > GRPC_STATUS_UNAUTHENTICATED) code = GRPC_STATUS_UNKNOWN;
  return absl::Status(static_cast<absl::StatusCode>(code), ToAbsl(message));
}

gpr_timespec DeadlineAfter(absl::Duration timeout) {
  if (timeout >= absl::Hours(24 * 365)) return gpr_inf_future(GPR_CLOCK_MONOTONIC);
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_micros(absl::ToInt64Microseconds(timeout), GPR_TIMESPAN));
}

std::string_view View(const grpc_slice& slice) {
  return std::string_view(reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(slice)),
                          GRPC_SLICE_LENGTH(slice));
}

// "<stream id> <code> <message>", the numbers in decimal.
std::string EncodeCancel(uint64_t stream_id, const absl::Status& why) {
  return StrCat(stream_id, " ", static_cast<int>(why.code()), " ", ToGrpcMessage(why));
}

bool DecodeCancel(std::string_view bytes, uint64_t* stream_id, absl::Status* why) {
  const char* const end = bytes.data() + bytes.size();
  const auto id = std::from_chars(bytes.data(), end, *stream_id);
  if (id.ec != std::errc() || id.ptr == end || *id.ptr != ' ') return false;
  int code = 0;
  const auto number = std::from_chars(id.ptr + 1, end, code);
  if (number.ec != std::errc() || number.ptr == end || *number.ptr != ' ') return false;
  if (code <= 0 || code > static_cast<int>(absl::StatusCode::kUnauthenticated)) return false;
  *why = FromGrpc(static_cast<grpc_status_code>(code),
                  std::string_view(number.ptr + 1, static_cast<size_t>(end - number.ptr - 1)));
  return true;
}

}  // namespace weir::rpc

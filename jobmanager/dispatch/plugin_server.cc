#include "jobmanager/dispatch/plugin_server.h"

#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/control.pb.h"

namespace weir::jobmanager {
namespace {

constexpr size_t kMaxTransfers = 1'024;
constexpr size_t kChunkBytes = 1 << 20;
// Chunks that wait in the network for one task manager.
constexpr size_t kMaxQueuedBytes = 4 << 20;
constexpr absl::Duration kDrainCheck = absl::Milliseconds(2);

}  // namespace

struct PluginServer::Transfer {
  std::shared_ptr<MessageStream> stream;
  std::string sha256;
  std::unique_ptr<RandomAccessFile> file;
  uint64_t offset = 0;
  int64_t last_progress_nanos = 0;
  size_t last_queued_bytes = 0;
};

PluginServer::PluginServer(Env& env, Executor& io, BlobStore& blobs, absl::Duration stall_timeout)
    : env_(env), io_(io), blobs_(blobs), stall_timeout_(stall_timeout) {}

PluginServer::~PluginServer() { lifetime_.End(); }

absl::StatusOr<StreamCallbacks> PluginServer::Open(std::shared_ptr<MessageStream> stream) {
  if (transfers_.size() >= kMaxTransfers) {
    return absl::ResourceExhaustedError("too many plugins are being fetched; try again later");
  }
  const uint64_t id = ++last_transfer_;
  transfers_[id] = std::make_unique<Transfer>();
  transfers_[id]->stream = std::move(stream);
  StreamCallbacks callbacks;
  callbacks.on_message = lifetime_.Guard([this, id](const std::string& request) {
    auto transfer = transfers_.find(id);
    if (transfer == transfers_.end()) return;
    if (absl::Status begun = Begin(*transfer->second, request); !begun.ok()) {
      transfer->second->stream->Cancel(begun);
      return End(id);
    }
    Pump(id);
  });
  callbacks.on_close = lifetime_.Guard([this, id](const absl::Status& status) {
    auto transfer = transfers_.find(id);
    if (transfer == transfers_.end()) return;
    // OK: it has asked and only reads now.
    if (!status.ok() || transfer->second->file == nullptr) {
      if (status.ok()) transfer->second->stream->Finish();
      End(id);
    }
  });
  return callbacks;
}

absl::Status PluginServer::Begin(Transfer& transfer, const std::string& request) {
  proto::FetchPluginRequest message;
  if (transfer.file != nullptr || !message.ParseFromString(request)) {
    return absl::InvalidArgumentError("FetchPlugin takes one request");
  }
  WEIR_ASSIGN_OR_RETURN(transfer.file, blobs_.OpenForRead(message.plugin_sha256()));
  transfer.sha256 = message.plugin_sha256();
  blobs_.Pin(transfer.sha256);
  transfer.last_progress_nanos = env_.clock().MonotonicNanos();
  return absl::OkStatus();
}

void PluginServer::Pump(uint64_t id) {
  auto found = transfers_.find(id);
  if (found == transfers_.end()) return;
  Transfer& transfer = *found->second;
  const int64_t now = env_.clock().MonotonicNanos();
  const size_t queued = transfer.stream->queued_bytes();
  if (queued < transfer.last_queued_bytes) transfer.last_progress_nanos = now;
  transfer.last_queued_bytes = queued;
  if (queued + kChunkBytes > kMaxQueuedBytes) {
    if (absl::Nanoseconds(now - transfer.last_progress_nanos) > stall_timeout_) {
      transfer.stream->Cancel(absl::DeadlineExceededError(
          StrCat("the plugin was not read for ", absl::FormatDuration(stall_timeout_))));
      return End(id);
    }
    io_.PostAfter(kDrainCheck, lifetime_.Guard([this, id] { Pump(id); }));
    return;
  }
  proto::PluginChunk chunk;
  std::string& data = *chunk.mutable_data();
  data.resize(kChunkBytes);
  absl::StatusOr<size_t> read = transfer.file->ReadAt(transfer.offset, kChunkBytes, data.data());
  if (!read.ok()) {
    transfer.stream->Cancel(read.status());
    return End(id);
  }
  if (*read == 0) {
    transfer.stream->Finish();
    return End(id);
  }
  data.resize(*read);
  transfer.offset += *read;
  transfer.last_progress_nanos = now;
  MessageBytes bytes;
  bytes.pieces.push_back(chunk.SerializeAsString());
  transfer.last_queued_bytes = queued + bytes.size();
  transfer.stream->Send(std::move(bytes));
  // Others come in between.
  io_.Post(lifetime_.Guard([this, id] { Pump(id); }));
}

void PluginServer::End(uint64_t id) {
  auto transfer = transfers_.find(id);
  if (transfer == transfers_.end()) return;
  if (!transfer->second->sha256.empty()) blobs_.Unpin(transfer->second->sha256);
  transfers_.erase(transfer);
}

}  // namespace weir::jobmanager

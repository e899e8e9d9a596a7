#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/lib/job_manager_client.h"
#include "common/env/env.h"
#include "proto/control.pb.h"

namespace weir {

// Why nobody answers, without what the layers below add to it.
std::string UnreachableCause(const absl::Status& status);

// One submission: hashes the plugin, sends the header, then the file in pieces of 1 MiB as the
// network takes them (at most kMaxQueuedBytes wait in it), then the end. Lives on `executor` until
// `done` has been called, held by its own callbacks.
class PluginUpload : public std::enable_shared_from_this<PluginUpload> {
 public:
  static constexpr size_t kChunkBytes = 1 << 20;
  static constexpr size_t kMaxQueuedBytes = 4 << 20;

  PluginUpload(Env& env, Executor& executor, const ClientOptions& options,
               std::shared_ptr<RemotePeer> peer, Submission submission,
               std::function<void(uint64_t, uint64_t)> progress, ClientCallback<JobId> done);

  void Start();

 private:
  // What the blocking steps found: a piece of the file, or its hash.
  struct FileResult {
    std::string bytes;
    std::string sha256;
    uint64_t size = 0;
  };

  // Runs `step` where blocking is allowed and `then` on the executor.
  void Blocking(std::function<absl::StatusOr<FileResult>(PluginUpload&)> step,
                void (PluginUpload::*then)(FileResult));
  absl::StatusOr<FileResult> HashFile();
  absl::StatusOr<FileResult> ReadPiece(uint64_t offset);

  void OnHashed(FileResult file);
  void OnMessage(const std::string& message);
  void OnClose(const absl::Status& status);
  void OnPiece(FileResult piece);
  void SendNext();
  void SendEnd();
  void Send(const proto::SubmitChunk& chunk);
  void ExpectAnswer();
  // Decides the outcome, once; `done` hears of it when the stream is closed.
  void Finish(absl::StatusOr<JobId> result);
  void Deliver();

  Env& env_;
  Executor& executor_;
  const ClientOptions options_;
  const std::shared_ptr<RemotePeer> peer_;
  const Submission submission_;
  const std::function<void(uint64_t, uint64_t)> progress_;
  ClientCallback<JobId> done_;  // Null once called.

  // Used by one blocking step at a time.
  std::unique_ptr<RandomAccessFile> file_;
  uint64_t file_bytes_ = 0;
  uint64_t sent_bytes_ = 0;
  size_t queued_at_last_look_ = 0;
  std::shared_ptr<MessageStream> stream_;  // Null before it is opened and after it is closed.
  std::optional<absl::StatusOr<JobId>> result_;
  bool header_answered_ = false;
  bool end_sent_ = false;
  Executor::TimerId timer_ = 0;
  bool timer_set_ = false;
};

}  // namespace weir

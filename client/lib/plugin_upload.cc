#include <algorithm>
#include <utility>

#include "client/lib/plugin_upload_internal.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/base/version.h"
#include "common/hash/sha256.h"

namespace weir {
namespace {

// How often is looked whether the network has taken what is queued.
constexpr absl::Duration kQueuePoll = absl::Milliseconds(1);

// How long the job manager may take to close a stream that has served its purpose.
constexpr absl::Duration kClosePatience = absl::Seconds(1);

}  // namespace

PluginUpload::PluginUpload(Env& env, Executor& executor, const ClientOptions& options,
                           std::shared_ptr<RemotePeer> peer, Submission submission,
                           std::function<void(uint64_t, uint64_t)> progress,
                           ClientCallback<JobId> done)
    : env_(env),
      executor_(executor),
      options_(options),
      peer_(std::move(peer)),
      submission_(std::move(submission)),
      progress_(std::move(progress)),
      done_(std::move(done)) {}

void PluginUpload::Start() {
  Blocking([](PluginUpload& self) { return self.HashFile(); }, &PluginUpload::OnHashed);
}

void PluginUpload::Blocking(std::function<absl::StatusOr<FileResult>(PluginUpload&)> step,
                            void (PluginUpload::*then)(FileResult)) {
  env_.RunBlocking([self = shared_from_this(), step = std::move(step), then]() mutable {
    auto result = step(*self);
    Executor& executor = self->executor_;
    executor.Post([self = std::move(self), result = std::move(result), then]() mutable {
      if (self->result_.has_value()) return;
      if (!result.ok()) return self->Finish(result.status());
      ((*self).*then)(*std::move(result));
    });
  });
}

absl::StatusOr<PluginUpload::FileResult> PluginUpload::HashFile() {
  WEIR_ASSIGN_OR_RETURN(file_, env_.files().OpenForRead(submission_.plugin_path));
  WEIR_ASSIGN_OR_RETURN(const uint64_t size, file_->Size());
  if (size > options_.max_plugin_bytes) {
    return absl::InvalidArgumentError(StrCat(
        "'", submission_.plugin_path, "' has ", size, " bytes; at most ", options_.max_plugin_bytes,
        " are allowed: build it without debug information, or strip it"));
  }
  Sha256 hash;
  std::string buffer(kChunkBytes, '\0');
  for (uint64_t offset = 0; offset < size;) {
    WEIR_ASSIGN_OR_RETURN(const size_t n, file_->ReadAt(offset, buffer.size(), buffer.data()));
    if (n == 0)
      return absl::AbortedError(
          StrCat("'", submission_.plugin_path, "' became shorter while it was read"));
    hash.Update(std::string_view(buffer).substr(0, n));
    offset += n;
  }
  return FileResult{.bytes = "", .sha256 = hash.Finish(), .size = size};
}

absl::StatusOr<PluginUpload::FileResult> PluginUpload::ReadPiece(uint64_t offset) {
  FileResult piece;
  piece.bytes.resize(static_cast<size_t>(std::min<uint64_t>(kChunkBytes, file_bytes_ - offset)));
  WEIR_ASSIGN_OR_RETURN(const size_t n,
                        file_->ReadAt(offset, piece.bytes.size(), piece.bytes.data()));
  if (n != piece.bytes.size()) {
    return absl::AbortedError(
        StrCat("'", submission_.plugin_path, "' became shorter while it was sent"));
  }
  return piece;
}

void PluginUpload::OnHashed(FileResult file) {
  file_bytes_ = file.size;
  stream_ = peer_->OpenStream(
      "/weir.JobManager/Submit", &executor_,
      StreamCallbacks{
          [self = shared_from_this()](std::string message) { self->OnMessage(message); },
          [self = shared_from_this()](absl::Status status) { self->OnClose(status); }});
  proto::SubmitChunk chunk;
  proto::SubmitHeader& header = *chunk.mutable_header();
  header.set_client_version(std::string(kVersion));
  *header.mutable_graph() = *submission_.graph;
  header.set_plugin_sha256(file.sha256);
  header.set_plugin_bytes(file_bytes_);
  header.mutable_arguments()->insert(submission_.arguments.begin(), submission_.arguments.end());
  header.mutable_settings()->insert(submission_.settings.begin(), submission_.settings.end());
  header.set_parallelism(submission_.graph->default_parallelism());
  header.set_job_name(submission_.graph->job_name());
  header.set_fingerprint(submission_.fingerprint);
  if (!submission_.restore_from.empty()) {
    header.mutable_restore_from()->set_path(submission_.restore_from);
    header.mutable_restore_from()->set_allow_dropped_state(submission_.allow_dropped_state);
  }
  if (chunk.ByteSizeLong() > kMaxControlMessageBytes) {
    return Finish(absl::InvalidArgumentError(StrCat("the job's graph, arguments and settings have ",
                                                    chunk.ByteSizeLong(), " bytes; at most ",
                                                    kMaxControlMessageBytes, " are allowed")));
  }
  Send(chunk);
  ExpectAnswer();
}

void PluginUpload::OnMessage(const std::string& message) {
  if (result_.has_value()) return;
  proto::SubmitResponse response;
  if (!response.ParseFromString(message)) {
    return Finish(absl::InternalError(
        "the answer of the job manager is malformed; is it of another version?"));
  }
  if (!response.job_id().empty()) return Finish(JobIdFromBytes(response.job_id()));
  if (header_answered_)
    return Finish(absl::InternalError("the job manager answered the upload without a job's id"));
  header_answered_ = true;
  if (response.plugin_known()) {
    sent_bytes_ = file_bytes_;
    return SendEnd();
  }
  SendNext();
}

void PluginUpload::OnClose(const absl::Status& status) {
  stream_ = nullptr;
  if (result_.has_value()) return Deliver();
  Finish(status.ok() ? absl::UnavailableError("the job manager ended the upload without an answer")
                     : status);
}

void PluginUpload::SendNext() {
  if (result_.has_value()) return;
  if (sent_bytes_ == file_bytes_) return SendEnd();
  const size_t queued = stream_->queued_bytes();
  if (queued + kChunkBytes > kMaxQueuedBytes) {
    // The limit is on a network that takes nothing, not on a slow one.
    if (queued < queued_at_last_look_) ExpectAnswer();
    queued_at_last_look_ = queued;
    executor_.PostAfter(kQueuePoll, [self = shared_from_this()] { self->SendNext(); });
    return;
  }
  Blocking([offset = sent_bytes_](PluginUpload& self) { return self.ReadPiece(offset); },
           &PluginUpload::OnPiece);
}

void PluginUpload::OnPiece(FileResult piece) {
  sent_bytes_ += piece.bytes.size();
  proto::SubmitChunk chunk;
  chunk.set_data(std::move(piece.bytes));
  Send(chunk);
  queued_at_last_look_ = stream_->queued_bytes();
  ExpectAnswer();
  if (progress_) progress_(sent_bytes_, file_bytes_);
  SendNext();
}

void PluginUpload::SendEnd() {
  proto::SubmitChunk chunk;
  chunk.set_end(true);
  Send(chunk);
  end_sent_ = true;
  ExpectAnswer();
}

void PluginUpload::Send(const proto::SubmitChunk& chunk) {
  MessageBytes message;
  message.pieces.push_back(chunk.SerializeAsString());
  stream_->Send(std::move(message));
}

// (Re)starts the limit on silence.
void PluginUpload::ExpectAnswer() {
  if (timer_set_) executor_.Cancel(timer_);
  timer_set_ = true;
  timer_ = executor_.PostAfter(options_.timeout, [self = shared_from_this()] {
    self->timer_set_ = false;
    self->Finish(absl::DeadlineExceededError(
        StrCat("no answer within ", absl::FormatDuration(self->options_.timeout))));
  });
}

void PluginUpload::Finish(absl::StatusOr<JobId> result) {
  if (result_.has_value()) return;
  if (timer_set_) executor_.Cancel(timer_);
  timer_set_ = false;
  if (!result.ok() &&
      (absl::IsUnavailable(result.status()) || absl::IsDeadlineExceeded(result.status()))) {
    result = absl::UnavailableError(
        StrCat("the job manager at ", options_.address,
               end_sent_ ? " was lost while it accepted the job, which may run or not (look with "
                           "'jobctl list'): "
                         : " is not reachable: ",
               UnreachableCause(result.status())));
  }
  result_ = std::move(result);
  if (stream_ == nullptr) return Deliver();
  // The stream calls back until it is closed, so that is waited for: whoever has the result may
  // destroy the executor.
  if (!result_->ok()) return stream_->Cancel(absl::CancelledError("the client gave up"));
  stream_->Finish();
  timer_set_ = true;
  timer_ = executor_.PostAfter(kClosePatience, [self = shared_from_this()] {
    self->timer_set_ = false;
    if (self->stream_ != nullptr) self->stream_->Cancel(absl::CancelledError("the upload is over"));
  });
}

void PluginUpload::Deliver() {
  if (timer_set_) executor_.Cancel(timer_);
  timer_set_ = false;
  auto done = std::exchange(done_, nullptr);
  if (done != nullptr) done(*std::move(result_));
}

}  // namespace weir

#include "connectors/output/encoding_sink.h"

#include <utility>

#include "common/base/status_macros.h"

namespace weir {

EncodingSink::EncodingSink(Env& env, Encoder encoder, TargetFactory make_target)
    : env_(env), encoder_(std::move(encoder)), make_target_(std::move(make_target)) {}

EncodingSink::~EncodingSink() { Close(); }

absl::Status EncodingSink::Open(OperatorContext& context) {
  WEIR_ASSIGN_OR_RETURN(std::unique_ptr<OutputTarget> target, make_target_(context));
  writer_ = BackgroundWriter::Make(env_, std::move(target), kMaxPendingBytes,
                                   [&context] { context.WakeNow(); });
  writer_->Start();
  return absl::OkStatus();
}

absl::Status EncodingSink::Write(BatchBase& batch) {
  encoder_(batch, buffer_);
  batch.Clear();
  if (buffer_.size() < kBufferBytes) return writer_->status();
  return writer_->Append(buffer_);
}

absl::Status EncodingSink::Flush() {
  return buffer_.empty() ? writer_->status() : writer_->Append(buffer_);
}

absl::StatusOr<bool> EncodingSink::Finish() {
  WEIR_RETURN_IF_ERROR(Flush());
  return writer_->Finish();
}

void EncodingSink::Close() {
  if (writer_ != nullptr) writer_->Close();
}

}  // namespace weir

#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/env/env.h"
#include "connectors/output/background_writer.h"
#include "weir/source.h"

namespace weir {

// Encodes records as text on the task's thread and writes them in the background, in pieces of
// about kBufferBytes and with at most kMaxPendingBytes waiting. Owned by the task's thread; `env`
// outlives it.
class EncodingSink final : public SinkWriter {
 public:
  static constexpr size_t kBufferBytes = 256 << 10;
  static constexpr size_t kMaxPendingBytes = 4 << 20;

  // Appends the text of all records of a batch.
  using Encoder = std::function<void(const BatchBase& batch, std::string& out)>;
  // Called in Open: where this subtask writes, or why it cannot. Does not block.
  using TargetFactory =
      std::function<absl::StatusOr<std::unique_ptr<OutputTarget>>(const OperatorContext& context)>;

  EncodingSink(Env& env, Encoder encoder, TargetFactory make_target);
  ~EncodingSink() override;

  absl::Status Open(OperatorContext& context) override;
  absl::Status Write(BatchBase& batch) override;
  bool Blocked() const override { return writer_->blocked(); }
  absl::Status Flush() override;
  absl::StatusOr<bool> Finish() override;
  void Close() override;

 private:
  Env& env_;
  const Encoder encoder_;
  const TargetFactory make_target_;
  std::shared_ptr<BackgroundWriter> writer_;
  std::string buffer_;
};

}  // namespace weir

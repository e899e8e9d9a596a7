#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/env/env.h"
#include "connectors/files/bucket_format.h"
#include "connectors/files/files_committer.h"
#include "connectors/files/part_files.h"
#include "connectors/files/sink_folder.h"
#include "connectors/output/background_work.h"
#include "weir/connectors.h"
#include "weir/source.h"

namespace weir {

// Writes records as text to files that nobody sees before they are committed. A file is in progress
// under a hidden name, of which there is one for each bucket; it ends when it is large or old
// enough, and at each checkpoint and the end of the input in any case; then it is synced, and a
// committable; the committer gives it its visible name. So a file holds records between two
// checkpoints only, and all of them or none.
//
// Text is made on the task's thread, which owns it, and written in the background in pieces of
// about kBufferBytes, with at most kMaxPendingBytes waiting.
class FilesSink final : public SinkWriter {
 public:
  static constexpr size_t kBufferBytes = 256 << 10;
  static constexpr size_t kMaxPendingBytes = 4 << 20;
  // Files in progress at a time; with more, the one that was written to least lately ends.
  static constexpr size_t kMaxOpenFiles = 64;

  struct Options {
    // Of the sink; "" for the working folder.
    std::string folder;
    // The one file that is written, or empty: parts in the folder.
    std::string file;
    std::string extension;
    // What each file begins with.
    std::string head;
    // Appends the text of records [begin, end) of a batch.
    std::function<void(const BatchBase& batch, size_t begin, size_t end, std::string& out)> encode;
    std::optional<BucketFormat> bucket;
    FileRolling roll;
    bool overwrite = false;
  };

  // `env` outlives it.
  FilesSink(Env& env, Options options);
  ~FilesSink() override;

  absl::Status Open(OperatorContext& context) override;
  absl::Status Write(BatchBase& batch) override;
  bool Blocked() const override { return work_->blocked(); }
  absl::Status Flush() override;
  absl::StatusOr<bool> Finish() override;
  void Close() override;
  std::unique_ptr<Committer> MakeCommitter() override;
  absl::StatusOr<bool> PrepareCommit(uint64_t checkpoint,
                                     std::vector<std::string>& committables) override;

 private:
  // In progress.
  struct Part {
    uint64_t id = 0;
    std::string buffer;
    FileCommittable file;
    int64_t begun_nanos = 0;
    int64_t written_nanos = 0;
  };
  using Parts = std::map<std::string, Part, std::less<>>;

  std::string InFolder(std::string_view name) const;
  absl::Status CheckOptions() const;
  absl::StatusOr<Part*> PartOf(std::string_view bucket);
  absl::Status WriteToBuckets(const BatchBase& batch);
  void Append(Part& part, const BatchBase& batch, size_t begin, size_t end, int64_t now);
  void Push(Part& part);
  Parts::iterator End(Parts::iterator part);
  // Ends those that are large, old or idle enough.
  void Roll(int64_t now);
  void ReportVanished();

  Env& env_;
  const Options options_;
  std::optional<BucketFormat> bucket_;
  OperatorContext* context_ = nullptr;
  // Names of files are made of it where those of several attempts lie in one folder.
  std::string token_;
  bool plain_names_ = false;
  HiddenFileOwner owner_;
  std::string hidden_folder_;
  std::shared_ptr<BackgroundWork> work_;
  // Of the background work.
  std::shared_ptr<PartFiles> files_;
  const FilesCommitter::Vanished vanished_ = std::make_shared<std::atomic<uint64_t>>(0);

  // By bucket.
  Parts parts_;
  // Ended, and synced when the work until then is done.
  std::vector<FileCommittable> ended_;
  uint64_t next_id_ = 0;
  // Files with an id below may be in a snapshot.
  uint64_t handed_over_ = 0;
  uint64_t last_work_ = 0;
  // What PrepareCommit has begun and not given yet.
  struct Preparing {
    std::vector<FileCommittable> files;
    uint64_t until_work = 0;
    // Of all files that come later.
    uint64_t next_id = 0;
  };
  std::optional<Preparing> preparing_;
};

// A sink that writes records of `type` to files as weir::Files says. kInvalidArgument if the type,
// the path or the bucket does not allow it. `env` and `type` outlive it.
absl::StatusOr<std::unique_ptr<SinkWriter>> MakeFilesSink(Env& env, const Files& settings,
                                                          const RecordType& type);

}  // namespace weir

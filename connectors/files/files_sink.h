#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/env/env.h"
#include "connectors/output/background_writer.h"
#include "weir/connectors.h"
#include "weir/source.h"

namespace weir {

// One file of a sink, under a hidden name of its own until Commit, which syncs it and renames it.
//
// Runs are not mixed: without `overwrite`, Open refuses a folder with anything in it that no
// subtask of this run writes, and a file that exists. What another subtask of this run has finished
// already is no hindrance; each looks for its own. With `overwrite`, Open deletes this subtask's
// old parts, and subtask 0 those of subtasks that this run does not have.
class FileTarget final : public OutputTarget {
 public:
  struct Options {
    std::string folder;    // "" for the working folder
    std::string name;      // of the finished file
    std::string head;      // what the file begins with
    bool is_part = false;  // one of the parts part-<subtask>-<n> of a folder, not a single file
    uint32_t subtask = 0;
    uint32_t parallelism = 1;
    bool overwrite = false;
  };

  FileTarget(Env& env, Options options);

  absl::Status Open() override;
  absl::Status Write(std::string_view data) override;
  absl::Status Commit() override;
  void Abandon() override;

 private:
  std::string InFolder(std::string_view name) const;
  absl::Status CheckOldParts();
  absl::Status CheckOldFile();
  absl::Status WriteError(const absl::Status& status) const;

  Env& env_;
  const Options options_;
  const std::string path_;
  std::string in_progress_path_;
  // The hidden file exists.
  bool created_ = false;
  std::unique_ptr<WritableFile> file_;
  uint64_t written_bytes_ = 0;
};

// A sink that writes records of `type` to files as weir::Files says. kInvalidArgument if the type
// or the path does not allow it. `env` and `type` outlive it.
absl::StatusOr<std::unique_ptr<SinkWriter>> MakeFilesSink(Env& env, const Files& settings,
                                                          const RecordType& type);

}  // namespace weir

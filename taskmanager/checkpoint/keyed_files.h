#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "common/env/file_system.h"
#include "runtime/task_state.h"
#include "state/snapshot/state_file_reader.h"

namespace weir {

// Key groups of one state in state files, each read by the task that takes it up, in order, with
// the disk some way ahead of it.
class KeyGroupsInFiles final : public StoredKeyGroups {
 public:
  // `files` outlives it.
  explicit KeyGroupsInFiles(FileSystem& files) : files_(files) {}

  // `entries` are of a section of `file` of that kind; changes follow what they build on.
  void Add(std::shared_ptr<const StateFileReader> file,
           std::span<const StateFileReader::Entry> entries, StateKind kind);

  absl::Status ForEach(
      absl::FunctionRef<absl::Status(uint32_t, std::string_view, bool)> use) override;
  absl::StatusOr<std::shared_ptr<KeyedStateParts>> TakeParts() override;

 private:
  struct Section {
    std::shared_ptr<const StateFileReader> file;
    std::span<const StateFileReader::Entry> entries;
    StateKind kind = StateKind::kKeyed;
  };
  absl::Status ReadSection(const Section& section, std::string& buffer,
                           absl::FunctionRef<absl::Status(uint32_t, std::string_view, bool)> use);

  FileSystem& files_;
  std::vector<Section> sections_;
};

}  // namespace weir

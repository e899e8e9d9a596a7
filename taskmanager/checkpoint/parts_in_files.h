#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/env/file_system.h"
#include "state/snapshot/part_index.h"
#include "state/snapshot/state_file_reader.h"
#include "weir/operator.h"

namespace weir {

// The parts of one state's key groups in state files, each read and checked when it is taken. The
// files stay open, so that they may be deleted meanwhile.
class PartsInFiles final : public KeyedStateParts {
 public:
  struct KeyGroup {
    std::shared_ptr<const StateFileReader> file;
    StateFileReader::Entry entry;
    StateKind kind = StateKind::kKeyedSlotParts;
  };
  // `groups` ascend. Errors are the file system's.
  static absl::StatusOr<std::unique_ptr<PartsInFiles>> Open(FileSystem& files,
                                                            std::vector<KeyGroup> groups);

  Part Take(uint32_t key_group, uint64_t hash) override;
  void WillTake(std::span<const Place> places) override;
  Part TakeNext() override;
  void Drop(uint32_t key_group) override;
  bool all_taken() const override { return left_ == 0; }
  [[noreturn]] void Fail(absl::Status why) override;

 private:
  struct Handle {
    // Closed when nothing is left in it.
    std::unique_ptr<RandomAccessFile> file;
    size_t groups_left = 0;
  };
  struct Group {
    KeyGroup of;
    Handle* handle = nullptr;
    // Empty until a part is taken.
    PartIndex index;
    std::vector<bool> taken;
    uint32_t left = 0;
    bool read = false;
    // The disk was told that the index will be read.
    bool told = false;
    bool done = false;
  };

  PartsInFiles() = default;
  // Null if it has none or nothing is left of it.
  Group* Find(uint32_t key_group);
  // Has the index.
  void Ready(Group& group);
  // The number of the part with the keys of this hash, once it is ready.
  static uint32_t PartOf(const Group& group, uint64_t hash);
  // The index is needed soon.
  void WillBeReady(Group& group);
  Part TakePart(Group& group, uint32_t number, std::string_view bytes);
  void Finish(Group& group);
  // Throws unless the status is OK.
  void Check(const absl::Status& status, const Group& group);
  // TakeNext is about to read at `offset` of its group: what it reads then, and in the groups after
  // it, is to be on its way from the disk.
  void TellDisk(uint64_t offset);
  void ReadInto(const Group& group, uint64_t offset, uint64_t size, std::string& bytes);
  // Throws unless it was read, all of it.
  void CheckRead(const absl::Status& status, bool all, const Group& group);

  std::vector<Group> groups_;
  std::deque<Handle> handles_;
  // Groups of which parts are left.
  size_t left_ = 0;
  // Where TakeNext is, and what it has read ahead of the group.
  size_t next_group_ = 0;
  uint32_t next_part_ = 0;
  std::string_view ahead_;
  std::string buffer_;
  uint64_t ahead_from_ = 0;
  // The disk was told of all before this place of this group.
  size_t hint_group_ = 0;
  uint64_t hinted_ = 0;
  std::string bytes_;
  absl::Status failed_;
};

}  // namespace weir

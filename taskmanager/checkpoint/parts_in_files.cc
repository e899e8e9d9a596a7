#include "taskmanager/checkpoint/parts_in_files.h"

#include <algorithm>
#include <map>
#include <utility>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "runtime/task_state.h"
#include "state/snapshot/storage_error.h"

namespace weir {
namespace {

// What is read at once in the background, and how much the disk is told of beforehand, in what
// pieces.
constexpr uint64_t kAheadBytes = 256 << 10;
constexpr uint64_t kHintBytes = 16 << 20;
constexpr uint64_t kHintPiece = 2 << 20;

// What is read of a key group first, by its size: its index if its parts have at least 2 KiB in the
// middle, as those have that are written.
constexpr uint64_t FirstRead(uint64_t bytes) { return std::min<uint64_t>(bytes, 64 + bytes / 128); }

}  // namespace

absl::StatusOr<std::unique_ptr<PartsInFiles>> PartsInFiles::Open(FileSystem& files,
                                                                 std::vector<KeyGroup> groups) {
  std::unique_ptr<PartsInFiles> parts(new PartsInFiles());
  std::map<const StateFileReader*, Handle*> handles;
  for (KeyGroup& group : groups) {
    Handle*& handle = handles[group.file.get()];
    if (handle == nullptr) {
      auto opened = files.OpenForRead(group.file->path());
      if (!opened.ok()) return StorageError(opened.status(), "reading a state file");
      handle = &parts->handles_.emplace_back(Handle{.file = *std::move(opened)});
    }
    Group& added = parts->groups_.emplace_back();
    added.of = std::move(group);
    added.handle = handle;
    ++handle->groups_left;
  }
  parts->left_ = parts->groups_.size();
  return parts;
}

void PartsInFiles::Fail(absl::Status why) {
  if (failed_.ok()) failed_ = std::move(why);
  throw LateRestoreError(failed_);
}

void PartsInFiles::Check(const absl::Status& status, const Group& group) {
  if (status.ok()) return;
  if (status.code() != absl::StatusCode::kDataLoss) Fail(status);
  Fail(absl::DataLossError(StrCat("state file '", group.of.file->path(), "' is damaged: key group ",
                                  group.of.entry.key_group, ": ", ToStd(status.message()))));
}

void PartsInFiles::ReadInto(const Group& group, uint64_t offset, uint64_t size,
                            std::string& bytes) {
  bytes.resize(size);
  const auto got = group.handle->file->ReadAt(group.of.entry.offset + offset, size, bytes.data());
  CheckRead(got.status(), got.ok() && *got == size, group);
}

void PartsInFiles::CheckRead(const absl::Status& status, bool all, const Group& group) {
  if (!status.ok()) Fail(StorageError(status, "reading a state file"));
  if (!all) Check(absl::DataLossError("it became shorter while it was read"), group);
}

void PartsInFiles::Ready(Group& group) {
  if (!failed_.ok()) Fail(failed_);
  if (group.read) return;
  const uint64_t payload = group.of.entry.bytes;
  std::string bytes;
  ReadInto(group, 0, FirstRead(payload), bytes);
  const absl::StatusOr<size_t> size = PartIndex::SizeOf(bytes, group.of.kind);
  Check(size.status(), group);
  if (*size > bytes.size()) ReadInto(group, 0, std::min<uint64_t>(payload, *size), bytes);
  bytes.resize(std::min(bytes.size(), *size));
  absl::StatusOr<PartIndex> index = PartIndex::Parse(bytes, group.of.kind, payload);
  Check(index.status(), group);
  group.index = *std::move(index);
  group.taken.assign(group.index.parts.size(), false);
  group.left = static_cast<uint32_t>(group.index.parts.size());
  group.read = true;
}

void PartsInFiles::WillBeReady(Group& group) {
  if (group.read || std::exchange(group.told, true)) return;
  group.handle->file->WillReadAt(group.of.entry.offset, FirstRead(group.of.entry.bytes));
}

void PartsInFiles::Finish(Group& group) {
  if (std::exchange(group.done, true)) return;
  group.index = {};
  group.taken = {};
  --group.handle->groups_left;
  --left_;
}

KeyedStateParts::Part PartsInFiles::TakePart(Group& group, uint32_t number,
                                             std::string_view bytes) {
  const PartIndex::Part& part = group.index.parts[number];
  if (Hash64(bytes) != part.digest) {
    Check(absl::DataLossError(StrCat("the part of ", part.bytes, " bytes at ",
                                     group.of.entry.offset + part.offset, " has a wrong digest")),
          group);
  }
  Part taken{.key_group = group.of.entry.key_group,
             .parts = {group.index.bits, group.index.shift},
             .number = number,
             .bytes = bytes,
             .entries = group.index.entries};
  group.taken[number] = true;
  if (--group.left == 0) Finish(group);
  return taken;
}

PartsInFiles::Group* PartsInFiles::Find(uint32_t key_group) {
  const auto found = std::partition_point(groups_.begin(), groups_.end(), [&](const Group& group) {
    return group.of.entry.key_group < key_group;
  });
  if (found == groups_.end() || found->of.entry.key_group != key_group || found->done)
    return nullptr;
  return &*found;
}

uint32_t PartsInFiles::PartOf(const Group& group, uint64_t hash) {
  const PartBits parts{group.index.bits, group.index.shift};
  return parts.PartOf(static_cast<uint32_t>(hash));
}

void PartsInFiles::WillTake(std::span<const Place> places) {
  for (const Place& place : places) {
    if (Group* const group = Find(place.key_group); group != nullptr) WillBeReady(*group);
  }
  for (const Place& place : places) {
    Group* const group = Find(place.key_group);
    if (group == nullptr) continue;
    Ready(*group);
    const uint32_t number = PartOf(*group, place.hash);
    if (group->taken[number]) continue;
    const PartIndex::Part& part = group->index.parts[number];
    group->handle->file->WillReadAt(group->of.entry.offset + part.offset, part.bytes);
  }
}

KeyedStateParts::Part PartsInFiles::Take(uint32_t key_group, uint64_t hash) {
  Group* const found = Find(key_group);
  if (found == nullptr) return {};
  Ready(*found);
  const uint32_t number = PartOf(*found, hash);
  if (found->taken[number]) return {};
  const PartIndex::Part& part = found->index.parts[number];
  ReadInto(*found, part.offset, part.bytes, bytes_);
  return TakePart(*found, number, bytes_);
}

void PartsInFiles::TellDisk(uint64_t offset) {
  if (hint_group_ < next_group_) {
    hint_group_ = next_group_;
    hinted_ = 0;
  }
  if (hint_group_ == next_group_) hinted_ = std::max(hinted_, offset);
  uint64_t told = hinted_;
  for (size_t i = next_group_; i < hint_group_; ++i)
    told += groups_[i].done ? 0 : groups_[i].of.entry.bytes;
  while (told < offset + kHintBytes && hint_group_ < groups_.size()) {
    const Group& group = groups_[hint_group_];
    const uint64_t left = group.done ? 0 : group.of.entry.bytes - hinted_;
    if (left == 0) {
      ++hint_group_;
      hinted_ = 0;
      continue;
    }
    const uint64_t piece = std::min(left, kHintPiece);
    WillBeReady(groups_[hint_group_]);
    group.handle->file->WillRead(group.of.entry.offset + hinted_, piece);
    hinted_ += piece;
    told += piece;
  }
}

KeyedStateParts::Part PartsInFiles::TakeNext() {
  while (next_group_ < groups_.size() && groups_[next_group_].done) {
    ahead_from_ = 0;
    ahead_ = {};
    Handle& handle = *groups_[next_group_].handle;
    if (handle.groups_left == 0) handle.file.reset();
    ++next_group_;
    next_part_ = 0;
  }
  WEIR_CHECK(next_group_ < groups_.size());
  Group& group = groups_[next_group_];
  Ready(group);
  while (group.taken[next_part_]) ++next_part_;
  const uint32_t number = next_part_;
  const PartIndex::Part part = group.index.parts[number];
  if (part.offset < ahead_from_ || part.offset + part.bytes > ahead_from_ + ahead_.size()) {
    const uint64_t payload = group.of.entry.bytes;
    TellDisk(part.offset);
    ahead_from_ = part.offset;
    const uint64_t size =
        std::min(payload - part.offset, std::max<uint64_t>(kAheadBytes, part.bytes));
    const auto read =
        group.handle->file->ReadInOrder(group.of.entry.offset + part.offset, size, buffer_);
    CheckRead(read.status(), read.ok() && read->size() == size, group);
    ahead_ = *read;
  }
  return TakePart(group, number, ahead_.substr(part.offset - ahead_from_, part.bytes));
}

void PartsInFiles::Drop(uint32_t key_group) {
  for (Group& group : groups_) {
    if (group.of.entry.key_group == key_group) Finish(group);
  }
}

}  // namespace weir

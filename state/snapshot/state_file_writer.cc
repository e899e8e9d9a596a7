#include "state/snapshot/state_file_writer.h"

#include <utility>

#include "common/base/check.h"
#include "common/base/little_endian.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/checkpoint.pb.h"
#include "state/snapshot/storage_error.h"

namespace weir {
namespace {

// A piece is read three times while it is in the processor's cache: for its digests and by the
// file.
constexpr size_t kBufferBytes = 256 << 10;

void AppendText(std::string& out, std::string_view text) {
  AppendLittleEndian(out, static_cast<uint32_t>(text.size()));
  out.append(text);
}

}  // namespace

absl::StatusOr<std::unique_ptr<StateFileWriter>> StateFileWriter::Create(FileSystem& files,
                                                                         const std::string& folder,
                                                                         const std::string& name,
                                                                         uint32_t version) {
  auto file = files.OpenForWrite(StrCat(folder, "/", name), FileSystem::WriteMode::kCreateNew);
  if (!file.ok()) return StorageError(file.status(), "making a state file");
  auto writer =
      std::unique_ptr<StateFileWriter>(new StateFileWriter(files, folder, name, *std::move(file)));
  writer->file_->NotReadSoon();
  std::string header(kStateFileMagic);
  AppendLittleEndian(header, version);
  AppendLittleEndian(header, uint32_t{0});
  WEIR_RETURN_IF_ERROR(writer->Write(header));
  return writer;
}

StateFileWriter::StateFileWriter(FileSystem& files, std::string folder, std::string name,
                                 std::unique_ptr<WritableFile> file)
    : files_(files),
      folder_(std::move(folder)),
      name_(std::move(name)),
      file_(std::move(file)),
      directory_(sizeof(uint32_t), '\0') {}

absl::Status StateFileWriter::BeginSection(const StateSection& section) {
  WEIR_RETURN_IF_ERROR(EndEntry());
  EndSection();
  if (!section_names_.insert({section.uid, section.state, NameSpaceOf(section.kind)}).second) {
    return Fail(absl::InvalidArgumentError(StrCat("operator '", section.uid,
                                                  "' has two states with the name '", section.state,
                                                  "'; give one of them another")));
  }
  AppendText(directory_, section.uid);
  AppendText(directory_, section.state);
  AppendText(directory_, section.type);
  directory_.push_back(static_cast<char>(section.kind));
  entry_count_at_ = directory_.size();
  AppendLittleEndian(directory_, uint32_t{0});
  section_ = section;
  ++section_count_;
  return CheckDirectorySize();
}

absl::Status StateFileWriter::BeginKeyGroup(uint32_t key_group) {
  WEIR_RETURN_IF_ERROR(EndEntry());
  WEIR_CHECK(section_.has_value() && IsKeyed(section_->kind));
  WEIR_CHECK(!last_key_group_.has_value() || *last_key_group_ < key_group);
  last_key_group_ = key_group;
  in_entry_ = true;
  entry_offset_ = offset_;
  return absl::OkStatus();
}

absl::Status StateFileWriter::BeginItem() {
  WEIR_RETURN_IF_ERROR(EndEntry());
  WEIR_CHECK(section_.has_value() && !IsKeyed(section_->kind));
  in_entry_ = true;
  entry_offset_ = offset_;
  return absl::OkStatus();
}

absl::Status StateFileWriter::Append(std::string_view piece) {
  WEIR_RETURN_IF_ERROR(status_);
  WEIR_CHECK(in_entry_);
  while (!piece.empty()) {
    const std::string_view part = piece.substr(0, kBufferBytes);
    piece.remove_prefix(part.size());
    entry_hash_.Append(part);
    WEIR_RETURN_IF_ERROR(Write(part));
  }
  return absl::OkStatus();
}

absl::Status StateFileWriter::EndEntry() {
  WEIR_RETURN_IF_ERROR(status_);
  WEIR_CHECK(!finished_);
  if (!in_entry_) return absl::OkStatus();
  in_entry_ = false;
  const bool keyed = IsKeyed(section_->kind);
  const uint64_t bytes = offset_ - entry_offset_;
  if (!keyed || bytes > 0) {
    if (keyed) AppendLittleEndian(directory_, *last_key_group_);
    AppendLittleEndian(directory_, entry_offset_);
    AppendLittleEndian(directory_, bytes);
    AppendLittleEndian(directory_, entry_hash_.Digest());
    ++entry_count_;
  }
  entry_hash_.Reset();
  return CheckDirectorySize();
}

absl::Status StateFileWriter::CheckDirectorySize() {
  if (directory_.size() <= kMaxStateFileDirectoryBytes) return absl::OkStatus();
  return Fail(absl::OutOfRangeError(
      StrCat("state '", section_->state, "' of operator '", section_->uid, "' with ", entry_count_,
             " items makes the directory longer than ", kMaxStateFileDirectoryBytes, " bytes")));
}

void StateFileWriter::EndSection() {
  if (!section_.has_value()) return;
  std::string count;
  AppendLittleEndian(count, entry_count_);
  directory_.replace(entry_count_at_, count.size(), count);
  section_.reset();
  entry_count_ = 0;
  last_key_group_.reset();
}

absl::StatusOr<proto::StateFile> StateFileWriter::Finish() {
  WEIR_RETURN_IF_ERROR(EndEntry());
  EndSection();
  std::string count;
  AppendLittleEndian(count, section_count_);
  directory_.replace(0, count.size(), count);
  std::string footer;
  AppendLittleEndian(footer, offset_);
  AppendLittleEndian(footer, uint64_t{directory_.size()});
  AppendLittleEndian(footer, Hash64(directory_));
  footer.append(kStateFileEndMagic);
  WEIR_RETURN_IF_ERROR(Write(directory_));
  WEIR_RETURN_IF_ERROR(Write(footer));
  WEIR_RETURN_IF_ERROR(Close());
  finished_ = true;
  proto::StateFile result;
  result.set_name(name_);
  result.set_bytes(offset_);
  result.set_digest(file_hash_.Digest());
  return result;
}

absl::Status StateFileWriter::Write(std::string_view bytes) {
  offset_ += bytes.size();
  if (buffer_.size() + bytes.size() < kBufferBytes) {
    buffer_.append(bytes);
    return absl::OkStatus();
  }
  WEIR_RETURN_IF_ERROR(Flush(buffer_));
  buffer_.clear();
  if (bytes.size() >= kBufferBytes) return Flush(bytes);
  buffer_.append(bytes);
  return absl::OkStatus();
}

absl::Status StateFileWriter::Flush(std::string_view bytes) {
  file_hash_.Append(bytes);
  return Fail(file_->Append(bytes));
}

absl::Status StateFileWriter::Close() {
  WEIR_RETURN_IF_ERROR(Flush(buffer_));
  WEIR_RETURN_IF_ERROR(Fail(file_->Sync()));
  WEIR_RETURN_IF_ERROR(Fail(file_->Close()));
  return Fail(files_.SyncDirectory(folder_));
}

absl::Status StateFileWriter::Fail(absl::Status status) {
  if (!status.ok()) {
    status_ = StorageError(status, StrCat("writing the state file '", folder_, "/", name_, "'"));
  }
  return status_;
}

}  // namespace weir

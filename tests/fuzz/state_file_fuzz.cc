// State files: any bytes are either refused, whole or entry by entry, or are what a writer makes of
// the same sections and entries.
#include <algorithm>
#include <cstring>
#include <string>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/little_endian.h"
#include "common/env/sim/sim_env.h"
#include "common/env/sim/sim_world.h"
#include "proto/checkpoint.pb.h"
#include "state/snapshot/part_index.h"
#include "state/snapshot/state_file_reader.h"
#include "state/snapshot/state_file_writer.h"
#include "tests/fuzz/fuzz_target.h"

namespace weir {
namespace {

class Disk {
 public:
  FileSystem& files() { return env_.files(); }
  void Put(const std::string& path, std::string_view content) {
    auto file = files().OpenForWrite(path, FileSystem::WriteMode::kTruncate);
    WEIR_CHECK(file.ok() && (*file)->Append(content).ok());
  }

 private:
  SimWorld world_;
  SimEnv& env_ = world_.StartProcess("a");
};

void PutDigest(std::string& bytes, size_t at, std::string_view of) {
  std::string digest;
  AppendLittleEndian(digest, Hash64(of));
  bytes.replace(at, digest.size(), digest);
}

// Makes the digests right, as far as the directory makes sense: else no changed file would get past
// them.
std::string WithDigests(std::string file) {
  if (file.size() < kStateFileHeaderBytes + kStateFileFooterBytes) return file;
  const size_t end = file.size() - kStateFileFooterBytes;
  const auto number = [&](size_t at) { return LoadLittleEndian<uint64_t>(file.data() + at); };
  const auto small = [&](size_t at) { return LoadLittleEndian<uint32_t>(file.data() + at); };
  const size_t directory = number(end);
  if (directory > end || number(end + 8) != end - directory) return file;
  size_t at = directory + 4;
  while (at + 4 <= end) {
    for (int text = 0; text < 3 && at + 4 <= end; ++text) at += 4 + size_t{small(at)};
    if (at + 5 > end) break;
    const size_t group_bytes = IsKeyed(static_cast<StateKind>(file[at])) ? 4 : 0;
    uint32_t entries = small(at + 1);
    at += 5;
    for (; entries > 0 && at + group_bytes + 24 <= end; --entries) {
      at += group_bytes;
      const size_t begin = number(at), length = number(at + 8);
      if (begin <= directory && length <= directory - begin) {
        PutDigest(file, at + 16, std::string_view(file).substr(begin, length));
      }
      at += 24;
    }
  }
  PutDigest(file, end + 16, std::string_view(file).substr(directory, end - directory));
  return file;
}

void CheckError(const absl::Status& status) {
  WEIR_CHECK(status.code() == absl::StatusCode::kDataLoss ||
             status.code() == absl::StatusCode::kFailedPrecondition);
  WEIR_CHECK(status.message().find("'/in'") != std::string::npos);
}

// An index of parts is refused, or says where they are.
void ReadParts(std::string bytes, StateKind kind) {
  const auto size = PartIndex::SizeOf(bytes, kind);
  if (!size.ok() || *size > bytes.size()) return;
  PutDigest(bytes, *size - 8, std::string_view(bytes).substr(0, *size - 8));
  const auto index = PartIndex::Parse(std::string_view(bytes).substr(0, *size), kind, bytes.size());
  if (!index.ok()) return;
  uint64_t next = *size;
  for (const PartIndex::Part& part : index->parts) {
    WEIR_CHECK_EQ(part.offset, next);
    next += part.bytes;
  }
  WEIR_CHECK_EQ(next, bytes.size());
}

// Writes what `reader` has to "/out"; false if an entry is refused.
bool Copy(StateFileReader& reader, StateFileWriter& writer) {
  std::string bytes;
  for (const auto& section : reader.sections()) {
    WEIR_CHECK(section.info.kind == StateKind::kInFlight ||
               reader.Find(section.info.uid, section.info.state,
                           IsKeyed(section.info.kind)) == &section);
    WEIR_CHECK(writer.BeginSection(section.info).ok());
    for (const auto& entry : section.entries) {
      const absl::Status status = reader.Read(entry, bytes);
      if (!status.ok()) {
        CheckError(status);
        WEIR_CHECK(bytes.empty());
        return false;
      }
      WEIR_CHECK_EQ(bytes.size(), entry.bytes);
      if (IsInParts(section.info.kind)) ReadParts(bytes, section.info.kind);
      WEIR_CHECK((IsKeyed(section.info.kind) ? writer.BeginKeyGroup(entry.key_group)
                                                         : writer.BeginItem())
                     .ok());
      WEIR_CHECK(writer.Append(bytes).ok());
    }
  }
  return true;
}

bool Run(std::string_view input) {
  static Disk& disk = *new Disk();
  disk.Put("/in", input);
  auto reader = StateFileReader::Open(disk.files(), "/in");
  if (!reader.ok()) {
    CheckError(reader.status());
    return false;
  }
  WEIR_CHECK(disk.files().DeleteRecursively("/out").ok());
  uint32_t version = 1;
  for (const auto& section : (*reader)->sections()) {
    version = std::max(version, StateFileVersionOf(section.info.kind));
  }
  auto writer = StateFileWriter::Create(disk.files(), "/", "out", version);
  WEIR_CHECK(writer.ok());
  if (!Copy(**reader, **writer)) return false;
  const auto file = (*writer)->Finish();
  WEIR_CHECK(file.ok());
  WEIR_CHECK(*ReadFile(disk.files(), "/out", 1 << 20) == input);
  WEIR_CHECK_EQ(file->digest(), Hash64(input));
  return true;
}

}  // namespace
}  // namespace weir

bool RunOneInput(std::string_view input) {
  const bool accepted = weir::Run(input);
  return weir::Run(weir::WithDigests(std::string(input))) || accepted;
}

// Directories and footers that no writer makes. Damage of whole files: tests/formats.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/hash.h"
#include "common/base/little_endian.h"
#include "common/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "state/snapshot/state_file_reader.h"
#include "state/testing/file_systems.h"

namespace weir {
namespace {

using testing::HasSubstr;

std::string Message(const absl::Status& status) { return std::string(ToStd(status.message())); }

// A file with one section, as a faulty writer would make it: what a test changes has a right
// digest.
struct Crafted {
  struct Entry {
    uint32_t key_group;
    uint64_t offset;
    uint64_t bytes;
  };
  uint32_t version = 1;
  uint32_t flags = 0;
  uint32_t sections = 1;
  uint32_t uid_bytes = 1;
  uint8_t kind = 1;
  uint32_t entry_count = 2;
  std::vector<Entry> entries = {{3, 16, 4}, {4, 20, 5}};
  std::string payload = "fourfive!";
  std::string after_directory = {};

  std::string File() const {
    std::string section;
    AppendLittleEndian(section, uid_bytes);
    section += 'a';
    for (const char text : {'s', 't'}) {
      AppendLittleEndian(section, uint32_t{1});
      section += text;
    }
    AppendLittleEndian(section, kind);
    AppendLittleEndian(section, entry_count);
    for (const Entry& entry : entries) {
      if (kind == 1) AppendLittleEndian(section, entry.key_group);
      AppendLittleEndian(section, entry.offset);
      AppendLittleEndian(section, entry.bytes);
      const bool inside = entry.offset >= 16 && entry.offset - 16 <= payload.size();
      AppendLittleEndian(
          section,
          Hash64(inside ? std::string_view(payload).substr(entry.offset - 16, entry.bytes) : ""));
    }
    std::string directory;
    AppendLittleEndian(directory, sections);
    for (uint32_t i = 0; i < std::min(sections, 2u); ++i) directory += section;
    directory += after_directory;
    std::string file = "WEIRSTF\n";
    AppendLittleEndian(file, version);
    AppendLittleEndian(file, flags);
    file += payload;
    const uint64_t offset = file.size();
    file += directory;
    AppendLittleEndian(file, offset);
    AppendLittleEndian(file, uint64_t{directory.size()});
    AppendLittleEndian(file, Hash64(directory));
    return file + "WEIREND\n";
  }
};

class StateFileDamageTest : public testing::Test {
 protected:
  void Overwrite(std::string_view content) {
    ASSERT_TRUE(WriteFileAtomically(disk_.files(), path_, content).ok());
  }
  absl::StatusOr<std::unique_ptr<StateFileReader>> Open() {
    return StateFileReader::Open(disk_.files(), path_);
  }

  SimulatedFiles disk_;
  const std::string path_ = disk_.folder() + "/f";
};

TEST_F(StateFileDamageTest, ADirectoryThatMakesNoSenseIsRefusedEvenIfItsDigestIsRight) {
  Overwrite(Crafted().File());
  const auto good = Open();
  ASSERT_TRUE(good.ok()) << good.status();
  std::string bytes;
  ASSERT_TRUE((*good)->Read((*good)->sections()[0].entries[1], bytes).ok());
  EXPECT_EQ(bytes, "five!");
  const std::string entry = "an entry of ";
  const std::vector<std::pair<std::string, Crafted>> cases = {
      {"format version 0", {.version = 0}},
      {"unknown flags", {.flags = 1}},
      {"directory is truncated", {.sections = 1'000'000'000}},
      {"directory is truncated", {.uid_bytes = 0xffffffff}},
      {"directory is truncated", {.entry_count = 0xffffffff}},
      {"directory is truncated", {.entry_count = 3}},
      {"bytes left over", {.entry_count = 1, .payload = "four"}},
      {"bytes left over", {.after_directory = "x"}},
      {"bytes left over", {.sections = 0, .payload = "", .after_directory = "x"}},
      {"unknown kind of state 0", {.kind = 0}},
      {"unknown kind of state 5", {.kind = 5}},
      {"unknown kind of state 6", {.version = 2, .kind = 6}},
      {"unknown kind of state 7", {.version = 3, .kind = 7}},
      {"unknown kind of state 8", {.version = 4, .kind = 8}},
      {"version 4 without need", {.version = 4}},
      {"version 2 without need", {.version = 2}},
      {"version 3 without need", {.version = 3, .kind = 5}},
      {"names one state twice",
       {.sections = 2, .kind = 2, .entry_count = 0, .entries = {}, .payload = ""}},
      {"key groups are not in order", {.entries = {{3, 16, 4}, {3, 20, 5}}}},
      {"key groups are not in order", {.entries = {{4, 16, 4}, {3, 20, 5}}}},
      {entry + "5 bytes at 19", {.entries = {{3, 16, 4}, {4, 19, 5}}}},
      {entry + "5 bytes at 21", {.entries = {{3, 16, 4}, {4, 21, 5}}}},
      {entry + "4 bytes at 0", {.entries = {{3, 0, 4}, {4, 20, 5}}}},
      {entry + "6 bytes at 20", {.entries = {{3, 16, 4}, {4, 20, 6}}}},
      {entry + "18446744073709551615 bytes", {.entries = {{3, 16, 4}, {4, 20, UINT64_MAX}}}},
      {entry + "0 bytes at 16", {.entries = {{3, 16, 0}, {4, 16, 9}}}},
      {"payload that no entry covers", {.entries = {{3, 16, 4}, {4, 20, 4}}}},
  };
  for (const auto& [expected, crafted] : cases) {
    Overwrite(crafted.File());
    const auto reader = Open();
    EXPECT_TRUE(absl::IsDataLoss(reader.status())) << expected << ": " << reader.status();
    EXPECT_THAT(Message(reader.status()), HasSubstr(expected));
    EXPECT_THAT(Message(reader.status()), HasSubstr(path_));
  }
}

TEST_F(StateFileDamageTest, AFooterThatMakesNoSenseIsRefused) {
  const std::string content = Crafted().File();
  const size_t footer = content.size() - 32;
  for (const uint64_t number : {uint64_t{0}, uint64_t{15}, uint64_t{content.size()}, UINT64_MAX}) {
    for (const size_t at : {footer, footer + 8}) {
      std::string changed = content, bytes;
      AppendLittleEndian(bytes, number);
      changed.replace(at, 8, bytes);
      Overwrite(changed);
      const auto reader = Open();
      EXPECT_TRUE(absl::IsDataLoss(reader.status())) << reader.status();
      EXPECT_THAT(Message(reader.status()), HasSubstr("does not fit into its"));
    }
  }
}

}  // namespace
}  // namespace weir

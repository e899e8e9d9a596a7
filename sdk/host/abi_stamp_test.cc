#include "sdk/host/abi_stamp.h"

#include <elf.h>

#include <cstring>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sdk/host/plugin_host.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<AbiStampInfo> Parse(const std::string& file) {
  return ParseAbiStamp(file.size(), [&](uint64_t offset, size_t size, char* out) {
    EXPECT_LE(offset, file.size());
    EXPECT_LE(size, file.size() - offset) << "a read beyond the end of the file";
    if (offset > file.size() || size > file.size() - offset)
      return absl::InternalError("beyond the end");
    std::memcpy(out, file.data() + offset, size);
    return absl::OkStatus();
  });
}

std::string ErrorOf(const std::string& file) {
  auto stamp = Parse(file);
  return stamp.ok() ? "OK" : std::string(stamp.status().message());
}

template <class T>
std::string Bytes(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string StampBytes(uint32_t abi, const std::string& text) {
  return "WEIRABI\n" + Bytes(abi) + Bytes(static_cast<uint32_t>(text.size())) + text +
         std::string(1, '\0');
}

// The smallest library with a stamp: header, names, stamp, table of three sections.
struct SmallLibrary {
  Elf64_Ehdr header{};
  Elf64_Shdr sections[3]{};
  std::string names = std::string("\0.shstrtab\0.weir_abi\0", 21);
  std::string stamp = StampBytes(7, "gcc 99");

  SmallLibrary() {
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_type = ET_DYN;
#if defined(__x86_64__)
    header.e_machine = EM_X86_64;
#else
    header.e_machine = EM_AARCH64;
#endif
    header.e_shentsize = sizeof(Elf64_Shdr);
    header.e_shnum = 3;
    header.e_shstrndx = 1;
    sections[1].sh_name = 1;
    sections[1].sh_type = SHT_STRTAB;
    sections[1].sh_offset = sizeof header;
    sections[1].sh_size = names.size();
    sections[2].sh_name = 11;
    sections[2].sh_type = SHT_PROGBITS;
    sections[2].sh_offset = sizeof header + names.size();
    sections[2].sh_size = stamp.size();
    header.e_shoff = sizeof header + names.size() + stamp.size();
  }
  std::string Build() const { return Bytes(header) + names + stamp + Bytes(sections); }
};

TEST(AbiStampTest, IsReadFromASection) {
  auto stamp = Parse(SmallLibrary().Build());
  ASSERT_TRUE(stamp.ok()) << stamp.status();
  EXPECT_EQ(stamp->abi, 7u);
  EXPECT_EQ(stamp->fingerprint, "gcc 99");
  EXPECT_THAT(std::string(CheckAbiStamp(*stamp).message()), HasSubstr("the plugin: abi 7; gcc 99"));
}

TEST(AbiStampTest, OwnStampIsAccepted) {
  auto stamp = ReadAbiStamp(std::string(WEIR_TEST_PLUGINS) + "/behaving_job.so");
  ASSERT_TRUE(stamp.ok()) << stamp.status();
  EXPECT_EQ(stamp->fingerprint, HostFingerprint());
  EXPECT_TRUE(CheckAbiStamp(*stamp).ok());
}

TEST(AbiStampTest, SaysWhatAnotherFileIs) {
  EXPECT_EQ(ErrorOf(""), "it is not a shared library: the file is empty");
  EXPECT_EQ(ErrorOf("#!/bin/sh\n"), "it is not a shared library: it is a script");
  EXPECT_EQ(ErrorOf("int main() {}\n"), "it is not a shared library: it is a text file");
  EXPECT_EQ(ErrorOf("!<arch>\n"), "it is not a shared library: it is a static library (.a)");
  EXPECT_EQ(ErrorOf(std::string(100, '\x01')), "it is not a shared library: it is no ELF file");
  SmallLibrary library;
  library.header.e_type = ET_REL;
  EXPECT_EQ(ErrorOf(library.Build()), "it is not a shared library: it is an object file (.o)");
  library.header.e_type = ET_EXEC;
  EXPECT_EQ(ErrorOf(library.Build()), "it is not a shared library: it is an executable");
  library.header.e_type = ET_DYN;
  library.header.e_machine = EM_SPARC;
  EXPECT_THAT(ErrorOf(library.Build()), HasSubstr("another kind of machine"));
  library.header.e_ident[EI_CLASS] = ELFCLASS32;
  EXPECT_THAT(ErrorOf(library.Build()), HasSubstr("not 64 bit"));
}

TEST(AbiStampTest, OffsetsAndSizesOutsideTheFileAreRefused) {
  const auto broken = [](auto change) {
    SmallLibrary library;
    change(library);
    return ErrorOf(library.Build());
  };
  EXPECT_THAT(broken([](SmallLibrary& l) { l.header.e_shoff = UINT64_MAX - 8; }),
              HasSubstr("the section table"));
  EXPECT_THAT(broken([](SmallLibrary& l) { l.header.e_shnum = 4; }),
              HasSubstr("the section table"));
  EXPECT_THAT(broken([](SmallLibrary& l) { l.header.e_shentsize = 1; }),
              HasSubstr("the section table"));
  EXPECT_THAT(broken([](SmallLibrary& l) { l.header.e_shstrndx = 3; }), HasSubstr("section names"));
  EXPECT_THAT(broken([](SmallLibrary& l) { l.sections[1].sh_offset = UINT64_MAX; }),
              HasSubstr("section names"));
  EXPECT_THAT(broken([](SmallLibrary& l) { l.sections[1].sh_size = UINT64_MAX; }),
              HasSubstr("section names"));
  EXPECT_THAT(broken([](SmallLibrary& l) { l.sections[2].sh_offset = UINT64_MAX - 1; }),
              HasSubstr(".weir_abi"));
  EXPECT_THAT(broken([](SmallLibrary& l) { l.sections[2].sh_size = 1 << 20; }),
              HasSubstr(".weir_abi"));
  EXPECT_THAT(broken([](SmallLibrary& l) { l.sections[2].sh_name = UINT32_MAX; }),
              HasSubstr("not a Weir job"));
  EXPECT_THAT(broken([](SmallLibrary& l) { l.stamp[14] = '\x7f'; }), HasSubstr("is damaged"));
  EXPECT_THAT(broken([](SmallLibrary& l) { l.stamp[0] = 'w'; }), HasSubstr("is damaged"));
  EXPECT_THAT(broken([](SmallLibrary& l) {
                l.header.e_shnum = 0;
                l.sections[0].sh_size = UINT64_MAX;
              }),
              HasSubstr("sections; at most"));
}

TEST(AbiStampTest, NoCutAndNoChangedByteIsReadBeyondTheFile) {
  const std::string good = SmallLibrary().Build();
  for (size_t size = 0; size < good.size(); ++size)
    EXPECT_NE(ErrorOf(good.substr(0, size)), "OK") << size;
  for (size_t i = 0; i < good.size(); ++i) {
    for (int value : {0, 1, 0x7f, 0x80, 0xff}) {
      std::string bad = good;
      bad[i] = static_cast<char>(value);
      (void)ErrorOf(bad);  // Parse fails the test on a read out of bounds.
    }
  }
}

TEST(AbiStampTest, ControlCharactersOfAForeignTextAreEscaped) {
  SmallLibrary library;
  library.stamp[16] = '\x1b';
  auto stamp = Parse(library.Build());
  ASSERT_TRUE(stamp.ok()) << stamp.status();
  EXPECT_EQ(stamp->fingerprint, "\\033cc 99");
}

}  // namespace
}  // namespace weir

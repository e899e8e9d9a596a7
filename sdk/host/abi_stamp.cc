#include "sdk/host/abi_stamp.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

#include "absl/strings/escaping.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "sdk/host/plugin_host.h"
#include "weir/plugin.h"
#include "weir/plugin_export.h"

namespace weir {
namespace {

constexpr size_t kMaxSections = 65535;
constexpr size_t kMaxSectionNamesBytes = 1 << 20;
constexpr size_t kMaxStampBytes = 4096;
constexpr std::string_view kMagic("WEIRABI\n", 8);
constexpr size_t kStampHeaderBytes = 16;

#if defined(__x86_64__)
constexpr uint16_t kMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr uint16_t kMachine = EM_AARCH64;
#else
#error "Add the ELF machine number of this architecture"
#endif

absl::Status Not(std::string_view what_it_is) {
  return absl::InvalidArgumentError(StrCat("it is not a shared library: ", what_it_is));
}

absl::Status Damaged(std::string_view where) {
  return absl::InvalidArgumentError(
      StrCat("it is a damaged shared library (", where, " lies outside the file); build it again"));
}

// What a file that does not start as ELF files do probably is.
std::string Describe(std::string_view start) {
  if (start.empty()) return "the file is empty";
  if (start.starts_with("#!")) return "it is a script";
  if (start.starts_with("!<arch>")) return "it is a static library (.a)";
  if (start.starts_with("PK\x03\x04")) return "it is a zip or jar file";
  if (start.starts_with("\x1f\x8b")) return "it is a gzip file";
  const bool text = std::all_of(start.begin(), start.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 || byte == '\n' || byte == '\r' || byte == '\t';
  });
  return text ? "it is a text file" : "it is no ELF file";
}

bool Inside(uint64_t offset, uint64_t size, uint64_t file_size) {
  return offset <= file_size && size <= file_size - offset;
}

template <class T>
absl::StatusOr<T> ReadStruct(uint64_t offset, uint64_t file_size, const ReadBytes& read,
                             std::string_view what) {
  if (!Inside(offset, sizeof(T), file_size)) return Damaged(what);
  T value;
  WEIR_RETURN_IF_ERROR(read(offset, sizeof(T), reinterpret_cast<char*>(&value)));
  return value;
}

absl::StatusOr<Elf64_Ehdr> ReadElfHeader(uint64_t file_size, const ReadBytes& read) {
  char start[64] = {};
  const size_t start_bytes = static_cast<size_t>(std::min<uint64_t>(file_size, sizeof start));
  WEIR_RETURN_IF_ERROR(read(0, start_bytes, start));
  const std::string_view head(start, start_bytes);
  if (!head.starts_with(std::string_view(ELFMAG, SELFMAG))) return Not(Describe(head));
  if (file_size < sizeof(Elf64_Ehdr)) return Damaged("the ELF header");
  Elf64_Ehdr header;
  std::memcpy(&header, start, sizeof header);
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB) {
    return absl::InvalidArgumentError(
        "it is a library for another kind of machine (not 64 bit, little-endian)");
  }
  if (header.e_machine != kMachine) {
    return absl::InvalidArgumentError(
        StrCat("it is a library for another kind of machine (ELF machine ", header.e_machine,
               ", here ", kMachine, ")"));
  }
  switch (header.e_type) {
    case ET_DYN:
      return header;
    case ET_REL:
      return Not("it is an object file (.o)");
    case ET_EXEC:
      return Not("it is an executable");
    case ET_CORE:
      return Not("it is a core dump");
    default:
      return Not("it is an ELF file of an unknown type");
  }
}

absl::StatusOr<AbiStampInfo> ParseStampBytes(std::string_view bytes) {
  if (bytes.size() < kStampHeaderBytes || !bytes.starts_with(kMagic)) {
    return absl::InvalidArgumentError(
        "its section .weir_abi is damaged; build it again with weir_add_job()");
  }
  AbiStampInfo stamp;
  uint32_t text_bytes = 0;
  std::memcpy(&stamp.abi, bytes.data() + 8, 4);
  std::memcpy(&text_bytes, bytes.data() + 12, 4);
  if (text_bytes > bytes.size() - kStampHeaderBytes) {
    return absl::InvalidArgumentError(
        "its section .weir_abi is damaged; build it again with weir_add_job()");
  }
  stamp.fingerprint = absl::CEscape(ToAbsl(bytes.substr(kStampHeaderBytes, text_bytes)));
  return stamp;
}

}  // namespace

absl::StatusOr<AbiStampInfo> ParseAbiStamp(uint64_t file_size, const ReadBytes& read) {
  WEIR_ASSIGN_OR_RETURN(const Elf64_Ehdr header, ReadElfHeader(file_size, read));
  absl::Status no_stamp = absl::InvalidArgumentError(
      "it is not a Weir job (it has no section .weir_abi); was it built with weir_add_job(), and "
      "does it have a WEIR_JOB?");
  if (header.e_shoff == 0) return no_stamp;
  if (header.e_shentsize != sizeof(Elf64_Shdr)) return Damaged("the section table");
  uint64_t count = header.e_shnum;
  uint64_t names_index = header.e_shstrndx;
  // Where the numbers do not fit the header, they stand in the first section's entry.
  if (count == 0 || names_index == SHN_XINDEX) {
    WEIR_ASSIGN_OR_RETURN(
        const Elf64_Shdr first,
        ReadStruct<Elf64_Shdr>(header.e_shoff, file_size, read, "the section table"));
    if (count == 0) count = first.sh_size;
    if (names_index == SHN_XINDEX) names_index = first.sh_link;
  }
  if (count == 0) return no_stamp;
  if (count > kMaxSections)
    return absl::InvalidArgumentError(
        StrCat("it has ", count, " sections; at most ", kMaxSections, " are read"));
  if (!Inside(header.e_shoff, count * sizeof(Elf64_Shdr), file_size))
    return Damaged("the section table");
  if (names_index >= count) return Damaged("the table of section names");
  std::vector<Elf64_Shdr> sections(count);
  WEIR_RETURN_IF_ERROR(
      read(header.e_shoff, count * sizeof(Elf64_Shdr), reinterpret_cast<char*>(sections.data())));

  const Elf64_Shdr& names_section = sections[names_index];
  if (names_section.sh_type != SHT_STRTAB || names_section.sh_size > kMaxSectionNamesBytes ||
      !Inside(names_section.sh_offset, names_section.sh_size, file_size)) {
    return Damaged("the table of section names");
  }
  std::string names(names_section.sh_size, '\0');
  WEIR_RETURN_IF_ERROR(read(names_section.sh_offset, names.size(), names.data()));

  const std::string_view wanted(kPluginSection, sizeof kPluginSection);  // With its zero.
  for (const Elf64_Shdr& section : sections) {
    if (section.sh_type != SHT_PROGBITS || section.sh_name >= names.size()) continue;
    if (std::string_view(names).substr(section.sh_name, wanted.size()) != wanted) continue;
    if (section.sh_size > kMaxStampBytes ||
        !Inside(section.sh_offset, section.sh_size, file_size)) {
      return Damaged("section .weir_abi");
    }
    std::string bytes(section.sh_size, '\0');
    WEIR_RETURN_IF_ERROR(read(section.sh_offset, bytes.size(), bytes.data()));
    return ParseStampBytes(bytes);
  }
  return no_stamp;
}

absl::StatusOr<AbiStampInfo> ReadAbiStamp(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return absl::ErrnoToStatus(errno, ToAbsl(StrCat("cannot open '", path, "'")));
  struct stat info;
  if (fstat(fd, &info) != 0) {
    absl::Status status = absl::ErrnoToStatus(errno, ToAbsl(StrCat("cannot read '", path, "'")));
    close(fd);
    return status;
  }
  absl::StatusOr<AbiStampInfo> stamp =
      Not(S_ISDIR(info.st_mode) ? "it is a folder" : "it is no regular file");
  if (S_ISREG(info.st_mode)) {
    stamp = ParseAbiStamp(
        static_cast<uint64_t>(info.st_size), [&](uint64_t offset, size_t size, char* out) {
          while (size > 0) {
            const ssize_t n = pread(fd, out, size, static_cast<off_t>(offset));
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return absl::ErrnoToStatus(errno, "reading it failed");
            if (n == 0) return absl::InvalidArgumentError("it became shorter while it was read");
            out += n;
            offset += static_cast<uint64_t>(n);
            size -= static_cast<size_t>(n);
          }
          return absl::OkStatus();
        });
  }
  close(fd);
  if (stamp.ok()) return stamp;
  return absl::Status(stamp.status().code(),
                      StrCat("'", path, "' cannot be loaded: ", ToStd(stamp.status().message())));
}

absl::Status CheckAbiStamp(const AbiStampInfo& stamp) {
  if (stamp.abi == kPluginAbi && stamp.fingerprint == HostFingerprint()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("it was built for another Weir:\n  the plugin: abi ", stamp.abi, "; ",
             stamp.fingerprint, "\n  this host:  abi ", kPluginAbi, "; ", HostFingerprint(),
             "\nBuild it again with weir_add_job() against the SDK of this installation, with the "
             "same compiler, C++ "
             "standard and sanitizers"));
}

std::string HostFingerprint() { return WEIR_FINGERPRINT; }

}  // namespace weir

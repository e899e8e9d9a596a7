#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/env/file_system.h"

namespace weir {

// Files that one source may read; more are refused.
inline constexpr size_t kMaxInputFiles = 100000;

// A file to be read, with its size when it was listed, and how far it was read.
struct InputFile {
  std::string path;
  uint64_t size_bytes = 0;
  // Bytes of its (decompressed) content that were read, and the number of the line there, from 1.
  uint64_t offset = 0;
  uint64_t line = 1;
  // The header line, once it was read.
  bool has_header = false;
  std::string header = {};

  friend bool operator==(const InputFile&, const InputFile&) = default;
};

// True if `name` matches `pattern`: `*` any characters, `?` one, `[a-c]` one of, `[!a-c]` one not
// of. Neither matches '/'. A leading '.' is matched by a '.' only.
bool MatchesGlob(std::string_view pattern, std::string_view name);

// The files that `path` stands for, sorted by path: a file, a folder with all below it, or a glob
// (in any part of the path) over files and folders. Within folders, names that begin with '.' or
// '_' are left out. An empty folder is no error; a path that does not exist and a glob that matches
// nothing are kNotFound; the latter is no error if files are `awaited`. Blocks.
absl::StatusOr<std::vector<InputFile>> ListInputs(FileSystem& files, const std::string& path,
                                                  bool awaited = false);

// The files of subtask `subtask` of `parallelism`, sorted by path: the one with the most still to
// be read first, each to the subtask with the least to read so far (the first of those). Every
// subtask computes the same from the same listing.
std::vector<InputFile> AssignInputs(const std::vector<InputFile>& inputs, uint32_t subtask,
                                    uint32_t parallelism);

}  // namespace weir

#include "connectors/files/files_sink.h"

#include <charconv>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "connectors/files/files_settings.h"
#include "connectors/output/encoding_sink.h"

namespace weir {
namespace {

constexpr std::string_view kInProgress = ".inprogress";

std::string_view BaseName(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

// The subtask of "part-<subtask>-<n>...", or nothing.
std::optional<uint32_t> SubtaskOfPart(std::string_view name) {
  constexpr std::string_view kPrefix = "part-";
  if (name.substr(0, kPrefix.size()) != kPrefix) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  uint32_t subtask = 0;
  const auto parsed = std::from_chars(name.data(), name.data() + name.size(), subtask);
  if (parsed.ec != std::errc() || parsed.ptr == name.data() + name.size() || *parsed.ptr != '-')
    return std::nullopt;
  return subtask;
}

std::string CsvHeader(const Schema& schema) {
  std::string header;
  for (const SchemaField& field : schema.fields) {
    if (!header.empty()) header += ',';
    header += field.name;
  }
  header += '\n';
  return header;
}

}  // namespace

FileTarget::FileTarget(Env& env, Options options)
    : env_(env), options_(std::move(options)), path_(InFolder(options_.name)) {
  in_progress_path_ = InFolder(
      StrCat(".", options_.name, ".",
             absl::StrCat(absl::Hex(env_.random().Next(), absl::kZeroPad16)), kInProgress));
}

std::string FileTarget::InFolder(std::string_view name) const {
  if (options_.folder.empty()) return std::string(name);
  return options_.folder.back() == '/' ? StrCat(options_.folder, name)
                                       : StrCat(options_.folder, "/", name);
}

absl::Status FileTarget::Open() {
  if (!options_.folder.empty())
    WEIR_RETURN_IF_ERROR(env_.files().CreateDirectories(options_.folder));
  WEIR_RETURN_IF_ERROR(options_.is_part ? CheckOldParts() : CheckOldFile());
  WEIR_ASSIGN_OR_RETURN(
      file_, env_.files().OpenForWrite(in_progress_path_, FileSystem::WriteMode::kCreateNew));
  created_ = true;
  return options_.head.empty() ? absl::OkStatus() : Write(options_.head);
}

absl::Status FileTarget::CheckOldParts() {
  WEIR_ASSIGN_OR_RETURN(const std::vector<FileInfo> entries, env_.files().List(options_.folder));
  for (const FileInfo& entry : entries) {
    const std::string_view name = BaseName(entry.path);
    const bool hidden = name.front() == '.';
    const std::optional<uint32_t> subtask = SubtaskOfPart(hidden ? name.substr(1) : name);
    const bool others =
        subtask.has_value() && *subtask != options_.subtask && *subtask < options_.parallelism;
    if (others) continue;
    if (!options_.overwrite) {
      if (hidden) continue;
      return absl::AlreadyExistsError(
          StrCat("the folder '", options_.folder, "' holds '", name,
                 "' already, and results of different runs are not mixed: empty it, choose another "
                 "path, or set .overwrite = "
                 "true"));
    }
    if (!subtask.has_value() || (*subtask != options_.subtask && options_.subtask != 0)) continue;
    WEIR_RETURN_IF_ERROR(env_.files().Delete(InFolder(name)));
  }
  return absl::OkStatus();
}

absl::Status FileTarget::CheckOldFile() {
  if (options_.overwrite) return absl::OkStatus();
  const absl::Status found = env_.files().Stat(path_).status();
  if (absl::IsNotFound(found)) return absl::OkStatus();
  WEIR_RETURN_IF_ERROR(found);
  return absl::AlreadyExistsError(
      StrCat("the file '", path_,
             "' exists already: delete it, choose another path, or set .overwrite = true"));
}

absl::Status FileTarget::WriteError(const absl::Status& status) const {
  if (absl::IsResourceExhausted(status)) {
    return absl::ResourceExhaustedError(
        StrCat(path_, ": the disk is full after ", written_bytes_,
               " bytes of it were written: free some space or choose another path (",
               ToStd(status.message()), ")"));
  }
  return absl::Status(status.code(), StrCat(path_, ": writing failed after ", written_bytes_,
                                            " bytes: ", ToStd(status.message())));
}

absl::Status FileTarget::Write(std::string_view data) {
  const absl::Status status = file_->Append(data);
  if (!status.ok()) return WriteError(status);
  written_bytes_ += data.size();
  return absl::OkStatus();
}

absl::Status FileTarget::Commit() {
  absl::Status status = file_->Sync();
  if (status.ok()) status = file_->Close();
  if (!status.ok()) return WriteError(status);
  file_.reset();
  WEIR_RETURN_IF_ERROR(CheckOldFile());
  WEIR_RETURN_IF_ERROR(env_.files().Rename(in_progress_path_, path_));
  created_ = false;
  return env_.files().SyncDirectory(options_.folder.empty() ? "." : options_.folder);
}

void FileTarget::Abandon() {
  file_.reset();
  if (!created_) return;
  // The job has failed or was cancelled already; a hidden file that stays behind harms nobody.
  env_.files().Delete(in_progress_path_).IgnoreError();
}

absl::StatusOr<std::unique_ptr<SinkWriter>> MakeFilesSink(Env& env, const Files& settings,
                                                          const RecordType& type) {
  const bool is_file = settings.path.back() != '/' && !ExtensionOf(settings.path).empty();
  FileFormat format =
      settings.format != FileFormat::kFromExtension ? settings.format : FormatOfName(settings.path);
  if (format == FileFormat::kFromExtension) {
    if (is_file) {
      return absl::InvalidArgumentError(StrCat(
          "'", settings.path,
          "': the name does not say the format: set .format, or end the path with '/' if a folder "
          "is meant"));
    }
    format = FileFormat::kJson;
  }
  const bool csv = format == FileFormat::kCsv;
  if (csv) WEIR_RETURN_IF_ERROR(type.SupportsCsv());
  EncodingSink::Encoder encode = [&type, csv](const BatchBase& batch, std::string& out) {
    for (size_t i = 0; i < batch.size(); ++i) {
      csv ? type.WriteCsv(batch, i, out) : type.WriteJson(batch, i, out);
      out.push_back('\n');
    }
  };
  FileTarget::Options options;
  options.overwrite = settings.overwrite;
  if (csv && settings.header) options.head = CsvHeader(type.schema());
  auto make_target =
      [&env, options, path = settings.path, is_file, csv](
          const OperatorContext& context) mutable -> absl::StatusOr<std::unique_ptr<OutputTarget>> {
    options.subtask = context.subtask();
    options.parallelism = context.parallelism();
    if (!is_file) {
      options.is_part = true;
      options.folder = path;
      options.name = StrCat("part-", context.subtask(), "-0.", csv ? "csv" : "jsonl");
    } else if (context.parallelism() > 1) {
      return absl::InvalidArgumentError(
          StrCat("'", path, "' names one file, but the sink has ", context.parallelism(),
                 " subtasks: name a folder, or give the sink parallelism 1"));
    } else {
      const size_t slash = path.rfind('/');
      options.name = std::string(BaseName(path));
      options.folder = slash == std::string::npos ? "" : path.substr(0, slash == 0 ? 1 : slash);
    }
    return std::make_unique<FileTarget>(env, options);
  };
  return std::make_unique<EncodingSink>(env, std::move(encode), std::move(make_target));
}

}  // namespace weir

#include "connectors/files/files_sink.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "connectors/files/files_settings.h"

namespace weir {
namespace {

std::string_view BaseName(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
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

FilesSink::FilesSink(Env& env, Options options)
    : env_(env), options_(std::move(options)), bucket_(options_.bucket) {}

FilesSink::~FilesSink() { Close(); }

std::string FilesSink::InFolder(std::string_view name) const {
  if (options_.folder.empty()) return std::string(name);
  return options_.folder.back() == '/' ? StrCat(options_.folder, name)
                                       : StrCat(options_.folder, "/", name);
}

absl::Status FilesSink::CheckOptions() const {
  const std::string path = InFolder(options_.file);
  if (!options_.file.empty() && context_->parallelism() > 1) {
    return absl::InvalidArgumentError(
        StrCat("'", path, "' names one file, but the sink has ", context_->parallelism(),
               " subtasks: name a folder, or give the sink parallelism 1"));
  }
  if (!context_->run().commits_with_checkpoints) return absl::OkStatus();
  if (!options_.file.empty()) {
    return absl::InvalidArgumentError(
        StrCat("'", path,
               "' names one file, but the job takes checkpoints, and each ends a file: name a "
               "folder, or submit the job without checkpoints (-D "
               "execution.checkpointing.interval=0)"));
  }
  if (path.front() != '/') {
    return absl::InvalidArgumentError(
        StrCat("'", path,
               "' is a relative path, but the job takes checkpoints, and may go on from one in "
               "another working folder: name the folder by an absolute path"));
  }
  return absl::OkStatus();
}

absl::Status FilesSink::Open(OperatorContext& context) {
  context_ = &context;
  WEIR_RETURN_IF_ERROR(CheckOptions());
  const RunInfo& run = context.run();
  // Nothing of another attempt can be in the folder: its files have the names of old, which say
  // nothing but subtask and number.
  plain_names_ = !run.commits_with_checkpoints && run.restored_checkpoint == 0;
  token_ = absl::StrCat(absl::Hex(env_.random().Next(), absl::kZeroPad16));
  owner_ = HiddenFileOwner::Of(run, context.uid());
  hidden_folder_ = InFolder(kHiddenFolder);
  files_ = std::make_shared<PartFiles>(env_.files(), hidden_folder_);
  work_ = BackgroundWork::Make(env_, kMaxPendingBytes, [&context] { context.WakeNow(); });
  last_work_ = work_->Add(
      0,
      [this_run = run, folder = options_.folder, path = InFolder(options_.file),
       file = options_.file, overwrite = options_.overwrite, hidden_folder = hidden_folder_,
       owner = owner_, subtask = context.subtask(), parallelism = context.parallelism(),
       &files = env_.files()]() -> absl::Status {
        if (!folder.empty()) WEIR_RETURN_IF_ERROR(files.CreateDirectories(folder));
        if (this_run.attempt > 1) {
          WEIR_RETURN_IF_ERROR(DeleteLeftovers(files, hidden_folder, owner,
                                               this_run.restored_checkpoint, subtask, parallelism));
        }
        if (this_run.restored_checkpoint != 0) return absl::OkStatus();
        if (!file.empty()) {
          if (overwrite) return absl::OkStatus();
          const absl::Status found = files.Stat(path).status();
          if (absl::IsNotFound(found)) return absl::OkStatus();
          WEIR_RETURN_IF_ERROR(found);
          return absl::AlreadyExistsError(
              StrCat("the file '", path,
                     "' exists already: delete it, choose another path, or set .overwrite = true"));
        }
        const OldResults old{subtask, parallelism, !this_run.commits_with_checkpoints};
        return overwrite ? DeleteOldResults(files, folder, old)
                         : RefuseOldResults(files, folder, old);
      });
  return absl::OkStatus();
}

std::unique_ptr<Committer> FilesSink::MakeCommitter() {
  return std::make_unique<FilesCommitter>(env_.files(), vanished_);
}

absl::StatusOr<FilesSink::Part*> FilesSink::PartOf(std::string_view bucket) {
  if (const auto found = parts_.find(bucket); found != parts_.end()) return &found->second;
  if (parts_.size() >= kMaxOpenFiles) {
    End(std::min_element(parts_.begin(), parts_.end(), [](const auto& a, const auto& b) {
      return a.second.written_nanos < b.second.written_nanos;
    }));
  }
  Part part;
  part.id = next_id_++;
  std::string name = options_.file;
  if (name.empty()) {
    name = plain_names_ ? StrCat("part-", context_->subtask(), "-", part.id, options_.extension)
                        : StrCat("part-", context_->subtask(), "-", token_, "-", part.id,
                                 options_.extension);
  }
  part.file.hidden = StrCat(hidden_folder_, "/", HiddenName(owner_, token_, name));
  part.file.visible = bucket.empty() ? InFolder(name) : InFolder(StrCat(bucket, "/", name));
  part.file.replaces = options_.overwrite;
  part.begun_nanos = env_.clock().MonotonicNanos();
  part.buffer = options_.head;
  last_work_ =
      work_->Add(0, [files = files_, id = part.id, hidden = part.file.hidden,
                     visible = part.file.visible] { return files->Begin(id, hidden, visible); });
  return &parts_.emplace(bucket, std::move(part)).first->second;
}

void FilesSink::Push(Part& part) {
  if (part.buffer.empty()) return;
  part.file.bytes += part.buffer.size();
  const size_t bytes = part.buffer.size();
  last_work_ = work_->Add(
      bytes, [files = files_, id = part.id, data = std::exchange(part.buffer, std::string())] {
        return files->Append(id, data);
      });
}

FilesSink::Parts::iterator FilesSink::End(Parts::iterator part) {
  Push(part->second);
  last_work_ = work_->Add(0, [files = files_, id = part->second.id] { return files->End(id); });
  ended_.push_back(std::move(part->second.file));
  return parts_.erase(part);
}

void FilesSink::Append(Part& part, const BatchBase& batch, size_t begin, size_t end, int64_t now) {
  options_.encode(batch, begin, end, part.buffer);
  part.written_nanos = now;
  if (part.buffer.size() >= kBufferBytes) Push(part);
}

absl::Status FilesSink::WriteToBuckets(const BatchBase& batch) {
  const int64_t now = env_.clock().MonotonicNanos();
  Roll(now);
  if (!bucket_.has_value()) {
    WEIR_ASSIGN_OR_RETURN(Part* const part, PartOf(""));
    Append(*part, batch, 0, batch.size(), now);
    Roll(now);
    return absl::OkStatus();
  }
  std::string bucket;
  for (size_t begin = 0, end = 0; begin < batch.size(); begin = end) {
    for (; end < batch.size(); ++end) {
      const Ticks time = batch.timestamps.empty() ? kMinTicks : batch.timestamps[end];
      if (time == kMinTicks) {
        return absl::InvalidArgumentError(
            StrCat("sink '", context_->uid(),
                   "' sorts records into folders by their timestamps, but a record has none: give "
                   "the source a .timestamp, or leave out .bucket"));
      }
      const std::string& name = bucket_->NameOf(time);
      if (end > begin && name != bucket) break;
      bucket = name;
    }
    WEIR_ASSIGN_OR_RETURN(Part* const part, PartOf(bucket));
    Append(*part, batch, begin, end, now);
  }
  Roll(now);
  return absl::OkStatus();
}

void FilesSink::Roll(int64_t now) {
  const auto limit = [](Duration duration) {
    return duration.count() > 0 ? duration.count() * 1000 : INT64_MAX;
  };
  const auto bytes = static_cast<uint64_t>(std::max<int64_t>(options_.roll.bytes, 0));
  for (auto part = parts_.begin(); part != parts_.end();) {
    const Part& open = part->second;
    const bool ends = (bytes > 0 && open.file.bytes + open.buffer.size() >= bytes) ||
                      now - open.begun_nanos >= limit(options_.roll.after) ||
                      now - open.written_nanos >= limit(options_.roll.idle);
    part = ends ? End(part) : std::next(part);
  }
}

absl::Status FilesSink::Write(BatchBase& batch) {
  WEIR_RETURN_IF_ERROR(work_->status());
  absl::Status status = WriteToBuckets(batch);
  batch.Clear();
  return status;
}

absl::Status FilesSink::Flush() {
  for (auto& [bucket, part] : parts_) Push(part);
  Roll(env_.clock().MonotonicNanos());
  ReportVanished();
  return work_->status();
}

void FilesSink::ReportVanished() {
  const uint64_t vanished = vanished_->exchange(0);
  if (vanished == 0) return;
  context_->Log("warning",
                StrCat(vanished,
                       " files that the checkpoint had are neither in progress nor where they "
                       "belong: taken as committed before, and removed by somebody since"));
}

absl::StatusOr<bool> FilesSink::PrepareCommit(uint64_t checkpoint,
                                              std::vector<std::string>& committables) {
  WEIR_RETURN_IF_ERROR(work_->status());
  ReportVanished();
  if (!preparing_.has_value()) {
    // A run that shows its results at its end has some in any case.
    if (plain_names_ && next_id_ == 0 && !bucket_.has_value()) {
      WEIR_RETURN_IF_ERROR(PartOf("").status());
    }
    while (!parts_.empty()) End(parts_.begin());
    if (!ended_.empty()) {
      last_work_ = work_->Add(0, [files = files_] { return files->SyncFolder(); });
    }
    preparing_ = {std::exchange(ended_, {}), last_work_, next_id_};
    // What is begun from now on is in none of the checkpoints so far.
    owner_.after_checkpoint = checkpoint;
  }
  if (!work_->AwaitDone(preparing_->until_work)) return false;
  for (const FileCommittable& file : preparing_->files) {
    committables.push_back(EncodeCommittable(file));
  }
  // From now on a snapshot may have them.
  if (context_->run().takes_snapshots) handed_over_ = preparing_->next_id;
  last_work_ = work_->Add(0, [files = files_, below = handed_over_] {
    files->HandOver(below);
    return absl::OkStatus();
  });
  preparing_.reset();
  return true;
}

absl::StatusOr<bool> FilesSink::Finish() { return true; }

void FilesSink::Close() {
  if (work_ == nullptr) return;
  // What had been handed over must stay, whatever of the work was dropped.
  work_->Close([files = files_, below = handed_over_] {
    files->HandOver(below);
    files->Abandon();
  });
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
  FilesSink::Options options;
  options.encode = [&type, csv](const BatchBase& batch, size_t begin, size_t end,
                                std::string& out) {
    for (size_t i = begin; i < end; ++i) {
      csv ? type.WriteCsv(batch, i, out) : type.WriteJson(batch, i, out);
      out.push_back('\n');
    }
  };
  options.extension = csv ? ".csv" : ".jsonl";
  options.overwrite = settings.overwrite;
  options.roll = settings.roll;
  if (csv && settings.header) options.head = CsvHeader(type.schema());
  if (!settings.bucket.empty()) {
    WEIR_ASSIGN_OR_RETURN(options.bucket, BucketFormat::Parse(settings.bucket));
  }
  options.folder = settings.path;
  if (is_file) {
    if (!settings.bucket.empty()) {
      return absl::InvalidArgumentError(
          StrCat("'", settings.path,
                 "' names one file, but .bucket sorts into folders: name a "
                 "folder"));
    }
    const size_t slash = settings.path.rfind('/');
    options.file = std::string(BaseName(settings.path));
    options.folder =
        slash == std::string::npos ? "" : settings.path.substr(0, slash == 0 ? 1 : slash);
    options.roll = {.bytes = 0, .after = {}, .idle = {}};
  }
  return std::make_unique<FilesSink>(env, std::move(options));
}

}  // namespace weir

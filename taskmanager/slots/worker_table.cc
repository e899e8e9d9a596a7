#include "taskmanager/slots/worker_table.h"

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "common/base/check.h"
#include "common/base/lifetime.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/control.pb.h"

namespace weir {
namespace {

// The last `max_lines` lines of a file, at most `max_bytes` of it. Blocks.
absl::StatusOr<std::string> ReadTail(FileSystem& files, const std::string& path, uint32_t max_lines,
                                     size_t max_bytes) {
  WEIR_ASSIGN_OR_RETURN(auto file, files.OpenForRead(path));
  WEIR_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  const uint64_t begin = size > max_bytes ? size - max_bytes : 0;
  std::string text(static_cast<size_t>(size - begin), '\0');
  WEIR_ASSIGN_OR_RETURN(const size_t read, file->ReadAt(begin, text.size(), text.data()));
  text.resize(read);
  size_t from = text.size();
  for (uint32_t lines = 0; from > 0; --from) {
    if (text[from - 1] == '\n' && from != text.size() && ++lines == max_lines) break;
  }
  return text.substr(from);
}

std::string ReadLogs(FileSystem& files, const std::string& directory, uint32_t max_lines) {
  std::string text;
  for (const char* name : {"stdout", "stderr"}) {
    const auto tail =
        ReadTail(files, StrCat(directory, "/", name, ".log"), max_lines, WorkerTable::kMaxLogBytes);
    if (!tail.ok() && tail.status().code() != absl::StatusCode::kNotFound) {
      text += StrCat("(", name, " cannot be read: ", tail.status().message(), ")\n");
    } else if (tail.ok() && !tail->empty()) {
      text += StrCat("--- ", name, " ---\n", *tail, tail->back() == '\n' ? "" : "\n");
    }
  }
  return text;
}

std::optional<CrashReport> ReadReport(FileSystem& files, const std::string& directory) {
  const auto text = ReadFile(files, StrCat(directory, "/", kCrashReportName), kMaxCrashReportBytes);
  if (!text.ok()) return std::nullopt;  // none was written
  return ParseCrashReport(*text);
}

// Deletes all but the newest folders of workers of former agents. Blocks.
void DropOldFolders(FileSystem& files, const std::string& jobs_directory, size_t keep) {
  std::vector<FileInfo> folders;
  const auto jobs = files.List(jobs_directory);
  if (!jobs.ok()) return;  // nothing has run here yet
  for (const FileInfo& job : *jobs) {
    const auto workers = files.List(job.path);
    if (workers.ok()) folders.insert(folders.end(), workers->begin(), workers->end());
  }
  std::sort(folders.begin(), folders.end(), [](const FileInfo& a, const FileInfo& b) {
    return std::tie(a.modified, a.path) < std::tie(b.modified, b.path);
  });
  for (size_t i = 0; i + keep < folders.size(); ++i) {
    // Tried again at the next start.
    files.DeleteRecursively(folders[i].path).IgnoreError();
  }
}

class LaunchedWorkers final : public WorkerTable {
 public:
  LaunchedWorkers(Env& env, Executor& control, WorkerLauncher& launcher, PluginCache& plugins,
                  Options options, OnEnded on_ended)
      : env_(env),
        control_(control),
        launcher_(launcher),
        plugins_(plugins),
        options_(std::move(options)),
        on_ended_(std::move(on_ended)) {
    env_.RunBlocking([&files = env_.files(), directory = options_.jobs_directory] {
      DropOldFolders(files, directory, kRetainedFolders);
    });
  }

  void Start(WorkerSpec spec, Started done) override {
    const WorkerKey key = spec.key;
    if (const auto it = entries_.find(key); it != entries_.end()) {
      if (it->second.process != nullptr) return done(it->second.process->pid());
      it->second.waiters.push_back(std::move(done));
      return;
    }
    if (absl::Status admitted = Admit(spec); !admitted.ok()) return done(admitted);
    spec.directory = StrCat(options_.jobs_directory, "/", key.ToString());
    Entry& entry = entries_[key];
    entry.spec = std::move(spec);
    entry.waiters.push_back(std::move(done));
    plugins_.Get(entry.spec.plugin_sha256, entry.spec.plugin_bytes, entry.spec.job_manager_address,
                 &control_, lifetime_.Guard([this, key](absl::StatusOr<std::string> path) {
                   OnPlugin(key, std::move(path));
                 }));
  }

  void Stop(const WorkerKey& key) override {
    const auto it = entries_.find(key);
    if (it == entries_.end() || it->second.stopping) return;
    it->second.stopping = true;
    if (it->second.process != nullptr) Terminate(it->second);
  }

  void StopAll() override {
    for (const WorkerKey& key : Live()) Stop(key);
  }

  std::vector<WorkerKey> Live() const override {
    std::vector<WorkerKey> keys;
    for (const auto& [key, entry] : entries_) keys.push_back(key);
    return keys;
  }

  uint32_t free_slots() const override {
    uint32_t used = 0;
    for (const auto& [key, entry] : entries_) used += entry.exited ? 0 : entry.spec.slots;
    return used >= options_.slots ? 0 : options_.slots - used;
  }

  void ReadLog(const JobId& job, uint32_t index, uint32_t max_lines, LogText done) override {
    std::optional<WorkerKey> newest;
    const auto consider = [&](const WorkerKey& key) {
      if (key.job != job || key.index != index) return;
      if (!newest.has_value() || *newest < key) newest = key;
    };
    for (const auto& [key, entry] : entries_) consider(key);
    for (const WorkerKey& key : ended_) consider(key);
    if (!newest.has_value()) {
      return done(absl::NotFoundError(
          StrCat("worker ", index, " of job ", job.ToString(), " has not run here lately")));
    }
    max_lines = max_lines == 0 ? 100 : std::min(max_lines, kMaxLogLines);
    env_.RunBlocking(
        [&env = env_, &control = control_, max_lines, done = std::move(done),
         directory = StrCat(options_.jobs_directory, "/", newest->ToString())]() mutable {
          control.Post([done = std::move(done),
                        text = ReadLogs(env.files(), directory, max_lines)]() mutable {
            done(std::move(text));
          });
        });
  }

 private:
  struct Entry {
    WorkerSpec spec;
    std::vector<Started> waiters;
    // Null until it is launched.
    std::unique_ptr<WorkerProcess> process;
    bool stopping = false;
    bool exited = false;
    // It ended before its launch was known here.
    std::optional<WorkerExit> early_exit;
  };

  absl::Status Admit(const WorkerSpec& spec) const {
    if (std::find(ended_.begin(), ended_.end(), spec.key) != ended_.end()) {
      return absl::AlreadyExistsError(
          StrCat("worker ", spec.key.ToString(), " has ended; an attempt is not started twice"));
    }
    for (const auto& [key, entry] : entries_) {
      if (key.job == spec.key.job && key.attempt > spec.key.attempt) {
        return absl::FailedPreconditionError(StrCat("attempt ", key.attempt, " of job ",
                                                    key.job.ToString(), " runs here; attempt ",
                                                    spec.key.attempt, " is over"));
      }
    }
    if (spec.slots > free_slots()) {
      return absl::ResourceExhaustedError(StrCat("worker ", spec.key.ToString(), " needs ",
                                                 spec.slots, " slots, ", free_slots(), " of ",
                                                 options_.slots, " are free here"));
    }
    return absl::OkStatus();
  }

  void OnPlugin(const WorkerKey& key, absl::StatusOr<std::string> path) {
    Entry& entry = entries_.at(key);
    if (!path.ok()) return GiveUp(key, path.status());
    if (entry.stopping) return GiveUp(key, Stopped(key));
    entry.spec.plugin_path = *std::move(path);
    auto on_exit = [&control = control_,
                    ended = lifetime_.GuardConst([this, key](const WorkerExit& exit) {
                      OnExit(key, exit);
                    })](WorkerExit exit) { control.Post([ended, exit] { ended(exit); }); };
    env_.RunBlocking([&env = env_, &control = control_, &launcher = launcher_, spec = entry.spec,
                      on_exit = std::move(on_exit),
                      launched = lifetime_.Guard([this, key](auto process) {
                        OnLaunched(key, std::move(process));
                      })]() mutable {
      const absl::Status made = env.files().CreateDirectories(spec.directory);
      absl::StatusOr<std::unique_ptr<WorkerProcess>> process(
          made.ok() ? launcher.Launch(spec, std::move(on_exit)) : made);
      control.Post([launched = std::move(launched), process = std::move(process)]() mutable {
        launched(std::move(process));
      });
    });
  }

  static absl::Status Stopped(const WorkerKey& key) {
    return absl::CancelledError(StrCat("worker ", key.ToString(), " was stopped before it began"));
  }

  // It never ran.
  void GiveUp(const WorkerKey& key, const absl::Status& why) {
    auto node = entries_.extract(key);
    for (Started& waiter : node.mapped().waiters) waiter(why);
  }

  void OnLaunched(const WorkerKey& key, absl::StatusOr<std::unique_ptr<WorkerProcess>> process) {
    if (!process.ok()) return GiveUp(key, process.status());
    Entry& entry = entries_.at(key);
    entry.process = *std::move(process);
    for (Started& waiter : std::exchange(entry.waiters, {})) waiter(entry.process->pid());
    if (entry.early_exit.has_value()) return OnExit(key, *entry.early_exit);
    if (entry.stopping) Terminate(entry);
  }

  void Terminate(Entry& entry) {
    entry.process->Terminate();
    control_.PostAfter(options_.stop_grace, lifetime_.Guard([this, key = entry.spec.key] {
      const auto it = entries_.find(key);
      if (it != entries_.end() && !it->second.exited) it->second.process->Kill();
    }));
  }

  void OnExit(const WorkerKey& key, const WorkerExit& exit) {
    Entry& entry = entries_.at(key);
    if (entry.process == nullptr) {
      entry.early_exit = exit;
      return;
    }
    entry.exited = true;
    env_.RunBlocking([&env = env_, &control = control_, directory = entry.spec.directory,
                      state = LocalStateFolder(entry.spec),
                      read = lifetime_.Guard([this, key, exit](const auto& report) {
                        OnReport(key, exit, report);
                      })]() mutable {
      // What stays of it goes with the worker's folder, or when the next worker ends.
      env.files().DeleteRecursively(state).IgnoreError();
      control.Post([read = std::move(read), report = ReadReport(env.files(), directory)]() mutable {
        read(report);
      });
    });
  }

  void OnReport(const WorkerKey& key, const WorkerExit& exit,
                const std::optional<CrashReport>& report) {
    auto node = entries_.extract(key);
    WEIR_CHECK(!node.empty());
    RememberEnded(key);
    const Entry& entry = node.mapped();
    proto::Failure failure;
    FillWorkerFailure(exit, report, entry.spec, absl::ToUnixMicros(env_.clock().Now()), failure);
    if (entry.stopping && !report.has_value()) {
      failure.set_message("the worker was stopped");
    }
    on_ended_(entry.spec, exit, failure);
  }

  void RememberEnded(const WorkerKey& key) {
    ended_.push_back(key);
    if (ended_.size() <= kRetainedFolders) return;
    env_.RunBlocking([&files = env_.files(),
                      directory = StrCat(options_.jobs_directory, "/", ended_.front().ToString())] {
      // What stays is deleted by the next agent's start.
      files.DeleteRecursively(directory).IgnoreError();
    });
    ended_.pop_front();
  }

  Env& env_;
  Executor& control_;
  WorkerLauncher& launcher_;
  PluginCache& plugins_;
  const Options options_;
  const OnEnded on_ended_;
  std::map<WorkerKey, Entry> entries_;
  std::deque<WorkerKey> ended_;
  Lifetime lifetime_;
};

}  // namespace

std::unique_ptr<WorkerTable> WorkerTable::Make(Env& env, Executor& control,
                                               WorkerLauncher& launcher, PluginCache& plugins,
                                               Options options, OnEnded on_ended) {
  return std::make_unique<LaunchedWorkers>(env, control, launcher, plugins, std::move(options),
                                           std::move(on_ended));
}

}  // namespace weir

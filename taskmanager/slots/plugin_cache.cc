#include "taskmanager/slots/plugin_cache.h"

#include <algorithm>
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/lifetime.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/hash/sha256.h"
#include "proto/control.pb.h"

namespace weir {
namespace {

constexpr char kMethod[] = "/weir.JobManager/FetchPlugin";

class FilePluginCache final : public PluginCache {
 public:
  FilePluginCache(Env& env, std::string directory)
      : env_(env), directory_(std::move(directory)), executor_(env.NewExecutor("plugins")) {}

  ~FilePluginCache() override {
    executor_->Shutdown();
    for (auto& [sha256, fetch] : fetches_) {
      if (fetch->stream != nullptr) fetch->stream->Cancel(absl::CancelledError("shutting down"));
    }
  }

  void Get(const std::string& sha256, uint64_t bytes, const std::string& job_manager_address,
           Executor* executor, Done done) override {
    executor_->Post([this, sha256, bytes, job_manager_address,
                     waiter = Waiter{executor, std::move(done)}]() mutable {
      const auto it = fetches_.find(sha256);
      if (it != fetches_.end()) {
        it->second->waiters.push_back(std::move(waiter));
        return;
      }
      if (const auto info = env_.files().Stat(Path(sha256));
          info.ok() && info->size_bytes == bytes) {
        return Answer(waiter, Path(sha256));
      }
      auto fetch = std::make_unique<Fetch>();
      fetch->sha256 = sha256;
      fetch->expected_bytes = bytes;
      fetch->address = job_manager_address;
      fetch->waiters.push_back(std::move(waiter));
      queue_.push_back(sha256);
      fetches_[sha256] = std::move(fetch);
      StartNext();
    });
  }

 private:
  struct Waiter {
    Executor* executor;
    Done done;
  };
  // One download. Under way when `file` is set.
  struct Fetch {
    std::string sha256;
    std::string address;
    uint64_t expected_bytes = 0;
    uint64_t received_bytes = 0;
    std::vector<Waiter> waiters;
    std::shared_ptr<RemotePeer> peer;
    std::shared_ptr<MessageStream> stream;
    std::unique_ptr<WritableFile> file;
    Sha256 hash;
    Executor::TimerId stall_timer = 0;
  };

  std::string Path(const std::string& sha256) const {
    return StrCat(directory_, "/", sha256, ".so");
  }
  std::string PartPath(const std::string& sha256) const { return StrCat(Path(sha256), ".part"); }

  static void Answer(Waiter& waiter, absl::StatusOr<std::string> path) {
    waiter.executor->Post(
        [done = std::move(waiter.done), path = std::move(path)]() mutable { done(path); });
  }

  void StartNext() {
    while (under_way_ < kConcurrentFetches && !queue_.empty()) {
      const std::string sha256 = queue_.front();
      queue_.pop_front();
      ++under_way_;
      Begin(*fetches_.at(sha256));
    }
  }

  void Begin(Fetch& fetch) {
    absl::Status ready = env_.files().CreateDirectories(directory_);
    if (ready.ok()) {
      auto file =
          env_.files().OpenForWrite(PartPath(fetch.sha256), FileSystem::WriteMode::kTruncate);
      ready = file.status();
      if (ready.ok()) fetch.file = *std::move(file);
    }
    if (!ready.ok()) return End(fetch.sha256, ready);
    StreamCallbacks callbacks;
    callbacks.on_message = lifetime_.Guard(
        [this, sha256 = fetch.sha256](const std::string& message) { OnChunk(sha256, message); });
    callbacks.on_close = lifetime_.Guard(
        [this, sha256 = fetch.sha256](const absl::Status& status) { OnClose(sha256, status); });
    ArmStallTimer(fetch);
    fetch.peer = env_.network().Connect(fetch.address);
    fetch.stream = fetch.peer->OpenStream(kMethod, executor_.get(), std::move(callbacks));
    proto::FetchPluginRequest request;
    request.set_plugin_sha256(fetch.sha256);
    MessageBytes bytes;
    bytes.pieces.push_back(request.SerializeAsString());
    fetch.stream->Send(std::move(bytes));
    fetch.stream->Finish();
  }

  void ArmStallTimer(Fetch& fetch) {
    if (fetch.stall_timer != 0) executor_->Cancel(fetch.stall_timer);
    fetch.stall_timer =
        executor_->PostAfter(kStallTimeout, lifetime_.Guard([this, sha256 = fetch.sha256] {
          End(sha256, absl::DeadlineExceededError(StrCat("fetching plugin ", sha256,
                                                         " from the job manager: nothing came for ",
                                                         absl::FormatDuration(kStallTimeout))));
        }));
  }

  void OnChunk(const std::string& sha256, const std::string& message) {
    const auto it = fetches_.find(sha256);
    if (it == fetches_.end()) return;  // given up
    Fetch& fetch = *it->second;
    proto::PluginChunk chunk;
    if (!chunk.ParseFromString(message)) {
      return End(sha256, absl::DataLossError("a chunk of the plugin is malformed"));
    }
    fetch.received_bytes += chunk.data().size();
    if (fetch.received_bytes > fetch.expected_bytes) {
      return End(sha256, absl::DataLossError(StrCat("plugin ", sha256, " is longer than the ",
                                                    fetch.expected_bytes, " bytes announced")));
    }
    fetch.hash.Update(chunk.data());
    if (absl::Status written = fetch.file->Append(chunk.data()); !written.ok()) {
      return End(sha256, written);
    }
    ArmStallTimer(fetch);
  }

  void OnClose(const std::string& sha256, const absl::Status& status) {
    const auto it = fetches_.find(sha256);
    if (it == fetches_.end()) return;
    if (!status.ok()) {
      return End(sha256,
                 absl::Status(status.code(), StrCat("fetching the plugin from the job manager: ",
                                                    status.message())));
    }
    End(sha256, Install(*it->second));
  }

  // The whole file is there: checks it and gives it its name.
  absl::Status Install(Fetch& fetch) {
    const std::string hash = fetch.hash.Finish();
    if (hash != fetch.sha256 || fetch.received_bytes != fetch.expected_bytes) {
      return absl::DataLossError(StrCat("the plugin that the job manager sent (",
                                        fetch.received_bytes, " bytes, sha256 ", hash, ") is not ",
                                        fetch.sha256, " of ", fetch.expected_bytes, " bytes"));
    }
    WEIR_RETURN_IF_ERROR(fetch.file->Sync());
    WEIR_RETURN_IF_ERROR(fetch.file->Close());
    WEIR_RETURN_IF_ERROR(env_.files().Rename(PartPath(fetch.sha256), Path(fetch.sha256)));
    DropOldest();
    return absl::OkStatus();
  }

  void DropOldest() {
    auto files = env_.files().List(directory_);
    if (!files.ok() || files->size() <= kMaxFiles) return;
    std::sort(files->begin(), files->end(), [](const FileInfo& a, const FileInfo& b) {
      return std::tie(a.modified, a.path) < std::tie(b.modified, b.path);
    });
    for (size_t i = 0; i + kMaxFiles < files->size(); ++i) {
      // A file that cannot be deleted now is met again with the next plugin.
      if (!(*files)[i].path.ends_with(".part")) env_.files().Delete((*files)[i].path).IgnoreError();
    }
  }

  void End(const std::string& sha256, const absl::Status& status) {
    auto node = fetches_.extract(sha256);
    if (node.empty()) return;
    Fetch& fetch = *node.mapped();
    executor_->Cancel(fetch.stall_timer);
    fetch.file.reset();
    if (!status.ok()) {
      if (fetch.stream != nullptr) fetch.stream->Cancel(status);
      // It may not have been made; a leftover is truncated by the next fetch.
      env_.files().Delete(PartPath(sha256)).IgnoreError();
    }
    for (Waiter& waiter : fetch.waiters) {
      if (status.ok()) {
        Answer(waiter, Path(sha256));
      } else {
        Answer(waiter, status);
      }
    }
    WEIR_CHECK_GT(under_way_, 0u);
    --under_way_;
    StartNext();
  }

  Env& env_;
  const std::string directory_;
  std::unique_ptr<Executor> executor_;
  std::map<std::string, std::unique_ptr<Fetch>> fetches_;
  std::deque<std::string> queue_;
  size_t under_way_ = 0;
  Lifetime lifetime_;
};

}  // namespace

std::unique_ptr<PluginCache> PluginCache::Make(Env& env, std::string directory) {
  return std::make_unique<FilePluginCache>(env, std::move(directory));
}

}  // namespace weir

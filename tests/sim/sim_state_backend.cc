#include "tests/sim/sim_state_backend.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "common/base/hash.h"
#include "common/base/little_endian.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "weir/cached_table.h"
#include "weir/encoding.h"
#include "weir/testing_state_store.h"

namespace weir::sim {
namespace {

using testing::MapStateStore;

constexpr std::string_view kManifest = "MANIFEST";
constexpr std::size_t kMaxLayers = 4;

// What one file says, in its order: an entry of a column that was written or erased.
struct Layer {
  std::string name;
  std::shared_ptr<const std::string> content;
};

// Columns, and how their entries are made.
struct Contents {
  std::map<std::string, std::shared_ptr<MapStateStore::Entries>> columns;
  std::map<std::string, ColumnLayout> layouts;
};

void AppendText(std::string& out, std::string_view text) {
  AppendLittleEndian(out, static_cast<uint32_t>(text.size()));
  out += text;
}
std::string TakeText(std::string_view& bytes) {
  const auto size = LoadLittleEndian<uint32_t>(bytes.data());
  std::string text(bytes.substr(sizeof(uint32_t), size));
  bytes.remove_prefix(sizeof(uint32_t) + size);
  return text;
}

void AppendChange(std::string& out, const std::string& column, ColumnLayout layout,
                  const std::string& key, const std::string* value) {
  AppendText(out, column);
  out += static_cast<char>(layout);
  out += value != nullptr ? '\1' : '\0';
  AppendText(out, key);
  if (value != nullptr) AppendText(out, *value);
}

void Apply(std::string_view layer, KeyGroupRange keeps, Contents& contents) {
  while (!layer.empty()) {
    const std::string column = TakeText(layer);
    const auto layout = static_cast<ColumnLayout>(layer[0]);
    const bool written = layer[1] != 0;
    layer.remove_prefix(2);
    const std::string key = TakeText(layer);
    auto& entries = contents.columns[column];
    if (entries == nullptr) entries = std::make_shared<MapStateStore::Entries>();
    contents.layouts[column] = layout;
    std::string value = written ? TakeText(layer) : std::string();
    const auto group = static_cast<uint32_t>(static_cast<unsigned char>(key[0]) << 8 |
                                             static_cast<unsigned char>(key[1]));
    if (!keeps.Contains(group)) continue;
    if (written) {
      (*entries)[key] = std::move(value);
    } else {
      entries->erase(key);
    }
  }
}

// What has changed from `before` to `after`.
std::string Difference(const Contents& before, const Contents& after) {
  std::string changes;
  for (const auto& [name, entries] : after.columns) {
    static const MapStateStore::Entries kNone;
    const auto found = before.columns.find(name);
    const MapStateStore::Entries& old = found != before.columns.end() ? *found->second : kNone;
    const ColumnLayout layout = after.layouts.at(name);
    for (const auto& [key, value] : *entries) {
      const auto former = old.find(key);
      if (former == old.end() || former->second != value)
        AppendChange(changes, name, layout, key, &value);
    }
    for (const auto& [key, value] : old) {
      if (!entries->contains(key)) AppendChange(changes, name, layout, key, nullptr);
    }
  }
  return changes;
}

class SimCheckpoint final : public StoreCheckpoint {
 public:
  SimCheckpoint(FileSystem& files, std::string folder, std::vector<Layer> layers,
                std::shared_ptr<UploadedFiles> uploaded)
      : disk_(files),
        folder_(std::move(folder)),
        layers_(std::move(layers)),
        uploaded_(std::move(uploaded)) {}
  // What stays goes with the host's other files.
  ~SimCheckpoint() override { disk_.DeleteRecursively(folder_).IgnoreError(); }

  absl::Status Take() override {
    if (!taken_.has_value()) taken_ = Write();
    return *taken_;
  }
  const std::vector<File>& files() const override { return files_; }
  UploadedFiles& uploaded() override { return *uploaded_; }

 private:
  absl::Status Write() {
    WEIR_RETURN_IF_ERROR(disk_.CreateDirectories(folder_));
    std::string manifest;
    for (const Layer& layer : layers_) {
      manifest += layer.name + "\n";
      WEIR_RETURN_IF_ERROR(WriteOne(layer.name, *layer.content, true));
    }
    return WriteOne(std::string(kManifest), manifest, false);
  }
  absl::Status WriteOne(const std::string& name, const std::string& content, bool immutable) {
    const std::string path = StrCat(folder_, "/", name);
    WEIR_ASSIGN_OR_RETURN(const auto file,
                          disk_.OpenForWrite(path, FileSystem::WriteMode::kTruncate));
    WEIR_RETURN_IF_ERROR(file->Append(content));
    files_.push_back({name, path, content.size(), immutable});
    return file->Close();
  }

  FileSystem& disk_;
  const std::string folder_;
  const std::vector<Layer> layers_;
  const std::shared_ptr<UploadedFiles> uploaded_;
  std::optional<absl::Status> taken_;
  std::vector<File> files_;
};

absl::StatusOr<std::vector<Layer>> ReadLayers(FileSystem& disk, const StoredFiles& files) {
  std::map<std::string, std::shared_ptr<const std::string>> contents;
  std::string manifest;
  for (const StoredFile& file : files) {
    if (file.path.empty()) {
      manifest = file.content;
      continue;
    }
    auto content = ReadFile(disk, file.path, 1 << 30);
    if (absl::IsNotFound(content.status())) {
      return absl::DataLossError(StrCat("the file ", file.path, " of a checkpoint is missing"));
    }
    WEIR_RETURN_IF_ERROR(content.status());
    if (content->size() != file.bytes || Hash64(*content) != file.digest) {
      return absl::DataLossError(StrCat("the file ", file.path, " of a checkpoint is damaged"));
    }
    contents[file.name] = std::make_shared<const std::string>(*std::move(content));
  }
  std::vector<Layer> layers;
  for (size_t at = 0; at < manifest.size();) {
    const size_t end = manifest.find('\n', at);
    const std::string name = manifest.substr(at, end - at);
    const auto found = contents.find(name);
    if (found == contents.end()) {
      return absl::DataLossError(StrCat("a checkpoint lacks the store's file ", name));
    }
    layers.push_back({name, found->second});
    at = end + 1;
  }
  return layers;
}

class SimStore final : public OperatorStore {
 public:
  SimStore(FileSystem& files, std::string folder) : disk_(files), folder_(std::move(folder)) {}

  absl::Status Load(const StoredParts& parts) {
    for (const StoredPart& part : parts) {
      WEIR_ASSIGN_OR_RETURN(std::vector<Layer> layers, ReadLayers(disk_, part.files));
      for (const Layer& layer : layers) Apply(*layer.content, part.keeps, last_);
      const bool whole = part.had.first == part.keeps.first && part.had.last == part.keeps.last;
      if (parts.size() > 1 || !whole) continue;
      // The files go on as this store's own.
      layers_ = std::move(layers);
      for (const StoredFile& file : part.files) {
        if (file.shared_name.empty()) continue;
        uploaded_->Add(file.name, {file.shared_name, file.path, file.bytes, file.digest, 0});
        last_file_ = std::max<uint64_t>(last_file_, std::stoull(file.name));
      }
    }
    layouts_ = last_.layouts;
    for (const auto& [name, entries] : last_.columns)
      maps_.columns[name] = std::make_shared<MapStateStore::Entries>(*entries);
    if (layers_.empty()) last_ = {};
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<StateColumn>> OpenColumn(const std::string& state,
                                                          ColumnLayout layout) override {
    layouts_[state] = layout;
    return maps_.OpenColumn(state, layout);
  }
  absl::StatusOr<std::unique_ptr<StateScratch>> OpenScratch(const std::string& name) override {
    return maps_.OpenScratch(name);
  }
  absl::StatusOr<std::shared_ptr<StoreCheckpoint>> Checkpoint() override {
    if (maps_.columns.empty()) return std::shared_ptr<StoreCheckpoint>();
    WEIR_RETURN_IF_ERROR(maps_.CatchUp());
    if (layers_.size() >= kMaxLayers) {
      layers_.clear();
      last_ = {};
    }
    Contents now;
    now.layouts = layouts_;
    for (const auto& [name, entries] : maps_.columns)
      now.columns[name] = std::make_shared<MapStateStore::Entries>(maps_.Logged(name));
    if (std::string changes = Difference(last_, now); !changes.empty()) {
      char name[32];
      std::snprintf(name, sizeof(name), "%06llu.sst",
                    static_cast<unsigned long long>(++last_file_));
      layers_.push_back({name, std::make_shared<const std::string>(std::move(changes))});
    }
    last_ = std::move(now);
    return std::shared_ptr<StoreCheckpoint>(std::make_shared<SimCheckpoint>(
        disk_, StrCat(folder_, "-", ++checkpoints_), layers_, uploaded_));
  }

 private:
  FileSystem& disk_;
  const std::string folder_;
  // Some checkpoints have logs, others do not.
  MapStateStore maps_{/*cache_bytes=*/512, /*log_bytes=*/256};
  std::map<std::string, ColumnLayout> layouts_;
  // What `layers_` have together.
  Contents last_;
  std::vector<Layer> layers_;
  uint64_t last_file_ = 0;
  uint64_t checkpoints_ = 0;
  const std::shared_ptr<UploadedFiles> uploaded_ = std::make_shared<UploadedFiles>();
};

class SimStoredState final : public StoredState {
 public:
  explicit SimStoredState(Contents contents) : contents_(std::move(contents)) {}

  absl::Status ReadKeyGroup(const std::string& state, uint32_t key_group,
                            std::string& out) override {
    const auto found = contents_.columns.find(state);
    if (found == contents_.columns.end()) return absl::OkStatus();
    std::string from;
    std::string to;
    internal::AppendKeyGroup(key_group, from);
    internal::AppendKeyGroup(key_group + 1, to);
    internal::StoredKeyGroup entries(contents_.layouts.at(state));
    for (auto it = found->second->lower_bound(from); it != found->second->end() && it->first < to;
         ++it) {
      if (!entries.Add(std::string_view(it->first).substr(from.size()), it->second))
        return absl::DataLossError(StrCat("state '", state, "' has a malformed entry"));
    }
    entries.AppendTo(out);
    return absl::OkStatus();
  }

 private:
  const Contents contents_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<OperatorStore>> SimStateBackend::Open(uint32_t node,
                                                                     uint32_t subtask,
                                                                     const StoredParts* parts) {
  auto store =
      std::make_unique<SimStore>(files_, StrCat(folder_, "/", node, "-", subtask, "-", ++opened_));
  if (parts != nullptr) WEIR_RETURN_IF_ERROR(store->Load(*parts));
  return std::unique_ptr<OperatorStore>(std::move(store));
}

absl::StatusOr<std::shared_ptr<StoredState>> SimStateBackend::Read(const StoredFiles& files) {
  WEIR_ASSIGN_OR_RETURN(const std::vector<Layer> layers, ReadLayers(files_, files));
  Contents contents;
  for (const Layer& layer : layers) Apply(*layer.content, {0, 0xffff}, contents);
  return std::shared_ptr<StoredState>(std::make_shared<SimStoredState>(std::move(contents)));
}

}  // namespace weir::sim

#include "connectors/files/files_source.h"

#include <algorithm>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace weir {

FilesSource::FilesSource(Env& env, Files settings, const RecordType& type, ReadAheadOptions options)
    : env_(env), settings_(std::move(settings)), type_(type), options_(options) {}

FilesSource::~FilesSource() { Close(); }

absl::Status FilesSource::Open(SourceContext& context) {
  context_ = &context;
  skipped_ = &context.metrics().counter("numMalformedRecordsSkipped");
  if (settings_.malformed == Malformed::kSideOutput && context.malformed_output() == nullptr) {
    return absl::InvalidArgumentError(
        StrCat("source '", context.uid(),
               "' sends malformed records to a side output that the job does not use: write it "
               "somewhere, or set .malformed "
               "to weir::Malformed::kSkip or kFail"));
  }
  WEIR_RETURN_IF_ERROR(CheckRestored());
  if (restored_.has_value() && restored_->former.empty()) {
    const FilesPosition position = *std::exchange(restored_, std::nullopt);
    for (const FilesPosition::Lane& lane : position.lanes) MakeLane(lane);
    if (lanes_.empty()) MakeLane({});
    if (discovers()) finished_ = position.finished;
  }
  if (lanes_.empty() || discovers()) {
    lookup_ = InputLookup::Make(env_, settings_.path, discovers(), [&context] { context.Wake(); });
    listing_ = true;
    lookup_->Start();
  }
  return absl::OkStatus();
}

absl::Status FilesSource::CheckRestored() const {
  if (!restored_.has_value() || !discovers() || restored_->discovers) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("source '", context_->uid(),
             "' is to look for new files, but did not when the snapshot was taken that it starts "
             "from: which files it has read by then is not known; take .discover out, or start it "
             "without the snapshot"));
}

void FilesSource::MakeLane(std::vector<InputFile> files) {
  lanes_.push_back({.files = std::make_unique<FileLane>(FileReading{.env = env_,
                                                                    .settings = settings_,
                                                                    .type = type_,
                                                                    .options = options_,
                                                                    .context = *context_,
                                                                    .skipped = *skipped_,
                                                                    .malformed = malformed_}),
                    .ended = false});
  lanes_.back().files->Add(std::move(files));
}

void FilesSource::Close() {
  if (lookup_ != nullptr) lookup_->Close();
  lanes_.clear();
}

absl::Status FilesSource::LookForFiles() {
  if (lookup_ == nullptr) return absl::OkStatus();
  if (listing_) {
    const std::optional<InputLookup::Inputs> found = lookup_->Take();
    if (!found.has_value()) return absl::OkStatus();
    listing_ = false;
    WEIR_RETURN_IF_ERROR(found->status());
    WEIR_RETURN_IF_ERROR(OnListed(**found));
    if (!discovers()) {
      lookup_ = nullptr;
    } else {
      next_listing_ = context_->ProcessingTime() + settings_.discover.count();
    }
  } else if (context_->ProcessingTime() >= next_listing_) {
    listing_ = true;
    next_listing_ = kMaxTicks;
    lookup_->Start();
  }
  return absl::OkStatus();
}

absl::Status FilesSource::OnListed(const std::vector<InputFile>& inputs) {
  if (discovers()) {
    AddNewFiles(inputs);
  } else if (restored_.has_value()) {
    WEIR_ASSIGN_OR_RETURN(
        const FilesPosition position,
        DealFiles(restored_->former, restored_->subtask, restored_->parallelism, &inputs));
    for (const FilesPosition::Lane& lane : position.lanes) MakeLane(lane);
  } else {
    MakeLane(AssignInputs(inputs, context_->subtask(), context_->parallelism()));
  }
  restored_.reset();
  return absl::OkStatus();
}

void FilesSource::AddNewFiles(const std::vector<InputFile>& inputs) {
  if (lanes_.empty()) MakeLane({});
  std::set<PathDigest> known;
  for (const Lane& lane : lanes_) {
    for (const InputFile& file : lane.files->Left()) known.insert(PathDigest::Of(file.path));
  }
  // What is not there any more need not be remembered.
  std::set<PathDigest> still_there;
  std::vector<InputFile> added;
  for (const InputFile& file : inputs) {
    const PathDigest digest = PathDigest::Of(file.path);
    if (digest.Subtask(context_->parallelism()) != context_->subtask()) continue;
    if (finished_.contains(digest)) {
      still_there.insert(digest);
    } else if (!known.contains(digest)) {
      added.push_back(file);
    }
  }
  finished_ = std::move(still_there);
  lanes_.back().files->Add(std::move(added));
}

absl::StatusOr<PollResult> FilesSource::Poll(BatchBase& batch, std::size_t max_records) {
  WEIR_RETURN_IF_ERROR(LookForFiles());
  WEIR_ASSIGN_OR_RETURN(const PollResult result, PollLanes(batch, max_records));
  WEIR_RETURN_IF_ERROR(FlushMalformed());
  return result;
}

absl::StatusOr<PollResult> FilesSource::PollLanes(BatchBase& batch, std::size_t max_records) {
  const auto not_ended =
      std::count_if(lanes_.begin(), lanes_.end(), [](const Lane& lane) { return !lane.ended; });
  for (std::size_t tried = 0; tried < lanes_.size(); ++tried) {
    const std::size_t index = next_lane_++ % lanes_.size();
    Lane& lane = lanes_[index];
    if (lane.ended || lane.paused) continue;
    WEIR_ASSIGN_OR_RETURN(const FileLane::State state, lane.files->Poll(batch, max_records));
    for (const std::string& path : lane.files->TakeFinished()) {
      if (discovers()) finished_.insert(PathDigest::Of(path));
    }
    PollResult result;
    result.split = static_cast<std::uint32_t>(index);
    const bool open = discovers() && index + 1 == lanes_.size();
    if (state == FileLane::State::kEnd && !open) {
      lane.ended = result.split_ended = true;
      if (not_ended == 1) result.state = PollState::kEnd;
      return result;
    }
    if (state == FileLane::State::kMore || !batch.empty()) return result;
  }
  return PollResult{
      .state = PollState::kWait, .split = 0, .split_ended = false, .wake_at = next_listing_};
}

absl::Status FilesSource::FlushMalformed() {
  if (malformed_.empty()) return absl::OkStatus();
  WEIR_RETURN_IF_ERROR(context_->malformed_output()->Push(malformed_));
  malformed_.Clear();
  return absl::OkStatus();
}

std::string FilesSource::SnapshotPosition() const {
  // Before the files are known: a restored reader begins as this one did.
  if (lanes_.empty()) return restored_.has_value() ? restored_->Encode() : std::string();
  FilesPosition position;
  position.discovers = discovers();
  position.finished = finished_;
  for (const Lane& lane : lanes_) {
    if (!lane.ended) position.lanes.push_back(lane.files->Left());
  }
  return position.Encode();
}

absl::Status FilesSource::RestorePosition(std::string_view position) {
  if (position.empty()) return absl::OkStatus();
  WEIR_ASSIGN_OR_RETURN(restored_, FilesPosition::Decode(position));
  return absl::OkStatus();
}

absl::Status FilesSource::RestorePositions(const std::vector<std::string_view>& positions,
                                           std::uint32_t subtask, std::uint32_t parallelism) {
  const bool begun = std::any_of(positions.begin(), positions.end(),
                                 [](std::string_view position) { return !position.empty(); });
  // None of them knew its files: this one begins as they did.
  if (!begun) return absl::OkStatus();
  WEIR_ASSIGN_OR_RETURN(restored_, DealFiles({positions.begin(), positions.end()}, subtask,
                                             parallelism, /*inputs=*/nullptr));
  return absl::OkStatus();
}

}  // namespace weir

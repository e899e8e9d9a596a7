#include "jobmanager/dispatch/submissions.h"

#include <optional>
#include <utility>

#include "common/base/check.h"
#include "common/base/limits.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/control.pb.h"
#include "proto/job_graph.pb.h"
#include "proto/validate/job_graph.h"

namespace weir::jobmanager {
namespace {

// A chunk is data and a few bytes around it.
constexpr size_t kChunkOverheadBytes = 64;

template <class Map>
size_t BytesOf(const Map& map) {
  size_t bytes = 0;
  for (const auto& [key, value] : map) bytes += key.size() + value.size();
  return bytes;
}

template <class Map>
std::map<std::string, std::string> Copy(const Map& map) {
  return std::map<std::string, std::string>(map.begin(), map.end());
}

}  // namespace

absl::Status ValidateSubmitHeader(const proto::SubmitHeader& header) {
  if (!IsSha256Hex(header.plugin_sha256())) {
    return absl::InvalidArgumentError("plugin_sha256 must be 64 lower-case hex digits");
  }
  if (header.plugin_bytes() == 0) return absl::InvalidArgumentError("the plugin is empty");
  if (header.plugin_bytes() > kMaxPluginBytes) {
    return absl::InvalidArgumentError(StrCat("the plugin has ", header.plugin_bytes(),
                                             " bytes; at most ", kMaxPluginBytes,
                                             " (512 MiB) are allowed. Strip its debug "
                                             "information"));
  }
  const size_t settings = BytesOf(header.settings()) + BytesOf(header.arguments());
  if (settings > kMaxSettingsBytes) {
    return absl::InvalidArgumentError(StrCat("settings and arguments have ", settings,
                                             " bytes; at most ", kMaxSettingsBytes,
                                             " (1 MiB) are allowed"));
  }
  if (header.parallelism() == 0 || header.parallelism() > kMaxGraphParallelism) {
    return absl::InvalidArgumentError(StrCat("the job's parallelism is ", header.parallelism(),
                                             "; it must be from 1 to ", kMaxGraphParallelism));
  }
  WEIR_RETURN_IF_ERROR(ValidateJobGraph(header.graph()));
  if (!header.job_name().empty() && header.job_name() != header.graph().job_name()) {
    return absl::InvalidArgumentError("the job's name is not the one in its graph");
  }
  return absl::OkStatus();
}

// One client's stream.
class Submissions::Session {
 public:
  Session(Submissions& owner, uint64_t id, std::shared_ptr<MessageStream> stream)
      : owner_(owner), id_(id), stream_(std::move(stream)) {
    ArmTimer();
  }

  ~Session() {
    if (timer_ != 0) owner_.io_.Cancel(timer_);
    writer_.reset();
    if (pinned_) owner_.blobs_.Unpin(header_.plugin_sha256());
  }

  void OnMessage(const std::string& bytes) {
    if (step_ == Step::kOver) return;
    ArmTimer();
    if (absl::Status status = Handle(bytes); !status.ok()) Refuse(status);
  }

  void OnAccepted(const absl::StatusOr<JobId>& id) {
    if (step_ != Step::kAccepting) return;
    if (!id.ok()) return Refuse(id.status());
    // It is the job's now.
    pinned_ = false;
    step_ = Step::kOver;
    proto::SubmitResponse response;
    response.set_plugin_known(true);
    response.set_job_id(std::string(id->bytes().begin(), id->bytes().end()));
    Send(response);
    stream_->Finish();
  }

  bool accepting() const { return step_ == Step::kAccepting; }
  // The client is gone, but the job is handed over already: its outcome is still awaited.
  void Detach() { detached_ = true; }
  bool detached() const { return detached_; }

 private:
  enum class Step { kHeader, kData, kAccepting, kOver };

  absl::Status Handle(const std::string& bytes) {
    if (step_ != Step::kHeader && bytes.size() > kMaxSubmitChunkBytes + kChunkOverheadBytes) {
      return absl::InvalidArgumentError(StrCat("a chunk of ", bytes.size(), " bytes; at most ",
                                               kMaxSubmitChunkBytes,
                                               " (1 MiB) of data are allowed"));
    }
    if (bytes.size() > kMaxControlMessageBytes) {
      return absl::InvalidArgumentError(StrCat("the header has ", bytes.size(), " bytes; at most ",
                                               kMaxControlMessageBytes, " are allowed"));
    }
    proto::SubmitChunk chunk;
    if (!chunk.ParseFromString(bytes)) {
      return absl::InvalidArgumentError("a message of the submission is malformed");
    }
    switch (chunk.part_case()) {
      case proto::SubmitChunk::kHeader:
        if (step_ != Step::kHeader) return OutOfOrder("header");
        return OnHeader(std::move(*chunk.mutable_header()));
      case proto::SubmitChunk::kData:
        if (step_ != Step::kData) return OutOfOrder("data");
        if (writer_ == nullptr) {
          return absl::InvalidArgumentError(
              "the plugin is known already: send no data, only `end`");
        }
        return writer_->Append(chunk.data());
      case proto::SubmitChunk::kEnd:
        if (step_ != Step::kData) return OutOfOrder("end");
        return OnEnd();
      default:
        return absl::InvalidArgumentError("a message of the submission is empty");
    }
  }

  static absl::Status OutOfOrder(std::string_view part) {
    return absl::InvalidArgumentError(
        StrCat("`", part, "` out of order: a submission is one header, data, and end"));
  }

  absl::Status OnHeader(proto::SubmitHeader header) {
    WEIR_RETURN_IF_ERROR(ValidateSubmitHeader(header));
    header_ = std::move(header);
    if (header_.has_restore_from()) {
      WEIR_ASSIGN_OR_RETURN(restore_, ReadRestorePoint(owner_.files_, header_.restore_from().path(),
                                                       header_.restore_from().allow_dropped_state(),
                                                       header_.graph()));
    }
    owner_.blobs_.Pin(header_.plugin_sha256());
    pinned_ = true;
    proto::SubmitResponse response;
    response.set_plugin_known(owner_.blobs_.Contains(header_.plugin_sha256()));
    if (!response.plugin_known()) {
      WEIR_ASSIGN_OR_RETURN(
          writer_, owner_.blobs_.NewWriter(header_.plugin_sha256(), header_.plugin_bytes()));
    }
    step_ = Step::kData;
    Send(response);
    return absl::OkStatus();
  }

  absl::Status OnEnd() {
    if (writer_ != nullptr) {
      WEIR_RETURN_IF_ERROR(writer_->Commit());
      writer_.reset();
    }
    step_ = Step::kAccepting;
    JobSpec spec;
    spec.name = header_.graph().job_name();
    spec.plugin_sha256 = header_.plugin_sha256();
    spec.plugin_bytes = header_.plugin_bytes();
    spec.arguments = Copy(header_.arguments());
    spec.settings = Copy(header_.settings());
    spec.parallelism = header_.parallelism();
    spec.graph_hash = GraphHash(header_.graph());
    spec.restore = std::move(restore_);
    spec.allow_dropped_state = header_.restore_from().allow_dropped_state();
    spec.graph = std::make_shared<const proto::JobGraph>(std::move(*header_.mutable_graph()));
    owner_.accept_(
        std::move(spec),
        [&io = owner_.io_, accepted = owner_.lifetime_.GuardConst(
                               [&owner = owner_, id = id_](const absl::StatusOr<JobId>& job) {
                                 auto session = owner.sessions_.find(id);
                                 if (session == owner.sessions_.end()) return;
                                 session->second->OnAccepted(job);
                                 if (session->second->detached()) owner.sessions_.erase(session);
                               })](absl::StatusOr<JobId> job) {
          io.Post([accepted, job = std::move(job)] { accepted(job); });
        });
    return absl::OkStatus();
  }

  void Refuse(const absl::Status& status) {
    step_ = Step::kOver;
    writer_.reset();
    stream_->Cancel(status);
  }

  void Send(const proto::SubmitResponse& response) {
    MessageBytes bytes;
    bytes.pieces.push_back(response.SerializeAsString());
    stream_->Send(std::move(bytes));
  }

  void ArmTimer() {
    if (timer_ != 0) owner_.io_.Cancel(timer_);
    timer_ = owner_.io_.PostAfter(owner_.idle_timeout_, owner_.lifetime_.Guard([this] {
      timer_ = 0;
      if (step_ == Step::kAccepting) return;
      Refuse(absl::DeadlineExceededError(StrCat("nothing came for ",
                                                absl::FormatDuration(owner_.idle_timeout_),
                                                " on a stream of a submission")));
    }));
  }

  Submissions& owner_;
  const uint64_t id_;
  const std::shared_ptr<MessageStream> stream_;
  Step step_ = Step::kHeader;
  proto::SubmitHeader header_;
  std::optional<RestorePoint> restore_;
  bool pinned_ = false;
  bool detached_ = false;
  std::unique_ptr<BlobWriter> writer_;
  Executor::TimerId timer_ = 0;
};

Submissions::Submissions(Executor& io, FileSystem& files, BlobStore& blobs, Accept accept,
                         absl::Duration idle_timeout)
    : io_(io),
      files_(files),
      blobs_(blobs),
      accept_(std::move(accept)),
      idle_timeout_(idle_timeout) {}

Submissions::~Submissions() { lifetime_.End(); }

absl::StatusOr<StreamCallbacks> Submissions::Open(std::shared_ptr<MessageStream> stream) {
  if (sessions_.size() >= kMaxSubmissionsAtOnce) {
    return absl::ResourceExhaustedError(
        StrCat(kMaxSubmissionsAtOnce, " submissions are under way; try again later"));
  }
  const uint64_t id = ++last_session_;
  sessions_.emplace(id, std::make_unique<Session>(*this, id, std::move(stream)));
  StreamCallbacks callbacks;
  callbacks.on_message = lifetime_.Guard([this, id](const std::string& message) {
    if (auto session = sessions_.find(id); session != sessions_.end()) {
      session->second->OnMessage(message);
    }
  });
  // The client finished, cancelled or was lost: what is not handed over is dropped.
  callbacks.on_close = lifetime_.Guard([this, id](const absl::Status&) {
    auto session = sessions_.find(id);
    if (session == sessions_.end()) return;
    if (session->second->accepting()) {
      session->second->Detach();
    } else {
      sessions_.erase(session);
    }
  });
  return callbacks;
}

}  // namespace weir::jobmanager

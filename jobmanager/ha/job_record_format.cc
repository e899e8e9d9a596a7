#include "jobmanager/ha/job_record_format.h"

#include <algorithm>

#include "common/base/hash.h"
#include "common/base/id.h"
#include "common/base/limits.h"
#include "common/base/little_endian.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/hash/sha256.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "proto/job_record.pb.h"
#include "proto/validate/job_graph.h"

namespace weir::jobmanager {
namespace {

constexpr size_t kDigestBytes = 8;
// What follows the version: which of the two messages it is.
constexpr uint32_t kSubmitted = 1;
constexpr uint32_t kRecord = 2;

template <class... Args>
absl::Status Invalid(const Args&... args) {
  return absl::InvalidArgumentError(StrCat(args...));
}

absl::Status CheckId(std::string_view id) {
  if (id.size() == JobId::kBytes) return absl::OkStatus();
  return Invalid("the job's id has ", id.size(), " bytes");
}

absl::Status Validate(const proto::SubmittedJob& job) {
  WEIR_RETURN_IF_ERROR(CheckId(job.job_id()));
  if (!IsSha256Hex(job.plugin_sha256())) return Invalid("the plugin's sha256 is malformed");
  if (job.plugin_bytes() == 0 || job.plugin_bytes() > kMaxPluginBytes) {
    return Invalid("the plugin has ", job.plugin_bytes(), " bytes");
  }
  if (job.parallelism() == 0 || job.parallelism() > kMaxGraphParallelism) {
    return Invalid("the parallelism is ", job.parallelism());
  }
  WEIR_RETURN_IF_ERROR(ValidateJobGraph(job.graph()));
  if (job.graph_hash() != GraphHash(job.graph())) return Invalid("the graph's hash is another one");
  return absl::OkStatus();
}

absl::Status ValidateCheckpoints(const proto::JobRecord& record) {
  uint64_t last = 0;
  for (const proto::JobRecord::Checkpoint& checkpoint : record.checkpoints()) {
    if (checkpoint.id() <= last || checkpoint.id() > record.last_checkpoint_id()) {
      return Invalid("checkpoint ", checkpoint.id(), " is not between the one before it, ", last,
                     ", and the last, ", record.last_checkpoint_id());
    }
    last = checkpoint.id();
    if (checkpoint.kind() != proto::CHECKPOINT && checkpoint.kind() != proto::SAVEPOINT) {
      return Invalid("checkpoint ", checkpoint.id(), " is of an unknown kind");
    }
    if (!checkpoint.directory().starts_with("/")) {
      return Invalid("the folder of checkpoint ", checkpoint.id(), " is no absolute path");
    }
  }
  return absl::OkStatus();
}

absl::Status Validate(const proto::JobRecord::Scale& scale) {
  if (scale.parallelism() == 0 || scale.parallelism() > kMaxGraphParallelism) {
    return Invalid("a parallelism is ", scale.parallelism());
  }
  WEIR_RETURN_IF_ERROR(ValidateJobGraph(scale.graph()));
  if (scale.graph_hash() != GraphHash(scale.graph())) {
    return Invalid("the hash of a graph is another one");
  }
  return absl::OkStatus();
}

uint32_t VersionOf(const proto::SubmittedJob&) { return 1; }
uint32_t VersionOf(const proto::JobRecord& record) {
  const bool regions =
      record.region_restarts() != 0 || record.last_attempt() != 0 || record.ended_region_lost() ||
      record.worker_of_slot_size() > 0 || record.region_attempts_size() > 0 ||
      std::any_of(record.workers().begin(), record.workers().end(),
                  [](const proto::JobRecord::Worker& worker) { return worker.gone(); });
  if (regions) return 3;
  return record.has_scale() || record.has_next_scale() || record.has_former_scale() ? 2 : 1;
}

absl::Status ValidateRegions(const proto::JobRecord& record) {
  for (const uint32_t worker : record.worker_of_slot()) {
    if (worker >= static_cast<uint32_t>(record.workers_size())) {
      return Invalid("a slot is of worker ", worker, " of ", record.workers_size());
    }
  }
  const uint32_t last = std::max(record.attempt(), record.last_attempt());
  if (record.last_attempt() != 0 && record.last_attempt() < record.attempt()) {
    return Invalid("the last attempt, ", record.last_attempt(), ", is before this one");
  }
  for (const uint32_t attempt : record.region_attempts()) {
    if (attempt > last) return Invalid("a region is in attempt ", attempt, " of ", last);
  }
  if (record.region_restarts() >= last) {
    return Invalid("of ", last, " attempts ", record.region_restarts(), " were of regions");
  }
  return absl::OkStatus();
}

absl::Status Validate(const proto::JobRecord& record) {
  WEIR_RETURN_IF_ERROR(CheckId(record.job_id()));
  if (record.has_scale()) WEIR_RETURN_IF_ERROR(Validate(record.scale()));
  if (record.has_next_scale()) WEIR_RETURN_IF_ERROR(Validate(record.next_scale()));
  if (record.has_former_scale()) WEIR_RETURN_IF_ERROR(Validate(record.former_scale()));
  if (record.leader_epoch() == 0) return Invalid("it names no leader epoch");
  if (record.attempt() == 0) return Invalid("it names no attempt");
  for (const proto::JobRecord::Worker& worker : record.workers()) {
    if (worker.task_manager_id().size() != TaskManagerId::kBytes || worker.slots() == 0 ||
        worker.slots() > kMaxGraphParallelism) {
      return Invalid("one of its workers has no task manager, or ", worker.slots(), " slots");
    }
  }
  WEIR_RETURN_IF_ERROR(ValidateRegions(record));
  if (record.tasks_may_run() && record.workers_size() == 0) return Invalid("tasks without workers");
  switch (record.outcome()) {
    case proto::JOB_STATE_UNSPECIFIED:
    case proto::FINISHED:
    case proto::CANCELED:
    case proto::FAILED:
      break;
    default:
      return Invalid("the outcome ", static_cast<int>(record.outcome()), " is none");
  }
  return ValidateCheckpoints(record);
}

// The message within `bytes`, once all around it is right.
absl::StatusOr<std::string_view> Unframe(std::string_view bytes, uint32_t kind) {
  if (!bytes.starts_with(kJobRecordMagic.substr(0, bytes.size()))) {
    return absl::DataLossError("it is no record of a job");
  }
  if (bytes.size() < kJobRecordHeaderBytes + kDigestBytes) {
    return absl::DataLossError(StrCat("it is truncated: it has only ", bytes.size(), " bytes"));
  }
  const auto version = LoadLittleEndian<uint32_t>(bytes.data() + 8);
  if (version > kJobRecordVersion) {
    return absl::FailedPreconditionError(
        StrCat("it was written by a newer version of Weir (format ", version,
               ", this one reads up to ", kJobRecordVersion, "); use that version"));
  }
  if (version == 0) return absl::DataLossError("it has the format version 0");
  const size_t before_digest = bytes.size() - kDigestBytes;
  const auto length = LoadLittleEndian<uint64_t>(bytes.data() + 16);
  if (length != before_digest - kJobRecordHeaderBytes) {
    return absl::DataLossError(StrCat("it is truncated or too long: ", length,
                                      " bytes announced in a file of ", bytes.size()));
  }
  if (LoadLittleEndian<uint64_t>(bytes.data() + before_digest) !=
      Hash64(bytes.substr(0, before_digest))) {
    return absl::DataLossError("it has a wrong digest");
  }
  if (LoadLittleEndian<uint32_t>(bytes.data() + 12) != kind) {
    return absl::DataLossError("it is a record of another kind");
  }
  return bytes.substr(kJobRecordHeaderBytes, length);
}

template <class Message>
absl::Status Decode(std::string_view bytes, uint32_t kind, Message* message) {
  message->Clear();
  WEIR_ASSIGN_OR_RETURN(const std::string_view content, Unframe(bytes, kind));
  Message parsed;
  if (!parsed.ParseFromArray(content.data(), static_cast<int>(content.size()))) {
    return absl::DataLossError("its message cannot be parsed");
  }
  if (LoadLittleEndian<uint32_t>(bytes.data() + 8) != VersionOf(parsed)) {
    return absl::DataLossError("its format version is not that of what it holds");
  }
  const absl::Status valid = Validate(parsed);
  if (!valid.ok()) return absl::DataLossError(valid.message());
  message->Swap(&parsed);
  return absl::OkStatus();
}

template <class Message>
absl::StatusOr<std::string> Encode(const Message& message, uint32_t kind) {
  std::string bytes(kJobRecordMagic);
  AppendLittleEndian(bytes, VersionOf(message));
  AppendLittleEndian(bytes, kind);
  const uint64_t length = message.ByteSizeLong();
  if (length > kMaxJobRecordBytes - kJobRecordHeaderBytes - kDigestBytes) {
    return Invalid("the record of the job has ", length, " bytes; at most ", kMaxJobRecordBytes,
                   " are allowed");
  }
  AppendLittleEndian(bytes, length);
  {
    // So that a content has one encoding.
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    if (!message.SerializeToCodedStream(&coded)) return Invalid("the record cannot be serialized");
  }
  AppendLittleEndian(bytes, Hash64(bytes));
  // Also finds what Protobuf writes but does not read, such as a name that is not UTF-8.
  Message again;
  const absl::Status status = Decode(bytes, kind, &again);
  if (!status.ok()) return absl::InvalidArgumentError(status.message());
  return bytes;
}

}  // namespace

absl::StatusOr<std::string> EncodeSubmittedJob(const proto::SubmittedJob& job) {
  return Encode(job, kSubmitted);
}

absl::StatusOr<std::string> EncodeJobRecord(const proto::JobRecord& record) {
  return Encode(record, kRecord);
}

absl::Status DecodeSubmittedJob(std::string_view bytes, proto::SubmittedJob* job) {
  return Decode(bytes, kSubmitted, job);
}

absl::Status DecodeJobRecord(std::string_view bytes, proto::JobRecord* record) {
  return Decode(bytes, kRecord, record);
}

}  // namespace weir::jobmanager

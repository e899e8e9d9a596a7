#include "jobmanager/dispatch/task_managers.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <tuple>

#include "absl/strings/escaping.h"
#include "common/base/check.h"
#include "common/base/limits.h"
#include "common/base/strings.h"
#include "common/base/version.h"
#include "proto/control.pb.h"

namespace weir::jobmanager {
namespace {

constexpr size_t kMaxAddressBytes = 256;

// Names in logs and metrics: [A-Za-z0-9[][A-Za-z0-9._:[]-]{0,127}, so that an address is one.
bool IsName(std::string_view text) {
  const auto is_alphanumeric = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !text.empty() && text.size() <= 128 && (is_alphanumeric(text[0]) || text[0] == '[') &&
         std::all_of(text.begin(), text.end(), [&](char c) {
           return is_alphanumeric(c) || c == '.' || c == '_' || c == '-' || c == ':' || c == '[' ||
                  c == ']';
         });
}

TaskManagerId IdFromBytes(const std::string& bytes) {
  WEIR_CHECK_EQ(bytes.size(), TaskManagerId::kBytes);
  std::array<uint8_t, TaskManagerId::kBytes> id;
  std::copy(bytes.begin(), bytes.end(), id.begin());
  return TaskManagerId(id);
}

}  // namespace

absl::Status TaskManagers::Check(const proto::RegisterTaskManagerRequest& request) const {
  if (request.version() != kVersion || request.protocol() != kControlProtocol) {
    return absl::FailedPreconditionError(
        StrCat("task manager '", absl::Utf8SafeCEscape(request.name().substr(0, 128)),
               "' is of version '", absl::Utf8SafeCEscape(request.version().substr(0, 64)),
               "' (protocol ", request.protocol(), "), this job manager of ", kVersion,
               " (protocol ", kControlProtocol, "): install the same version everywhere"));
  }
  if (request.id().size() != TaskManagerId::kBytes) {
    return absl::InvalidArgumentError("a task manager's id has 16 bytes");
  }
  if (!IsName(request.name())) {
    return absl::InvalidArgumentError(StrCat(
        "'", absl::Utf8SafeCEscape(request.name().substr(0, 128)),
        "' is no name for a task manager: letters, digits and ._:-[] are allowed, at most 128"));
  }
  if (request.slots() == 0 || request.slots() > kMaxSlotsPerTaskManager) {
    return absl::InvalidArgumentError(StrCat("a task manager has from 1 to ",
                                             kMaxSlotsPerTaskManager, " slots, not ",
                                             request.slots(), " (taskmanager.numberOfTaskSlots)"));
  }
  if (request.address().empty() || request.address().size() > kMaxAddressBytes ||
      request.address().find(':') == std::string::npos) {
    return absl::InvalidArgumentError("a task manager's address is host:port");
  }
  if (records_.size() >= kMaxTaskManagers && Find(IdFromBytes(request.id())) == nullptr) {
    return absl::ResourceExhaustedError(
        StrCat("there are ", kMaxTaskManagers, " task managers already"));
  }
  return absl::OkStatus();
}

const TaskManagerRecord& TaskManagers::Register(const proto::RegisterTaskManagerRequest& request) {
  const TaskManagerId id = IdFromBytes(request.id());
  TaskManagerRecord& record = records_[id];
  record.id = id;
  record.name = request.name();
  record.version = request.version();
  record.slots = request.slots();
  if (record.agent == nullptr || record.address != request.address()) {
    record.address = request.address();
    record.agent = env_.network().Connect(record.address);
  }
  slots_.Add(id, record.name, record.slots);
  Heard(id);
  return record;
}

const TaskManagerRecord* TaskManagers::FindOther(const std::string& address,
                                                 const TaskManagerId& id) const {
  for (const auto& [other, record] : records_) {
    if (other != id && record.address == address) return &record;
  }
  return nullptr;
}

const TaskManagerRecord* TaskManagers::Find(const TaskManagerId& id) const {
  auto record = records_.find(id);
  return record == records_.end() ? nullptr : &record->second;
}

void TaskManagers::Heard(const TaskManagerId& id) {
  auto record = records_.find(id);
  if (record == records_.end()) return;
  record->second.last_heard_nanos = env_.clock().MonotonicNanos();
  record->second.last_heard_unix_micros = absl::ToUnixMicros(env_.clock().Now());
}

// By value: the caller's is often the one in the record that goes.
void TaskManagers::Remove(TaskManagerId id) {
  records_.erase(id);
  slots_.Remove(id);
}

std::vector<TaskManagerId> TaskManagers::Silent(absl::Duration timeout) const {
  const int64_t now = env_.clock().MonotonicNanos();
  std::vector<TaskManagerId> silent;
  for (const auto& [id, record] : records_) {
    if (absl::Nanoseconds(now - record.last_heard_nanos) >= timeout) silent.push_back(id);
  }
  return silent;
}

void TaskManagers::ForgiveSilence() {
  const int64_t now = env_.clock().MonotonicNanos();
  for (auto& [id, record] : records_) record.last_heard_nanos = now;
}

std::vector<const TaskManagerRecord*> TaskManagers::All() const {
  std::vector<const TaskManagerRecord*> all;
  for (const auto& [id, record] : records_) all.push_back(&record);
  std::sort(all.begin(), all.end(), [](const TaskManagerRecord* a, const TaskManagerRecord* b) {
    return std::tie(a->name, a->id) < std::tie(b->name, b->id);
  });
  return all;
}

}  // namespace weir::jobmanager

#include <algorithm>

#include "jobmanager/schedule/phase_internal.h"

namespace weir::jobmanager {
namespace {

// How long a job waits for the slots of a new parallelism before it goes back to the former one.
constexpr absl::Duration kRescaleSlotTimeout = absl::Seconds(10);

// Waits until enough slots are free.
class Created final : public Phase {
 public:
  using Phase::Phase;

  proto::JobState state() const override { return proto::CREATED; }

  void Enter() override {
    absl::Duration timeout = core_.surroundings.options().slot_request_timeout;
    if (core_.record.has_former_scale()) timeout = std::min(timeout, kRescaleSlotTimeout);
    After(timeout, [this, timeout] {
      core_.Fail(absl::ResourceExhaustedError(
                     StrCat("no slots within ", absl::FormatDuration(timeout),
                            " (slot.request.timeout): the job ", waiting_for(),
                            "; start more task managers, or lower the job's parallelism")),
                 CauseRank::kCause);
    });
  }

  void TrySchedule() override {
    const uint32_t needed = core_.graph.slots_needed();
    auto shares = core_.surroundings.slots().Allocate(core_.owner(), needed);
    if (!shares.has_value()) return;
    std::vector<uint32_t> worker_of_slot;
    for (const SlotShare& share : *shares) {
      WorkerRecord& worker = core_.workers.emplace_back();
      worker.index = static_cast<uint32_t>(core_.workers.size() - 1);
      worker.task_manager = share.task_manager;
      worker.task_manager_name = core_.surroundings.TaskManagerName(share.task_manager);
      worker.agent_address = core_.surroundings.TaskManagerAddress(share.task_manager);
      worker.slots = share.slots;
      worker_of_slot.insert(worker_of_slot.end(), share.slots, worker.index);
    }
    core_.graph.Schedule(worker_of_slot);
    core_.GoTo(MakeDeploying(core_));
  }

  std::string waiting_for() const override {
    return core_.surroundings.slots().DescribeLack(core_.graph.slots_needed());
  }
};

}  // namespace

std::unique_ptr<Phase> MakeCreated(JobCore& core) { return std::make_unique<Created>(core); }

}  // namespace weir::jobmanager

#include <algorithm>
#include <numeric>

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
    std::vector<uint32_t> slots(needed);
    std::iota(slots.begin(), slots.end(), 0);
    const std::vector<TaskManagerId> preferred = core_.PreferredFor(slots);
    const auto shares = core_.surroundings.slots().Allocate(core_.OwnerOf(0), needed, preferred);
    if (!shares.has_value()) return;
    core_.worker_of_slot.assign(needed, 0);
    core_.AddWorkers(*shares, slots, preferred);
    core_.graph.Schedule(core_.worker_of_slot);
    core_.GoTo(MakeDeploying(core_));
  }

  std::string waiting_for() const override {
    return core_.surroundings.slots().DescribeLack(core_.graph.slots_needed());
  }
};

}  // namespace

std::unique_ptr<Phase> MakeCreated(JobCore& core) { return std::make_unique<Created>(core); }

}  // namespace weir::jobmanager

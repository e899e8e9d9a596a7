#include "jobmanager/schedule/slot_pool.h"

#include <utility>

#include "common/base/check.h"
#include "common/base/strings.h"

namespace weir::jobmanager {

void SlotPool::Add(const TaskManagerId& id, std::string name, uint32_t slots) {
  Member& member = members_[id];
  member.name = std::move(name);
  member.slots = slots;
}

void SlotPool::Remove(const TaskManagerId& id) { members_.erase(id); }

SlotPool::Members::value_type& SlotPool::LeastUsed() {
  Members::value_type* best = nullptr;
  for (auto& candidate : members_) {
    const Member& member = candidate.second;
    if (member.used >= member.slots) continue;
    if (best == nullptr) {
      best = &candidate;
      continue;
    }
    // used/slots compared without division.
    const uint64_t mine = uint64_t{member.used} * best->second.slots;
    const uint64_t its = uint64_t{best->second.used} * member.slots;
    if (mine < its || (mine == its && member.name < best->second.name)) best = &candidate;
  }
  WEIR_CHECK(best != nullptr);
  return *best;
}

std::optional<std::vector<SlotShare>> SlotPool::Allocate(
    const SlotOwner& first, uint32_t slots, const std::vector<TaskManagerId>& preferred) {
  if (slots == 0 || slots > free()) return std::nullopt;
  std::map<std::pair<std::string, TaskManagerId>, uint32_t> taken;
  uint32_t left = slots;
  const auto take = [&](Members::value_type& from) {
    ++from.second.used;
    ++taken[{from.second.name, from.first}];
    --left;
  };
  for (const TaskManagerId& id : preferred) {
    const auto member = members_.find(id);
    if (left > 0 && member != members_.end() && member->second.used < member->second.slots) {
      take(*member);
    }
  }
  while (left > 0) take(LeastUsed());
  std::vector<SlotShare> shares;
  SlotOwner owner = first;
  for (const auto& [key, count] : taken) {
    shares.push_back({key.second, count});
    members_.at(key.second).held[owner] = count;
    ++owner.worker;
  }
  return shares;
}

void SlotPool::Hold(const SlotOwner& owner, const TaskManagerId& id, uint32_t slots) {
  auto member = members_.find(id);
  if (member == members_.end() || !member->second.held.emplace(owner, slots).second) return;
  member->second.used += slots;
}

void SlotPool::Release(const SlotOwner& owner, const TaskManagerId& id) {
  auto member = members_.find(id);
  if (member == members_.end()) return;
  auto held = member->second.held.find(owner);
  if (held == member->second.held.end()) return;
  WEIR_CHECK_GE(member->second.used, held->second);
  member->second.used -= held->second;
  member->second.held.erase(held);
}

uint32_t SlotPool::total() const {
  uint32_t sum = 0;
  for (const auto& [id, member] : members_) sum += member.slots;
  return sum;
}

uint32_t SlotPool::free() const {
  uint32_t sum = 0;
  for (const auto& [id, member] : members_) {
    if (member.used < member.slots) sum += member.slots - member.used;
  }
  return sum;
}

uint32_t SlotPool::free_on(const TaskManagerId& id) const {
  auto member = members_.find(id);
  if (member == members_.end() || member->second.used >= member->second.slots) return 0;
  return member->second.slots - member->second.used;
}

std::string SlotPool::DescribeLack(uint32_t needed) const {
  const std::string need = StrCat("needs ", needed, needed == 1 ? " slot" : " slots");
  if (members_.empty()) return StrCat(need, "; no task manager is registered");
  const uint32_t available = free();
  size_t with_free = 0;
  for (const auto& [id, member] : members_) with_free += member.used < member.slots ? 1 : 0;
  const size_t on = available == 0 ? members_.size() : with_free;
  return StrCat(
      need, ", ",
      available == 0 ? std::string("none is") : StrCat(available, available == 1 ? " is" : " are"),
      " free on ", on, on == 1 ? " task manager" : " task managers");
}

}  // namespace weir::jobmanager

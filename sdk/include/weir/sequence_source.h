#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "weir/batch.h"
#include "weir/source.h"
#include "weir/time.h"

namespace weir::internal {

// Indices next, next + stride, ... below `end`.
struct SequenceRun {
  std::uint64_t next = 0;
  std::uint64_t stride = 1;
  std::uint64_t end = 0;
  // Of this subtask by its number, and not what a former one had still to make.
  bool own = false;
};

// Where a subtask of a sequence is. docs/FORMATS.md, "Positions of sources".
struct SequencePosition {
  // The next index of its own, which are those that leave its number when divided by the
  // parallelism. The end or more if it has made them all.
  std::uint64_t next = 0;
  std::vector<SequenceRun> behind;

  std::string Encode() const {
    std::string text = std::to_string(next);
    for (const SequenceRun& run : behind) {
      text += ' ' + std::to_string(run.next) + '/' + std::to_string(run.stride) + '/' +
              std::to_string(run.end);
    }
    return text;
  }

  // kDataLoss: the text is none that Encode writes.
  static absl::StatusOr<SequencePosition> Decode(std::string_view text) {
    SequencePosition position;
    std::string_view rest = text;
    bool good = TakeNumber(rest, position.next);
    while (good && !rest.empty()) {
      SequenceRun run;
      good = TakeChar(rest, ' ') && TakeNumber(rest, run.next) && TakeChar(rest, '/') &&
             TakeNumber(rest, run.stride) && TakeChar(rest, '/') && TakeNumber(rest, run.end) &&
             run.stride > 0;
      position.behind.push_back(run);
    }
    if (good) return position;
    return absl::DataLossError("the position of a generator is damaged: '" + std::string(text) +
                               "'");
  }

  // What subtask `subtask` of `parallelism` goes on with where the former subtasks were at
  // `former`, in their order. From the greatest of their next indices on everything is dealt out
  // anew, by number; what some had still to make below it is dealt out run by run, as far as each
  // subtask gets as many, and of the other runs each index in turns.
  static SequencePosition Deal(const std::vector<SequencePosition>& former, std::uint32_t subtask,
                               std::uint32_t parallelism) {
    std::uint64_t begin = 0;
    for (const SequencePosition& position : former) begin = std::max(begin, position.next);
    std::vector<SequenceRun> runs;
    for (const SequencePosition& position : former) {
      runs.insert(runs.end(), position.behind.begin(), position.behind.end());
      if (position.next < begin) runs.push_back({position.next, former.size(), begin});
    }
    SequencePosition mine;
    mine.next = begin + (subtask + parallelism - begin % parallelism) % parallelism;
    if (mine.next < begin) mine.next = ~std::uint64_t{0};
    const std::size_t whole = runs.size() - runs.size() % parallelism;
    for (std::size_t i = 0; i < runs.size(); ++i) {
      if (i < whole) {
        if (i % parallelism == subtask) mine.behind.push_back(runs[i]);
        continue;
      }
      const SequenceRun& run = runs[i];
      const std::uint64_t turn = (subtask + i) % parallelism;
      if (turn > (run.end - 1 - run.next) / run.stride) continue;
      mine.behind.push_back({run.next + turn * run.stride, run.stride * parallelism, run.end});
    }
    return mine;
  }

 private:
  static bool TakeChar(std::string_view& text, char c) {
    if (text.empty() || text.front() != c) return false;
    text.remove_prefix(1);
    return true;
  }
  static bool TakeNumber(std::string_view& text, std::uint64_t& number) {
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
    if (parsed.ec != std::errc()) return false;
    text.remove_prefix(static_cast<std::size_t>(parsed.ptr - text.data()));
    return true;
  }
};

// Emits make(i) for i = subtask, subtask + parallelism, ... below `count`, each when it is due.
// After a restore with another number of subtasks each has besides a part of what some of the
// former ones had still to make where others were already further; it makes all in the order of i.
// What both the generator and the collection are made of. Owned by the task's thread.
template <class T, class Make>
class SequenceReader final : public SourceReader {
 public:
  // `rate`: records a second over all subtasks, 0 for as many as are taken. `count`: 0 for endless
  // only if `endless`.
  SequenceReader(Make make, std::uint64_t count, bool endless, double rate)
      : make_(std::move(make)), end_(endless ? ~std::uint64_t{0} : count), rate_(rate) {}

  absl::Status Open(SourceContext& context) override {
    if (!(rate_ >= 0)) {
      return absl::InvalidArgumentError("source '" + context.uid() +
                                        "': the rate of a generator must be 0 or more");
    }
    context_ = &context;
    if (!restored_) position_.next = context.subtask();
    runs_ = std::move(position_.behind);
    for (SequenceRun& run : runs_) run.end = std::min(run.end, end_);
    runs_.push_back({position_.next, context.parallelism(), end_, /*own=*/true});
    std::erase_if(runs_, [](const SequenceRun& run) { return run.next >= run.end; });
    std::sort(runs_.begin(), runs_.end(), Before);
    first_ = runs_.empty() ? 0 : runs_.front().next;
    return absl::OkStatus();
  }

  std::uint32_t splits() const override { return 1; }

  absl::StatusOr<PollResult> Poll(BatchBase& batch, std::size_t max_records) override {
    auto& records = static_cast<Batch<T>&>(batch).records;
    const std::uint64_t due = rate_ > 0 ? DueBefore(context_->ProcessingTime()) : ~std::uint64_t{0};
    while (max_records > 0 && !runs_.empty() && runs_.front().next < due) {
      SequenceRun& run = runs_.front();
      std::uint64_t end = std::min(run.end, due);
      // As far as it is alone.
      if (runs_.size() > 1) end = std::min(end, runs_[1].next);
      const std::uint64_t available = (end - run.next - 1) / run.stride + 1;
      const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(available, max_records));
      records.reserve(records.size() + n);
      std::uint64_t next = run.next;
      for (std::size_t i = 0; i < n; ++i, next += run.stride) {
        records.emplace_made([&] { return make_(next); });
      }
      run.next = next;
      max_records -= n;
      PutFirstInOrder();
    }
    if (runs_.empty()) {
      return PollResult{
          .state = PollState::kEnd, .split = 0, .split_ended = true, .wake_at = kMaxTicks};
    }
    if (rate_ > 0 && runs_.front().next >= due) {
      return PollResult{.state = PollState::kWait,
                        .split = 0,
                        .split_ended = false,
                        .wake_at = DueAt(runs_.front().next)};
    }
    return PollResult{};
  }

  std::string SnapshotPosition() const override {
    if (context_ == nullptr) return position_.Encode();
    SequencePosition position;
    position.next = end_;
    for (const SequenceRun& run : runs_) {
      if (run.own) {
        position.next = run.next;
      } else {
        position.behind.push_back(run);
      }
    }
    return position.Encode();
  }

  absl::Status RestorePosition(std::string_view position) override {
    absl::StatusOr<SequencePosition> decoded = SequencePosition::Decode(position);
    if (!decoded.ok()) return decoded.status();
    position_ = *std::move(decoded);
    restored_ = true;
    return absl::OkStatus();
  }

  absl::Status RestorePositions(const std::vector<std::string_view>& positions,
                                std::uint32_t subtask, std::uint32_t parallelism) override {
    std::vector<SequencePosition> former;
    for (const std::string_view text : positions) {
      absl::StatusOr<SequencePosition> decoded = SequencePosition::Decode(text);
      if (!decoded.ok()) return decoded.status();
      decoded->next = std::min(decoded->next, end_);
      for (SequenceRun& run : decoded->behind) run.end = std::min(run.end, end_);
      std::erase_if(decoded->behind, [](const SequenceRun& run) { return run.next >= run.end; });
      former.push_back(*std::move(decoded));
    }
    position_ = SequencePosition::Deal(former, subtask, parallelism);
    restored_ = true;
    return absl::OkStatus();
  }

 private:
  static bool Before(const SequenceRun& a, const SequenceRun& b) { return a.next < b.next; }

  // After the first run has moved on: it is done, or goes to its place by its next index.
  void PutFirstInOrder() {
    const SequenceRun run = runs_.front();
    if (runs_.size() == 1 && run.next < run.end) return;
    runs_.erase(runs_.begin());
    if (run.next >= run.end) return;
    runs_.insert(std::upper_bound(runs_.begin(), runs_.end(), run, Before), run);
  }

  // The index after the last record that is due at `now`. The schedule does not wait for a slow
  // consumer: what was held back is made as soon as it is taken. If the clock jumps back, the
  // schedule moves with it.
  std::uint64_t DueBefore(Ticks now) {
    if (!started_ || now < last_now_) {
      started_ = true;
      base_ = now;
      if (!runs_.empty()) first_ = runs_.front().next;
    }
    last_now_ = now;
    const double elapsed = static_cast<double>(now - base_) / 1e6;
    return first_ + static_cast<std::uint64_t>(std::min(elapsed * rate_, 4e18)) + 1;
  }

  // When that record is, which is not yet.
  Ticks DueAt(std::uint64_t index) const {
    const double at = static_cast<double>(index - first_) / rate_ * 1e6;
    if (at >= 9e18) return kMaxTicks;
    return base_ + std::max(static_cast<Ticks>(at) + 1, last_now_ - base_ + kMinWaitTicks);
  }

  // A wait is never shorter: at a high rate several records are made at a time.
  static constexpr Ticks kMinWaitTicks = 100;

  Make make_;
  const std::uint64_t end_;
  const double rate_;
  SourceContext* context_ = nullptr;
  // Before Open: what was restored.
  SequencePosition position_;
  bool restored_ = false;
  // By their next index, none at its end.
  std::vector<SequenceRun> runs_;
  bool started_ = false;
  // Record `first_` is due at `base_`.
  Ticks base_ = 0;
  Ticks last_now_ = 0;
  std::uint64_t first_ = 0;
};

}  // namespace weir::internal

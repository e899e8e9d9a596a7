#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "benchmarks/lib/comparison.h"
#include "weir/graph.h"
#include "weir/job.h"

namespace weir {
class StateBackend;
}

namespace weir::bench {

// Runs the job to its end in this process, on the production runtime with real threads. Blocks.
// `backend`: where keyed state is kept; null: on the heap.
absl::Status RunEmbedded(const JobDefinition& definition, std::uint32_t parallelism,
                         std::uint32_t threads, StateBackend* backend = nullptr);

// As a WEIR_JOB function, with captures.
template <class F>
JobDefinition Describe(F describe) {
  JobDefinition definition;
  const DefineInput input;
  internal::GraphBuilder graph(input, definition);
  Job job(graph);
  describe(job);
  return definition;
}

// Records in memory, in pieces as a reader would hand them over: a loop walks over them, a job gets
// them batch by batch.
template <class T>
class Input {
 public:
  explicit Input(std::size_t records) : size_(records) {
    for (std::size_t begin = 0; begin < records; begin += kBatchRecords) {
      pieces_.emplace_back().reserve(std::min(kBatchRecords, records - begin));
    }
  }
  void Add(T record) {
    if (!pieces_.empty() && pieces_[filling_].size() == kBatchRecords) ++filling_;
    pieces_[filling_].emplace_unchecked(std::move(record));
  }
  std::size_t size() const { return size_; }
  template <class F>
  void ForEach(F&& f) const {
    for (const auto& piece : pieces_) {
      for (const T& record : piece) f(record);
    }
  }
  std::vector<internal::Column<T>>& pieces() { return pieces_; }

 private:
  std::size_t size_;
  std::size_t filling_ = 0;
  std::vector<internal::Column<T>> pieces_;
};

enum class Lend { kYes, kNo };

// A source of the records of an Input, which outlives the job: subtask s of p emits every p-th
// piece. Trivial records are lent: the batch has the piece's own memory until the next Poll, and
// whoever gets it leaves it as it was. Others are copied, as all must be that go to another task,
// which takes batches over: Lend::kNo.
template <class T>
class MemorySource {
 public:
  using Record = T;
  explicit MemorySource(Input<T>& input, Lend lend = Lend::kYes)
      : input_(input), lends_(lend == Lend::kYes && std::is_trivially_copyable_v<T>) {}
  auto MakeFactory() const {
    return [&input = input_, lends = lends_]() -> std::unique_ptr<SourceReader> {
      return std::make_unique<Reader>(input, lends);
    };
  }

 private:
  class Reader final : public SourceReader {
   public:
    Reader(Input<T>& input, bool lends) : input_(input), lends_(lends) {}
    absl::Status Open(SourceContext& context) override {
      next_ = context.subtask();
      stride_ = context.parallelism();
      return absl::OkStatus();
    }
    std::uint32_t splits() const override { return 1; }
    absl::StatusOr<PollResult> Poll(BatchBase& base, std::size_t) override {
      auto& column = static_cast<Batch<T>&>(base).records;
      if (lent_ != nullptr) {
        lent_->swap(column);
        lent_->set_size(lent_size_);
        lent_ = nullptr;
      }
      PollResult result;
      if (next_ < input_.pieces().size()) {
        internal::Column<T>& piece = input_.pieces()[next_];
        if (lends_) {
          lent_ = &piece;
          lent_size_ = piece.size();
          column.swap(piece);
        } else {
          column.reserve(piece.size());
          for (const T& record : piece) column.emplace_unchecked(record);
        }
        next_ += stride_;
      } else {
        result.state = PollState::kEnd;
        result.split_ended = true;
      }
      return result;
    }
    std::string SnapshotPosition() const override { return std::to_string(next_); }
    absl::Status RestorePosition(std::string_view) override {
      return absl::UnimplementedError("a benchmark's source is not restored");
    }

   private:
    Input<T>& input_;
    const bool lends_;
    std::size_t next_ = 0;
    std::size_t stride_ = 1;
    internal::Column<T>* lent_ = nullptr;
    std::size_t lent_size_ = 0;
  };
  Input<T>& input_;
  const bool lends_;
};

// A function for a ForEach sink that adds add(record, outcome) up over one subtask. `outcome`
// outlives the job.
template <class Add>
class OutcomeSum {
 public:
  OutcomeSum(Outcome& outcome, Add add) : outcome_(&outcome), add_(std::move(add)) {}
  template <class T>
  void operator()(const T& record) {
    add_(record, local_);
  }
  void Finish() {
    outcome_->results += local_.results;
    outcome_->digest += local_.digest;
  }

 private:
  Outcome* outcome_;
  Add add_;
  Outcome local_;
};
template <class Add>
ForEach<OutcomeSum<Add>> SinkTo(Outcome& outcome, Add add) {
  return {OutcomeSum<Add>(outcome, std::move(add))};
}

}  // namespace weir::bench

#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "benchmarks/lib/comparison.h"
#include "weir/graph.h"
#include "weir/job.h"

namespace weir::bench {

// Runs the job to its end in this process, on the production runtime with real threads. Blocks.
absl::Status RunEmbedded(const JobDefinition& definition, std::uint32_t parallelism,
                         std::uint32_t threads);

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

// A source of records that lie in memory: subtask s of p emits the s-th part of p. `records`
// outlives the job.
template <class T>
class MemorySource {
 public:
  using Record = T;
  explicit MemorySource(const std::vector<T>& records) : records_(records) {}
  auto MakeFactory() const {
    return [&records = records_]() -> std::unique_ptr<SourceReader> {
      return std::make_unique<Reader>(records);
    };
  }

 private:
  class Reader final : public SourceReader {
   public:
    explicit Reader(const std::vector<T>& records) : records_(records) {}
    absl::Status Open(SourceContext& context) override {
      next_ = records_.size() * context.subtask() / context.parallelism();
      end_ = records_.size() * (context.subtask() + 1) / context.parallelism();
      return absl::OkStatus();
    }
    std::uint32_t splits() const override { return 1; }
    absl::StatusOr<PollResult> Poll(BatchBase& base, std::size_t max_records) override {
      auto& column = static_cast<Batch<T>&>(base).records;
      const std::size_t n = std::min(max_records, end_ - next_);
      column.reserve(column.size() + n);
      if constexpr (std::is_trivially_copyable_v<T>) {
        std::memcpy(static_cast<void*>(column.data() + column.size()), &records_[next_],
                    n * sizeof(T));
        column.set_size(column.size() + n);
      } else {
        for (std::size_t i = 0; i < n; ++i) column.emplace_unchecked(records_[next_ + i]);
      }
      next_ += n;
      PollResult result;
      if (next_ == end_) {
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
    const std::vector<T>& records_;
    std::size_t next_ = 0;
    std::size_t end_ = 0;
  };
  const std::vector<T>& records_;
};

// A sink that adds add(record, outcome) up over one subtask. `outcome` outlives the job.
template <class T, class Add>
class OutcomeSink {
 public:
  OutcomeSink(Outcome& outcome, Add add) : outcome_(outcome), add_(std::move(add)) {}
  auto MakeFactory() const {
    return [&outcome = outcome_, add = add_]() -> std::unique_ptr<SinkWriter> {
      return std::make_unique<Writer>(outcome, add);
    };
  }

 private:
  class Writer final : public SinkWriter {
   public:
    Writer(Outcome& outcome, Add add) : outcome_(outcome), add_(std::move(add)) {}
    absl::Status Open(OperatorContext&) override { return absl::OkStatus(); }
    absl::Status Write(BatchBase& base) override {
      auto& batch = static_cast<Batch<T>&>(base);
      for (const T& record : batch.records) add_(record, local_);
      batch.Clear();
      return absl::OkStatus();
    }
    bool Blocked() const override { return false; }
    absl::Status Flush() override { return absl::OkStatus(); }
    absl::StatusOr<bool> Finish() override {
      outcome_.results += local_.results;
      outcome_.digest += local_.digest;
      return true;
    }

   private:
    Outcome& outcome_;
    Add add_;
    Outcome local_;
  };
  Outcome& outcome_;
  Add add_;
};
template <class T, class Add>
OutcomeSink<T, Add> SinkTo(Outcome& outcome, Add add) {
  return OutcomeSink<T, Add>(outcome, std::move(add));
}

}  // namespace weir::bench

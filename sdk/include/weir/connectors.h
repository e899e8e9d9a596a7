#pragma once

#include <algorithm>
#include <charconv>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "weir/side_output.h"
#include "weir/source.h"
#include "weir/time.h"

// What a job reads from and writes to. Files, Print and Blackhole are values that name a connector
// of the host; Generator and Collection carry code and records of the job itself and are read in
// the plugin.
namespace weir {

enum class FileFormat {
  kFromExtension,  // .jsonl, .ndjson, .json or .csv, before .gz and .zst; a sink without an
                   // extension writes JSON lines
  kJson,           // one JSON value a line
  kCsv,            // RFC 4180
};

// What a source does with a record that cannot be decoded.
enum class Malformed {
  kFail,        // the job fails, naming file and line
  kSkip,        // it is dropped and counted in numMalformedRecordsSkipped
  kSideOutput,  // it goes to the source's side output kMalformed, with the reason
};

// The side output of a source with Malformed::kSideOutput: source.Side(weir::kMalformed).
inline constexpr SideOutput<MalformedRecord> kMalformed{"malformed"};

// What a number stands for where a record has a time or a duration.
enum class TimeUnit { kSeconds, kMillis, kMicros, kNanos };

// When a sink ends a file and begins another: when it has about so many bytes, is so old, or was
// not written to for so long; 0: not for that. Looked at when something is written.
struct FileRolling {
  std::int64_t bytes = std::int64_t{128} << 20;
  Duration after = {};
  Duration idle = {};
};

// Files as a source and as a sink.
//
// As a source, `path` is a file, a folder (with all below it but names that begin with '.' or '_')
// or a glob with *, ? and [...]. Gzip and zstd are recognized by their first bytes. The files are
// dealt out to the subtasks by size, each is read by one subtask, and a subtask reads its own in
// the order of their names: its watermark is made over them as if they were one file, so files that
// follow each other in time should have names that do too. The folder must not change while a job
// starts.
//
// As a sink, `path` is a folder, in which subtask i writes files part-<i>-<...>.jsonl or .csv, or,
// if it has an extension and the sink one subtask, a file. A file is hidden in the folder
// `.inprogress` until it is complete, durable and committed, so readers see whole files only. In a
// job that takes checkpoints each checkpoint ends the files and commits them, and what readers see
// is exactly once; `path` must then be the absolute path of a folder. In one that takes none, all
// files are committed at the end of the input.
struct Files {
  std::string path = {};
  FileFormat format = FileFormat::kFromExtension;
  // Source only.
  Malformed malformed = Malformed::kFail;
  // Source only; for JSON.
  TimeUnit time_unit = TimeUnit::kMillis;
  // CSV: the first line names the columns. Without it the columns are the record's fields in their
  // order.
  bool header = true;
  // Sink only. False: results of an earlier run are an error. True: they are deleted when the job
  // starts.
  bool overwrite = false;
  // Sink only. The folder below `path` that a record goes to, by its timestamp in UTC:
  // "%Y-%m-%d/%H" for one an hour. %Y, %m, %d, %H and %M are known. Empty: all to `path`.
  std::string bucket = {};
  // Sink only. When a file ends besides at a checkpoint.
  FileRolling roll = {};

  ConnectorSpec ToSpec() const {
    ConnectorSpec spec{.connector = "files", .settings = {}};
    spec.settings["path"] = path;
    if (format != FileFormat::kFromExtension) {
      spec.settings["format"] = std::string(format == FileFormat::kJson ? "json" : "csv");
    }
    if (malformed != Malformed::kFail) {
      spec.settings["malformed"] =
          std::string(malformed == Malformed::kSkip ? "skip" : "side-output");
    }
    if (time_unit != TimeUnit::kMillis) {
      spec.settings["time-unit"] = std::string(time_unit == TimeUnit::kSeconds  ? "s"
                                               : time_unit == TimeUnit::kMicros ? "us"
                                                                                : "ns");
    }
    if (!header) spec.settings["header"] = false;
    if (overwrite) spec.settings["overwrite"] = true;
    if (!bucket.empty()) spec.settings["bucket"] = bucket;
    if (roll.bytes != FileRolling().bytes) spec.settings["roll-bytes"] = roll.bytes;
    if (roll.after != Duration()) spec.settings["roll-after-micros"] = roll.after.count();
    if (roll.idle != Duration()) spec.settings["roll-idle-micros"] = roll.idle.count();
    return spec;
  }
};

// Writes each record to standard output as a line of JSON: `prefix> {...}`, or the JSON alone if
// there is no prefix.
struct Print {
  std::string prefix = {};

  ConnectorSpec ToSpec() const {
    ConnectorSpec spec{.connector = "print", .settings = {}};
    if (!prefix.empty()) spec.settings["prefix"] = prefix;
    return spec;
  }
};

// Drops all records.
struct Blackhole {
  ConnectorSpec ToSpec() const { return ConnectorSpec{.connector = "blackhole", .settings = {}}; }
};

// A value that names a connector of the host.
template <class C>
concept HostConnector = requires(const C& connector) {
  { connector.ToSpec() } -> std::same_as<ConnectorSpec>;
};

using SourceFactory = std::function<std::unique_ptr<SourceReader>()>;

// A value that makes source readers in the plugin, for records of type C::Record.
template <class C>
concept PluginSource = requires(const C& connector) {
  typename C::Record;
  { connector.MakeFactory() } -> std::convertible_to<SourceFactory>;
};

using SinkFactory = std::function<std::unique_ptr<SinkWriter>()>;

// A value that makes sink writers in the plugin. It writes records of any type unless it says which
// by C::Record.
template <class C>
concept PluginSink = requires(const C& connector) {
  { connector.MakeFactory() } -> std::convertible_to<SinkFactory>;
};

namespace internal {

template <class C, class T>
inline constexpr bool kMakesRecord = false;
template <class C, class T>
  requires std::same_as<typename C::Record, T>
inline constexpr bool kMakesRecord<C, T> = true;

template <class C, class T>
inline constexpr bool kWritesRecord = true;
template <class C, class T>
  requires requires { typename C::Record; }
inline constexpr bool kWritesRecord<C, T> = std::same_as<typename C::Record, T>;

// Emits make(i) for i = subtask, subtask + parallelism, ... below `count`, each when it is due.
// What both the generator and the collection are made of. Owned by the task's thread.
template <class T, class Make>
class SequenceReader final : public SourceReader {
 public:
  // `rate`: records a second over all subtasks, 0 for as many as are taken. `count`: 0 for endless
  // only if `endless`.
  SequenceReader(Make make, std::uint64_t count, bool endless, double rate)
      : make_(std::move(make)), count_(count), endless_(endless), rate_(rate) {}

  absl::Status Open(SourceContext& context) override {
    if (!(rate_ >= 0)) {
      return absl::InvalidArgumentError("source '" + context.uid() +
                                        "': the rate of a generator must be 0 or more");
    }
    context_ = &context;
    stride_ = context.parallelism();
    if (!restored_) next_ = context.subtask();
    return absl::OkStatus();
  }

  std::uint32_t splits() const override { return 1; }

  absl::StatusOr<PollResult> Poll(BatchBase& batch, std::size_t max_records) override {
    auto& records = static_cast<Batch<T>&>(batch).records;
    std::uint64_t end = endless_ ? ~std::uint64_t{0} : count_;
    Ticks wake_at = kMaxTicks;
    if (rate_ > 0) end = std::min(end, DueBefore(context_->ProcessingTime(), wake_at));
    const std::uint64_t available = next_ >= end ? 0 : (end - next_ - 1) / stride_ + 1;
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(available, max_records));
    records.reserve(records.size() + n);
    for (std::size_t i = 0; i < n; ++i, next_ += stride_) records.emplace_unchecked(make_(next_));
    if (!endless_ && next_ >= count_) {
      return PollResult{
          .state = PollState::kEnd, .split = 0, .split_ended = true, .wake_at = kMaxTicks};
    }
    if (rate_ > 0 && next_ >= end) {
      return PollResult{
          .state = PollState::kWait, .split = 0, .split_ended = false, .wake_at = wake_at};
    }
    return PollResult{};
  }

  std::string SnapshotPosition() const override { return std::to_string(next_); }

  absl::Status RestorePosition(std::string_view position) override {
    const char* end = position.data() + position.size();
    const auto parsed = std::from_chars(position.data(), end, next_);
    if (parsed.ec != std::errc() || parsed.ptr != end) {
      return absl::DataLossError("the position of a generator is not a number: '" +
                                 std::string(position) + "'");
    }
    restored_ = true;
    return absl::OkStatus();
  }

 private:
  // The index after the last record that is due at `now`, and in `wake_at` when the next one of
  // this subtask is. The schedule does not wait for a slow consumer: what was held back is made as
  // soon as it is taken. If the clock jumps back, the schedule moves with it.
  std::uint64_t DueBefore(Ticks now, Ticks& wake_at) {
    if (!started_ || now < last_now_) {
      started_ = true;
      base_ = now;
      first_ = next_;
    }
    last_now_ = now;
    const double elapsed = static_cast<double>(now - base_) / 1e6;
    const double due = std::min(elapsed * rate_, 4e18);
    const std::uint64_t end = first_ + static_cast<std::uint64_t>(due) + 1;
    const std::uint64_t upcoming =
        next_ >= end ? next_ : next_ + ((end - next_ - 1) / stride_ + 1) * stride_;
    const double at = static_cast<double>(upcoming - first_) / rate_ * 1e6;
    wake_at = at < 9e18 ? base_ + std::max(static_cast<Ticks>(at) + 1, now - base_ + kMinWaitTicks)
                        : kMaxTicks;
    return end;
  }

  // A wait is never shorter: at a high rate several records are made at a time.
  static constexpr Ticks kMinWaitTicks = 100;

  Make make_;
  std::uint64_t count_;
  bool endless_;
  double rate_;
  SourceContext* context_ = nullptr;
  std::uint64_t stride_ = 1;
  std::uint64_t next_ = 0;
  bool restored_ = false;
  bool started_ = false;
  // Record `first_` is due at `base_`.
  Ticks base_ = 0;
  Ticks last_now_ = 0;
  std::uint64_t first_ = 0;
};

}  // namespace internal

// A source that makes its records: Generator{.make = [](std::uint64_t i) { return Click{...}; },
// .rate = 1000}. Subtask s of p makes those with i = s, s + p, s + 2p, ... Every subtask has a copy
// of `make`, which should depend on i alone.
template <class Make>
struct Generator {
  using Record = std::remove_cvref_t<std::invoke_result_t<Make&, std::uint64_t>>;

  Make make;
  // How many in all; 0: without end.
  std::uint64_t count = 0;
  // Records a second over all subtasks; 0: as many as are taken.
  double rate = 0;

  SourceFactory MakeFactory() const {
    return [make = make, count = count, rate = rate]() -> std::unique_ptr<SourceReader> {
      return std::make_unique<internal::SequenceReader<Record, Make>>(make, count, count == 0,
                                                                      rate);
    };
  }
};
template <class Make>
Generator(Make) -> Generator<Make>;
template <class Make>
Generator(Make, std::uint64_t) -> Generator<Make>;
template <class Make>
Generator(Make, std::uint64_t, double) -> Generator<Make>;

// A source of given records: Collection{.records = std::vector{...}}. Subtask s of p emits those at
// s, s + p, s + 2p, ...
template <class T>
struct Collection {
  using Record = T;

  std::vector<T> records;

  SourceFactory MakeFactory() const {
    auto shared = std::make_shared<const std::vector<T>>(records);
    return [shared]() -> std::unique_ptr<SourceReader> {
      auto make = [shared](std::uint64_t i) -> T { return (*shared)[static_cast<std::size_t>(i)]; };
      return std::make_unique<internal::SequenceReader<T, decltype(make)>>(
          std::move(make), shared->size(), false, 0.0);
    };
  }
};
template <class T>
Collection(std::vector<T>) -> Collection<T>;

}  // namespace weir

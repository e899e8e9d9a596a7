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
#include "weir/sequence_source.h"
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
// starts, unless it is looked at again and again (`discover`).
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
  // Source only. How often `path` is looked at for files that were not there; 0: once, and the
  // source ends with the files that are found. Otherwise it never ends. Each file is read once, as
  // it is when it is found, so it must come into the folder whole: written elsewhere (or under a
  // name that begins with '.') and moved. One that was read may be deleted.
  Duration discover = {};
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
    if (discover != Duration()) spec.settings["discover-micros"] = discover.count();
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

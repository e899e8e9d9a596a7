#include "client/cli/checkpoint_text.h"

#include <algorithm>
#include <tuple>
#include <vector>

#include "client/cli/json_writer.h"
#include "client/cli/text_format.h"
#include "common/base/strings.h"
#include "proto/control.pb.h"

namespace weir {
namespace {

std::string_view KindName(const proto::JobCheckpoint& checkpoint) {
  if (checkpoint.stops_job()) return "stop";
  return checkpoint.savepoint() ? "savepoint" : "checkpoint";
}

std::string StateName(const proto::JobCheckpoint& checkpoint) {
  const std::string& name = proto::JobCheckpoint::State_Name(checkpoint.state());
  return name.empty() || checkpoint.state() == proto::JobCheckpoint::STATE_UNSPECIFIED ? "UNKNOWN"
                                                                                       : name;
}

// "40 µs", "1.3 ms" below a second, where FormatSpan has no fraction.
std::string Nanos(int64_t nanos) {
  if (nanos >= 1'000'000'000) return FormatSpan(nanos / 1000);
  if (nanos < 1'000'000) return StrCat(std::max<int64_t>(nanos, 0) / 1000, " µs");
  const int64_t tenths = std::max<int64_t>(nanos, 0) / 100'000;
  return StrCat(tenths / 10, ".", tenths % 10, " ms");
}

std::string VertexName(const proto::JobCheckpointsResponse& checkpoints, uint32_t vertex) {
  if (vertex >= static_cast<uint32_t>(checkpoints.vertices_size()))
    return StrCat("vertex ", vertex);
  return Harmless(checkpoints.vertices(static_cast<int>(vertex)));
}

double Millis(int64_t nanos) { return static_cast<double>(nanos) / 1e6; }

std::vector<proto::JobCheckpoint::Subtask> Sorted(const proto::JobCheckpoint& checkpoint) {
  std::vector<proto::JobCheckpoint::Subtask> subtasks(checkpoint.subtasks().begin(),
                                                      checkpoint.subtasks().end());
  std::sort(subtasks.begin(), subtasks.end(), [](const auto& a, const auto& b) {
    return std::make_tuple(a.vertex(), a.subtask()) < std::make_tuple(b.vertex(), b.subtask());
  });
  return subtasks;
}

void WriteNumbers(const auto& numbers, JsonWriter& json) {
  json.Key("start_delay_ms").Decimal(Millis(numbers.start_delay_nanos()));
  json.Key("alignment_ms").Decimal(Millis(numbers.alignment_nanos()));
  json.Key("sync_ms").Decimal(Millis(numbers.sync_nanos()));
  json.Key("async_ms").Decimal(Millis(numbers.async_nanos()));
  json.Key("new_bytes").Uint(numbers.new_bytes());
  json.Key("full_bytes").Uint(numbers.full_bytes());
  json.Key("processed_in_alignment_bytes").Uint(numbers.processed_bytes());
  json.Key("in_flight_bytes").Uint(numbers.persisted_bytes());
  json.Key("unaligned").Bool(numbers.unaligned());
}

}  // namespace

std::string CheckpointsText(const proto::JobCheckpointsResponse& checkpoints) {
  std::string text = StrCat("completed ", checkpoints.completed(), ", failed ",
                            checkpoints.failed(), ", aborted ", checkpoints.aborted());
  if (checkpoints.interval_nanos() == 0) {
    text += "; only savepoints: execution.checkpointing.interval is not set";
  }
  text += "\n";
  if (checkpoints.restored_id() != 0) {
    text += StrCat("started from ", checkpoints.restored_id(), " at ",
                   FormatTime(checkpoints.restored_unix_micros()),
                   checkpoints.restored_directory().empty() ? "" : ": ",
                   Harmless(checkpoints.restored_directory()), "\n");
  }
  if (checkpoints.checkpoints().empty()) return text;
  using Align = TextTable::Align;
  TextTable table;
  table.AddColumn("ID", Align::kRight);
  table.AddColumn("KIND");
  table.AddColumn("STATE");
  table.AddColumn("TRIGGERED");
  table.AddColumn("DURATION", Align::kRight);
  table.AddColumn("SUBTASKS", Align::kRight);
  table.AddColumn("NEW", Align::kRight);
  table.AddColumn("WHOLE", Align::kRight);
  table.AddColumn("IN FLIGHT", Align::kRight);
  table.AddColumn("ALIGNMENT", Align::kRight);
  table.AddColumn("PAUSE", Align::kRight);
  std::string failures;
  for (const proto::JobCheckpoint& checkpoint : checkpoints.checkpoints()) {
    const bool open = checkpoint.state() == proto::JobCheckpoint::IN_PROGRESS;
    table.AddRow({StrCat(checkpoint.id()), std::string(KindName(checkpoint)), StateName(checkpoint),
                  FormatTime(checkpoint.triggered_unix_micros()),
                  open ? "-" : Nanos(checkpoint.duration_nanos()),
                  StrCat(checkpoint.acknowledged(), "/", checkpoint.total()),
                  FormatBytes(checkpoint.new_bytes()), FormatBytes(checkpoint.full_bytes()),
                  FormatBytes(checkpoint.persisted_bytes()), Nanos(checkpoint.alignment_nanos()),
                  Nanos(checkpoint.sync_nanos())});
    if (!checkpoint.failure().empty()) {
      failures += StrCat("\n", checkpoint.id(), ": ", Harmless(checkpoint.failure()));
    }
  }
  text += "\n" + table.Render();
  if (!failures.empty()) text += failures + "\n";
  return text;
}

std::string CheckpointText(const proto::JobCheckpointsResponse& checkpoints) {
  if (checkpoints.checkpoints().empty()) return "";
  const proto::JobCheckpoint& checkpoint = checkpoints.checkpoints(0);
  std::string text =
      StrCat(KindName(checkpoint), " ", checkpoint.id(), ": ", StateName(checkpoint),
             checkpoint.discarded() ? ", deleted since" : "", "\ntriggered ",
             FormatTime(checkpoint.triggered_unix_micros()), " in attempt ", checkpoint.attempt());
  if (checkpoint.state() != proto::JobCheckpoint::IN_PROGRESS) {
    text += StrCat(", over after ", Nanos(checkpoint.duration_nanos()));
  }
  text += StrCat("\n", checkpoint.acknowledged(), " of ", checkpoint.total(), " subtasks; ",
                 FormatBytes(checkpoint.new_bytes()), " written, ",
                 FormatBytes(checkpoint.full_bytes()), " whole, ",
                 FormatBytes(checkpoint.persisted_bytes()), " of them in flight\n");
  if (!checkpoint.directory().empty()) text += Harmless(checkpoint.directory()) + "\n";
  if (!checkpoint.failure().empty()) text += Harmless(checkpoint.failure()) + "\n";
  if (checkpoint.subtasks().empty()) return text;
  using Align = TextTable::Align;
  TextTable table;
  table.AddColumn("VERTEX");
  table.AddColumn("SUBTASK", Align::kRight);
  table.AddColumn("ACKNOWLEDGED", Align::kRight);
  table.AddColumn("START DELAY", Align::kRight);
  table.AddColumn("ALIGNMENT", Align::kRight);
  table.AddColumn("PAUSE", Align::kRight);
  table.AddColumn("WRITING", Align::kRight);
  table.AddColumn("NEW", Align::kRight);
  table.AddColumn("WHOLE", Align::kRight);
  table.AddColumn("IN FLIGHT", Align::kRight);
  table.AddColumn("");
  for (const auto& task : Sorted(checkpoint)) {
    table.AddRow({VertexName(checkpoints, task.vertex()), StrCat(task.subtask()),
                  StrCat("after ", Nanos(task.acknowledged_nanos())),
                  Nanos(task.start_delay_nanos()), Nanos(task.alignment_nanos()),
                  Nanos(task.sync_nanos()), Nanos(task.async_nanos()),
                  FormatBytes(task.new_bytes()), FormatBytes(task.full_bytes()),
                  FormatBytes(task.persisted_bytes()),
                  task.final() ? "had ended" : (task.unaligned() ? "unaligned" : "")});
  }
  return text + "\n" + table.Render();
}

std::string CheckpointsJson(const proto::JobCheckpointsResponse& checkpoints) {
  JsonWriter json;
  json.BeginObject();
  json.Key("completed").Uint(checkpoints.completed());
  json.Key("failed").Uint(checkpoints.failed());
  json.Key("aborted").Uint(checkpoints.aborted());
  json.Key("interval_ms").Decimal(Millis(checkpoints.interval_nanos()));
  json.Key("restored");
  if (checkpoints.restored_id() == 0) {
    json.Null();
  } else {
    json.BeginObject();
    json.Key("id").Uint(checkpoints.restored_id());
    json.Key("directory").StringOrNull(checkpoints.restored_directory());
    json.Key("time").String(FormatTime(checkpoints.restored_unix_micros()));
    json.EndObject();
  }
  json.Key("checkpoints").BeginArray();
  for (const proto::JobCheckpoint& checkpoint : checkpoints.checkpoints()) {
    json.BeginObject();
    json.Key("id").Uint(checkpoint.id());
    json.Key("kind").String(KindName(checkpoint));
    json.Key("state").String(StateName(checkpoint));
    json.Key("failure").StringOrNull(checkpoint.failure());
    json.Key("directory").StringOrNull(checkpoint.directory());
    json.Key("discarded").Bool(checkpoint.discarded());
    json.Key("attempt").Uint(checkpoint.attempt());
    json.Key("triggered").String(FormatTime(checkpoint.triggered_unix_micros()));
    json.Key("duration_ms").Decimal(Millis(checkpoint.duration_nanos()));
    json.Key("end_to_end_ms").Decimal(Millis(checkpoint.end_to_end_nanos()));
    json.Key("subtasks_acknowledged").Uint(checkpoint.acknowledged());
    json.Key("subtasks_total").Uint(checkpoint.total());
    WriteNumbers(checkpoint, json);
    if (!checkpoint.subtasks().empty()) {
      json.Key("subtasks").BeginArray();
      for (const auto& task : Sorted(checkpoint)) {
        json.BeginObject();
        json.Key("vertex").String(VertexName(checkpoints, task.vertex()));
        json.Key("subtask").Uint(task.subtask());
        json.Key("acknowledged_ms").Decimal(Millis(task.acknowledged_nanos()));
        WriteNumbers(task, json);
        json.Key("had_ended").Bool(task.final());
        json.EndObject();
      }
      json.EndArray();
    }
    json.EndObject();
  }
  json.EndArray();
  json.EndObject();
  return json.Finish();
}

}  // namespace weir

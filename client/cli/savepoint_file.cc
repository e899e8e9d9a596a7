#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/json_writer.h"
#include "client/cli/plugin_definition.h"
#include "client/cli/text_format.h"
#include "common/base/id.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/checkpoint.pb.h"
#include "proto/define.pb.h"
#include "state/store/checkpoint_fit.h"
#include "state/store/checkpoint_folder.h"
#include "state/store/checkpoint_metadata.h"

namespace weir {
namespace {

// One state of one operator, over all its subtasks.
struct StateContent {
  std::string name;
  std::string type;
  StateKind kind = StateKind::kKeyed;
  // Key groups that are not empty, or items.
  uint64_t entries = 0;
  uint64_t bytes = 0;
};

struct OperatorContent {
  std::string uid;
  uint32_t parallelism = 0;
  uint32_t ended = 0;
  // The lowest of the subtasks.
  int64_t watermark = std::numeric_limits<int64_t>::max();
  std::vector<StateContent> states = {};
};

struct SavepointContent {
  std::string directory;
  proto::CheckpointMetadata metadata;
  uint64_t bytes = 0;
  std::vector<OperatorContent> operators;
};

std::string_view KindText(StateKind kind) {
  switch (kind) {
    case StateKind::kKeyed:
    case StateKind::kKeyedChanges:
    case StateKind::kKeyedParts:
    case StateKind::kKeyedSlotParts:
      return "keyed";
    case StateKind::kSplitList:
      return "list";
    case StateKind::kUnionList:
      return "union list";
    case StateKind::kBroadcastList:
      return "broadcast";
    case StateKind::kInFlight:
      return "in flight";
    case StateKind::kStore:
    case StateKind::kStoreWithLogs:
      return "files";
  }
  return "";
}

StateContent& Named(std::vector<StateContent>& states, const StateSection& info) {
  for (StateContent& state : states) {
    if (state.name == info.state) return state;
  }
  return states.emplace_back(
      StateContent{.name = info.state, .type = info.type, .kind = info.kind});
}

absl::StatusOr<OperatorContent> ReadOperator(CheckpointFolder& folder,
                                             const proto::CheckpointMetadata& metadata,
                                             const proto::OperatorCheckpoint& checkpoint) {
  OperatorContent content{.uid = checkpoint.uid(), .parallelism = checkpoint.parallelism()};
  for (const proto::SubtaskState& subtask : checkpoint.subtasks()) {
    content.ended += subtask.finished() ? 1 : 0;
    content.watermark = std::min<int64_t>(content.watermark, subtask.watermark());
    for (const uint32_t index : subtask.files()) {
      const std::string& name = metadata.files(static_cast<int>(index)).name();
      // Files of stores are named in state files.
      if (!name.ends_with(".state")) continue;
      WEIR_ASSIGN_OR_RETURN(const auto file, folder.OpenStateFile(name));
      for (const StateFileReader::Section& section : file->sections()) {
        if (section.info.uid != checkpoint.uid()) continue;
        StateContent& state = Named(content.states, section.info);
        state.entries += section.entries.size();
        for (const StateFileReader::Entry& entry : section.entries) state.bytes += entry.bytes;
      }
    }
  }
  std::sort(content.states.begin(), content.states.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return content;
}

absl::StatusOr<SavepointContent> ReadSavepoint(FileSystem& files, const std::string& path,
                                               CheckpointFolder::FileCheck check) {
  CheckpointFolder folder(files, path);
  SavepointContent content;
  content.directory = folder.path();
  WEIR_RETURN_IF_ERROR(folder.ReadMetadata(&content.metadata));
  WEIR_RETURN_IF_ERROR(folder.CheckFiles(content.metadata, check));
  for (const proto::StateFile& file : content.metadata.files()) content.bytes += file.bytes();
  for (const proto::OperatorCheckpoint& checkpoint : content.metadata.operators()) {
    WEIR_ASSIGN_OR_RETURN(OperatorContent of_operator,
                          ReadOperator(folder, content.metadata, checkpoint));
    content.operators.push_back(std::move(of_operator));
  }
  return content;
}

std::string JobIdText(const proto::CheckpointMetadata& metadata) {
  std::array<uint8_t, JobId::kBytes> bytes{};
  std::copy_n(metadata.job_id().begin(), std::min(metadata.job_id().size(), bytes.size()),
              bytes.begin());
  return JobId(bytes).ToString();
}

std::string ContentText(const SavepointContent& content) {
  const proto::CheckpointMetadata& metadata = content.metadata;
  std::string text = StrCat(
      metadata.kind() == proto::SAVEPOINT ? "savepoint   " : "checkpoint  ",
      metadata.checkpoint_id(), " of ", Harmless(metadata.job_name()), " (", JobIdText(metadata),
      ")\ntaken       ", FormatTime(metadata.triggered_unix_micros()), ", complete after ",
      FormatSpan(std::max<int64_t>(
          metadata.completed_unix_micros() - metadata.triggered_unix_micros(), 0)),
      "\nwritten by  Weir ", Harmless(metadata.weir_version()), ", format ",
      CheckpointMetadataVersionOf(metadata), "\nsize        ", FormatBytes(content.bytes), " in ",
      metadata.files_size(), metadata.files_size() == 1 ? " file" : " files",
      "\nmaximum parallelism ", metadata.max_parallelism(), "\n\n");
  TextTable table;
  table.AddColumn("OPERATOR");
  table.AddColumn("PAR", TextTable::Align::kRight);
  table.AddColumn("WATERMARK");
  table.AddColumn("STATE");
  table.AddColumn("KIND");
  table.AddColumn("ENTRIES", TextTable::Align::kRight);
  table.AddColumn("BYTES", TextTable::Align::kRight);
  table.AddColumn("TYPE");
  for (const OperatorContent& of_operator : content.operators) {
    std::vector<std::string> head = {
        Harmless(of_operator.uid),
        StrCat(of_operator.parallelism,
               of_operator.ended == 0 ? "" : StrCat(" (", of_operator.ended, " ended)")),
        FormatWatermark(of_operator.watermark)};
    if (of_operator.states.empty()) {
      head.insert(head.end(), {"-", "", "", "", ""});
      table.AddRow(head);
    }
    for (const StateContent& state : of_operator.states) {
      std::vector<std::string> row = std::exchange(head, {"", "", ""});
      row.insert(row.end(), {Harmless(state.name), std::string(KindText(state.kind)),
                             StrCat(FormatCount(state.entries),
                                    IsKeyed(state.kind) ? " groups" : " items"),
                             FormatBytes(state.bytes), Harmless(state.type)});
      table.AddRow(std::move(row));
    }
  }
  return text + table.Render();
}

void WriteWatermark(int64_t watermark, JsonWriter& json) {
  json.Key("watermark");
  if (watermark == std::numeric_limits<int64_t>::min()) {
    json.Null();
  } else if (watermark == std::numeric_limits<int64_t>::max()) {
    json.String("end");
  } else {
    json.String(FormatTime(watermark));
  }
}

std::string ContentJson(const SavepointContent& content) {
  const proto::CheckpointMetadata& metadata = content.metadata;
  JsonWriter json;
  json.BeginObject();
  json.Key("path").String(content.directory);
  json.Key("kind").String(metadata.kind() == proto::SAVEPOINT ? "savepoint" : "checkpoint");
  json.Key("checkpoint_id").Uint(metadata.checkpoint_id());
  json.Key("job_id").String(JobIdText(metadata));
  json.Key("job_name").String(metadata.job_name());
  json.Key("triggered").String(FormatTime(metadata.triggered_unix_micros()));
  json.Key("completed").String(FormatTime(metadata.completed_unix_micros()));
  json.Key("version").String(metadata.weir_version());
  json.Key("format").Uint(CheckpointMetadataVersionOf(metadata));
  json.Key("max_parallelism").Uint(metadata.max_parallelism());
  json.Key("files").Uint(static_cast<uint64_t>(metadata.files_size()));
  json.Key("bytes").Uint(content.bytes);
  json.Key("operators").BeginArray();
  for (const OperatorContent& of_operator : content.operators) {
    json.BeginObject();
    json.Key("uid").String(of_operator.uid);
    json.Key("parallelism").Uint(of_operator.parallelism);
    json.Key("ended").Uint(of_operator.ended);
    WriteWatermark(of_operator.watermark, json);
    json.Key("states").BeginArray();
    for (const StateContent& state : of_operator.states) {
      json.BeginObject();
      json.Key("name").String(state.name);
      json.Key("type").String(state.type);
      json.Key("kind").String(KindText(state.kind));
      json.Key(IsKeyed(state.kind) ? "key_groups" : "items").Uint(state.entries);
      json.Key("bytes").Uint(state.bytes);
      json.EndObject();
    }
    json.EndArray().EndObject();
  }
  json.EndArray().EndObject();
  return json.Finish();
}

std::string_view FitText(StateFit::Kind kind) {
  switch (kind) {
    case StateFit::Kind::kFits:
      return "fits";
    case StateFit::Kind::kNew:
      return "new";
    case StateFit::Kind::kDropped:
      return "dropped";
    case StateFit::Kind::kRefused:
      return "refused";
  }
  return "";
}

std::string FitsJson(const std::vector<StateFit>& fits, bool starts) {
  JsonWriter json;
  json.BeginObject();
  json.Key("fits").Bool(starts);
  json.Key("states").BeginArray();
  for (const StateFit& fit : fits) {
    json.BeginObject();
    json.Key("operator").StringOrNull(fit.uid);
    json.Key("state").StringOrNull(fit.state);
    json.Key("result").String(FitText(fit.kind));
    json.Key("text").StringOrNull(fit.text);
    json.EndObject();
  }
  json.EndArray().EndObject();
  return json.Finish();
}

std::string FitsText(const std::vector<StateFit>& fits) {
  TextTable table;
  table.AddColumn("OPERATOR");
  table.AddColumn("STATE");
  table.AddColumn("");
  table.AddColumn("");
  for (const StateFit& fit : fits) {
    table.AddRow({fit.uid.empty() ? "(the job)" : Harmless(fit.uid),
                  fit.state.empty() ? "-" : Harmless(fit.state), std::string(FitText(fit.kind)),
                  Harmless(fit.text)});
  }
  return table.Render();
}

}  // namespace

ExitCode RunSavepointInspect(CliContext& context, const CliOptions& options) {
  const auto content = ReadSavepoint(
      context.env->files(), options.target,
      options.verify ? CheckpointFolder::FileCheck::kDigest : CheckpointFolder::FileCheck::kSize);
  if (!content.ok()) return ShowError(context, options, content.status(), ExitCode::kJobSaysNo);
  context.out(options.json ? ContentJson(*content) : ContentText(*content));
  if (options.verify) context.err("all files are as they were written\n");
  return ExitCode::kOk;
}

ExitCode RunSavepointCheck(CliContext& context, const CliOptions& options) {
  auto arguments = ParseJobArguments(options.job_arguments);
  if (!arguments.ok()) return ShowError(context, options, arguments.status(), ExitCode::kUsage);
  const auto content =
      ReadSavepoint(context.env->files(), options.target, CheckpointFolder::FileCheck::kSize);
  if (!content.ok()) return ShowError(context, options, content.status(), ExitCode::kJobSaysNo);
  CliOptions of_plugin = options;
  of_plugin.target = options.plugin;
  auto definition = DefinePlugin(context, of_plugin, *arguments, /*describe_only=*/false);
  if (!definition.ok()) {
    return ShowError(
        context, options, definition.status(),
        absl::IsInternal(definition.status()) ? ExitCode::kInternal : ExitCode::kPluginRefused);
  }
  const std::vector<StateFit> fits = FitState(content->metadata, definition->graph());
  const auto count = [&](StateFit::Kind kind) {
    return std::count_if(fits.begin(), fits.end(),
                         [kind](const StateFit& fit) { return fit.kind == kind; });
  };
  const auto refused = count(StateFit::Kind::kRefused);
  const auto dropped = count(StateFit::Kind::kDropped);
  const bool starts = refused == 0 && (dropped == 0 || options.allow_dropped_state);
  context.out(options.json ? FitsJson(fits, starts) : FitsText(fits));
  if (refused > 0) {
    context.err("the job cannot start from it\n");
  } else if (dropped > 0) {
    context.err(starts ? "the job can start from it, and leaves state behind\n"
                       : "the job can start from it only with --allow-dropped-state\n");
  }
  return starts ? ExitCode::kOk : ExitCode::kJobSaysNo;
}

}  // namespace weir

#include "client/cli/job_text.h"

#include <signal.h>
#include <string.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/json_writer.h"
#include "client/cli/text_format.h"
#include "client/lib/job_manager_client.h"
#include "common/base/strings.h"
#include "proto/control.pb.h"

namespace weir {
namespace {

std::string IdText(const std::string& bytes) {
  auto id = JobIdFromBytes(bytes);
  return id.ok() ? id->ToString() : "(no id)";
}

std::string TaskStateName(int state) {
  const std::string& name = proto::TaskState_Name(static_cast<proto::TaskState>(state));
  if (name.empty()) return StrCat("state ", state);
  return name.starts_with("TASK_") ? name.substr(5) : name;
}

std::string SignalName(int number) {
  const char* name = sigabbrev_np(number);
  return name == nullptr ? StrCat("signal ", number) : StrCat("SIG", name);
}

std::string Colored(std::string text, std::string_view code, bool color) {
  return color ? StrCat("\x1b[", code, "m", text, "\x1b[0m") : text;
}

std::string ColoredState(int state, bool color) {
  std::string_view code = "33";  // Yellow: on its way.
  if (state == proto::RUNNING || state == proto::FINISHED) code = "32";
  if (state == proto::FAILED || state == proto::FAILING) code = "31";
  return Colored(JobStateName(state), code, color);
}

// How long the job ran, or has been running.
int64_t Span(const proto::JobSummary& job, int64_t now_micros) {
  return (job.ended_unix_micros() != 0 ? job.ended_unix_micros() : now_micros) -
         job.submitted_unix_micros();
}

// What all subtasks of one operator have done together.
struct OperatorTotals {
  uint64_t records_in = 0;
  uint64_t records_out = 0;
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
  uint64_t late = 0;
  // The lowest of the subtasks; MAX while there is none.
  int64_t watermark = std::numeric_limits<int64_t>::max();
  bool reported = false;
  std::map<std::string, uint64_t> counters;
  std::map<std::string, int64_t> gauges;

  int64_t WatermarkOrNone() const {
    return reported ? watermark : std::numeric_limits<int64_t>::min();
  }
};

// Of all subtasks of one vertex.
struct VertexTotals {
  uint64_t busy = 0;
  uint64_t idle = 0;
  uint64_t backpressured = 0;
  std::map<int, uint32_t> states;

  double Percent(uint64_t part) const {
    const uint64_t all = busy + idle + backpressured;
    return all == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(all);
  }
  std::string StatesText() const {
    return absl::StrJoin(states, ", ", [](std::string* out, const auto& state) {
      absl::StrAppend(out, state.second, " ", TaskStateName(state.first));
    });
  }
};

struct JobTotals {
  std::vector<OperatorTotals> operators;
  std::vector<VertexTotals> vertices;

  explicit JobTotals(const proto::JobStatusResponse& status)
      : operators(static_cast<size_t>(status.graph().nodes_size())),
        vertices(static_cast<size_t>(status.graph().vertices_size())) {
    for (const proto::TaskReport& task : status.tasks()) {
      if (task.vertex() < vertices.size()) {
        VertexTotals& vertex = vertices[task.vertex()];
        vertex.busy += task.busy_micros();
        vertex.idle += task.idle_micros();
        vertex.backpressured += task.backpressured_micros();
        ++vertex.states[task.state()];
      }
      for (const proto::OperatorMetrics& metrics : task.operators()) {
        if (metrics.node() >= operators.size()) continue;
        OperatorTotals& total = operators[metrics.node()];
        total.reported = true;
        total.records_in += metrics.records_in();
        total.records_out += metrics.records_out();
        total.bytes_in += metrics.bytes_in();
        total.bytes_out += metrics.bytes_out();
        total.late += metrics.late_records_dropped();
        total.watermark = std::min(total.watermark, metrics.watermark());
        for (const auto& [name, value] : metrics.counters()) total.counters[name] += value;
        for (const auto& [name, value] : metrics.gauges()) total.gauges[name] += value;
      }
    }
  }
};

void WriteFailureJson(const proto::Failure& failure, JsonWriter& json) {
  json.BeginObject();
  json.Key("code").String(absl::StatusCodeToString(static_cast<absl::StatusCode>(failure.code())));
  json.Key("message").String(failure.message());
  json.Key("operator").StringOrNull(failure.operator_uid());
  json.Key("subtask").Uint(failure.subtask());
  json.Key("task_manager").StringOrNull(failure.task_manager());
  json.Key("signal");
  failure.signal() == 0 ? json.Null() : json.String(SignalName(failure.signal()));
  json.Key("time").StringOrNull(
      failure.time_unix_micros() == 0 ? "" : FormatTime(failure.time_unix_micros()));
  json.Key("stack").BeginArray();
  for (const std::string& frame : failure.stack()) json.String(frame);
  json.EndArray();
  json.EndObject();
}

void WriteSummaryJson(const proto::JobSummary& job, JsonWriter& json) {
  json.Key("job_id").String(IdText(job.job_id()));
  json.Key("name").String(job.name());
  json.Key("state").String(JobStateName(job.state()));
  json.Key("submitted").String(FormatTime(job.submitted_unix_micros()));
  json.Key("ended").StringOrNull(
      job.ended_unix_micros() == 0 ? "" : FormatTime(job.ended_unix_micros()));
  json.Key("tasks").BeginObject();
  json.Key("total").Uint(job.tasks_total());
  json.Key("running").Uint(job.tasks_running());
  json.Key("finished").Uint(job.tasks_finished());
  json.EndObject();
}

std::string OperatorTable(const proto::JobStatusResponse& status, const JobTotals& totals) {
  using Align = TextTable::Align;
  TextTable table;
  table.AddColumn("OPERATOR");
  table.AddColumn("PAR", Align::kRight);
  table.AddColumn("RECORDS IN", Align::kRight);
  table.AddColumn("RECORDS OUT", Align::kRight);
  table.AddColumn("BYTES IN", Align::kRight);
  table.AddColumn("BYTES OUT", Align::kRight);
  table.AddColumn("LATE", Align::kRight);
  table.AddColumn("WATERMARK");
  table.AddColumn("BUSY", Align::kRight);
  table.AddColumn("IDLE", Align::kRight);
  table.AddColumn("BACKPR.", Align::kRight);
  table.AddColumn("SUBTASKS");
  const auto percent = [](double value) { return absl::StrFormat("%.0f %%", value); };
  for (const proto::Vertex& vertex : status.graph().vertices()) {
    const VertexTotals& times = totals.vertices[vertex.id()];
    for (int i = 0; i < vertex.nodes_size(); ++i) {
      const proto::Node& node = status.graph().nodes(static_cast<int>(vertex.nodes(i)));
      const OperatorTotals& total = totals.operators[node.id()];
      const bool head = i == 0;
      const bool source = node.kind() == proto::SOURCE;
      const bool sink = node.kind() == proto::SINK;
      table.AddRow(
          {StrCat(head ? "" : "  > ", Harmless(node.uid())),
           head ? std::to_string(node.parallelism()) : "",
           source ? "-" : FormatCount(total.records_in),
           sink ? "-" : FormatCount(total.records_out), source ? "-" : FormatBytes(total.bytes_in),
           sink ? "-" : FormatBytes(total.bytes_out), FormatCount(total.late),
           FormatWatermark(total.WatermarkOrNone()), head ? percent(times.Percent(times.busy)) : "",
           head ? percent(times.Percent(times.idle)) : "",
           head ? percent(times.Percent(times.backpressured)) : "",
           head ? times.StatesText() : ""});
    }
  }
  return table.Render();
}

std::string OwnMetricsTable(const proto::JobStatusResponse& status, const JobTotals& totals) {
  TextTable table;
  table.AddColumn("OPERATOR");
  table.AddColumn("METRIC");
  table.AddColumn("VALUE", TextTable::Align::kRight);
  bool any = false;
  for (const proto::Node& node : status.graph().nodes()) {
    for (const auto& [name, value] : totals.operators[node.id()].counters) {
      table.AddRow({Harmless(node.uid()), Harmless(name), FormatCount(value)});
      any = true;
    }
    for (const auto& [name, value] : totals.operators[node.id()].gauges) {
      table.AddRow({Harmless(node.uid()), Harmless(name), std::to_string(value)});
      any = true;
    }
  }
  return any ? table.Render() : "";
}

}  // namespace

bool IsTerminalState(int job_state) {
  return job_state == proto::FINISHED || job_state == proto::CANCELED || job_state == proto::FAILED;
}

std::string JobStateName(int job_state) {
  const std::string& name = proto::JobState_Name(static_cast<proto::JobState>(job_state));
  return name.empty() || job_state == proto::JOB_STATE_UNSPECIFIED ? "UNKNOWN" : name;
}

std::string JobListText(const proto::ListJobsResponse& jobs,
                        const proto::ClusterInfoResponse& cluster, int64_t now_micros) {
  std::string text;
  if (jobs.jobs_size() == 0) {
    text = "no jobs\n";
  } else {
    TextTable table;
    table.AddColumn("JOB");
    table.AddColumn("NAME");
    table.AddColumn("STATE");
    table.AddColumn("SUBMITTED");
    table.AddColumn("TIME", TextTable::Align::kRight);
    table.AddColumn("TASKS");
    for (const proto::JobSummary& job : jobs.jobs()) {
      table.AddRow({IdText(job.job_id()), Harmless(job.name()), JobStateName(job.state()),
                    FormatTime(job.submitted_unix_micros() / 1'000'000 * 1'000'000),
                    FormatSpan(Span(job, now_micros)),
                    StrCat(job.tasks_running(), " running, ", job.tasks_finished(), " finished of ",
                           job.tasks_total())});
    }
    text = table.Render();
  }
  uint32_t slots = 0;
  uint32_t free = 0;
  for (const auto& task_manager : cluster.task_managers()) {
    slots += task_manager.slots_total();
    free += task_manager.slots_free();
  }
  const int count = cluster.task_managers_size();
  return text + StrCat(count, count == 1 ? " task manager, " : " task managers, ", free, " of ",
                       slots, " slots free\n");
}

std::string JobListJson(const proto::ListJobsResponse& jobs,
                        const proto::ClusterInfoResponse& cluster) {
  JsonWriter json;
  json.BeginObject().Key("jobs").BeginArray();
  for (const proto::JobSummary& job : jobs.jobs()) {
    json.BeginObject();
    WriteSummaryJson(job, json);
    json.EndObject();
  }
  json.EndArray();
  json.Key("job_manager_version").String(cluster.version());
  json.Key("task_managers").BeginArray();
  for (const auto& task_manager : cluster.task_managers()) {
    json.BeginObject();
    json.Key("name").String(task_manager.name());
    json.Key("address").String(task_manager.address());
    json.Key("version").String(task_manager.version());
    json.Key("slots_total").Uint(task_manager.slots_total());
    json.Key("slots_free").Uint(task_manager.slots_free());
    json.Key("last_heartbeat").String(FormatTime(task_manager.last_heartbeat_unix_micros()));
    json.EndObject();
  }
  json.EndArray().EndObject();
  return json.Finish();
}

std::string FailureText(const proto::Failure& failure) {
  std::string where;
  if (!failure.operator_uid().empty()) {
    where =
        StrCat("in operator '", Harmless(failure.operator_uid()), "', subtask ", failure.subtask());
  }
  if (!failure.task_manager().empty()) {
    where +=
        StrCat(where.empty() ? "" : ", ", "on task manager ", Harmless(failure.task_manager()));
  }
  std::string text = StrCat("failed: ", Harmless(failure.message()), "\n");
  if (!where.empty()) text += StrCat("  ", where, "\n");
  if (failure.signal() != 0) text += StrCat("  signal ", SignalName(failure.signal()), "\n");
  for (const std::string& frame : failure.stack()) text += StrCat("    at ", Harmless(frame), "\n");
  return text;
}

std::string JobStatusText(const proto::JobStatusResponse& status, int64_t now_micros, bool color) {
  const proto::JobSummary& job = status.summary();
  std::string text = StrCat(
      "job      ", IdText(job.job_id()), "  ", Harmless(job.name()), "\nstate    ",
      ColoredState(job.state(), color), IsTerminalState(job.state()) ? " after " : " for ",
      FormatSpan(Span(job, now_micros)), ", submitted ", FormatTime(job.submitted_unix_micros()));
  if (status.attempt() > 1) text += StrCat(", attempt ", status.attempt());
  if (status.region_restarts() > 0) {
    text += StrCat(", ", status.region_restarts(), " restarts of regions");
  }
  text += "\n";
  if (!status.waiting_for().empty())
    text += StrCat("waiting  ", Harmless(status.waiting_for()), "\n");
  for (const proto::WorkerInfo& worker : status.workers()) {
    text += StrCat("worker   ", worker.index(), " on ", Harmless(worker.task_manager()), ", pid ",
                   worker.pid(), "\n");
  }
  if (status.has_failure()) text += Colored(FailureText(status.failure()), "31", color);
  const JobTotals totals(status);
  text += StrCat("\n", OperatorTable(status, totals));
  const std::string own = OwnMetricsTable(status, totals);
  if (!own.empty()) text += StrCat("\n", own);
  return text;
}

std::string JobStatusJson(const proto::JobStatusResponse& status) {
  const JobTotals totals(status);
  const proto::JobGraph& graph = status.graph();
  JsonWriter json;
  json.BeginObject();
  WriteSummaryJson(status.summary(), json);
  json.Key("attempt").Uint(status.attempt());
  json.Key("full_restarts").Uint(status.full_restarts());
  json.Key("region_restarts").Uint(status.region_restarts());
  json.Key("waiting_for").StringOrNull(status.waiting_for());
  json.Key("failure");
  status.has_failure() ? WriteFailureJson(status.failure(), json) : static_cast<void>(json.Null());
  json.Key("operators").BeginArray();
  for (const proto::Vertex& vertex : graph.vertices()) {
    for (uint32_t n : vertex.nodes()) {
      const proto::Node& node = graph.nodes(static_cast<int>(n));
      const OperatorTotals& total = totals.operators[n];
      json.BeginObject();
      json.Key("uid").String(node.uid());
      json.Key("vertex").Uint(vertex.id());
      json.Key("parallelism").Uint(node.parallelism());
      json.Key("records_in").Uint(total.records_in);
      json.Key("records_out").Uint(total.records_out);
      json.Key("bytes_in").Uint(total.bytes_in);
      json.Key("bytes_out").Uint(total.bytes_out);
      json.Key("late_records_dropped").Uint(total.late);
      const std::string watermark = FormatWatermark(total.WatermarkOrNone());
      json.Key("watermark").StringOrNull(watermark == "-" ? "" : watermark);
      json.Key("counters").BeginObject();
      for (const auto& [name, value] : total.counters) json.Key(name).Uint(value);
      json.EndObject();
      json.Key("gauges").BeginObject();
      for (const auto& [name, value] : total.gauges) json.Key(name).Int(value);
      json.EndObject().EndObject();
    }
  }
  json.EndArray();
  json.Key("vertices").BeginArray();
  for (const proto::Vertex& vertex : graph.vertices()) {
    const VertexTotals& times = totals.vertices[vertex.id()];
    json.BeginObject();
    json.Key("name").String(vertex.name());
    json.Key("parallelism").Uint(vertex.parallelism());
    json.Key("busy_percent").Decimal(times.Percent(times.busy));
    json.Key("idle_percent").Decimal(times.Percent(times.idle));
    json.Key("backpressured_percent").Decimal(times.Percent(times.backpressured));
    json.EndObject();
  }
  json.EndArray();
  json.Key("subtasks").BeginArray();
  for (const proto::TaskReport& task : status.tasks()) {
    json.BeginObject();
    json.Key("vertex").Uint(task.vertex());
    json.Key("subtask").Uint(task.subtask());
    json.Key("state").String(TaskStateName(task.state()));
    json.Key("worker").Uint(task.worker());
    json.Key("failure");
    task.has_failure() ? WriteFailureJson(task.failure(), json) : static_cast<void>(json.Null());
    json.EndObject();
  }
  json.EndArray();
  json.Key("workers").BeginArray();
  for (const proto::WorkerInfo& worker : status.workers()) {
    json.BeginObject();
    json.Key("worker").Uint(worker.index());
    json.Key("task_manager").String(worker.task_manager());
    json.Key("pid").Int(worker.pid());
    json.EndObject();
  }
  json.EndArray().EndObject();
  return json.Finish();
}

JobProgress JobProgress::Of(const proto::JobStatusResponse& status, int64_t at_nanos) {
  const JobTotals totals(status);
  JobProgress progress;
  progress.at_nanos = at_nanos;
  for (const proto::Vertex& vertex : status.graph().vertices()) {
    for (uint32_t n : vertex.nodes()) {
      const proto::Node& node = status.graph().nodes(static_cast<int>(n));
      progress.operators.push_back({node.uid(), totals.operators[n].records_in,
                                    totals.operators[n].records_out, node.kind() == proto::SOURCE,
                                    node.kind() == proto::SINK});
    }
  }
  return progress;
}

std::string ProgressLine(const proto::JobStatusResponse& status, const JobProgress& before,
                         const JobProgress& now, int64_t now_micros, size_t width) {
  std::string line = StrCat(JobStateName(status.summary().state()), " ",
                            FormatSpan(Span(status.summary(), now_micros)));
  if (!status.waiting_for().empty())
    line += StrCat("  waiting for ", Harmless(status.waiting_for()));
  const double seconds = static_cast<double>(now.at_nanos - before.at_nanos) / 1e9;
  if (status.summary().state() == proto::RUNNING && seconds > 0 &&
      before.operators.size() == now.operators.size()) {
    for (size_t i = 0; i < now.operators.size(); ++i) {
      const JobProgress::Operator& is = now.operators[i];
      const JobProgress::Operator& was = before.operators[i];
      // A count that went down belongs to another attempt.
      const auto rate = [seconds](uint64_t then, uint64_t later) {
        return FormatRate(later < then ? 0 : static_cast<double>(later - then) / seconds);
      };
      line += StrCat(i == 0 ? "  " : " | ", Harmless(is.uid));
      if (!is.is_source) line += StrCat(" in ", rate(was.in, is.in));
      if (!is.is_sink) line += StrCat(" out ", rate(was.out, is.out));
    }
  }
  if (width == 0 || DisplayWidth(line) <= width) return line;
  size_t bytes = 0;
  for (size_t columns = 0; bytes < line.size(); ++bytes) {
    if ((static_cast<unsigned char>(line[bytes]) & 0xC0) == 0x80) continue;
    if (columns++ == width) break;
  }
  return line.substr(0, bytes);
}

std::string SummaryLine(const proto::JobStatusResponse& status, int64_t now_micros) {
  uint64_t read = 0;
  uint64_t written = 0;
  for (const JobProgress::Operator& op : JobProgress::Of(status, 0).operators) {
    if (op.is_source) read += op.out;
    if (op.is_sink) written += op.in;
  }
  return StrCat(JobStateName(status.summary().state()), " after ",
                FormatSpan(Span(status.summary(), now_micros)), ": ", FormatCount(read),
                " records read, ", FormatCount(written), " written");
}

}  // namespace weir

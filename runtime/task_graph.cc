#include "runtime/task_graph.h"

#include <algorithm>
#include <set>
#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/control.pb.h"
#include "proto/job_graph.pb.h"
#include "runtime/task/source_input.h"
#include "runtime/task/timestamp_operator.h"
#include "runtime/time/source_alignment.h"
#include "sdk/host/plugin_host.h"
#include "weir/hash.h"

namespace weir {
namespace {

absl::Status Mismatch(const std::string& what) {
  return absl::InvalidArgumentError(
      StrCat("the job's definition, graph and deployment do not belong together: ", what));
}

}  // namespace

// Builds in three passes: the tasks with their nodes, the channels between them, the outputs that
// lead into the channels.
class TaskGraphBuilder {
 public:
  TaskGraphBuilder(Env& env, Executor& control, const JobDefinition& definition,
                   const proto::JobGraph& graph, const proto::DeploymentPlan& plan,
                   const ConnectorRegistry& connectors, Exchange* exchange,
                   const RuntimeOptions& options, const std::vector<Executor*>& executors,
                   std::function<void()> on_change)
      : env_(env),
        control_(control),
        definition_(definition),
        graph_(graph),
        plan_(plan),
        connectors_(connectors),
        exchange_(exchange),
        options_(options),
        executors_(executors),
        on_change_(std::move(on_change)) {}

  absl::StatusOr<std::unique_ptr<TaskGraph>> Build() {
    WEIR_RETURN_IF_ERROR(Check());
    ChooseExecutors();
    for (const proto::Vertex& vertex : graph_.vertices()) {
      for (const uint32_t subtask : LocalSubtasks(vertex))
        WEIR_RETURN_IF_ERROR(MakeTask(vertex, subtask));
    }
    for (const proto::Edge& edge : graph_.edges()) {
      if (!edge.chained()) WEIR_RETURN_IF_ERROR(MakeChannels(edge));
    }
    for (auto& [key, parts] : parts_) {
      for (const auto& node : parts.task->chain().nodes)
        WEIR_RETURN_IF_ERROR(MakePorts(parts, *node));
    }
    // Only now, when nothing can fail any more: callbacks may come from here on.
    for (auto& open : open_senders_) open();
    for (auto& register_receiver : register_receivers_) register_receiver();
    return std::move(built_);
  }

 private:
  // A task and what is needed to wire it.
  struct TaskParts {
    Task* task = nullptr;
    GateInput* gate = nullptr;
    std::map<uint32_t, ChainNode*> nodes;  // by index
    // By edge that leaves the task: its channels, by subtask of the consumer (one for kForward).
    std::map<uint32_t, std::vector<OutputChannel*>> channels;
    std::map<uint32_t, std::vector<InputChannel*>> inputs;
    // By edge that enters the task: the index in the gate of the channel from subtask 0, or the
    // only one of kForward.
    std::map<uint32_t, size_t> first_channel;
    std::vector<InputChannel*> input_channels;  // by index in the gate
  };
  using TaskKey = std::pair<uint32_t, uint32_t>;  // vertex, subtask

  // ---- Checks ----

  absl::Status Check() {
    if (static_cast<size_t>(graph_.nodes_size()) != definition_.nodes.size()) {
      return Mismatch(StrCat(definition_.nodes.size(), " operators against ", graph_.nodes_size()));
    }
    if (static_cast<size_t>(graph_.edges_size()) != definition_.edges.size()) {
      return Mismatch(StrCat(definition_.edges.size(), " edges against ", graph_.edges_size()));
    }
    vertex_of_node_.assign(definition_.nodes.size(), UINT32_MAX);
    for (int i = 0; i < graph_.vertices_size(); ++i) {
      const proto::Vertex& vertex = graph_.vertices(i);
      if (vertex.id() != static_cast<uint32_t>(i) || vertex.nodes_size() == 0 ||
          vertex.parallelism() == 0) {
        return Mismatch(StrCat("vertex ", i, " is malformed"));
      }
      for (const uint32_t node : vertex.nodes()) {
        if (node >= vertex_of_node_.size() || vertex_of_node_[node] != UINT32_MAX) {
          return Mismatch(StrCat("operator ", node, " is missing or in two vertices"));
        }
        vertex_of_node_[node] = vertex.id();
        const std::string& uid = definition_.nodes[node].uid;
        if (!uid.empty() && uid != UidOf(node)) {
          return Mismatch(StrCat("operator ", node, " is '", uid, "' and '", UidOf(node), "'"));
        }
      }
    }
    for (const uint32_t vertex : vertex_of_node_) {
      if (vertex == UINT32_MAX) return Mismatch("an operator is in no vertex");
    }
    WEIR_RETURN_IF_ERROR(CheckPlan());
    for (int i = 0; i < graph_.edges_size(); ++i)
      WEIR_RETURN_IF_ERROR(CheckEdge(static_cast<uint32_t>(i)));
    return absl::OkStatus();
  }

  absl::Status CheckPlan() {
    workers_.resize(static_cast<size_t>(graph_.vertices_size()));
    for (const auto& placement : plan_.vertices()) {
      if (placement.vertex() >= workers_.size())
        return Mismatch("the plan places a vertex that is not there");
      workers_[placement.vertex()] = {placement.workers().begin(), placement.workers().end()};
    }
    for (const proto::Vertex& vertex : graph_.vertices()) {
      if (workers_[vertex.id()].size() != vertex.parallelism()) {
        return Mismatch(StrCat("the plan places ", workers_[vertex.id()].size(), " of ",
                               vertex.parallelism(), " subtasks of vertex ", vertex.id()));
      }
    }
    for (const auto& worker : plan_.workers())
      addresses_[worker.index()] = worker.exchange_address();
    return absl::OkStatus();
  }

  absl::Status CheckEdge(uint32_t index) {
    const proto::Edge& edge = graph_.edges(static_cast<int>(index));
    const EdgeDefinition& defined = definition_.edges[index];
    if (edge.from_node() >= vertex_of_node_.size() || edge.to_node() >= vertex_of_node_.size() ||
        edge.from_node() != defined.from_node || edge.to_node() != defined.to_node ||
        edge.from_port() != defined.from_port || edge.to_input() != defined.to_input) {
      return Mismatch(StrCat("edge ", index));
    }
    if (defined.from_port >= definition_.nodes[defined.from_node].outputs.size() ||
        defined.to_input >= definition_.nodes[defined.to_node].inputs) {
      return Mismatch(StrCat("edge ", index, " has a port that its operators do not have"));
    }
    const proto::Vertex& from = VertexOf(edge.from_node());
    const proto::Vertex& to = VertexOf(edge.to_node());
    if (edge.chained() != (from.id() == to.id()))
      return Mismatch(StrCat("edge ", index, " and its chain"));
    if (!edge.chained() && to.nodes(0) != edge.to_node()) {
      return Mismatch(StrCat("edge ", index, " leads into the middle of a chain"));
    }
    if (edge.partitioning() == proto::FORWARD && from.parallelism() != to.parallelism()) {
      return Mismatch(StrCat("edge ", index, " is forward between ", from.parallelism(), " and ",
                             to.parallelism(), " subtasks"));
    }
    // One to one becomes in turns where the ends differ.
    const Partitioning partitioning = PartitioningOf(edge);
    const bool in_turns =
        defined.partitioning == Partitioning::kForward && partitioning == Partitioning::kRebalance;
    if (partitioning != defined.partitioning && !in_turns) {
      return Mismatch(StrCat("edge ", index, " and how it deals out records"));
    }
    if ((partitioning == Partitioning::kHash) != (defined.hasher != nullptr)) {
      return Mismatch(
          StrCat("edge ", index, " is keyed without a key, or has a key and is not keyed"));
    }
    return absl::OkStatus();
  }

  static Partitioning PartitioningOf(const proto::Edge& edge) {
    switch (edge.partitioning()) {
      case proto::HASH:
        return Partitioning::kHash;
      case proto::REBALANCE:
        return Partitioning::kRebalance;
      case proto::BROADCAST:
        return Partitioning::kBroadcast;
      default:
        return Partitioning::kForward;
    }
  }
  const std::string& UidOf(uint32_t node) const {
    return graph_.nodes(static_cast<int>(node)).uid();
  }
  const proto::Vertex& VertexOf(uint32_t node) const {
    return graph_.vertices(static_cast<int>(vertex_of_node_[node]));
  }
  uint32_t WorkerOf(const proto::Vertex& vertex, uint32_t subtask) const {
    return workers_[vertex.id()][subtask];
  }
  std::vector<uint32_t> LocalSubtasks(const proto::Vertex& vertex) const {
    std::vector<uint32_t> local;
    for (uint32_t i = 0; i < vertex.parallelism(); ++i) {
      if (WorkerOf(vertex, i) == options_.worker_index) local.push_back(i);
    }
    return local;
  }

  // ---- Tasks ----

  // Subtasks with one number share a thread, so that records that stay in a slot stay on a core;
  // where there are fewer subtasks than threads, the vertices are spread.
  void ChooseExecutors() {
    std::set<uint32_t> subtasks;
    for (const proto::Vertex& vertex : graph_.vertices()) {
      for (const uint32_t subtask : LocalSubtasks(vertex)) subtasks.insert(subtask);
    }
    for (const uint32_t subtask : subtasks)
      slot_of_subtask_.emplace(subtask, slot_of_subtask_.size());
  }
  Executor& ExecutorOf(uint32_t vertex, uint32_t subtask) const {
    const size_t slots = slot_of_subtask_.size();
    return *executors_[(vertex * slots + slot_of_subtask_.at(subtask)) % executors_.size()];
  }

  absl::Status MakeTask(const proto::Vertex& vertex, uint32_t subtask) {
    Task::Options task_options;
    task_options.vertex = vertex.id();
    task_options.subtask = subtask;
    task_options.worker = options_.worker_index;
    task_options.flush_interval_nanos = absl::ToInt64Nanoseconds(options_.flush_interval);
    task_options.on_checkpoint = options_.on_checkpoint;
    task_options.restored_checkpoint = options_.run.restored_checkpoint;
    task_options.commits_with_checkpoints = options_.run.commits_with_checkpoints;
    task_options.commit_only = options_.commit_only;
    task_options.barriers = options_.barriers;
    task_options.restore_chunk_bytes = options_.restore_chunk_bytes;
    task_options.incremental = options_.incremental && options_.on_checkpoint != nullptr;
    if (const auto restore = options_.restore.find({vertex.id(), subtask});
        restore != options_.restore.end()) {
      task_options.restore = restore->second;
    }
    built_->tasks_.push_back(
        std::make_unique<Task>(task_options, env_, ExecutorOf(vertex.id(), subtask), on_change_));
    TaskParts& parts = parts_[{vertex.id(), subtask}];
    parts.task = built_->tasks_.back().get();
    Chain& chain = parts.task->chain();
    chain.state_backend = options_.state_backend;
    const SubtaskInfo info{subtask, vertex.parallelism(), graph_.max_parallelism(), &options_.run};
    for (const uint32_t index : vertex.nodes()) {
      const NodeDefinition& node = definition_.nodes[index];
      chain.nodes.push_back(std::make_unique<ChainNode>(
          env_, index, node, UidOf(index), info, *parts.task, parts.task->clock(), options_.log));
      parts.nodes[index] = chain.nodes.back().get();
      if (node.kind != NodeKind::kSource)
        WEIR_RETURN_IF_ERROR(MakeOperator(node, parts.task->clock(), *chain.nodes.back()));
    }
    for (const proto::Edge& edge : graph_.edges()) {
      const auto to = parts.nodes.find(edge.to_node());
      if (!edge.chained() || to == parts.nodes.end()) continue;
      const EdgeDefinition& defined = definition_.edges[edge.id()];
      chain.chained_edges.push_back({edge.id(),
                                     to->second,
                                     edge.to_input(),
                                     {defined.type, defined.hasher.get(), to->second->key_groups(),
                                      graph_.max_parallelism()}});
    }
    SetTimes(vertex, parts);
    if (chain.head().definition().kind == NodeKind::kSource) return MakeSource(parts);
    return MakeGate(vertex, subtask, parts);
  }

  // Which watermarks each node of a chain is told.
  void SetTimes(const proto::Vertex& vertex, TaskParts& parts) {
    for (int i = 1; i < vertex.nodes_size(); ++i) {
      const auto edge = std::find_if(
          graph_.edges().begin(), graph_.edges().end(), [&](const proto::Edge& candidate) {
            return candidate.chained() && candidate.to_node() == vertex.nodes(i);
          });
      WEIR_CHECK(edge != graph_.edges().end());
      const auto from = std::find(vertex.nodes().begin(), vertex.nodes().end(), edge->from_node());
      const ChainNode& before = *parts.nodes.at(edge->from_node());
      parts.nodes.at(vertex.nodes(i))->time_from =
          before.timestamps != nullptr ? static_cast<size_t>(from - vertex.nodes().begin())
                                       : before.time_from;
    }
  }

  absl::Status MakeOperator(const NodeDefinition& node, const TaskClock& clock, ChainNode& to) {
    const std::string& uid = to.uid();
    if (node.assigns_timestamps) {
      auto timestamps = std::make_unique<TimestampOperator>(
          node.watermarks, *node.outputs[0].type, clock,
          absl::ToInt64Nanoseconds(options_.watermark_interval));
      to.timestamps = timestamps.get();
      to.op = std::move(timestamps);
    } else if (node.kind == NodeKind::kOperator) {
      WEIR_RETURN_IF_ERROR(GuardUserCode(uid, [&] {
        to.op = node.make_operator();
        return absl::OkStatus();
      }));
    } else {
      std::unique_ptr<SinkWriter> writer;
      if (node.make_sink) {
        WEIR_RETURN_IF_ERROR(GuardUserCode(uid, [&] {
          writer = node.make_sink();
          return absl::OkStatus();
        }));
      } else {
        WEIR_ASSIGN_OR_RETURN(writer, connectors_.MakeSink(node.connector, *node.record_type));
      }
      if (writer != nullptr)
        to.op = std::make_unique<SinkOperator>(env_, control_, std::move(writer));
    }
    if (to.op == nullptr)
      return absl::InternalError(StrCat("operator '", uid, "' could not be made"));
    return absl::OkStatus();
  }

  absl::Status MakeSource(TaskParts& parts) {
    ChainNode& head = parts.task->chain().head();
    const NodeDefinition& node = head.definition();
    const std::string& uid = head.uid();
    std::unique_ptr<SourceReader> reader;
    if (node.make_source) {
      WEIR_RETURN_IF_ERROR(GuardUserCode(uid, [&] {
        reader = node.make_source();
        return absl::OkStatus();
      }));
    } else {
      WEIR_ASSIGN_OR_RETURN(reader, connectors_.MakeSource(node.connector, *node.outputs[0].type));
    }
    if (reader == nullptr)
      return absl::InternalError(StrCat("source '", uid, "' could not be made"));
    SourceInput::Options source_options;
    source_options.batch_records = options_.batch_records;
    source_options.watermark_interval_nanos = absl::ToInt64Nanoseconds(options_.watermark_interval);
    if (!node.watermarks.alignment_group.empty() && options_.alignment != nullptr) {
      source_options.alignment =
          options_.alignment->Join(node.watermarks.alignment_group, node.watermarks.max_drift,
                                   [task = parts.task] { task->Wake(); });
    }
    parts.task->SetInput(std::make_unique<SourceInput>(head, std::move(reader), parts.task->clock(),
                                                       source_options));
    return absl::OkStatus();
  }

  absl::Status MakeGate(const proto::Vertex& vertex, uint32_t subtask, TaskParts& parts) {
    const NodeDefinition& head = parts.task->chain().head().definition();
    std::vector<GateInput::ChannelInfo> channels;
    std::set<size_t> connected;
    for (const proto::Edge& edge : graph_.edges()) {
      if (edge.chained() || edge.to_node() != vertex.nodes(0)) continue;
      const uint32_t from = VertexOf(edge.from_node()).parallelism();
      const EdgeDefinition& defined = definition_.edges[edge.id()];
      const bool forward = PartitioningOf(edge) == Partitioning::kForward;
      parts.first_channel[edge.id()] = channels.size();
      for (uint32_t i = 0; i < (forward ? 1 : from); ++i) {
        channels.push_back({edge.to_input(), edge.id(), forward ? subtask : i, defined.type,
                            defined.hasher.get()});
      }
      connected.insert(edge.to_input());
    }
    if (connected.size() != head.inputs) {
      return Mismatch(
          StrCat("an input of operator '", UidOf(vertex.nodes(0)), "' is not connected"));
    }
    parts.input_channels.resize(channels.size());
    GateInput::Options gate_options;
    gate_options.barriers = options_.barriers;
    gate_options.subtask = subtask;
    gate_options.max_parallelism = graph_.max_parallelism();
    gate_options.key_groups =
        KeyGroupRangeOf(subtask, graph_.max_parallelism(), vertex.parallelism());
    auto gate = std::make_unique<GateInput>(std::move(channels), head.inputs, gate_options);
    parts.gate = gate.get();
    parts.task->SetInput(std::move(gate));
    return absl::OkStatus();
  }

  // ---- Channels ----

  absl::Status MakeChannels(const proto::Edge& edge) {
    const proto::Vertex& from = VertexOf(edge.from_node());
    const proto::Vertex& to = VertexOf(edge.to_node());
    const bool forward = PartitioningOf(edge) == Partitioning::kForward;
    for (uint32_t from_subtask = 0; from_subtask < from.parallelism(); ++from_subtask) {
      const uint32_t begin = forward ? from_subtask : 0;
      const uint32_t end = forward ? from_subtask + 1 : to.parallelism();
      for (uint32_t to_subtask = begin; to_subtask < end; ++to_subtask) {
        WEIR_RETURN_IF_ERROR(MakeChannel(edge, {edge.id(), from_subtask, to_subtask}, forward));
      }
    }
    return absl::OkStatus();
  }

  absl::Status MakeChannel(const proto::Edge& edge, ChannelId id, bool forward) {
    const EdgeDefinition& defined = definition_.edges[edge.id()];
    const proto::Vertex& from = VertexOf(edge.from_node());
    const proto::Vertex& to = VertexOf(edge.to_node());
    const uint32_t from_worker = WorkerOf(from, id.from_subtask);
    const uint32_t to_worker = WorkerOf(to, id.to_subtask);
    const bool from_here = from_worker == options_.worker_index;
    const bool to_here = to_worker == options_.worker_index;
    if (!from_here && !to_here) return absl::OkStatus();
    if (!(from_here && to_here) && exchange_ == nullptr) {
      return Mismatch("subtasks are on other workers, and there is no exchange to reach them");
    }
    TaskParts* producer = from_here ? &parts_.at({from.id(), id.from_subtask}) : nullptr;
    TaskParts* consumer = to_here ? &parts_.at({to.id(), id.to_subtask}) : nullptr;
    size_t gate_index = 0;
    if (to_here)
      gate_index = consumer->first_channel.at(edge.id()) + (forward ? 0 : id.from_subtask);

    InputChannel* input = nullptr;
    OutputChannel* output = nullptr;
    if (from_here && to_here) {
      built_->local_channels_.push_back(std::make_unique<LocalChannel>(
          *defined.type,
          LocalChannel::Capacity{std::max<size_t>(options_.batches_per_local_channel, 1),
                                 std::max<size_t>(options_.bytes_per_local_channel, 1)},
          *producer->task, *consumer->task, consumer->gate->gate().ready(), gate_index,
          producer->nodes.at(edge.from_node())->node_metrics.bytes_out,
          consumer->nodes.at(edge.to_node())->node_metrics.bytes_in));
      input = built_->local_channels_.back().get();
      output = built_->local_channels_.back().get();
    } else if (to_here) {
      const std::string from_name = StrCat("subtask ", id.from_subtask, " of '",
                                           UidOf(edge.from_node()), "' on worker ", from_worker);
      built_->remote_inputs_.push_back(std::make_unique<RemoteInputChannel>(
          *defined.type, defined.hasher.get(),
          [exchange = exchange_, id](uint32_t n) { exchange->GrantCredits(id, n); }, from_name,
          *consumer->task, consumer->gate->gate().ready(), gate_index,
          consumer->nodes.at(edge.to_node())->node_metrics.bytes_in));
      input = built_->remote_inputs_.back().get();
      register_receivers_.push_back(
          [exchange = exchange_, id, from_worker, receiver = built_->remote_inputs_.back().get()] {
            exchange->RegisterReceiver(id, from_worker, receiver);
          });
    } else {
      WEIR_ASSIGN_OR_RETURN(output, MakeRemoteOutput(edge, id, *producer, to_worker));
    }
    if (output != nullptr) producer->channels[edge.id()].push_back(output);
    if (input != nullptr) consumer->input_channels[gate_index] = input;
    return absl::OkStatus();
  }

  absl::StatusOr<OutputChannel*> MakeRemoteOutput(const proto::Edge& edge, ChannelId id,
                                                  TaskParts& producer, uint32_t to_worker) {
    const auto address = addresses_.find(to_worker);
    if (address == addresses_.end())
      return Mismatch(StrCat("the plan has no address of worker ", to_worker));
    ChainNode& node = *producer.nodes.at(edge.from_node());
    built_->remote_outputs_.push_back(std::make_unique<RemoteOutputChannel>(
        *definition_.edges[edge.id()].type, node.uid(), node.node_metrics.bytes_out));
    RemoteOutputChannel* channel = built_->remote_outputs_.back().get();
    const std::string to_name = StrCat("subtask ", id.to_subtask, " of '", UidOf(edge.to_node()),
                                       "' on worker ", to_worker);
    open_senders_.push_back([this, channel, id, to_worker, to_name, to_address = address->second,
                             task = producer.task] {
      channel->Open(exchange_->OpenSender(
          id, to_worker, to_address, [task] { task->Wake(); },
          [task, to_name](absl::Status status) {
            task->Fail(
                absl::Status(status.code(), StrCat("output to ", to_name, ": ", status.message())));
          }));
    });
    return channel;
  }

  // ---- Outputs ----

  absl::Status MakePorts(TaskParts& parts, ChainNode& node) {
    if (&node == &parts.task->chain().head() && parts.gate != nullptr) {
      for (InputChannel* channel : parts.input_channels) parts.gate->gate().Add(channel);
    }
    Counter& records_out = node.node_metrics.records_out;
    const std::vector<OutputDefinition>& outputs = node.definition().outputs;
    for (uint32_t port = 0; port < outputs.size(); ++port) {
      std::vector<const proto::Edge*> edges;
      for (const proto::Edge& edge : graph_.edges()) {
        if (edge.from_node() == node.index() && edge.from_port() == port) edges.push_back(&edge);
      }
      if (edges.empty()) {
        node.ports.push_back(std::make_unique<DiscardingOutput>(records_out));
      } else if (edges.size() == 1) {
        node.ports.push_back(MakeOutput(*edges[0], parts, node, records_out));
      } else {
        std::vector<TeeOutput::Consumer> consumers;
        for (const proto::Edge* edge : edges) {
          TeeOutput::Consumer& consumer = consumers.emplace_back();
          consumer.output = MakeOutput(*edge, parts, node, node.copies_out);
          if (edge->chained())
            consumer.chained = static_cast<ChainedOutput*>(consumer.output.get());
        }
        node.ports.push_back(
            std::make_unique<TeeOutput>(*outputs[port].type, std::move(consumers), records_out));
      }
    }
    return absl::OkStatus();
  }

  std::unique_ptr<Output> MakeOutput(const proto::Edge& edge, TaskParts& parts, ChainNode& node,
                                     Counter& records_out) {
    const EdgeDefinition& defined = definition_.edges[edge.id()];
    Chain& chain = parts.task->chain();
    if (edge.chained()) {
      return std::make_unique<ChainedOutput>(*parts.nodes.at(edge.to_node()), edge.to_input(),
                                             records_out, chain.failed_in);
    }
    PartitionedOutput::Options output_options;
    output_options.partitioning = PartitioningOf(edge);
    output_options.hasher = defined.hasher;
    output_options.max_parallelism = graph_.max_parallelism();
    output_options.batch_records = options_.batch_records;
    output_options.edge = edge.id();
    output_options.subtask = node.subtask();
    auto output = std::make_unique<PartitionedOutput>(*defined.type, output_options,
                                                      parts.channels.at(edge.id()), records_out);
    node.channel_outputs.push_back(output.get());
    chain.channel_outputs.push_back(output.get());
    return output;
  }

  Env& env_;
  Executor& control_;
  const JobDefinition& definition_;
  const proto::JobGraph& graph_;
  const proto::DeploymentPlan& plan_;
  const ConnectorRegistry& connectors_;
  Exchange* const exchange_;
  const RuntimeOptions& options_;
  const std::vector<Executor*>& executors_;
  const std::function<void()> on_change_;

  std::unique_ptr<TaskGraph> built_ = std::make_unique<TaskGraph>();
  std::vector<uint32_t> vertex_of_node_;
  std::vector<std::vector<uint32_t>> workers_;  // by vertex and subtask
  std::map<uint32_t, std::string> addresses_;   // by worker
  std::map<uint32_t, size_t> slot_of_subtask_;
  std::map<TaskKey, TaskParts> parts_;
  std::vector<std::function<void()>> open_senders_;
  std::vector<std::function<void()>> register_receivers_;
};

absl::StatusOr<std::unique_ptr<TaskGraph>> TaskGraph::Build(
    Env& env, Executor& control, const JobDefinition& definition, const proto::JobGraph& graph,
    const proto::DeploymentPlan& plan, const ConnectorRegistry& connectors, Exchange* exchange,
    const RuntimeOptions& options, const std::vector<Executor*>& executors,
    std::function<void()> on_change) {
  TaskGraphBuilder builder(env, control, definition, graph, plan, connectors, exchange, options,
                           executors, std::move(on_change));
  return builder.Build();
}

}  // namespace weir

#include <algorithm>
#include <cstdint>
#include <map>
#include <queue>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/hash/sha256.h"
#include "proto/job_graph.pb.h"
#include "proto/validate/job_graph.h"
#include "sdk/host/plugin_host.h"

namespace weir {
namespace {

constexpr size_t kMaxUidBytes = 255;
// A longer name of a chain is cut and ends in "...".
constexpr size_t kMaxVertexNameBytes = 500;

// True for well-formed UTF-8 without control characters: what may stand in a log line, a metric and
// a Protobuf string.
bool IsPrintableUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    size_t length = 1;
    uint32_t minimum = 0;
    uint32_t code = lead;
    if (lead >= 0x80) {
      if (lead >= 0xC2 && lead < 0xE0) {
        length = 2, minimum = 0x80, code = lead & 0x1F;
      } else if (lead >= 0xE0 && lead < 0xF0) {
        length = 3, minimum = 0x800, code = lead & 0x0F;
      } else if (lead >= 0xF0 && lead < 0xF5) {
        length = 4, minimum = 0x10000, code = lead & 0x07;
      } else {
        return false;
      }
    }
    if (i + length > text.size()) return false;
    for (size_t k = 1; k < length; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xC0) != 0x80) return false;
      code = (code << 6) | (next & 0x3F);
    }
    if (code < minimum || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return false;
    if (code < 0x20 || code == 0x7F) return false;
    i += length;
  }
  return true;
}

// Text for people that must not make the graph unreadable: bytes outside printable UTF-8 become
// '?'.
std::string Printable(std::string_view text) {
  std::string result(text);
  if (IsPrintableUtf8(result)) return result;
  for (char& c : result) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7F) c = '?';
  }
  return result;
}

// Cut between two characters, so that it stays UTF-8.
std::string Shortened(std::string text, size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  size_t size = max_bytes - 3;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) --size;
  text.resize(size);
  return text + "...";
}

void FillSchema(const RecordType* type, proto::RecordSchema& out) {
  if (type == nullptr) return;
  out.set_type_name(Printable(type->schema().type_name));
  for (const SchemaField& field : type->schema().fields) {
    proto::Field& added = *out.add_fields();
    added.set_name(Printable(field.name));
    added.set_type(Printable(field.type));
  }
}

proto::NodeKind ToProto(NodeKind kind) {
  switch (kind) {
    case NodeKind::kSource:
      return proto::SOURCE;
    case NodeKind::kOperator:
      return proto::OPERATOR;
    case NodeKind::kSink:
      return proto::SINK;
  }
  return proto::NODE_KIND_UNSPECIFIED;
}

proto::Partitioning ToProto(Partitioning partitioning) {
  switch (partitioning) {
    case Partitioning::kForward:
      return proto::FORWARD;
    case Partitioning::kHash:
      return proto::HASH;
    case Partitioning::kRebalance:
      return proto::REBALANCE;
    case Partitioning::kBroadcast:
      return proto::BROADCAST;
  }
  return proto::PARTITIONING_UNSPECIFIED;
}

std::string_view KindName(NodeKind kind) {
  switch (kind) {
    case NodeKind::kSource:
      return "source";
    case NodeKind::kOperator:
      return "operator";
    case NodeKind::kSink:
      return "sink";
  }
  return "operator";
}

// Builds one graph. Used once, on one thread; `definition` and `options` outlive it. All errors of
// a step are collected before it gives up, so that a user sees them in one go.
class JobGraphBuilder {
 public:
  JobGraphBuilder(const JobDefinition& definition, const GraphOptions& options)
      : definition_(definition), options_(options) {}

  absl::StatusOr<proto::JobGraph> Build() {
    for (const std::string& error : definition_.errors) errors_.push_back(error);
    CheckOptions();
    CheckSize();
    if (!errors_.empty()) return Failed();
    AssignUids();
    CheckNodes();
    CheckEdges();
    if (!errors_.empty()) return Failed();
    SortTopologically();
    if (!errors_.empty()) return Failed();
    FillHeader();
    FillNodes();
    FillEdges();
    FillVertices();
    return std::move(graph_);
  }

 private:
  absl::Status Failed() const { return absl::InvalidArgumentError(absl::StrJoin(errors_, "\n")); }
  template <class... Parts>
  void AddError(const Parts&... parts) {
    errors_.push_back(StrCat(parts...));
  }

  // "operator 'count' (job.cc:12)".
  std::string Describe(uint32_t node) const {
    const NodeDefinition& definition = definition_.nodes[node];
    std::string text = definition.uid.empty()
                           ? StrCat(KindName(definition.kind), " ", definition.description)
                           : StrCat(KindName(definition.kind), " '", definition.uid, "'");
    if (!definition.location.empty()) text += StrCat(" (", definition.location, ")");
    return Printable(text);
  }

  void CheckOptions() {
    if (options_.max_parallelism == 0 || options_.max_parallelism > kMaxGraphMaxParallelism) {
      AddError("the maximum parallelism (pipeline.max-parallelism) is ", options_.max_parallelism,
               ": it must be between 1 and ", kMaxGraphMaxParallelism);
      return;
    }
    if (options_.parallelism == 0 || options_.parallelism > options_.max_parallelism) {
      AddError("the job's parallelism is ", options_.parallelism, ": it must be between 1 and ",
               options_.max_parallelism, " (pipeline.max-parallelism)");
    }
  }

  void CheckSize() {
    if (definition_.nodes.empty()) {
      if (errors_.empty()) {
        AddError(
            "the job is empty: define() declared no source; start with job.From<T>(\"uid\", ...)");
      }
      return;
    }
    if (definition_.nodes.size() > kMaxGraphNodes || definition_.edges.size() > kMaxGraphEdges) {
      AddError("the job has ", definition_.nodes.size(), " operators and ",
               definition_.edges.size(), " edges: at most ", kMaxGraphNodes, " and ",
               kMaxGraphEdges, " are allowed");
      return;
    }
    for (const NodeDefinition& node : definition_.nodes) {
      if (node.kind == NodeKind::kSink) return;
    }
    AddError("the job has no sink: end at least one stream with .To(\"uid\", ...)");
  }

  // A stateless step may come without a uid; it gets one from its place in the definition. "#"
  // keeps it apart from the user's unless they write the same by hand, which is an error like any
  // other pair of equal uids.
  void AssignUids() {
    std::map<std::string, uint32_t> first_with;
    for (uint32_t i = 0; i < definition_.nodes.size(); ++i) {
      const NodeDefinition& node = definition_.nodes[i];
      std::string uid = node.uid;
      if (uid.empty()) {
        if (node.kind != NodeKind::kOperator || !node.states.empty()) {
          AddError(Describe(i),
                   " has no uid: whatever holds state, and every source and sink, needs one, so "
                   "that its "
                   "state and metrics can be found again");
        }
        uid = StrCat(Printable(node.description.substr(0, 200)), "#", i);
      } else if (uid.size() > kMaxUidBytes) {
        AddError(Describe(i), ": the uid has ", uid.size(), " bytes; at most ", kMaxUidBytes,
                 " are allowed");
      } else if (!IsPrintableUtf8(uid)) {
        AddError(Describe(i), ": the uid is not printable UTF-8 text");
      }
      auto [it, inserted] = first_with.emplace(uid, i);
      if (!inserted) {
        AddError("two operators have the uid '", Printable(uid), "': ", Describe(it->second),
                 " and ", Describe(i), "; give each a uid of its own");
      }
      uids_.push_back(std::move(uid));
    }
  }

  void CheckNodes() {
    for (uint32_t i = 0; i < definition_.nodes.size(); ++i) {
      const NodeDefinition& node = definition_.nodes[i];
      uint32_t parallelism = node.parallelism != 0 ? node.parallelism : options_.parallelism;
      if (node.single) {
        if (node.parallelism > 1) {
          AddError(Describe(i), " has parallelism ", node.parallelism,
                   ", but can run as one subtask only");
        }
        parallelism = 1;
      }
      if (parallelism > options_.max_parallelism) {
        AddError(Describe(i), " has parallelism ", parallelism, ": it must be between 1 and ",
                 options_.max_parallelism, " (pipeline.max-parallelism)");
      }
      parallelism_.push_back(parallelism);
      if (node.kind == NodeKind::kSource && node.inputs != 0) {
        AddError(Describe(i), " is a source and cannot have ", node.inputs, " inputs");
      }
      if (node.kind != NodeKind::kSource && node.inputs == 0)
        AddError(Describe(i), " has no input");
      if (node.kind == NodeKind::kSink && !node.outputs.empty()) {
        AddError(Describe(i), " is a sink and cannot have outputs");
      }
      std::set<std::string> tags;
      for (size_t port = 1; port < node.outputs.size(); ++port) {
        if (!tags.insert(node.outputs[port].tag).second) {
          AddError(Describe(i), " has two side outputs '", Printable(node.outputs[port].tag), "'");
        }
      }
      std::set<std::string> states;
      for (const StateDefinition& state : node.states) {
        if (!states.insert(state.name).second) {
          AddError(Describe(i), " has two states named '", Printable(state.name), "'");
        }
      }
    }
  }

  void CheckEdges() {
    const size_t nodes = definition_.nodes.size();
    std::vector<std::set<uint32_t>> connected(nodes);
    inputs_of_.resize(nodes);
    outputs_of_.resize(nodes);
    for (uint32_t e = 0; e < definition_.edges.size(); ++e) {
      const EdgeDefinition& edge = definition_.edges[e];
      if (edge.from_node >= nodes || edge.to_node >= nodes) {
        AddError("edge ", e, " joins operators ", edge.from_node, " and ", edge.to_node,
                 ", but there are only ", nodes);
        continue;
      }
      const NodeDefinition& from = definition_.nodes[edge.from_node];
      const NodeDefinition& to = definition_.nodes[edge.to_node];
      if (edge.from_port >= from.outputs.size()) {
        AddError(Describe(edge.to_node), " reads output ", edge.from_port, " of ",
                 Describe(edge.from_node), ", which has ", from.outputs.size());
      }
      if (edge.to_input >= to.inputs) {
        AddError(Describe(edge.from_node), " feeds input ", edge.to_input, " of ",
                 Describe(edge.to_node), ", which has ", to.inputs);
      }
      if (edge.partitioning == Partitioning::kHash && edge.hasher == nullptr) {
        AddError("the stream from ", Describe(edge.from_node), " to ", Describe(edge.to_node),
                 " is partitioned by key, but has no key");
      }
      connected[edge.to_node].insert(edge.to_input);
      inputs_of_[edge.to_node].push_back(e);
      outputs_of_[edge.from_node].push_back(e);
    }
    if (!errors_.empty()) return;
    for (uint32_t i = 0; i < nodes; ++i) {
      for (uint32_t input = 0; input < definition_.nodes[i].inputs; ++input) {
        if (!connected[i].contains(input))
          AddError("input ", input, " of ", Describe(i), " is not connected");
      }
    }
  }

  // Kahn's algorithm, the smallest index first: the order depends on nothing but the definition.
  void SortTopologically() {
    const size_t nodes = definition_.nodes.size();
    std::vector<size_t> missing(nodes);
    std::priority_queue<uint32_t, std::vector<uint32_t>, std::greater<>> ready;
    for (uint32_t i = 0; i < nodes; ++i) {
      missing[i] = inputs_of_[i].size();
      if (missing[i] == 0) ready.push(i);
    }
    while (!ready.empty()) {
      const uint32_t node = ready.top();
      ready.pop();
      order_.push_back(node);
      for (uint32_t e : outputs_of_[node]) {
        const uint32_t to = definition_.edges[e].to_node;
        if (--missing[to] == 0) ready.push(to);
      }
    }
    if (order_.size() == nodes) return;
    // Every node left has an input that is left too: going backwards from any of them ends in a
    // cycle.
    uint32_t node = 0;
    while (missing[node] == 0) ++node;
    std::vector<uint32_t> path;
    while (std::find(path.begin(), path.end(), node) == path.end()) {
      path.push_back(node);
      for (uint32_t e : inputs_of_[node]) {
        if (missing[definition_.edges[e].from_node] > 0) {
          node = definition_.edges[e].from_node;
          break;
        }
      }
    }
    path.erase(path.begin(), std::find(path.begin(), path.end(), node));
    std::string text = Describe(node);
    for (auto it = path.rbegin(); it != path.rend(); ++it) text += StrCat(" -> ", Describe(*it));
    AddError("the graph has a cycle: ", text,
             "; a stream cannot feed an operator that it comes from");
  }

  void FillHeader() {
    const std::string& name = options_.job_name.empty() ? definition_.name : options_.job_name;
    graph_.set_job_name(name.empty() ? "job" : Printable(name));
    graph_.set_max_parallelism(options_.max_parallelism);
    graph_.set_default_parallelism(options_.parallelism);
    for (const ArgumentDefinition& argument : definition_.arguments) {
      proto::Argument& out = *graph_.add_arguments();
      out.set_name(Printable(argument.name));
      out.set_type(Printable(argument.type));
      out.set_help(Printable(argument.help));
      out.set_required(argument.required);
      out.set_default_text(Printable(argument.default_text));
      out.set_value_text(Printable(argument.value_text));
    }
  }

  void FillNodes() {
    for (uint32_t i = 0; i < definition_.nodes.size(); ++i) {
      const NodeDefinition& node = definition_.nodes[i];
      proto::Node& out = *graph_.add_nodes();
      out.set_id(i);
      out.set_uid(uids_[i]);
      const OperatorId id = OperatorIdOf(uids_[i]);
      out.set_operator_id(id.bytes().data(), id.bytes().size());
      out.set_description(Printable(node.description));
      out.set_kind(ToProto(node.kind));
      out.set_parallelism(parallelism_[i]);
      out.set_inputs(node.inputs);
      for (const OutputDefinition& output : node.outputs) {
        proto::OutputPort& port = *out.add_outputs();
        port.set_tag(Printable(output.tag));
        FillSchema(output.type, *port.mutable_schema());
      }
      for (const StateDefinition& state : node.states) {
        proto::StateDescriptor& descriptor = *out.add_states();
        descriptor.set_name(Printable(state.name));
        descriptor.set_type(Printable(state.type));
        if (state.evolution != state.type) descriptor.set_evolution(Printable(state.evolution));
      }
      out.set_location(Printable(node.location));
      if (node.kind != NodeKind::kOperator) {
        out.set_connector(node.connector.connector.empty() ? "plugin"
                                                           : Printable(node.connector.connector));
      }
    }
  }

  void FillEdges() {
    for (uint32_t e = 0; e < definition_.edges.size(); ++e) {
      const EdgeDefinition& edge = definition_.edges[e];
      const bool equal = parallelism_[edge.from_node] == parallelism_[edge.to_node];
      Partitioning partitioning = edge.partitioning;
      if (partitioning == Partitioning::kForward && !equal) partitioning = Partitioning::kRebalance;
      const bool alone = parallelism_[edge.from_node] == 1 && parallelism_[edge.to_node] == 1;
      proto::Edge& out = *graph_.add_edges();
      out.set_id(e);
      out.set_from_node(edge.from_node);
      out.set_from_port(edge.from_port);
      out.set_to_node(edge.to_node);
      out.set_to_input(edge.to_input);
      out.set_partitioning(ToProto(partitioning));
      out.set_chained(inputs_of_[edge.to_node].size() == 1 &&
                      !definition_.nodes[edge.from_node].answers_later &&
                      (alone || partitioning == Partitioning::kForward));
    }
  }

  // A node heads a vertex unless its one input edge is chained. What leads into a vertex leads into
  // its head, so the topological order of the heads is one of the vertices too.
  void FillVertices() {
    std::vector<uint32_t> vertex_of(definition_.nodes.size());
    for (uint32_t node : order_) {
      const bool chained = inputs_of_[node].size() == 1 &&
                           graph_.edges(static_cast<int>(inputs_of_[node][0])).chained();
      if (chained) {
        vertex_of[node] = vertex_of[definition_.edges[inputs_of_[node][0]].from_node];
      } else {
        vertex_of[node] = static_cast<uint32_t>(graph_.vertices_size());
        proto::Vertex& vertex = *graph_.add_vertices();
        vertex.set_id(vertex_of[node]);
        vertex.set_vertex_id(graph_.nodes(static_cast<int>(node)).operator_id());
        vertex.set_parallelism(parallelism_[node]);
      }
      graph_.mutable_vertices(static_cast<int>(vertex_of[node]))->add_nodes(node);
    }
    for (proto::Vertex& vertex : *graph_.mutable_vertices()) vertex.set_name(ChainName(vertex));
  }

  // "clicks -> Map -> count", "clicks -> (Map -> out, count)". Deep chains are walked without
  // recursion: nodes come in topological order, so each one's text is complete when those behind it
  // are.
  std::string ChainName(const proto::Vertex& vertex) const {
    std::map<uint32_t, std::string> text;
    for (int i = vertex.nodes_size() - 1; i >= 0; --i) {
      const uint32_t node = vertex.nodes(i);
      std::vector<std::string> next;
      for (uint32_t e : outputs_of_[node]) {
        if (graph_.edges(static_cast<int>(e)).chained())
          next.push_back(std::move(text[definition_.edges[e].to_node]));
      }
      const NodeDefinition& definition = definition_.nodes[node];
      std::string name =
          Printable(definition.uid.empty() ? definition.description : definition.uid);
      if (next.size() == 1) name += StrCat(" -> ", next[0]);
      if (next.size() > 1) name += StrCat(" -> (", absl::StrJoin(next, ", "), ")");
      text[node] = Shortened(std::move(name), kMaxVertexNameBytes);
    }
    return text[vertex.nodes(0)];
  }

  const JobDefinition& definition_;
  const GraphOptions& options_;
  std::vector<std::string> errors_;
  std::vector<std::string> uids_;
  std::vector<uint32_t> parallelism_;
  // Edges by consumer and by producer, in the order of the definition.
  std::vector<std::vector<uint32_t>> inputs_of_;
  std::vector<std::vector<uint32_t>> outputs_of_;
  std::vector<uint32_t> order_;
  proto::JobGraph graph_;
};

}  // namespace

std::string JobNameOfFile(std::string_view path) {
  std::string name(path.substr(path.find_last_of('/') + 1));
  if (name.size() > 3 && name.ends_with(".so")) name.resize(name.size() - 3);
  return name;
}

OperatorId OperatorIdOf(std::string_view uid) {
  static constexpr std::string_view kPrefix("weir operator\0", 14);
  auto id = OperatorId::Parse(Sha256::Hex(StrCat(kPrefix, uid)).substr(0, 32));
  WEIR_CHECK(id.ok());
  return *id;
}

absl::StatusOr<proto::JobGraph> BuildJobGraph(const JobDefinition& definition,
                                              const GraphOptions& options) {
  WEIR_ASSIGN_OR_RETURN(proto::JobGraph graph, JobGraphBuilder(definition, options).Build());
  WEIR_RETURN_IF_ERROR(ValidateJobGraph(graph));
  return graph;
}

}  // namespace weir

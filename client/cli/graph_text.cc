#include "client/cli/graph_text.h"

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "client/cli/json_writer.h"
#include "client/cli/text_format.h"
#include "common/base/strings.h"
#include "proto/job_graph.pb.h"

namespace weir {
namespace {

int At(uint32_t i) { return static_cast<int>(i); }

std::string_view PartitioningName(proto::Partitioning partitioning) {
  switch (partitioning) {
    case proto::FORWARD:
      return "forward";
    case proto::HASH:
      return "hash";
    case proto::REBALANCE:
      return "rebalance";
    case proto::BROADCAST:
      return "broadcast";
    default:
      return "unknown";
  }
}

std::string_view KindName(proto::NodeKind kind) {
  switch (kind) {
    case proto::SOURCE:
      return "source";
    case proto::SINK:
      return "sink";
    default:
      return "operator";
  }
}

std::string Hex(const std::string& bytes) {
  std::string text;
  for (const char c : bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    text += kDigits[static_cast<unsigned char>(c) >> 4];
    text += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return text;
}

// " (side output 'late')" for an edge that does not leave by the main output.
std::string SideOutput(const proto::JobGraph& graph, const proto::Edge& edge) {
  if (edge.from_port() == 0) return "";
  return StrCat(" (side output '",
                Harmless(graph.nodes(At(edge.from_node())).outputs(At(edge.from_port())).tag()),
                "')");
}

// What the text and the picture need to know of a graph besides itself.
struct GraphIndex {
  std::vector<uint32_t> vertex_of;
  std::vector<std::vector<int>> edges_from;

  explicit GraphIndex(const proto::JobGraph& graph)
      : vertex_of(static_cast<size_t>(graph.nodes_size())),
        edges_from(static_cast<size_t>(graph.nodes_size())) {
    for (const proto::Vertex& vertex : graph.vertices()) {
      for (uint32_t node : vertex.nodes()) vertex_of[node] = vertex.id();
    }
    for (int e = 0; e < graph.edges_size(); ++e)
      edges_from[graph.edges(e).from_node()].push_back(e);
  }
};

std::string NodeLine(const proto::Node& node) {
  std::string line = Harmless(node.uid());
  if (!node.description().empty()) line += StrCat("  ", Harmless(node.description()));
  if (node.states_size() > 0) {
    line += StrCat("  state ",
                   absl::StrJoin(node.states(), ", ", [](std::string* out, const auto& state) {
                     absl::StrAppend(out, Harmless(state.name()));
                   }));
  }
  if (!node.location().empty()) line += StrCat("  [", Harmless(node.location()), "]");
  return line;
}

// The tree of one vertex. Depth first without recursion: a chain may be thousands of operators
// long.
std::string VertexText(const proto::JobGraph& graph, const GraphIndex& index,
                       const proto::Vertex& vertex) {
  struct Item {
    uint32_t node;
    std::string first_indent;  // Before the operator itself.
    std::string indent;        // Before what hangs under it.
    std::string side;
  };
  std::string text;
  std::vector<Item> stack = {{vertex.nodes(0), "  ", "  ", ""}};
  while (!stack.empty()) {
    const Item item = std::move(stack.back());
    stack.pop_back();
    text += StrCat(item.first_indent, NodeLine(graph.nodes(At(item.node))), item.side, "\n");
    std::vector<const proto::Edge*> chained;
    std::vector<const proto::Edge*> leaving;
    for (int e : index.edges_from[item.node]) {
      (graph.edges(e).chained() ? chained : leaving).push_back(&graph.edges(e));
    }
    // A straight chain goes straight down, so that a long one does not walk off to the right.
    const bool straight = chained.size() == 1;
    for (const proto::Edge* edge : leaving) {
      const uint32_t to = index.vertex_of[edge->to_node()];
      text +=
          StrCat(item.indent, chained.empty() ? "   " : "|  ", "=> ",
                 PartitioningName(edge->partitioning()), " => ", to + 1, " ",
                 Harmless(graph.nodes(At(edge->to_node())).uid()), SideOutput(graph, *edge), "\n");
    }
    for (size_t i = chained.size(); i-- > 0;) {
      const bool last = i + 1 == chained.size();
      const std::string side = SideOutput(graph, *chained[i]);
      if (straight) {
        stack.push_back({chained[i]->to_node(), item.indent + "-> ", item.indent, side});
      } else {
        stack.push_back({chained[i]->to_node(), item.indent + (last ? "`-> " : "|-> "),
                         item.indent + (last ? "    " : "|   "), side});
      }
    }
  }
  return text;
}

std::string DotQuote(std::string_view text) {
  return StrCat(
      "\"",
      absl::StrReplaceAll(ToAbsl(Harmless(text)), {{"\\", "\\\\"}, {"\"", "\\\""}, {"\n", " "}}),
      "\"");
}

}  // namespace

std::string ArgumentsText(const proto::JobGraph& graph) {
  if (graph.arguments_size() == 0) return "";
  TextTable table;
  table.AddColumn("ARGUMENT");
  table.AddColumn("TYPE");
  table.AddColumn("DEFAULT");
  table.AddColumn("VALUE");
  table.AddColumn("MEANING");
  for (const proto::Argument& argument : graph.arguments()) {
    table.AddRow({StrCat("--", Harmless(argument.name())), Harmless(argument.type()),
                  argument.required() ? "(required)" : Harmless(argument.default_text()),
                  Harmless(argument.value_text()), Harmless(argument.help())});
  }
  return table.Render();
}

std::string GraphText(const proto::JobGraph& graph) {
  const GraphIndex index(graph);
  std::string text;
  for (const proto::Vertex& vertex : graph.vertices()) {
    text += StrCat(vertex.id() + 1, "  ", Harmless(vertex.name()), "  x", vertex.parallelism(),
                   "\n", VertexText(graph, index, vertex));
  }
  return text;
}

std::string GraphDot(const proto::JobGraph& graph) {
  std::string text =
      StrCat("digraph ", DotQuote(graph.job_name()), " {\n  rankdir=LR;\n  node [shape=box];\n");
  for (const proto::Vertex& vertex : graph.vertices()) {
    text += StrCat("  subgraph cluster_", vertex.id(), " {\n    label=",
                   DotQuote(StrCat(vertex.id() + 1, " (x", vertex.parallelism(), ")")), ";\n");
    for (uint32_t n : vertex.nodes()) {
      const proto::Node& node = graph.nodes(At(n));
      std::string label = DotQuote(node.uid());
      if (!node.description().empty()) {
        label.pop_back();
        label += StrCat("\\n", ToStd(absl::string_view(DotQuote(node.description())).substr(1)));
      }
      const char* shape = node.kind() == proto::SOURCE ? ", shape=cds"
                          : node.kind() == proto::SINK ? ", shape=folder"
                                                       : "";
      text += StrCat("    n", n, " [label=", label, shape, "];\n");
    }
    text += "  }\n";
  }
  for (const proto::Edge& edge : graph.edges()) {
    std::string label = edge.chained() ? "" : std::string(PartitioningName(edge.partitioning()));
    if (edge.from_port() != 0) {
      label += StrCat(label.empty() ? "" : " ",
                      graph.nodes(At(edge.from_node())).outputs(At(edge.from_port())).tag());
    }
    text += StrCat("  n", edge.from_node(), " -> n", edge.to_node());
    if (!label.empty()) text += StrCat(" [label=", DotQuote(label), "]");
    text += ";\n";
  }
  return text + "}\n";
}

void WriteGraphJson(const proto::JobGraph& graph, JsonWriter& json) {
  const GraphIndex index(graph);
  json.Key("name").String(graph.job_name());
  json.Key("parallelism").Uint(graph.default_parallelism());
  json.Key("max_parallelism").Uint(graph.max_parallelism());
  json.Key("arguments").BeginArray();
  for (const proto::Argument& argument : graph.arguments()) {
    json.BeginObject();
    json.Key("name").String(argument.name());
    json.Key("type").String(argument.type());
    json.Key("help").String(argument.help());
    json.Key("required").Bool(argument.required());
    json.Key("default");
    argument.required() ? json.Null() : json.String(argument.default_text());
    json.Key("value").String(argument.value_text());
    json.EndObject();
  }
  json.EndArray();
  json.Key("operators").BeginArray();
  for (const proto::Node& node : graph.nodes()) {
    json.BeginObject();
    json.Key("uid").String(node.uid());
    json.Key("id").String(Hex(node.operator_id()));
    json.Key("kind").String(KindName(node.kind()));
    json.Key("description").String(node.description());
    json.Key("connector").StringOrNull(node.connector());
    json.Key("parallelism").Uint(node.parallelism());
    json.Key("vertex").Uint(index.vertex_of[node.id()]);
    json.Key("location").StringOrNull(node.location());
    json.Key("states").BeginArray();
    for (const proto::StateDescriptor& state : node.states()) {
      json.BeginObject()
          .Key("name")
          .String(state.name())
          .Key("type")
          .String(state.type())
          .EndObject();
    }
    json.EndArray();
    json.EndObject();
  }
  json.EndArray();
  json.Key("edges").BeginArray();
  for (const proto::Edge& edge : graph.edges()) {
    json.BeginObject();
    json.Key("from").String(graph.nodes(At(edge.from_node())).uid());
    json.Key("to").String(graph.nodes(At(edge.to_node())).uid());
    json.Key("input").Uint(edge.to_input());
    json.Key("side_output");
    edge.from_port() == 0
        ? json.Null()
        : json.String(graph.nodes(At(edge.from_node())).outputs(At(edge.from_port())).tag());
    json.Key("partitioning").String(PartitioningName(edge.partitioning()));
    json.Key("chained").Bool(edge.chained());
    json.EndObject();
  }
  json.EndArray();
  json.Key("vertices").BeginArray();
  for (const proto::Vertex& vertex : graph.vertices()) {
    json.BeginObject();
    json.Key("id").String(Hex(vertex.vertex_id()));
    json.Key("name").String(vertex.name());
    json.Key("parallelism").Uint(vertex.parallelism());
    json.Key("operators").BeginArray();
    for (uint32_t node : vertex.nodes()) json.String(graph.nodes(At(node)).uid());
    json.EndArray();
    json.EndObject();
  }
  json.EndArray();
}

}  // namespace weir

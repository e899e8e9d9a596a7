#include "proto/validate/job_graph.h"

#include <deque>
#include <set>
#include <string_view>
#include <vector>

#include "absl/strings/escaping.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/hash/sha256.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "proto/job_graph.pb.h"

namespace weir {
namespace {

constexpr uint32_t kMaxPorts = 1'024;
constexpr uint32_t kNoVertex = UINT32_MAX;

template <class... Args>
absl::Status Invalid(const Args&... args) {
  return absl::InvalidArgumentError(StrCat("the job's graph is not valid: ", args...));
}

// Text from outside, fit to be shown: on one line and cut.
std::string Quoted(std::string_view text) {
  return StrCat("'", absl::Utf8SafeCEscape(ToAbsl(text.substr(0, 128))),
                text.size() > 128 ? "..." : "", "'");
}

bool HasControlCharacter(std::string_view text) {
  for (char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return true;
  }
  return false;
}

absl::Status CheckName(std::string_view what, std::string_view name) {
  if (name.empty()) return Invalid(what, " is empty");
  if (name.size() > kMaxGraphNameBytes) {
    return Invalid(what, " ", Quoted(name), " has ", name.size(), " bytes; at most ",
                   kMaxGraphNameBytes, " are allowed");
  }
  if (HasControlCharacter(name))
    return Invalid(what, " ", Quoted(name), " contains control characters");
  return absl::OkStatus();
}

// One graph under check. The checks run in order; each may rely on what the ones before it
// established.
class Validator {
 public:
  explicit Validator(const proto::JobGraph& graph) : graph_(graph) {}

  absl::Status Run() {
    WEIR_RETURN_IF_ERROR(CheckSizes());
    WEIR_RETURN_IF_ERROR(CheckNodes());
    WEIR_RETURN_IF_ERROR(CheckEdges());
    WEIR_RETURN_IF_ERROR(CheckInputs());
    WEIR_RETURN_IF_ERROR(CheckNoCycle());
    WEIR_RETURN_IF_ERROR(CheckVertices());
    return CheckChains();
  }

 private:
  std::string NodeName(uint32_t node) const {
    return StrCat("operator ", Quoted(graph_.nodes(Index(node)).uid()));
  }
  static int Index(uint32_t i) { return static_cast<int>(i); }
  uint32_t NodeCount() const { return static_cast<uint32_t>(graph_.nodes_size()); }

  absl::Status CheckSizes() const {
    WEIR_RETURN_IF_ERROR(CheckName("the job's name", graph_.job_name()));
    if (graph_.nodes_size() == 0) return Invalid("it has no operators");
    if (static_cast<size_t>(graph_.nodes_size()) > kMaxGraphNodes) {
      return Invalid("it has ", graph_.nodes_size(), " operators; at most ", kMaxGraphNodes,
                     " are allowed");
    }
    if (static_cast<size_t>(graph_.edges_size()) > kMaxGraphEdges) {
      return Invalid("it has ", graph_.edges_size(), " edges; at most ", kMaxGraphEdges,
                     " are allowed");
    }
    if (static_cast<size_t>(graph_.vertices_size()) > kMaxGraphVertices) {
      return Invalid("it has ", graph_.vertices_size(), " vertices; at most ", kMaxGraphVertices,
                     " are allowed");
    }
    if (graph_.max_parallelism() == 0 || graph_.max_parallelism() > kMaxGraphMaxParallelism) {
      return Invalid("its maximum parallelism is ", graph_.max_parallelism(),
                     "; it must be from 1 to ", kMaxGraphMaxParallelism);
    }
    return absl::OkStatus();
  }

  absl::Status CheckParallelism(const std::string& what, uint32_t parallelism) const {
    if (parallelism == 0) return Invalid(what, " has parallelism 0; it must be at least 1");
    if (parallelism > kMaxGraphParallelism) {
      return Invalid(what, " has parallelism ", parallelism, "; at most ", kMaxGraphParallelism,
                     " is allowed");
    }
    if (parallelism > graph_.max_parallelism()) {
      return Invalid(what, " has parallelism ", parallelism,
                     ", which is above the job's maximum parallelism of ", graph_.max_parallelism(),
                     "; raise pipeline.max-parallelism or lower the parallelism");
    }
    return absl::OkStatus();
  }

  absl::Status CheckNodes() const {
    std::set<std::string_view> uids;
    std::set<std::string_view> ids;
    for (uint32_t i = 0; i < NodeCount(); ++i) {
      const proto::Node& node = graph_.nodes(Index(i));
      WEIR_RETURN_IF_ERROR(CheckName(StrCat("the uid of operator ", i), node.uid()));
      const std::string name = NodeName(i);
      if (node.id() != i) return Invalid(name, " has id ", node.id(), " at place ", i);
      if (!uids.insert(node.uid()).second)
        return Invalid("two operators have the uid ", Quoted(node.uid()));
      if (node.operator_id().size() != 16) {
        return Invalid(name, " has an operator id of ", node.operator_id().size(),
                       " bytes; it must have 16");
      }
      if (!ids.insert(node.operator_id()).second)
        return Invalid(name, " has the operator id of another one");
      WEIR_RETURN_IF_ERROR(CheckParallelism(name, node.parallelism()));
      if (node.inputs() > kMaxPorts || static_cast<uint32_t>(node.outputs_size()) > kMaxPorts) {
        return Invalid(name, " has more than ", kMaxPorts, " inputs or outputs");
      }
      switch (node.kind()) {
        case proto::SOURCE:
          if (node.inputs() != 0) return Invalid(name, " is a source and has inputs");
          break;
        case proto::OPERATOR:
        case proto::SINK:
          if (node.inputs() == 0) return Invalid(name, " has no input and is no source");
          break;
        default:
          return Invalid(name, " is of an unknown kind (", static_cast<int>(node.kind()), ")");
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckEdges() const {
    for (int i = 0; i < graph_.edges_size(); ++i) {
      const proto::Edge& edge = graph_.edges(i);
      if (edge.id() != static_cast<uint32_t>(i)) return Invalid("edge ", i, " has id ", edge.id());
      if (edge.from_node() >= NodeCount() || edge.to_node() >= NodeCount()) {
        return Invalid("edge ", i, " goes from operator ", edge.from_node(), " to ", edge.to_node(),
                       "; there are ", NodeCount());
      }
      const proto::Node& from = graph_.nodes(Index(edge.from_node()));
      const proto::Node& to = graph_.nodes(Index(edge.to_node()));
      if (edge.from_port() >= static_cast<uint32_t>(from.outputs_size())) {
        return Invalid("edge ", i, " begins at output ", edge.from_port(), " of ",
                       NodeName(edge.from_node()), ", which has ", from.outputs_size());
      }
      if (edge.to_input() >= to.inputs()) {
        return Invalid("edge ", i, " ends at input ", edge.to_input(), " of ",
                       NodeName(edge.to_node()), ", which has ", to.inputs());
      }
      const std::string ends =
          StrCat(NodeName(edge.from_node()), " and ", NodeName(edge.to_node()));
      switch (edge.partitioning()) {
        case proto::FORWARD:
          if (from.parallelism() != to.parallelism()) {
            return Invalid(ends, " are joined one to one, but have parallelism ",
                           from.parallelism(), " and ", to.parallelism(),
                           "; add Rebalance() between them");
          }
          break;
        case proto::HASH:
        case proto::REBALANCE:
        case proto::BROADCAST:
          // With one subtask on each side every partitioning is one to one.
          if (edge.chained() && (from.parallelism() != 1 || to.parallelism() != 1)) {
            return Invalid(ends, " are chained, but not joined one to one");
          }
          break;
        default:
          return Invalid("the edge between ", ends, " has an unknown partitioning (",
                         static_cast<int>(edge.partitioning()), ")");
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckInputs() const {
    std::set<std::pair<uint32_t, uint32_t>> fed;
    for (const proto::Edge& edge : graph_.edges()) fed.emplace(edge.to_node(), edge.to_input());
    for (uint32_t i = 0; i < NodeCount(); ++i) {
      for (uint32_t input = 0; input < graph_.nodes(Index(i)).inputs(); ++input) {
        if (!fed.contains({i, input}))
          return Invalid("input ", input, " of ", NodeName(i), " has no edge");
      }
    }
    return absl::OkStatus();
  }

  // Kahn's algorithm: what cannot be ordered lies on a cycle or behind one.
  absl::Status CheckNoCycle() const {
    std::vector<std::vector<uint32_t>> next(NodeCount());
    std::vector<uint32_t> open_inputs(NodeCount());
    for (const proto::Edge& edge : graph_.edges()) {
      next[edge.from_node()].push_back(edge.to_node());
      ++open_inputs[edge.to_node()];
    }
    std::deque<uint32_t> ready;
    for (uint32_t i = 0; i < NodeCount(); ++i) {
      if (open_inputs[i] == 0) ready.push_back(i);
    }
    size_t ordered = 0;
    while (!ready.empty()) {
      const uint32_t node = ready.front();
      ready.pop_front();
      ++ordered;
      for (uint32_t to : next[node]) {
        if (--open_inputs[to] == 0) ready.push_back(to);
      }
    }
    if (ordered == NodeCount()) return absl::OkStatus();
    for (uint32_t i = 0; i < NodeCount(); ++i) {
      if (open_inputs[i] != 0) return Invalid("it has a cycle at or before ", NodeName(i));
    }
    return Invalid("it has a cycle");
  }

  absl::Status CheckVertices() {
    vertex_of_.assign(NodeCount(), kNoVertex);
    place_of_.assign(NodeCount(), 0);
    uint64_t subtasks = 0;
    for (int v = 0; v < graph_.vertices_size(); ++v) {
      const proto::Vertex& vertex = graph_.vertices(v);
      if (vertex.id() != static_cast<uint32_t>(v))
        return Invalid("vertex ", v, " has id ", vertex.id());
      WEIR_RETURN_IF_ERROR(CheckName(StrCat("the name of vertex ", v), vertex.name()));
      if (vertex.nodes_size() == 0) return Invalid("vertex ", v, " has no operators");
      WEIR_RETURN_IF_ERROR(
          CheckParallelism(StrCat("vertex ", Quoted(vertex.name())), vertex.parallelism()));
      subtasks += vertex.parallelism();
      for (int k = 0; k < vertex.nodes_size(); ++k) {
        const uint32_t node = vertex.nodes(k);
        if (node >= NodeCount())
          return Invalid("vertex ", v, " names operator ", node, "; there are ", NodeCount());
        if (vertex_of_[node] != kNoVertex) return Invalid(NodeName(node), " is in two vertices");
        vertex_of_[node] = static_cast<uint32_t>(v);
        place_of_[node] = k;
        if (graph_.nodes(Index(node)).parallelism() != vertex.parallelism()) {
          return Invalid(NodeName(node), " has parallelism ",
                         graph_.nodes(Index(node)).parallelism(), " in a vertex with ",
                         vertex.parallelism());
        }
      }
      if (vertex.vertex_id() != graph_.nodes(Index(vertex.nodes(0))).operator_id()) {
        return Invalid("the id of vertex ", v, " is not the operator id of its head");
      }
    }
    for (uint32_t i = 0; i < NodeCount(); ++i) {
      if (vertex_of_[i] == kNoVertex) return Invalid(NodeName(i), " is in no vertex");
    }
    if (subtasks > kMaxGraphSubtasks) {
      return Invalid("it has ", subtasks, " subtasks; at most ", kMaxGraphSubtasks, " are allowed");
    }
    return absl::OkStatus();
  }

  // Within a vertex every operator but the head has one incoming edge: chained, from an operator
  // before it.
  absl::Status CheckChains() const {
    std::vector<uint32_t> edges_in(NodeCount());
    std::vector<uint32_t> chained_in(NodeCount());
    for (const proto::Edge& edge : graph_.edges()) {
      ++edges_in[edge.to_node()];
      const uint32_t from = vertex_of_[edge.from_node()];
      const uint32_t to = vertex_of_[edge.to_node()];
      if (edge.chained()) {
        ++chained_in[edge.to_node()];
        if (from != to) {
          return Invalid(NodeName(edge.from_node()), " and ", NodeName(edge.to_node()),
                         " are chained and in different vertices");
        }
        if (place_of_[edge.from_node()] >= place_of_[edge.to_node()]) {
          return Invalid(NodeName(edge.to_node()), " comes before what it is chained to");
        }
      } else if (from >= to) {
        return Invalid("the vertices are not in topological order at the edge from ",
                       NodeName(edge.from_node()), " to ", NodeName(edge.to_node()));
      }
    }
    for (uint32_t i = 0; i < NodeCount(); ++i) {
      const bool is_head = place_of_[i] == 0;
      if (is_head ? chained_in[i] != 0 : (chained_in[i] != 1 || edges_in[i] != 1)) {
        return Invalid("the chain of vertex ", vertex_of_[i], " is not a tree at ", NodeName(i));
      }
    }
    return absl::OkStatus();
  }

  const proto::JobGraph& graph_;
  std::vector<uint32_t> vertex_of_;
  // Index within the vertex; 0 is its head.
  std::vector<int> place_of_;
};

}  // namespace

absl::Status ValidateJobGraph(const proto::JobGraph& graph) { return Validator(graph).Run(); }

std::string GraphHash(const proto::JobGraph& graph) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    WEIR_CHECK(graph.SerializeToCodedStream(&coded));
  }
  return Sha256::Hex(bytes);
}

}  // namespace weir

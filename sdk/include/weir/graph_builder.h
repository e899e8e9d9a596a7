#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <source_location>
#include <string>
#include <utility>
#include <vector>

#include "weir/graph.h"
#include "weir/plugin.h"

namespace weir::internal {

// One output of one node.
struct PortRef {
  std::uint32_t node = 0;
  std::uint32_t port = 0;
};

// Where a stream comes from and how its records are to be spread.
struct Upstream {
  std::vector<PortRef> ports;
  Partitioning partitioning = Partitioning::kForward;
};

// The side outputs that somebody reads, in the order of their ports. Shared by the graph and the
// operators made from it: an operator looks its tags up when it opens.
struct SidePorts {
  std::vector<OutputDefinition> sides;

  // Port of the tag, or 0 if nobody reads it.
  std::size_t PortOf(std::string_view tag) const {
    for (std::size_t i = 0; i < sides.size(); ++i) {
      if (sides[i].tag == tag) return i + 1;
    }
    return 0;
  }
};

inline std::string LocationText(const std::source_location& where) {
  std::string file = where.file_name();
  if (const auto slash = file.rfind('/'); slash != std::string::npos) file = file.substr(slash + 1);
  return file + ":" + std::to_string(where.line());
}

// A uid with the place of the call that it is an argument of, where no argument can follow to take
// that.
struct PlacedUid {
  template <std::convertible_to<std::string> S>
  PlacedUid(S&& uid,  // NOLINT: meant to convert
            const std::source_location& where_in = std::source_location::current())
      : text(std::forward<S>(uid)), where(where_in) {}
  std::string text;
  std::source_location where;
};

// Collects the graph while `define` runs. Errors are noted with their place, and building goes on,
// so that a user sees all of them at once.
class GraphBuilder {
 public:
  GraphBuilder(const DefineInput& input, JobDefinition& job) : input_(input), job_(job) {}

  JobDefinition& job() { return job_; }
  const DefineInput& input() const { return input_; }

  void Error(const std::source_location& where, std::string message) {
    job_.errors.push_back(LocationText(where) + ": " + std::move(message));
  }

  // Adds the node with a main output of `type` (null for a sink) and an edge to it from each
  // upstream port.
  std::uint32_t AddNode(NodeDefinition node, const RecordType* type,
                        const std::source_location& where) {
    const auto id = static_cast<std::uint32_t>(job_.nodes.size());
    if (type != nullptr) node.outputs.push_back({"", type});
    node.location = LocationText(where);
    job_.nodes.push_back(std::move(node));
    sides_.push_back(std::make_shared<SidePorts>());
    return id;
  }

  void Connect(const Upstream& upstream, std::uint32_t to_node, std::uint32_t to_input,
               const RecordType* type, std::shared_ptr<const KeyHasher> hasher = nullptr) {
    for (const PortRef& from : upstream.ports) {
      EdgeDefinition edge;
      edge.from_node = from.node;
      edge.from_port = from.port;
      edge.to_node = to_node;
      edge.to_input = to_input;
      edge.partitioning = hasher != nullptr ? Partitioning::kHash : upstream.partitioning;
      edge.type = type;
      edge.hasher = hasher;
      job_.edges.push_back(std::move(edge));
    }
  }

  std::shared_ptr<SidePorts> sides(std::uint32_t node) { return sides_[node]; }

  // The port of a side output, added when it is first asked for.
  std::uint32_t SidePort(std::uint32_t node, std::string_view tag, const RecordType* type,
                         const std::source_location& where) {
    SidePorts& ports = *sides_[node];
    if (const std::size_t port = ports.PortOf(tag); port != 0) {
      if (ports.sides[port - 1].type != type) {
        Error(where, "side output '" + std::string(tag) + "' of operator '" + job_.nodes[node].uid +
                         "' is read with two record types");
      }
      return static_cast<std::uint32_t>(port);
    }
    ports.sides.push_back({std::string(tag), type});
    job_.nodes[node].outputs.push_back({std::string(tag), type});
    return static_cast<std::uint32_t>(ports.sides.size());
  }

  // A uid for a stateless step that was given none: stable as long as what is before it is.
  std::string DerivedUid(const Upstream& upstream, const std::string& step) {
    const std::string base =
        upstream.ports.empty() ? "" : job_.nodes[upstream.ports.front().node].uid;
    std::string uid = base + "/" + step;
    for (int n = 2; UidTaken(uid); ++n) uid = base + "/" + step + "-" + std::to_string(n);
    return uid;
  }

 private:
  bool UidTaken(const std::string& uid) const {
    for (const NodeDefinition& node : job_.nodes) {
      if (node.uid == uid) return true;
    }
    return false;
  }

  const DefineInput& input_;
  JobDefinition& job_;
  std::vector<std::shared_ptr<SidePorts>> sides_;
};

}  // namespace weir::internal

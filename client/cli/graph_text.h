#pragma once

#include <string>

namespace weir {

class JsonWriter;

namespace proto {
class JobGraph;
}

// A job's graph for people and for programs. `graph` is one that ValidateJobGraph accepts. All
// pure.

// Arguments as a table; empty if there are none.
std::string ArgumentsText(const proto::JobGraph& graph);
// One block a vertex with its chain as a tree; under each operator where its records go.
std::string GraphText(const proto::JobGraph& graph);
// For Graphviz: a box a vertex, chained operators inside it.
std::string GraphDot(const proto::JobGraph& graph);
// The members "name", "parallelism", "max_parallelism", "arguments", "operators", "edges" and
// "vertices" of an object that has been begun.
void WriteGraphJson(const proto::JobGraph& graph, JsonWriter& json);

}  // namespace weir

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace weir {

namespace proto {
class JobGraph;
}

// Limits on a graph from outside (security_and_ha: the graph is untrusted input).
inline constexpr size_t kMaxGraphVertices = 10'000;
inline constexpr size_t kMaxGraphNodes = 40'000;
inline constexpr size_t kMaxGraphEdges = 100'000;
inline constexpr uint32_t kMaxGraphParallelism = 4'096;
inline constexpr uint32_t kMaxGraphMaxParallelism = 32'768;
// Subtasks of all vertices together: what the job manager keeps a record of.
inline constexpr uint64_t kMaxGraphSubtasks = 100'000;
inline constexpr size_t kMaxGraphNameBytes = 1'024;

// Checks a graph without knowing the plugin it came from: sizes, names, references in range, unique
// uids and operator ids, parallelism, no cycle, and that the vertices are exactly the trees of
// chained edges. What passes can be indexed without another check. kInvalidArgument names the first
// fault and the operator it is at. Takes time and memory linear in the graph, never throws, does
// not recurse.
absl::Status ValidateJobGraph(const proto::JobGraph& graph);

// sha256 of the graph's deterministic serialization, 64 hex digits: the same for a plugin's graph
// wherever it is made.
std::string GraphHash(const proto::JobGraph& graph);

}  // namespace weir

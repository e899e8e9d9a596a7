#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/id.h"
#include "weir/graph.h"
#include "weir/plugin.h"

namespace weir {

namespace proto {
class JobGraph;
}

// A loaded plugin. Never unloaded: the process exits instead.
class Plugin {
 public:
  virtual ~Plugin() = default;
  // Runs the user's `define`; what it throws becomes kInvalidArgument with the text. Errors
  // collected in the definition (two operators with one uid, a window of size 0, ...) are returned
  // as one status, a line each.
  virtual absl::StatusOr<std::unique_ptr<JobDefinition>> Define(const DefineInput& input) const = 0;
};

// Finds plugins. The real one reads files; the simulator's knows functions by name.
class PluginLoader {
 public:
  virtual ~PluginLoader() = default;
  virtual absl::StatusOr<std::unique_ptr<Plugin>> Load(const std::string& path) = 0;
};

// Reads the ABI stamp from the file before anything in it runs, refuses another ABI, then
// dlopen(RTLD_NOW | RTLD_LOCAL). kInvalidArgument: no ELF shared library, no stamp, another
// fingerprint (both are shown), the symbol is missing.
std::unique_ptr<PluginLoader> MakeFilePluginLoader();

// Number and text that a plugin must carry to be loaded by this build.
std::string HostFingerprint();

struct GraphOptions {
  std::string job_name{};    // empty: the definition's
  uint32_t parallelism = 1;  // for nodes that set none
  uint32_t max_parallelism = 128;
};

// The fixed id of an operator: the first 16 bytes of sha256("weir operator\0" + uid),
// docs/FORMATS.md.
OperatorId OperatorIdOf(std::string_view uid);

// What a job without a name is called: that of its file, "/jobs/word_count.so" -> "word_count".
std::string JobNameOfFile(std::string_view path);

// Resolves parallelism, forms chains (vertices) and checks the graph. Deterministic: the same
// definition and options give the same bytes. Errors name operators by uid and their place in the
// user's source. Nodes and edges keep the indices that they have in the definition; a node without
// uid gets "<description>#<index>". Its further checks and its hash: proto/validate/job_graph.h.
absl::StatusOr<proto::JobGraph> BuildJobGraph(const JobDefinition& definition,
                                              const GraphOptions& options);

// Runs `call`; an exception becomes kInternal "operator 'uid' threw std::runtime_error: text".
absl::Status GuardUserCode(std::string_view uid, const std::function<absl::Status()>& call);

}  // namespace weir

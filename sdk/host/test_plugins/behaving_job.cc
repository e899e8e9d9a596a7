// A job whose define() does what its argument "behave" says: the cases that a host must survive.
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>

#include "weir/graph.h"
#include "weir/plugin_export.h"

namespace {

std::uint32_t AddNode(weir::JobDefinition& job, weir::NodeKind kind, std::string uid,
                      std::string description) {
  weir::NodeDefinition node;
  node.uid = std::move(uid);
  node.description = std::move(description);
  node.kind = kind;
  node.inputs = kind == weir::NodeKind::kSource ? 0 : 1;
  if (kind != weir::NodeKind::kSink) node.outputs.resize(1);
  node.location = "behaving_job.cc:" + std::to_string(10 * (job.nodes.size() + 1));
  job.nodes.push_back(std::move(node));
  return static_cast<std::uint32_t>(job.nodes.size() - 1);
}

struct NoHash : weir::KeyHasher {
  void Hash(weir::BatchBase&) const override {}
};

// In large steps: the thread sanitizer counts calls on a stack of its own, which must not end
// first.
void Recurse(volatile int* depth) {
  volatile int here[1024];
  here[0] = *depth + 1;
  if (here[0] < 0) return;  // Never: the stack ends first.
  Recurse(here);
  *depth = here[0];
}

void Define(const weir::DefineInput& input, weir::JobDefinition& job) {
  job.name = "behaving";
  std::string behave = "well";
  if (auto it = input.arguments.find("behave"); it != input.arguments.end()) behave = it->second;
  job.arguments.push_back({"behave", "string", "what define() does", false, "well", behave});
  job.arguments.push_back({"limit", "int", "how many", false, "10", "10"});
  for (const auto& [name, value] : input.arguments) {
    if (name != "behave" && name != "limit") {
      job.errors.push_back("the job has no argument '" + name + "'; it has --behave, --limit");
    }
  }
  if (behave == "nameless") job.name.clear();
  if (behave == "throw") throw std::runtime_error("no such table");
  if (behave == "throw-int") throw 42;
  if (behave == "error") job.errors.push_back("behaving_job.cc:12: a window of size 0");
  if (behave == "crash") std::raise(SIGSEGV);
  if (behave == "abort") std::abort();
  if (behave == "recurse") {
    int depth = 0;
    Recurse(&depth);
  }
  if (behave == "exit") std::exit(0);
  if (behave == "loop") {
    volatile bool forever = true;
    while (forever) {
    }
  }
  if (behave == "print") std::puts("hello from define()");
  const auto source = AddNode(job, weir::NodeKind::kSource, "numbers", "Generator");
  const auto map = AddNode(job, weir::NodeKind::kOperator, "", "Map");
  const auto count =
      AddNode(job, weir::NodeKind::kOperator, behave == "same-uid" ? "numbers" : "count", "Count");
  const auto sink = AddNode(job, weir::NodeKind::kSink, "out", "Print");
  if (behave == "large") job.nodes[0].description.assign(20 << 20, 'x');
  auto connect = [&](std::uint32_t from, std::uint32_t to, weir::Partitioning partitioning) {
    weir::EdgeDefinition edge;
    edge.from_node = from;
    edge.to_node = to;
    edge.partitioning = partitioning;
    if (partitioning == weir::Partitioning::kHash) edge.hasher = std::make_shared<NoHash>();
    job.edges.push_back(std::move(edge));
  };
  connect(source, map, weir::Partitioning::kForward);
  connect(map, count, weir::Partitioning::kHash);
  connect(count, sink, weir::Partitioning::kForward);
}

}  // namespace

WEIR_EXPORT_PLUGIN(Define)

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "weir/operator.h"
#include "weir/record_type.h"
#include "weir/source.h"

namespace weir {

// How records are spread over the subtasks of the consumer.
enum class Partitioning {
  kForward,    // subtask i to subtask i
  kHash,       // by key group (semantics rule 48)
  kRebalance,  // round robin
  kBroadcast,  // each record to every subtask
};

// Fills the `hashes` column of a batch with KeyHash of each record's key. Instantiated in the
// plugin.
class KeyHasher {
 public:
  virtual ~KeyHasher() = default;
  virtual void Hash(BatchBase& batch) const = 0;
};

enum class NodeKind { kSource, kOperator, kSink };

// One output of a node. Port 0 is the main one; the others are side outputs with a tag.
struct OutputDefinition {
  std::string tag;  // empty for the main output
  const RecordType* type = nullptr;
};

struct EdgeDefinition {
  std::uint32_t from_node = 0;
  std::uint32_t from_port = 0;
  std::uint32_t to_node = 0;
  std::uint32_t to_input = 0;
  Partitioning partitioning = Partitioning::kForward;
  const RecordType* type = nullptr;
  std::shared_ptr<const KeyHasher> hasher;  // for kHash
};

// What keyed state an operator declares; known without running it.
struct StateDefinition {
  std::string name;
  std::string type;
  // The type with former names and defaults of the fields of its records; empty: as the type.
  std::string evolution{};
};

// One logical operator, source or sink.
struct NodeDefinition {
  std::string uid;
  // What it does, for people: "Map", "TumblingWindow(1min)", "Files(in)".
  std::string description;
  NodeKind kind = NodeKind::kOperator;
  // 0: the job's.
  std::uint32_t parallelism = 0;
  // Cannot run with more than one subtask (a non-splittable source).
  bool single = false;
  // kOperator: results come after ProcessBatch has returned, and what says how far time is waits for
  // them (Operator::OnMark). Nothing behind it is in its chain.
  bool answers_later = false;
  std::uint32_t inputs = 1;
  std::vector<OutputDefinition> outputs;
  std::vector<StateDefinition> states;
  // Where it was declared in the job, "file:line"; for error messages.
  std::string location;

  // kOperator. Called once for each subtask.
  std::function<std::unique_ptr<Operator>()> make_operator;
  // kSource and kSink: either a connector of the host, or made in the plugin.
  ConnectorSpec connector;
  std::function<std::unique_ptr<SourceReader>()> make_source;
  std::function<std::unique_ptr<SinkWriter>()> make_sink;
  // kSource, and kOperator that assigns timestamps: the host makes that by itself.
  WatermarkSettings watermarks;
  bool assigns_timestamps = false;
  // kSink: the type written. kSource: that of outputs[0].
  const RecordType* record_type = nullptr;
};

struct ArgumentDefinition {
  std::string name;
  std::string type;  // "string", "int", "double", "bool", "duration"
  std::string help;
  bool required = false;
  std::string default_text;
  std::string value_text;  // what it is in this run
};

// What `define` makes: the logical graph. Errors found while defining are collected here, not
// thrown.
struct JobDefinition {
  std::string name;
  std::vector<NodeDefinition> nodes;
  std::vector<EdgeDefinition> edges;
  std::vector<ArgumentDefinition> arguments;
  // Each with the user's file and line, where known.
  std::vector<std::string> errors;
};

}  // namespace weir

#pragma once

#include <concepts>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>

#include "weir/arguments.h"
#include "weir/graph_builder.h"
#include "weir/keyed_stream.h"
#include "weir/plugin.h"
#include "weir/stream.h"
#include "weir/watermarks.h"

namespace weir {

// What the user's WEIR_JOB function describes the job with. `define` must depend on its arguments
// only: it is run again in each worker and must give the same graph.
class Job {
 public:
  explicit Job(internal::GraphBuilder& graph) : graph_(graph) {}
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  // The job's name where people see it; the plugin's file name unless given.
  void Name(std::string name) { graph_.job().name = std::move(name); }

  // Declares an argument, given as `-- --name=value`, and returns its value. T: std::string, an
  // integer, double, bool or Duration ("90s", "1h30m").
  template <internal::ArgumentType T>
  T Arg(std::string name, std::string help,
        std::source_location where = std::source_location::current()) {
    return Argument<T>(std::move(name), std::move(help), std::nullopt, where);
  }
  template <internal::ArgumentType T>
  T Arg(std::string name, std::string help, std::type_identity_t<T> default_value,
        std::source_location where = std::source_location::current()) {
    return Argument<T>(std::move(name), std::move(help), std::move(default_value), where);
  }
  template <class T, class... A>
    requires(!internal::ArgumentType<T>)
  WEIR_USAGE_ERROR(
      "Arg<T>(name, help): T must be std::string, an integer, double, bool or weir::Duration")
  T Arg(A&&...) {
    internal::NeverRun();
    return T();
  }

  // A stream of records of type T read from `connector`.
  template <class T, internal::SourceFor<T> Connector>
  auto From(std::string uid, Connector connector, Watermarks<T> watermarks = {},
            std::source_location where = std::source_location::current()) {
    if constexpr (CheckRecord<T>()) {
      NodeDefinition node;
      node.uid = std::move(uid);
      node.kind = NodeKind::kSource;
      node.inputs = 0;
      node.record_type = &RecordTypeOf<T>();
      internal::DefineWatermarks(graph_, where, "source '" + node.uid + "'", watermarks, true,
                                 node.watermarks);
      if constexpr (requires { connector.ToSpec(); }) {
        node.connector = connector.ToSpec();
        node.description = "Source(" + node.connector.connector + ")";
      } else {
        node.make_source = connector.MakeFactory();
        node.description = "Source(plugin)";
      }
      const std::uint32_t id = graph_.AddNode(std::move(node), &RecordTypeOf<T>(), where);
      return Stream<T>(&graph_, internal::Upstream{{{id, 0}}, Partitioning::kForward});
    } else {
      return internal::AfterMistake();
    }
  }
  template <class T, class Connector>
    requires(!HostConnector<Connector> && !PluginSource<Connector>)
  WEIR_USAGE_ERROR(
      "From<T>(uid, source): this is no source; use weir::Files, weir::Generator or "
      "weir::Collection, or a value with Record and MakeFactory() that makes weir::SourceReaders")
  internal::AfterMistake From(std::string, const Connector&, Watermarks<T> = {});
  template <class T, class Connector>
    requires(PluginSource<Connector> && !internal::kMakesRecord<Connector, T>)
  WEIR_USAGE_ERROR("From<T>(uid, source): the source makes records of another type than T")
  internal::AfterMistake From(std::string, const Connector&, Watermarks<T> = {});
  template <class Connector>
    requires(HostConnector<Connector> || PluginSource<Connector>)
  WEIR_USAGE_ERROR("From<T>(uid, source): say T, the type of the records: From<T>(...)")
  internal::AfterMistake From(std::string, const Connector&) {
    return {};
  }

 private:
  template <class T>
  T Argument(std::string name, std::string help, std::optional<T> default_value,
             const std::source_location& where) {
    ArgumentDefinition argument;
    argument.name = name;
    argument.help = std::move(help);
    argument.type = internal::ArgumentTypeName<T>();
    argument.required = !default_value.has_value();
    if (default_value.has_value()) argument.default_text = internal::FormatArgument(*default_value);
    T value = default_value.value_or(T{});
    const auto given = graph_.input().arguments.find(name);
    if (given != graph_.input().arguments.end()) {
      if (!internal::ParseArgument(given->second, value)) {
        graph_.Error(where, "argument --" + name + ": '" + given->second + "' is not a valid " +
                                argument.type);
      }
      argument.value_text = given->second;
    } else if (argument.required && !graph_.input().describe_only) {
      graph_.Error(where, "argument --" + name + " is missing: " + argument.help);
    } else {
      argument.value_text = argument.default_text;
    }
    for (const ArgumentDefinition& other : graph_.job().arguments) {
      if (other.name == name) graph_.Error(where, "argument --" + name + " is declared twice");
    }
    graph_.job().arguments.push_back(std::move(argument));
    return value;
  }

  internal::GraphBuilder& graph_;
};

// Runs a job's function and returns the graph it describes, with the errors found.
inline void DefineJob(void (*function)(Job&), const DefineInput& input, JobDefinition& definition) {
  internal::GraphBuilder graph(input, definition);
  Job job(graph);
  function(job);
  internal::CheckArguments(input, definition);
}

}  // namespace weir

#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "weir/graph.h"

namespace weir {

// What `define` may depend on.
struct DefineInput {
  std::map<std::string, std::string> arguments;
  // List the arguments only: required ones may be missing.
  bool describe_only = false;
};

// Number of the binary interface between plugin and host; raised with every change of a virtual class or struct in the SDK.
inline constexpr std::uint32_t kPluginAbi = 16;

struct PluginInfo {
  std::uint32_t abi = 0;
  const char* fingerprint = nullptr;
  // Fills `job`. May throw what user code throws.
  void (*define)(const DefineInput& input, JobDefinition& job) = nullptr;
};

// The one symbol that a plugin exports: `extern "C" const weir::PluginInfo* weir_plugin()`. The same ABI number and
// fingerprint stand in the ELF section ".weir_abi" (docs/FORMATS.md), which a loader reads before it runs anything.
inline constexpr char kPluginSymbol[] = "weir_plugin";
inline constexpr char kPluginSection[] = ".weir_abi";

}  // namespace weir

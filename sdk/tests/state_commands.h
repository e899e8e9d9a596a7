#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/list_state.h"
#include "weir/map_state.h"
#include "weir/process.h"
#include "weir/reducing_state.h"

namespace weir {

// A record is a command to the state of its key; one that reads something puts out
// "key|command|result".
struct StateCommand {
  std::string key;
  std::string text;
  std::int64_t value = 0;
};

inline std::string OrNull(const std::optional<std::int64_t>& value) {
  return value.has_value() ? std::to_string(*value) : "null";
}
inline std::string BoolText(bool value) { return value ? "true" : "false"; }

// Both words of "map_put x".
inline std::pair<std::string, std::string> Words(const std::string& text) {
  const auto blank = text.find(' ');
  if (blank == std::string::npos) return {text, ""};
  return {text.substr(0, blank), text.substr(blank + 1)};
}

template <class Range>
std::string Bracketed(const Range& texts) {
  std::string out = "[";
  for (const auto& text : texts) {
    if (out.size() > 1) out += ",";
    out += text;
  }
  return out + "]";
}

// Each kind of state, with or without a TTL.
struct StateCommands : KeyedProcess<std::string, StateCommand, std::string> {
  using Value = ValueState<std::int64_t>;
  using List = ListState<std::int64_t>;
  using Map = MapState<std::string, std::int64_t>;
  using Total = ReducingState<std::int64_t, std::plus<>>;
  using Largest = AggregatingState<Max<StateCommand, std::int64_t>>;

  explicit StateCommands(std::optional<Ttl> ttl_in = std::nullopt) : ttl(ttl_in) {}

  const std::optional<Ttl> ttl;
  Value one = ttl ? Value(this, "one", *ttl) : Value(this, "one");
  List list = ttl ? List(this, "list", *ttl) : List(this, "list");
  Map map = ttl ? Map(this, "map", *ttl) : Map(this, "map");
  Total total = ttl ? Total(this, "total", *ttl) : Total(this, "total");
  Largest largest = ttl ? Largest(this, "largest", Max{&StateCommand::value}, *ttl)
                        : Largest(this, "largest", Max{&StateCommand::value});

  void Process(const StateCommand& command, Context& context) override {
    const auto [word, name] = Words(command.text);
    const std::optional<std::string> result = Run(word, name, command);
    if (result.has_value()) context.Emit(context.key() + "|" + command.text + "|" + *result);
  }

 private:
  std::optional<std::string> Run(const std::string& word, const std::string& name,
                                 const StateCommand& command) {
    if (word.starts_with("list")) return RunList(word, command.value);
    if (word.starts_with("map")) return RunMap(word, name, command.value);
    if (word == "put") one.Set(command.value);
    if (word == "add") one.Mutable() += command.value;
    if (word == "clear") one.Clear();
    if (word == "get") return one.Exists() ? std::to_string(one.Get()) : "null";
    if (word == "sum_add") total.Add(command.value);
    if (word == "sum_clear") total.Clear();
    if (word == "sum_get") return total.Exists() ? std::to_string(total.Get()) : "null";
    if (word == "max_add") largest.Add(command);
    if (word == "max_clear") largest.Clear();
    if (word == "max_get") return largest.Exists() ? std::to_string(largest.Get()) : "null";
    return std::nullopt;
  }
  std::optional<std::string> RunList(const std::string& word, std::int64_t value) {
    if (word == "list_add") list.Add(value);
    if (word == "list_add_all") list.AddAll(std::vector<std::int64_t>{value, value + 1, value + 2});
    if (word == "list_set") list.Set({value, value + 1});
    if (word == "list_set_empty") list.Set(std::vector<std::int64_t>());
    if (word == "list_clear") list.Clear();
    if (word == "list_size") return std::to_string(list.size());
    if (word != "list_get") return std::nullopt;
    std::vector<std::string> texts;
    for (const std::int64_t element : list.Get()) texts.push_back(std::to_string(element));
    return Bracketed(texts);
  }
  std::optional<std::string> RunMap(const std::string& word, const std::string& name,
                                    std::int64_t value) {
    if (word == "map_put") map.Put(name, value);
    if (word == "map_add") map.Mutable(name) += value;
    if (word == "map_get") return OrNull(map.Get(name));
    if (word == "map_contains") return BoolText(map.Contains(name));
    // Says nothing, as in the recorded cases.
    if (word == "map_remove") map.Remove(name);
    if (word == "map_removed") return BoolText(map.Remove(name));
    if (word == "map_remove_odd")
      map.RemoveIf([](const std::string&, std::int64_t v) { return v % 2 != 0; });
    if (word == "map_clear") map.Clear();
    if (word == "map_size") return std::to_string(map.size());
    if (word == "map_keys") return Bracketed(map.Keys());
    if (word != "map_entries") return std::nullopt;
    std::vector<std::string> texts;
    map.ForEach([&](const std::string& key, std::int64_t v) {
      texts.push_back(key + "=" + std::to_string(v));
    });
    std::sort(texts.begin(), texts.end());
    return Bracketed(texts);
  }
};

}  // namespace weir

#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sdk/tests/state_commands.h"

namespace weir {

// What StateCommands must put out, told with the containers of the standard library.
class StateModel {
 public:
  explicit StateModel(std::optional<Ttl> ttl) : ttl_(ttl) {}

  void SetProcessingTime(Ticks now) { clock_ = now; }
  // What was written before the first watermark is as old as that.
  void Watermark(Ticks watermark) {
    if (watermark_ == kMinTicks && ttl_.has_value() && ttl_->time == TtlTime::kEvent) {
      for (auto& [key, state] : keys_) {
        for (auto* cell : {&state.one, &state.total, &state.largest}) {
          if (cell->has_value()) (*cell)->at = watermark;
        }
        for (Cell& cell : state.list) cell.at = watermark;
        for (auto& [name, cell] : state.map) cell.at = watermark;
      }
    }
    watermark_ = watermark;
  }

  // What the command puts out; nothing if it does not.
  std::optional<std::string> Run(const StateCommand& command) {
    State& state = keys_[command.key];
    DropExpired(state);
    const auto [word, name] = Words(command.text);
    const std::optional<std::string> result = Run(state, word, name, command.value);
    if (!result.has_value()) return std::nullopt;
    return command.key + "|" + command.text + "|" + *result;
  }

 private:
  struct Cell {
    std::int64_t value = 0;
    Ticks at = 0;
  };
  struct State {
    std::optional<Cell> one;
    std::optional<Cell> total;
    std::optional<Cell> largest;
    std::vector<Cell> list;
    std::map<std::string, Cell> map;
  };

  Ticks Now() const {
    return ttl_.has_value() && ttl_->time == TtlTime::kEvent ? watermark_ : clock_;
  }
  bool Expired(const Cell& cell) const {
    return ttl_.has_value() && Now() != kMinTicks && cell.at + ttl_->after.count() <= Now();
  }
  void DropExpired(State& state) const {
    for (auto* cell : {&state.one, &state.total, &state.largest}) {
      if (cell->has_value() && Expired(**cell)) cell->reset();
    }
    std::erase_if(state.list, [&](const Cell& cell) { return Expired(cell); });
    std::erase_if(state.map, [&](const auto& entry) { return Expired(entry.second); });
  }
  void Read(Cell& cell) const {
    if (ttl_.has_value() && ttl_->renew == TtlRenew::kOnReadAndWrite) cell.at = Now();
  }
  std::string Get(std::optional<Cell>& cell) const {
    if (!cell.has_value()) return "null";
    Read(*cell);
    return std::to_string(cell->value);
  }

  std::optional<std::string> Run(State& state, const std::string& word, const std::string& name,
                                 std::int64_t value) {
    if (word.starts_with("list")) return RunList(state.list, word, value);
    if (word.starts_with("map")) return RunMap(state.map, word, name, value);
    if (word == "put") state.one = Cell{value, Now()};
    if (word == "add") state.one = Cell{state.one.value_or(Cell()).value + value, Now()};
    if (word == "clear") state.one.reset();
    if (word == "get") return Get(state.one);
    if (word == "sum_add") state.total = Cell{state.total.value_or(Cell()).value + value, Now()};
    if (word == "sum_clear") state.total.reset();
    if (word == "sum_get") return Get(state.total);
    if (word == "max_add")
      state.largest = Cell{std::max(state.largest.value_or(Cell{value}).value, value), Now()};
    if (word == "max_clear") state.largest.reset();
    if (word == "max_get") return Get(state.largest);
    return std::nullopt;
  }
  std::optional<std::string> RunList(std::vector<Cell>& list, const std::string& word,
                                     std::int64_t value) {
    if (word == "list_set" || word == "list_set_empty" || word == "list_clear") list.clear();
    const std::int64_t count = word == "list_add"       ? 1
                               : word == "list_set"     ? 2
                               : word == "list_add_all" ? 3
                                                        : 0;
    for (std::int64_t i = 0; i < count; ++i) list.push_back({value + i, Now()});
    if (word == "list_size") return std::to_string(list.size());
    if (word != "list_get") return std::nullopt;
    std::vector<std::string> texts;
    for (Cell& cell : list) {
      Read(cell);
      texts.push_back(std::to_string(cell.value));
    }
    return Bracketed(texts);
  }
  std::optional<std::string> RunMap(std::map<std::string, Cell>& map, const std::string& word,
                                    const std::string& name, std::int64_t value) {
    const auto found = map.find(name);
    if (word == "map_put") map[name] = {value, Now()};
    if (word == "map_add")
      map[name] = {(found != map.end() ? found->second.value : 0) + value, Now()};
    if (word == "map_remove") map.erase(name);
    if (word == "map_removed") return BoolText(map.erase(name) == 1);
    if (word == "map_remove_odd")
      std::erase_if(map, [](const auto& entry) { return entry.second.value % 2 != 0; });
    if (word == "map_clear") map.clear();
    if (word == "map_size") return std::to_string(map.size());
    if (word == "map_get" || word == "map_contains") {
      if (found != map.end()) Read(found->second);
      if (word == "map_contains") return BoolText(found != map.end());
      return found != map.end() ? std::to_string(found->second.value) : "null";
    }
    if (word != "map_keys" && word != "map_entries") return std::nullopt;
    std::vector<std::string> keys;
    std::vector<std::string> entries;
    for (auto& [key, cell] : map) {
      Read(cell);
      keys.push_back(key);
      entries.push_back(key + "=" + std::to_string(cell.value));
    }
    std::sort(entries.begin(), entries.end());
    if (word == "map_entries") return Bracketed(entries);
    std::sort(keys.begin(), keys.end(),
              [](const auto& a, const auto& b) { return KeyHash(a) < KeyHash(b); });
    return Bracketed(keys);
  }

  const std::optional<Ttl> ttl_;
  Ticks clock_ = 0;
  Ticks watermark_ = kMinTicks;
  std::map<std::string, State> keys_;
};

}  // namespace weir

#include "state/schema/type_notation.h"

#include <algorithm>
#include <map>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace weir {
namespace {

using Kind = TypeNode::Kind;

constexpr size_t kMaxLength = 1 << 20;
constexpr uint32_t kMaxDepth = 100;
constexpr uint32_t kMaxParts = 10'000;

struct Simple {
  Kind kind;
  uint32_t width;
  bool is_signed;
};
const Simple* FindSimple(std::string_view name) {
  static const auto* const types = new std::map<std::string_view, Simple>{
      {"bool", {Kind::kBool, 1, false}},        {"int8", {Kind::kInteger, 1, true}},
      {"int16", {Kind::kInteger, 2, true}},     {"int32", {Kind::kInteger, 4, true}},
      {"int64", {Kind::kInteger, 8, true}},     {"uint8", {Kind::kInteger, 1, false}},
      {"uint16", {Kind::kInteger, 2, false}},   {"uint32", {Kind::kInteger, 4, false}},
      {"uint64", {Kind::kInteger, 8, false}},   {"float", {Kind::kFloat, 4, true}},
      {"double", {Kind::kFloat, 8, true}},      {"time", {Kind::kTime, 8, true}},
      {"duration", {Kind::kDuration, 8, true}}, {"string", {Kind::kString, 0, false}}};
  const auto found = types->find(name);
  return found != types->end() ? &found->second : nullptr;
}

struct Generic {
  Kind kind;
  // 0: any number from one on.
  size_t parts;
};
const Generic* FindGeneric(std::string_view name) {
  static const auto* const types = new std::map<std::string_view, Generic>{
      {"enum", {Kind::kEnum, 1}},       {"optional", {Kind::kOptional, 1}},
      {"list", {Kind::kList, 1}},       {"array", {Kind::kArray, 1}},
      {"map", {Kind::kMap, 2}},         {"tuple", {Kind::kTuple, 0}},
      {"ttl", {Kind::kTtl, 1}},         {"timer", {Kind::kTimer, 1}},
      {"slices", {Kind::kSlices, 2}}};
  const auto found = types->find(name);
  return found != types->end() ? &found->second : nullptr;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  absl::StatusOr<std::unique_ptr<TypeNode>> All() {
    WEIR_ASSIGN_OR_RETURN(auto node, Type(0));
    if (at_ != text_.size()) return Wrong("something after its end");
    return node;
  }

 private:
  absl::Status Wrong(std::string_view why) const {
    return absl::InvalidArgumentError(StrCat("no type notation, at character ", at_ + 1, ": ", why,
                                             ": '", text_.substr(0, 200),
                                             text_.size() > 200 ? "...'" : "'"));
  }
  bool Take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  // Up to one of the characters that end a name.
  std::string_view Name(std::string_view ends) {
    const size_t end = std::min(text_.find_first_of(ends, at_), text_.size());
    const std::string_view name = text_.substr(at_, end - at_);
    at_ = end;
    return name;
  }
  absl::StatusOr<uint32_t> Number() {
    const std::string_view digits = Name(",<>{}:");
    if (digits.empty() || digits.size() > 9 ||
        digits.find_first_not_of("0123456789") != std::string_view::npos) {
      return Wrong("no number");
    }
    uint32_t number = 0;
    for (const char c : digits) number = number * 10 + static_cast<uint32_t>(c - '0');
    return number;
  }

  absl::StatusOr<std::unique_ptr<TypeNode>> Type(uint32_t depth) {
    if (depth > kMaxDepth) return Wrong("too many types inside one another");
    if (++types_ > kMaxParts) return Wrong("too many types");
    auto node = std::make_unique<TypeNode>();
    if (Take('{')) {
      WEIR_RETURN_IF_ERROR(Record(*node, depth));
      return node;
    }
    if (Take('^')) {
      WEIR_ASSIGN_OR_RETURN(const uint32_t level, Number());
      if (level == 0 || level > records_.size()) return Wrong("no such record around it");
      node->kind = Kind::kEnclosing;
      node->text = StrCat("^", level);
      node->enclosing = records_[records_.size() - level];
      node->reaches_out = level;
      return node;
    }
    const std::string_view name = Name(",<>{}:");
    if (name.empty()) return Wrong("no type");
    if (const Simple* simple = FindSimple(name); simple != nullptr) {
      node->kind = simple->kind;
      node->width = simple->width;
      node->is_signed = simple->is_signed;
      node->text = std::string(name);
      return node;
    }
    const Generic* const generic = FindGeneric(name);
    if (generic == nullptr || at_ >= text_.size() || text_[at_] != '<') {
      WEIR_RETURN_IF_ERROR(Custom(*node, name));
      return node;
    }
    ++at_;
    node->kind = generic->kind;
    node->text = StrCat(name, "<");
    do {
      WEIR_ASSIGN_OR_RETURN(auto part, Type(depth + 1));
      node->text += (node->parts.empty() ? "" : ",") + part->text;
      node->reaches_out = std::max(node->reaches_out, part->reaches_out);
      node->has_custom |= part->has_custom;
      node->parts.push_back(std::move(part));
      if (node->kind == Kind::kArray) {
        if (!Take(',')) return Wrong("an array without size");
        WEIR_ASSIGN_OR_RETURN(node->array_size, Number());
        node->text += StrCat(",", node->array_size);
        break;
      }
    } while (Take(','));
    if (!Take('>')) return Wrong("no '>'");
    if (generic->parts != 0 && node->parts.size() != generic->parts) {
      return Wrong(StrCat(name, " of ", node->parts.size(), " types"));
    }
    node->text += ">";
    if (node->kind == Kind::kEnum) {
      if (node->parts[0]->kind != Kind::kInteger) return Wrong("an enum of no integer");
      node->width = node->parts[0]->width;
      node->is_signed = node->parts[0]->is_signed;
    }
    return node;
  }

  // Whatever its name is; brackets in it are in pairs.
  absl::Status Custom(TypeNode& node, std::string_view name) {
    node.kind = Kind::kCustom;
    node.has_custom = true;
    node.text = std::string(name);
    uint32_t open = 0;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '<' || c == '{') ++open;
      if (open == 0) break;
      if (c == '>' || c == '}') --open;
      node.text += c;
      ++at_;
    }
    return open == 0 ? absl::OkStatus() : Wrong("a bracket is not closed");
  }

  absl::Status Record(TypeNode& node, uint32_t depth) {
    node.kind = Kind::kRecord;
    node.text = "{";
    records_.push_back(&node);
    while (!Take('}')) {
      if (!node.fields.empty() && !Take(',')) return Wrong("no ','");
      TypeNode::Field field;
      field.name = std::string(Name("/=:,<>{}"));
      if (field.name.empty()) return Wrong("no name of a field");
      while (Take('/')) field.former_names.emplace_back(Name("/=:,<>{}"));
      if (Take('=')) {
        field.has_default = true;
        WEIR_RETURN_IF_ERROR(Hex(Name(":,<>{}"), field.default_bytes));
      }
      if (!Take(':')) return Wrong("no ':' after the name of a field");
      WEIR_ASSIGN_OR_RETURN(field.type, Type(depth + 1));
      node.text += StrCat(node.fields.empty() ? "" : ",", field.name, ":", field.type->text);
      node.has_custom |= field.type->has_custom;
      if (field.type->reaches_out > 1)
        node.reaches_out = std::max(node.reaches_out, field.type->reaches_out - 1);
      node.fields.push_back(std::move(field));
    }
    records_.pop_back();
    node.text += "}";
    return absl::OkStatus();
  }

  absl::Status Hex(std::string_view digits, std::string& bytes) const {
    if (digits.size() % 2 != 0) return Wrong("half a byte in a default");
    for (size_t i = 0; i < digits.size(); i += 2) {
      const int high = HexDigit(digits[i]);
      const int low = HexDigit(digits[i + 1]);
      if (high < 0 || low < 0) return Wrong("a default that is not in hexadecimal");
      bytes += static_cast<char>(high * 16 + low);
    }
    return absl::OkStatus();
  }

  const std::string_view text_;
  size_t at_ = 0;
  uint32_t types_ = 0;
  // Around the place, the innermost last.
  std::vector<const TypeNode*> records_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TypeNode>> ParseTypeNotation(std::string_view notation) {
  if (notation.size() > kMaxLength) {
    return absl::InvalidArgumentError(
        StrCat("a type notation of ", notation.size(), " characters"));
  }
  return Parser(notation).All();
}

}  // namespace weir

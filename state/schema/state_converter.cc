#include "state/schema/state_converter.h"

#include <algorithm>
#include <cstdint>
#include <set>

#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace weir {
namespace {

using Kind = TypeNode::Kind;

constexpr int kMaxNesting = 100;

// One is the other's text, and what it says does not depend on what is around it.
bool Same(const TypeNode& from, const TypeNode& to) {
  return from.text == to.text && from.reaches_out == 0;
}

bool IsWhole(Kind kind) { return kind == Kind::kInteger || kind == Kind::kEnum; }

// Every value of the one is a value of the other.
bool CanWiden(const TypeNode& from, const TypeNode& to) {
  if (from.kind != to.kind) return false;
  if (from.kind == Kind::kFloat) return from.width <= to.width;
  if (!IsWhole(from.kind)) return from.text == to.text;
  if (from.is_signed == to.is_signed) return from.width <= to.width;
  return to.is_signed && from.width < to.width;
}

}  // namespace

// Finds out whether and how each record becomes its new form.
class StateConverter::Compiler {
 public:
  explicit Compiler(std::map<Pair, Fields>& records) : records_(records) {}

  absl::Status Compile(const TypeNode& from, const TypeNode& to, const std::string& place) {
    if (Same(from, to)) return absl::OkStatus();
    const TypeNode& old_type = from.Resolved();
    const TypeNode& new_type = to.Resolved();
    if (old_type.kind != new_type.kind) return Refuse(from, to, place);
    switch (old_type.kind) {
      case Kind::kRecord:
        return CompileRecord(old_type, new_type, place);
      case Kind::kOptional:
      case Kind::kList:
      case Kind::kTtl:
        return CompileParts(old_type, new_type, place);
      case Kind::kArray:
        if (old_type.array_size != new_type.array_size) return Refuse(from, to, place);
        return CompileParts(old_type, new_type, place);
      case Kind::kTuple:
        if (old_type.parts.size() != new_type.parts.size()) return Refuse(from, to, place);
        return CompileParts(old_type, new_type, place);
      case Kind::kMap:
      case Kind::kSlices:
        // Where a key is, and in which order, depends on its bytes.
        if (!Same(*old_type.parts[0], *new_type.parts[0]))
          return Refuse(*old_type.parts[0], *new_type.parts[0], StrCat(place, "the key"));
        return CompileParts(old_type, new_type, place);
      default:
        return CanWiden(old_type, new_type) ? absl::OkStatus() : Refuse(from, to, place);
    }
  }

 private:
  static absl::Status Refuse(const TypeNode& from, const TypeNode& to, const std::string& place) {
    std::string at = place;
    if (at.size() > 2 && at.compare(at.size() - 2, 2, ", ") == 0) at.resize(at.size() - 2);
    return absl::FailedPreconditionError(
        StrCat(at, at.empty() ? "" : ": ", from.text, " cannot become ", to.text));
  }
  // Where the bytes of `old_type` end must be known.
  static absl::Status CheckCustom(const TypeNode& old_type, const std::string& place) {
    if (!old_type.has_custom) return absl::OkStatus();
    return absl::FailedPreconditionError(StrCat(
        place, "has a codec of its own in ", old_type.text,
        ", of which nobody else knows where its bytes end: what is around it cannot change"));
  }

  absl::Status CompileParts(const TypeNode& from, const TypeNode& to, const std::string& place) {
    for (size_t i = 0; i < from.parts.size(); ++i)
      WEIR_RETURN_IF_ERROR(Compile(*from.parts[i], *to.parts[i], place));
    return CheckCustom(from, place);
  }

  absl::Status CompileRecord(const TypeNode& from, const TypeNode& to, const std::string& place) {
    const auto [found, added] = records_.try_emplace(Pair(&from, &to));
    // A record that contains itself: what is being found out for the outer one holds for it.
    if (!added) return absl::OkStatus();
    Fields fields;
    std::set<int> taken;
    for (const TypeNode::Field& field : to.fields) {
      const int old_field = FindOld(from, to, field);
      if (old_field < 0 && !field.has_default) {
        return absl::FailedPreconditionError(
            StrCat(place, "field '", field.name, "' is new and has no default"));
      }
      if (old_field >= 0 && !taken.insert(old_field).second) {
        return absl::FailedPreconditionError(
            StrCat(place, "two fields, one of them '", field.name, "', say that they were '",
                   from.fields[static_cast<size_t>(old_field)].name, "'"));
      }
      if (old_field >= 0) {
        WEIR_RETURN_IF_ERROR(Compile(*from.fields[static_cast<size_t>(old_field)].type, *field.type,
                                     StrCat(place, "field '", field.name, "', ")));
      }
      fields.push_back(old_field);
    }
    for (const TypeNode::Field& field : from.fields) {
      WEIR_RETURN_IF_ERROR(CheckCustom(*field.type, StrCat(place, "field '", field.name, "' ")));
    }
    records_[Pair(&from, &to)] = std::move(fields);
    return absl::OkStatus();
  }

  // By its name; else by a former name, which no field of the new record has now.
  static int FindOld(const TypeNode& from, const TypeNode& to, const TypeNode::Field& field) {
    const auto index_of = [](const TypeNode& record, std::string_view name) {
      for (size_t i = 0; i < record.fields.size(); ++i) {
        if (record.fields[i].name == name) return static_cast<int>(i);
      }
      return -1;
    };
    if (const int same_name = index_of(from, field.name); same_name >= 0) return same_name;
    for (const std::string& former : field.former_names) {
      if (index_of(to, former) >= 0) continue;
      if (const int old_field = index_of(from, former); old_field >= 0) return old_field;
    }
    return -1;
  }

  std::map<Pair, Fields>& records_;
};

// Goes once over the bytes.
class StateConverter::Run {
 public:
  Run(const StateConverter& converter, std::string_view bytes)
      : converter_(converter), bytes_(bytes) {}

  size_t remaining() const { return bytes_.size() - at_; }
  std::string& out() { return out_; }
  absl::Status Damaged() const {
    return absl::DataLossError(StrCat("what is at byte ", at_, " of ", bytes_.size(),
                                      " is not of the type ", converter_.from_->text));
  }

  // The bytes of `old_type`, as `new_type` has them.
  bool Convert(const TypeNode& from, const TypeNode& to) {
    if (Same(from, to)) return Copy(from);
    const TypeNode& old_type = from.Resolved();
    const TypeNode& new_type = to.Resolved();
    const Nesting nesting(*this);
    if (nesting.too_deep()) return false;
    switch (old_type.kind) {
      case Kind::kRecord:
        return ConvertRecord(old_type, new_type);
      case Kind::kTtl:
        return Fixed(8) && Convert(*old_type.parts[0], *new_type.parts[0]);
      case Kind::kOptional:
        if (remaining() == 0) return false;
        if (bytes_[at_] == 0) return Fixed(1);
        return Fixed(1) && Convert(*old_type.parts[0], *new_type.parts[0]);
      case Kind::kList: {
        uint64_t count = 0;
        if (!Count(count)) return false;
        for (uint64_t i = 0; i < count; ++i) {
          if (!Convert(*old_type.parts[0], *new_type.parts[0])) return false;
        }
        return true;
      }
      case Kind::kArray:
        for (uint32_t i = 0; i < old_type.array_size; ++i) {
          if (!Convert(*old_type.parts[0], *new_type.parts[0])) return false;
        }
        return true;
      case Kind::kTuple:
        for (size_t i = 0; i < old_type.parts.size(); ++i) {
          if (!Convert(*old_type.parts[i], *new_type.parts[i])) return false;
        }
        return true;
      case Kind::kMap:
        return Entries(old_type, new_type);
      default:
        return Widen(old_type, new_type);
    }
  }
  // A count, then keys and values.
  bool Entries(const TypeNode& from, const TypeNode& to) {
    uint64_t count = 0;
    if (!Count(count)) return false;
    for (uint64_t i = 0; i < count; ++i) {
      if (!Convert(*from.parts[0], *to.parts[0]) || !Convert(*from.parts[1], *to.parts[1]))
        return false;
    }
    return true;
  }
  // A count, then keys.
  bool Keys(const TypeNode& from, const TypeNode& to) {
    uint64_t count = 0;
    if (!Count(count)) return false;
    for (; count > 0; --count) {
      if (!Convert(*from.parts[0], *to.parts[0])) return false;
    }
    return true;
  }
  bool Fixed(size_t width) {
    if (remaining() < width) return false;
    out_.append(bytes_.substr(at_, width));
    at_ += width;
    return true;
  }

 private:
  class Nesting {
   public:
    explicit Nesting(Run& run) : run_(run) { ++run_.nesting_; }
    ~Nesting() { --run_.nesting_; }
    bool too_deep() const { return run_.nesting_ > kMaxNesting * 4; }

   private:
    Run& run_;
  };

  bool Varint(uint64_t& value) {
    value = 0;
    for (uint32_t shift = 0; shift < 64; shift += 7) {
      if (remaining() == 0) return false;
      const auto byte = static_cast<uint8_t>(bytes_[at_++]);
      if (shift == 63 && byte > 1) return false;
      value |= uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) return byte != 0 || shift == 0;
    }
    return false;
  }
  // Copies a count of things that have a byte at least.
  bool Count(uint64_t& count) {
    const size_t from = at_;
    if (!Varint(count) || count > remaining()) return false;
    out_.append(bytes_.substr(from, at_ - from));
    return true;
  }

  bool Copy(const TypeNode& type) {
    const size_t from = at_;
    if (!Skip(type)) return false;
    out_.append(bytes_.substr(from, at_ - from));
    return true;
  }

  bool Skip(const TypeNode& of) {
    const TypeNode& type = of.Resolved();
    const Nesting nesting(*this);
    if (nesting.too_deep()) return false;
    if (type.width > 0) return SkipBytes(type.width);
    uint64_t count = 0;
    switch (type.kind) {
      case Kind::kString:
        return Varint(count) && SkipBytes(count);
      case Kind::kOptional:
        if (remaining() == 0) return false;
        return bytes_[at_++] == 0 || Skip(*type.parts[0]);
      case Kind::kTtl:
        return SkipBytes(8) && Skip(*type.parts[0]);
      case Kind::kList:
        if (!Varint(count) || count > remaining()) return false;
        for (; count > 0; --count) {
          if (!Skip(*type.parts[0])) return false;
        }
        return true;
      case Kind::kMap:
        if (!Varint(count) || count > remaining()) return false;
        for (; count > 0; --count) {
          if (!Skip(*type.parts[0]) || !Skip(*type.parts[1])) return false;
        }
        return true;
      case Kind::kArray:
        for (uint32_t i = 0; i < type.array_size; ++i) {
          if (!Skip(*type.parts[0])) return false;
        }
        return true;
      case Kind::kTuple:
        return std::all_of(type.parts.begin(), type.parts.end(),
                           [this](const auto& part) { return Skip(*part); });
      case Kind::kRecord:
        if (type.fields.empty()) return SkipBytes(1);
        return std::all_of(type.fields.begin(), type.fields.end(),
                           [this](const auto& field) { return Skip(*field.type); });
      default:
        return false;
    }
  }
  bool SkipBytes(uint64_t count) {
    if (remaining() < count) return false;
    at_ += count;
    return true;
  }

  bool ConvertRecord(const TypeNode& from, const TypeNode& to) {
    // Where each old field is; they may be wanted in another order.
    std::vector<std::pair<size_t, size_t>> places;
    if (from.fields.empty() && !SkipBytes(1)) return false;
    for (const TypeNode::Field& field : from.fields) {
      const size_t begin = at_;
      if (!Skip(*field.type)) return false;
      places.emplace_back(begin, at_);
    }
    const size_t end = at_;
    const Fields& fields = converter_.records_.at(Pair(&from, &to));
    if (to.fields.empty()) out_ += '\0';
    for (size_t i = 0; i < to.fields.size(); ++i) {
      if (fields[i] < 0) {
        out_ += to.fields[i].default_bytes;
        continue;
      }
      const auto old_field = static_cast<size_t>(fields[i]);
      at_ = places[old_field].first;
      if (!Convert(*from.fields[old_field].type, *to.fields[i].type) ||
          at_ != places[old_field].second) {
        return false;
      }
    }
    at_ = end;
    return true;
  }

  // Little-endian, in two's complement.
  bool Widen(const TypeNode& from, const TypeNode& to) {
    if (remaining() < from.width) return false;
    const std::string_view value = bytes_.substr(at_, from.width);
    at_ += from.width;
    if (from.kind == Kind::kFloat) {
      WidenFloat(value, to);
      return true;
    }
    const bool negative = from.is_signed && (static_cast<uint8_t>(value.back()) & 0x80U) != 0;
    out_.append(value);
    out_.append(to.width - from.width, negative ? '\xFF' : '\0');
    return true;
  }
  void WidenFloat(std::string_view value, const TypeNode& to) {
    if (value.size() == to.width) {
      out_.append(value);
      return;
    }
    float narrow = 0;
    value.copy(reinterpret_cast<char*>(&narrow), sizeof(narrow));
    const auto wide = static_cast<double>(narrow);
    out_.append(reinterpret_cast<const char*>(&wide), sizeof(wide));
  }

  const StateConverter& converter_;
  const std::string_view bytes_;
  size_t at_ = 0;
  int nesting_ = 0;
  std::string out_;
};

absl::StatusOr<StateConverter> StateConverter::Make(std::string_view from, std::string_view to) {
  StateConverter converter;
  WEIR_ASSIGN_OR_RETURN(converter.from_, ParseTypeNotation(from));
  WEIR_ASSIGN_OR_RETURN(converter.to_, ParseTypeNotation(to));
  converter.same_ = converter.from_->text == converter.to_->text;
  if (converter.same_) return converter;
  WEIR_RETURN_IF_ERROR(Compiler(converter.records_).Compile(*converter.from_, *converter.to_, ""));
  return converter;
}

absl::StatusOr<std::string> StateConverter::ConvertKeyGroup(std::string_view bytes) const {
  if (same_ || bytes.empty()) return std::string(bytes);
  Run run(*this, bytes);
  switch (from_->kind) {
    case Kind::kMap:
      if (!run.Entries(*from_, *to_)) return run.Damaged();
      break;
    case Kind::kSlices:
      // The time of the last firing, then of each slice its start and the entries.
      if (!run.Fixed(8)) return run.Damaged();
      while (run.remaining() > 0) {
        if (!run.Fixed(8) || !run.Entries(*from_, *to_)) return run.Damaged();
      }
      break;
    default:
      return absl::InternalError(StrCat("keyed state of the type ", from_->text));
  }
  if (run.remaining() > 0) return run.Damaged();
  return std::move(run.out());
}

absl::StatusOr<std::string> StateConverter::ConvertChanges(std::string_view bytes) const {
  if (same_ || bytes.empty()) return std::string(bytes);
  if (from_->kind != Kind::kMap) {
    return absl::InternalError(StrCat("changes of keyed state of the type ", from_->text));
  }
  Run run(*this, bytes);
  // Whether all before is gone, the keys that are, and the entries.
  if (!run.Fixed(1) || !run.Keys(*from_, *to_) || !run.Entries(*from_, *to_) ||
      run.remaining() > 0) {
    return run.Damaged();
  }
  return std::move(run.out());
}

absl::StatusOr<std::string> StateConverter::ConvertValue(std::string_view bytes) const {
  if (same_) return std::string(bytes);
  Run run(*this, bytes);
  if (!run.Convert(*from_, *to_) || run.remaining() > 0) return run.Damaged();
  return std::move(run.out());
}

}  // namespace weir

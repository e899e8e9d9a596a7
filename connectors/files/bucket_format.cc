#include "connectors/files/bucket_format.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/civil_time.h"
#include "absl/time/time.h"
#include "common/base/strings.h"

namespace weir {
namespace {

constexpr Ticks kMinute = 60'000'000;
constexpr Ticks kHour = 60 * kMinute;
constexpr Ticks kDay = 24 * kHour;

absl::Status Refused(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(
      StrCat("setting 'bucket' is '", text, "': ", why,
             "; it is a relative path in which %Y, %m, %d, %H and %M stand for year, month, day, "
             "hour and minute of the record's timestamp, such as \"%Y-%m-%d/%H\""));
}

absl::Status CheckPath(std::string_view text) {
  if (text.front() == '/' || text.back() == '/') return Refused(text, "it begins or ends with '/'");
  size_t begin = 0;
  while (begin <= text.size()) {
    const size_t end = std::min(text.find('/', begin), text.size());
    const std::string_view part = text.substr(begin, end - begin);
    if (part.empty() || part.front() == '.' || part.front() == '_') {
      return Refused(text, "a folder in it is empty, or hidden by '.' or '_' at its beginning");
    }
    begin = end + 1;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<BucketFormat> BucketFormat::Parse(std::string_view text) {
  BucketFormat format;
  if (text.empty()) return Refused(text, "it is empty");
  if (absl::Status path = CheckPath(text); !path.ok()) return path;
  format.parts_.emplace_back();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      if (static_cast<unsigned char>(text[i]) < 0x20)
        return Refused(text, "it has a control character");
      format.parts_.back().text += text[i];
      continue;
    }
    const char directive = ++i < text.size() ? text[i] : '\0';
    if (directive == '%') {
      format.parts_.back().text += '%';
      continue;
    }
    Ticks unit = 0;
    if (directive == 'M') unit = kMinute;
    if (directive == 'H') unit = kHour;
    if (directive == 'Y' || directive == 'm' || directive == 'd') unit = kDay;
    if (unit == 0) return Refused(text, "it has another directive");
    format.unit_ = format.unit_ == 0 ? unit : std::min(format.unit_, unit);
    format.parts_.push_back({directive, {}});
    format.parts_.emplace_back();
  }
  if (format.unit_ == 0) return Refused(text, "it has no directive");
  return format;
}

const std::string& BucketFormat::NameOf(Ticks time) {
  if (time >= begin_ && time < end_) return name_;
  const Ticks rest = time % unit_;
  begin_ = time - (rest < 0 ? rest + unit_ : rest);
  end_ = begin_ + unit_;
  const absl::CivilSecond civil =
      absl::ToCivilSecond(absl::FromUnixMicros(begin_), absl::UTCTimeZone());
  name_.clear();
  for (const Part& part : parts_) {
    switch (part.directive) {
      case 'Y':
        absl::StrAppend(&name_, absl::Dec(civil.year(), absl::kZeroPad4));
        break;
      case 'm':
        absl::StrAppend(&name_, absl::Dec(civil.month(), absl::kZeroPad2));
        break;
      case 'd':
        absl::StrAppend(&name_, absl::Dec(civil.day(), absl::kZeroPad2));
        break;
      case 'H':
        absl::StrAppend(&name_, absl::Dec(civil.hour(), absl::kZeroPad2));
        break;
      case 'M':
        absl::StrAppend(&name_, absl::Dec(civil.minute(), absl::kZeroPad2));
        break;
      default:
        name_ += part.text;
    }
  }
  return name_;
}

}  // namespace weir

#include "connectors/files/files_settings.h"

#include <array>

#include "absl/status/status.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "connectors/files/bucket_format.h"
#include "connectors/settings.h"

namespace weir {

absl::StatusOr<Files> ParseFilesSettings(const ConnectorSpec& spec, bool is_source) {
  SettingsReader reader(spec);
  Files settings;
  settings.path = reader.Text("path", "");
  if (settings.path.empty()) reader.Fail("setting 'path' must name a file or a folder");
  constexpr std::array kFormats = {FileFormat::kFromExtension, FileFormat::kJson, FileFormat::kCsv};
  settings.format = kFormats[reader.Choice("format", {"from-extension", "json", "csv"}, 0)];
  settings.header = reader.Flag("header", true);
  if (is_source) {
    constexpr std::array kPolicies = {Malformed::kFail, Malformed::kSkip, Malformed::kSideOutput};
    settings.malformed = kPolicies[reader.Choice("malformed", {"fail", "skip", "side-output"}, 0)];
    constexpr std::array kUnits = {TimeUnit::kMillis, TimeUnit::kSeconds, TimeUnit::kMicros,
                                   TimeUnit::kNanos};
    settings.time_unit = kUnits[reader.Choice("time-unit", {"ms", "s", "us", "ns"}, 0)];
    settings.discover = Duration(reader.Number("discover-micros", 0));
    reader.Refuse("overwrite", "is for sinks: a source overwrites nothing");
    reader.Refuse("bucket", "is for sinks: a source reads all folders below its path");
    for (const char* name : {"roll-bytes", "roll-after-micros", "roll-idle-micros"}) {
      reader.Refuse(name, "is for sinks: a source ends no files");
    }
  } else {
    settings.overwrite = reader.Flag("overwrite", false);
    settings.bucket = reader.Text("bucket", "");
    settings.roll.bytes = reader.Number("roll-bytes", settings.roll.bytes);
    settings.roll.after = Duration(reader.Number("roll-after-micros", 0));
    settings.roll.idle = Duration(reader.Number("roll-idle-micros", 0));
    if (!settings.bucket.empty()) {
      if (const absl::Status bucket = BucketFormat::Parse(settings.bucket).status(); !bucket.ok()) {
        reader.Fail(ToStd(bucket.message()));
      }
    }
    reader.Refuse("malformed", "is for sources: a sink decodes nothing");
    reader.Refuse("time-unit", "is for sources: a sink writes times as text");
    reader.Refuse("discover-micros", "is for sources: a sink looks for no files");
    const std::string_view extension = ExtensionOf(settings.path);
    if (extension == "gz" || extension == "zst") {
      reader.Fail(
          StrCat("'", settings.path, "': a sink does not compress; leave out .", extension));
    }
  }
  WEIR_RETURN_IF_ERROR(reader.Finish());
  return settings;
}

std::string_view ExtensionOf(std::string_view path) {
  const size_t slash = path.rfind('/');
  const std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  const size_t dot = name.rfind('.');
  return dot == std::string_view::npos || dot == 0 ? std::string_view() : name.substr(dot + 1);
}

FileFormat FormatOfName(std::string_view path) {
  std::string_view extension = ExtensionOf(path);
  if (extension == "gz" || extension == "zst") {
    path.remove_suffix(extension.size() + 1);
    extension = ExtensionOf(path);
  }
  if (extension == "jsonl" || extension == "ndjson" || extension == "json")
    return FileFormat::kJson;
  if (extension == "csv") return FileFormat::kCsv;
  return FileFormat::kFromExtension;
}

absl::StatusOr<FileFormat> SourceFormat(const Files& settings, std::string_view path) {
  if (settings.format != FileFormat::kFromExtension) return settings.format;
  const FileFormat format = FormatOfName(path);
  if (format == FileFormat::kFromExtension) {
    return absl::InvalidArgumentError(
        StrCat(path,
               ": its name does not say its format (.jsonl, .ndjson, .json, .csv): set .format to "
               "weir::FileFormat::kJson or kCsv"));
  }
  return format;
}

}  // namespace weir

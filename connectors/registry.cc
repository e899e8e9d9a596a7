#include "connectors/registry.h"

#include <string>
#include <utility>
#include <vector>

#include "common/base/edit_distance.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "connectors/files/files_settings.h"
#include "connectors/files/files_sink.h"
#include "connectors/files/files_source.h"
#include "connectors/settings.h"

namespace weir {
namespace {

class BlackholeSink final : public SinkWriter {
 public:
  absl::Status Open(OperatorContext&) override { return absl::OkStatus(); }
  absl::Status Write(BatchBase& batch) override {
    batch.Clear();
    return absl::OkStatus();
  }
  bool Blocked() const override { return false; }
  absl::Status Flush() override { return absl::OkStatus(); }
  absl::StatusOr<bool> Finish() override { return true; }
};

class Registry final : public ConnectorRegistry {
 public:
  Registry(Env& env, std::shared_ptr<PrintStream> stream) : env_(env), stream_(std::move(stream)) {}

  absl::Status Validate(const ConnectorSpec& spec, bool is_source) const override {
    if (spec.connector == "files") return ParseFilesSettings(spec, is_source).status();
    const bool known_sink = spec.connector == "print" || spec.connector == "blackhole";
    if (known_sink && is_source) {
      return absl::InvalidArgumentError(
          StrCat("connector '", spec.connector, "' is a sink, not a source"));
    }
    if (spec.connector == "print") {
      SettingsReader reader(spec);
      reader.Text("prefix", "");
      return reader.Finish();
    }
    if (spec.connector == "blackhole") return SettingsReader(spec).Finish();
    const std::vector<std::string> names =
        is_source ? std::vector<std::string>{"files"}
                  : std::vector<std::string>{"files", "print", "blackhole"};
    std::string known;
    for (const std::string& name : names) known += StrCat(known.empty() ? "" : ", ", name);
    const std::string nearest = Nearest(spec.connector, names);
    return absl::InvalidArgumentError(
        StrCat("unknown connector '", spec.connector, "'",
               nearest.empty() ? "." : StrCat("; is '", nearest, "' meant?"), " Known ",
               is_source ? "sources: " : "sinks: ", known));
  }

  absl::StatusOr<std::unique_ptr<SourceReader>> MakeSource(const ConnectorSpec& spec,
                                                           const RecordType& type) const override {
    WEIR_RETURN_IF_ERROR(Validate(spec, true));
    WEIR_ASSIGN_OR_RETURN(Files settings, ParseFilesSettings(spec, true));
    if (settings.format == FileFormat::kCsv) WEIR_RETURN_IF_ERROR(type.SupportsCsv());
    return std::make_unique<FilesSource>(env_, std::move(settings), type);
  }

  absl::StatusOr<std::unique_ptr<SinkWriter>> MakeSink(const ConnectorSpec& spec,
                                                       const RecordType& type) const override {
    WEIR_RETURN_IF_ERROR(Validate(spec, false));
    if (spec.connector == "blackhole") return std::make_unique<BlackholeSink>();
    if (spec.connector == "print") {
      SettingsReader reader(spec);
      return MakePrintSink(env_, stream_, reader.Text("prefix", ""), type);
    }
    WEIR_ASSIGN_OR_RETURN(const Files settings, ParseFilesSettings(spec, false));
    return MakeFilesSink(env_, settings, type);
  }

 private:
  Env& env_;
  const std::shared_ptr<PrintStream> stream_;
};

}  // namespace

std::unique_ptr<ConnectorRegistry> MakeConnectorRegistry(Env& env,
                                                         std::shared_ptr<PrintStream> stream) {
  return std::make_unique<Registry>(env, std::move(stream));
}

std::unique_ptr<ConnectorRegistry> MakeConnectorRegistry(Env& env) {
  return MakeConnectorRegistry(env, MakeStandardOutput());
}

}  // namespace weir

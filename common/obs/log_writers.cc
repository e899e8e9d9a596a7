#include <spdlog/logger.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include "common/base/strings.h"
#include "common/obs/log.h"

namespace weir {
namespace {

spdlog::level::level_enum LevelOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

// The line is made already; spdlog takes it to its sink under a lock, and reports a failing sink on
// standard error.
class SpdlogWriter final : public LogWriter {
 public:
  explicit SpdlogWriter(spdlog::sink_ptr sink) : logger_("weir", std::move(sink)) {
    logger_.set_pattern("%v", spdlog::pattern_time_type::utc);
    logger_.set_level(spdlog::level::trace);
    logger_.flush_on(spdlog::level::trace);
  }

  void Write(LogLevel level, std::string_view line) override {
    logger_.log(LevelOf(level), spdlog::string_view_t(line.data(), line.size()));
  }

 private:
  spdlog::logger logger_;
};

}  // namespace

std::shared_ptr<LogWriter> MakeStderrLogWriter() {
  return std::make_shared<SpdlogWriter>(std::make_shared<spdlog::sinks::stderr_sink_mt>());
}

absl::StatusOr<std::shared_ptr<LogWriter>> MakeFileLogWriter(const std::string& path,
                                                             size_t max_bytes, size_t max_files) {
  try {
    auto sink = std::make_shared<spdlog::sinks::rotating_file_sink_mt>(path, max_bytes, max_files);
    return std::shared_ptr<LogWriter>(std::make_shared<SpdlogWriter>(std::move(sink)));
  } catch (const spdlog::spdlog_ex& error) {
    return absl::UnavailableError(StrCat("opening the log file '", path, "': ", error.what()));
  }
}

}  // namespace weir

#include "taskmanager/main/process_log.h"

#include <memory>
#include <string>

#include "common/base/status_macros.h"
#include "common/obs/log.h"

namespace weir {

absl::StatusOr<ProcessLog> MakeProcessLog(const Settings& settings, const Clock& clock,
                                          std::string_view component) {
  LogOptions log;
  WEIR_ASSIGN_OR_RETURN(log.level, ParseLogLevel(settings.Get(options::kLogLevel)));
  if (settings.Get(options::kLogFormat) == "json") log.format = LogFormat::kJsonLines;
  std::shared_ptr<LogWriter> writer = MakeStderrLogWriter();
  if (const std::string file = settings.Get(options::kLogFile); !file.empty()) {
    WEIR_ASSIGN_OR_RETURN(writer, MakeFileLogWriter(file));
  }
  return [logger = Logger(std::move(writer), clock, log).For(component)](std::string_view level,
                                                                         std::string_view text) {
    logger.Write(ParseLogLevel(level).value_or(LogLevel::kInfo), text);
  };
}

}  // namespace weir

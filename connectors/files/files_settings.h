#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "weir/connectors.h"

namespace weir {

// The checked settings of the connector "files": what weir::Files says, as the host understands it.
absl::StatusOr<Files> ParseFilesSettings(const ConnectorSpec& spec, bool is_source);

// The format that a name says by its extension (before .gz and .zst); kFromExtension if by none.
FileFormat FormatOfName(std::string_view path);
// What follows the last '.' of the last part of `path`, or nothing: ".hidden" has none.
std::string_view ExtensionOf(std::string_view path);
// Where a source reads `path`, in which format. kInvalidArgument, with what to do, if nothing says
// it.
absl::StatusOr<FileFormat> SourceFormat(const Files& settings, std::string_view path);

}  // namespace weir

#include "jobmanager/schedule/named_checkpoint.h"

#include <memory>

#include "common/base/strings.h"
#include "proto/checkpoint.pb.h"
#include "proto/job_record.pb.h"
#include "state/store/checkpoint_folder.h"

namespace weir::jobmanager {

absl::StatusOr<FoundCheckpoint> ReadNamed(FileSystem& files,
                                          const proto::JobRecord::Checkpoint& named) {
  auto metadata = std::make_shared<proto::CheckpointMetadata>();
  const absl::Status read = CheckpointFolder(files, named.directory()).ReadMetadata(metadata.get());
  if (!read.ok()) {
    return absl::Status(read.code(),
                        StrCat("checkpoint ", named.id(), ": ", ToStd(read.message())));
  }
  if (metadata->checkpoint_id() != named.id() || metadata->kind() != named.kind()) {
    return absl::DataLossError(StrCat("in ", named.directory(), " is checkpoint ",
                                      metadata->checkpoint_id(), ", not ", named.id()));
  }
  return FoundCheckpoint{.directory = named.directory(),
                         .metadata = std::shared_ptr<const proto::CheckpointMetadata>(metadata),
                         .owned = named.owned()};
}

}  // namespace weir::jobmanager

#pragma once

#include "absl/status/status.h"

namespace weir {

namespace proto {
class Node;
class StateDescriptor;
}  // namespace proto

// Whether an operator of a job can go on with a state that a checkpoint has of it. kNotFound: it
// has no state of that name. kFailedPrecondition: it has, but what was written cannot become what
// the job declares; says where and why. Of sources and sinks it says nothing (OK): their state
// belongs to the connector.
absl::Status CheckStateFits(const proto::StateDescriptor& written, const proto::Node& node);

}  // namespace weir

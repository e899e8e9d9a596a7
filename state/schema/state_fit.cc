#include "state/schema/state_fit.h"

#include <string>

#include "common/base/strings.h"
#include "proto/job_graph.pb.h"
#include "state/schema/state_converter.h"

namespace weir {
namespace {

// As a graph has it: with how the items of a list are dealt out.
std::string TypeInGraph(const proto::StateDescriptor& written) {
  switch (written.division()) {
    case proto::SPLIT_LIST:
      return StrCat("split<", written.type(), ">");
    case proto::UNION_LIST:
      return StrCat("union<", written.type(), ">");
    case proto::BROADCAST_LIST:
      return StrCat("broadcast<", written.type(), ">");
    default:
      return written.type();
  }
}

// What a list is dealt out by must stay as it is; the type of its items may evolve.
std::string_view TakeDivision(std::string_view& type) {
  for (const std::string_view division : {"split<", "union<", "broadcast<"}) {
    if (type.rfind(division, 0) != 0 || type.back() != '>') continue;
    type.remove_prefix(division.size());
    type.remove_suffix(1);
    return division;
  }
  return "";
}

}  // namespace

absl::Status CheckStateFits(const proto::StateDescriptor& written, const proto::Node& node) {
  if (node.kind() != proto::OPERATOR) return absl::OkStatus();
  for (const proto::StateDescriptor& declared : node.states()) {
    if (declared.name() != written.name()) continue;
    const std::string from = TypeInGraph(written);
    const std::string to = declared.evolution().empty() ? declared.type() : declared.evolution();
    std::string_view from_type = from;
    std::string_view to_type = to;
    const bool same_division = TakeDivision(from_type) == TakeDivision(to_type);
    const absl::Status status =
        same_division ? StateConverter::Make(from_type, to_type).status()
                      : absl::FailedPreconditionError("what it is dealt out by has changed");
    if (status.ok()) return status;
    return absl::FailedPreconditionError(
        StrCat("state '", written.name(), "' of operator '", node.uid(), "' was written as ", from,
               " and is ", declared.type(), " in the job: ", ToStd(status.message())));
  }
  return absl::NotFoundError(
      StrCat("operator '", node.uid(), "' has no state '", written.name(), "'"));
}

}  // namespace weir

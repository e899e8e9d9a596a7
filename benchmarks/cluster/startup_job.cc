// One record to a file: what the start of a cluster is timed with.
#include <string>
#include <vector>

#include <weir/sdk.h>

WEIR_JOB(job) {
  const auto output = job.Arg<std::string>("output", "the folder that the record is written to");
  job.From<std::string>("one", weir::Collection{.records = std::vector<std::string>{"up"}})
      .To("out", weir::Files{.path = output});
}

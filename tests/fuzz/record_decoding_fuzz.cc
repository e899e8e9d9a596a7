// The records of data frames. The first byte of the input says of which type they are, the second
// how many; the rest is what a frame carries. It is either refused as malformed or means records
// that are written as the same bytes again.
#include <cstdint>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "runtime/exchange/data_message.h"
#include "sdk/tests/records/record_zoo.h"
#include "tests/fuzz/fuzz_target.h"
#include "weir/codec.h"

namespace weir {
namespace {

const RecordType& TypeOf(std::uint8_t choice) {
  const RecordType* const types[] = {
      &RecordTypeOf<zoo::Containers>(),
      &RecordTypeOf<zoo::Nested>(),
      &RecordTypeOf<zoo::Flat>(),
      &RecordTypeOf<zoo::FlatWithBool>(),
      &RecordTypeOf<zoo::Strings>(),
      &RecordTypeOf<zoo::Tree>(),
      &RecordTypeOf<zoo::Paid>(),
      &RecordTypeOf<zoo::Empty>(),
      &RecordTypeOf<zoo::Defaults>(),
      &RecordTypeOf<zoo::Enums>(),
      &RecordTypeOf<std::string>(),
      &RecordTypeOf<std::vector<std::string>>(),
      &RecordTypeOf<std::vector<zoo::Empty>>(),
      &RecordTypeOf<std::map<std::string, std::string>>(),
  };
  return *types[choice % std::size(types)];
}

std::string Encoded(const RecordType& type, const BatchBase& batch) {
  std::string bytes;
  size_t at = 0;
  while (at < batch.size()) at = EncodeMessage(type, batch, at, bytes, bytes.max_size());
  return bytes;
}

bool Run(const RecordType& type, size_t count, std::string_view message) {
  const auto batch = type.NewBatch();
  const absl::Status status = DecodeMessage(type, message, count, *batch);
  if (!status.ok()) {
    WEIR_CHECK(status.code() == absl::StatusCode::kDataLoss);
    WEIR_CHECK(!status.message().empty());
    WEIR_CHECK_EQ(batch->size(), 0u);
    return false;
  }
  WEIR_CHECK_EQ(batch->size(), count);
  // A record has one encoding.
  WEIR_CHECK(count == 0 || Encoded(type, *batch) == message);
  return true;
}

}  // namespace
}  // namespace weir

bool RunOneInput(std::string_view input) {
  if (input.size() < 2) return false;
  return weir::Run(weir::TypeOf(static_cast<std::uint8_t>(input[0])),
                   static_cast<std::uint8_t>(input[1]), input.substr(2));
}

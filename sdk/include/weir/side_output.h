#pragma once

namespace weir {

// Names an additional output of an operator and the type of its records:
//   constexpr weir::SideOutput<Click> kLate{"late"};
// The stream of it is had by `stream.Side(kLate)`. Records for a side output that nobody reads are
// dropped.
template <class T>
struct SideOutput {
  using Record = T;
  const char* name;
};

}  // namespace weir

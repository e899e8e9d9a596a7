#pragma once

#include <string>

namespace weir {

// "std::runtime_error: text" of the exception being handled; only inside a catch block.
std::string DescribeCurrentException();

}  // namespace weir

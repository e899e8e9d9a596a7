#pragma once

#include <string>

namespace weir {

// This library replaces __cxa_throw in the program that links it: where an exception is thrown by
// user code of an operator, the stack is recorded (common/base/thrown_stack.h) before it is thrown
// as always. It costs some microseconds for each exception and nothing otherwise.

// "0x<hex digits>" of a stack of this process, with the function's name if it is known. Not for
// signal handlers.
std::string DescribeFrame(const std::string& frame);

}  // namespace weir

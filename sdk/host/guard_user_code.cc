#include <cxxabi.h>

#include <cstdlib>
#include <exception>
#include <string>
#include <typeinfo>

#include "common/base/strings.h"
#include "sdk/host/plugin_host.h"
#include "sdk/host/user_exception.h"

namespace weir {
namespace {

std::string TypeName(const std::type_info& type) {
  int status = 0;
  char* demangled = abi::__cxa_demangle(type.name(), nullptr, nullptr, &status);
  std::string name = status == 0 && demangled != nullptr ? demangled : type.name();
  std::free(demangled);
  return name;
}

}  // namespace

std::string DescribeCurrentException() {
  const std::type_info* type = abi::__cxa_current_exception_type();
  std::string name = type == nullptr ? "something unknown" : TypeName(*type);
  try {
    throw;
  } catch (const std::exception& e) {
    return StrCat(name, ": ", e.what());
  } catch (...) {
    return name;
  }
}

absl::Status GuardUserCode(std::string_view uid, const std::function<absl::Status()>& call) {
  try {
    return call();
  } catch (const abi::__forced_unwind&) {
    throw;  // The thread is being ended by the system: that must not be swallowed.
  } catch (...) {
    return absl::InternalError(StrCat("operator '", uid, "' threw ", DescribeCurrentException()));
  }
}

}  // namespace weir

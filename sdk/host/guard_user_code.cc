#include <cxxabi.h>

#include <cstdlib>
#include <exception>
#include <string>
#include <typeinfo>

#include "common/base/strings.h"
#include "sdk/host/plugin_host.h"

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

absl::Status GuardUserCode(std::string_view uid, const std::function<absl::Status()>& call) {
  try {
    return call();
  } catch (const abi::__forced_unwind&) {
    throw;  // The thread is being ended by the system: it must not be swallowed.
  } catch (const std::exception& e) {
    return absl::InternalError(
        StrCat("operator '", uid, "' threw ", TypeName(typeid(e)), ": ", e.what()));
  } catch (...) {
    const std::type_info* type = abi::__cxa_current_exception_type();
    return absl::InternalError(
        StrCat("operator '", uid, "' threw ",
               type == nullptr ? std::string("something unknown") : TypeName(*type)));
  }
}

}  // namespace weir

#include <cxxabi.h>
#include <dlfcn.h>

#include <cstdlib>
#include <exception>
#include <string>
#include <typeinfo>
#include <utility>

#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "sdk/host/abi_stamp.h"
#include "sdk/host/plugin_host.h"
#include "sdk/host/user_exception.h"

namespace weir {
namespace {

class FilePlugin : public Plugin {
 public:
  explicit FilePlugin(const PluginInfo& info) : info_(info) {}

  absl::StatusOr<std::unique_ptr<JobDefinition>> Define(const DefineInput& input) const override {
    auto definition = std::make_unique<JobDefinition>();
    std::string thrown;
    try {
      info_.define(input, *definition);
    } catch (const abi::__forced_unwind&) {
      throw;
    } catch (...) {
      thrown = StrCat("define() threw ", DescribeCurrentException());
    }
    if (!thrown.empty()) {
      // Without its required arguments a definition may well throw; what it declared before that is
      // what was asked for.
      if (!input.describe_only) return absl::InvalidArgumentError(thrown);
      definition->errors.push_back(std::move(thrown));
    }
    if (!input.describe_only && !definition->errors.empty()) {
      return absl::InvalidArgumentError(absl::StrJoin(definition->errors, "\n"));
    }
    return definition;
  }

 private:
  const PluginInfo& info_;
};

// "undefined symbol: _ZN3foo3barEv" with the name as it stands in the source.
std::string ReadableLoaderError(std::string text) {
  constexpr std::string_view kMark = "undefined symbol: ";
  const size_t mark = text.find(kMark);
  if (mark == std::string::npos) return text;
  const size_t begin = mark + kMark.size();
  size_t end = text.find_first_of(" ,\n", begin);
  if (end == std::string::npos) end = text.size();
  const std::string symbol = text.substr(begin, end - begin);
  int status = 0;
  char* demangled = abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status);
  if (status == 0 && demangled != nullptr) text.replace(begin, end - begin, demangled);
  std::free(demangled);
  return text + "; link the library that has it: target_link_libraries(JOB PRIVATE ...)";
}

// Loads for good: there is no dlclose, since types, vtables and thread-locals of a plugin may be in
// use anywhere.
class FilePluginLoader : public PluginLoader {
 public:
  absl::StatusOr<std::unique_ptr<Plugin>> Load(const std::string& path) override {
    const auto refused = [&](std::string_view why) {
      return absl::InvalidArgumentError(StrCat("'", path, "' cannot be loaded: ", why));
    };
    WEIR_ASSIGN_OR_RETURN(const AbiStampInfo stamp, ReadAbiStamp(path));
    if (absl::Status match = CheckAbiStamp(stamp); !match.ok())
      return refused(ToStd(match.message()));

    // Without a '/' the dynamic linker would search its own folders.
    const std::string file = path.find('/') == std::string::npos ? StrCat("./", path) : path;
    void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      const char* error = dlerror();
      return refused(
          ReadableLoaderError(error == nullptr ? "the dynamic linker gave no reason" : error));
    }
    void* symbol = dlsym(library, kPluginSymbol);
    if (symbol == nullptr) {
      return refused(StrCat("it does not export the symbol ", kPluginSymbol,
                            "; build it with weir_add_job(), which keeps it visible"));
    }
    const PluginInfo* info = reinterpret_cast<const PluginInfo* (*)()>(symbol)();
    if (info == nullptr || info->define == nullptr || info->fingerprint == nullptr ||
        info->abi != stamp.abi || info->fingerprint != stamp.fingerprint) {
      return refused(StrCat("its section ", kPluginSection, " and its symbol ", kPluginSymbol,
                            " disagree; build it again with weir_add_job()"));
    }
    return std::make_unique<FilePlugin>(*info);
  }
};

}  // namespace

std::unique_ptr<PluginLoader> MakeFilePluginLoader() {
  return std::make_unique<FilePluginLoader>();
}

}  // namespace weir

// Has the stamp of a job, but not its symbol.
#include "weir/plugin_export.h"

__attribute__((section(".weir_abi"),
               used)) static constexpr weir::internal::AbiStamp stamp(WEIR_FINGERPRINT);

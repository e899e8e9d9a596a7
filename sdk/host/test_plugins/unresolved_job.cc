// A job that calls what no library has.
#include "weir/plugin_export.h"

namespace missing {
void Function(int);
}

static void Define(const weir::DefineInput&, weir::JobDefinition&) { missing::Function(1); }

WEIR_EXPORT_PLUGIN(Define)

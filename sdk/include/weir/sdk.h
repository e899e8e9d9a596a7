#pragma once

// Everything a job needs: #include <weir/sdk.h>.

#include "weir/aggregates.h"
#include "weir/async.h"
#include "weir/broadcast.h"
#include "weir/connected.h"
#include "weir/connectors.h"
#include "weir/for_each.h"
#include "weir/interval_join.h"
#include "weir/job.h"
#include "weir/keyed_stream.h"
#include "weir/list_state.h"
#include "weir/lookup.h"
#include "weir/map_state.h"
#include "weir/operator_list.h"
#include "weir/pattern_stream.h"
#include "weir/plugin_export.h"
#include "weir/process.h"
#include "weir/reducing_state.h"
#include "weir/side_output.h"
#include "weir/state.h"
#include "weir/stream.h"
#include "weir/temporal_join.h"
#include "weir/time.h"
#include "weir/timers.h"
#include "weir/ttl.h"
#include "weir/watermarks.h"
#include "weir/window.h"
#include "weir/window_join.h"
#include "weir/window_stream.h"

// Begins the one function of a plugin that describes its job:
//   WEIR_JOB(job) { job.From<Click>(...)...; }
#define WEIR_JOB(job)                                                                           \
  static void WeirDescribeJob(::weir::Job& job);                                                \
  static void WeirDefine(const ::weir::DefineInput& input, ::weir::JobDefinition& definition) { \
    ::weir::DefineJob(&WeirDescribeJob, input, definition);                                     \
  }                                                                                             \
  WEIR_EXPORT_PLUGIN(WeirDefine)                                                                \
  static void WeirDescribeJob([[maybe_unused]] ::weir::Job& job)

# weir_precompile(TARGET [TESTS])
# Lets the sources of TARGET start from the headers that nearly all of them include: the standard library's and Abseil's
# Status, with TESTS GoogleTest's too. One precompiled header of each kind serves every target, so none may depend on a
# target's own settings. Off (WEIR_PRECOMPILE) with clang-tidy: there each source is compiled with what it includes itself.
# A job of a user, and so a job of ours, never gets one.
set(WEIR_PRECOMPILED_HEADERS
  <algorithm> <atomic> <array> <charconv> <chrono> <cstddef> <cstdint> <cstring> <deque> <functional> <limits> <map>
  <memory> <optional> <set> <string> <string_view> <type_traits> <utility> <variant> <vector>
  <absl/base/thread_annotations.h> <absl/functional/any_invocable.h> <absl/status/status.h> <absl/status/statusor.h>
  <absl/strings/str_cat.h> <absl/time/time.h>)
if(WEIR_PRECOMPILE)
  add_library(weir_precompiled OBJECT "${CMAKE_SOURCE_DIR}/cmake/empty.cc")
  target_compile_options(weir_precompiled PRIVATE ${WEIR_WARNINGS})
  target_precompile_headers(weir_precompiled PRIVATE ${WEIR_PRECOMPILED_HEADERS})
  # An executable as tests are: -fPIE is not -fPIC, and a precompiled header serves one of them.
  add_executable(weir_precompiled_tests EXCLUDE_FROM_ALL "${CMAKE_SOURCE_DIR}/cmake/empty_main.cc")
  target_compile_options(weir_precompiled_tests PRIVATE ${WEIR_WARNINGS})
  target_link_libraries(weir_precompiled_tests PRIVATE GTest::gmock)
  target_precompile_headers(weir_precompiled_tests PRIVATE ${WEIR_PRECOMPILED_HEADERS} <gmock/gmock.h> <gtest/gtest.h>)
endif()

function(weir_precompile TARGET)
  if(NOT WEIR_PRECOMPILE)
    return()
  endif()
  # g++ 12 takes inlined code of a precompiled <string> for the program's own and warns of what cannot happen there.
  target_compile_options(${TARGET} PRIVATE "$<$<CXX_COMPILER_ID:GNU>:-Wno-array-bounds;-Wno-restrict;-Wno-stringop-overflow;-Wno-stringop-overread>")
  if("TESTS" IN_LIST ARGN)
    target_precompile_headers(${TARGET} REUSE_FROM weir_precompiled_tests)
  else()
    target_precompile_headers(${TARGET} REUSE_FROM weir_precompiled)
  endif()
endfunction()

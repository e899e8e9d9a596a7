# weir_add_job(NAME file.cc ...)
# Builds the job NAME: a shared library NAME.so that jobctl submits. It exports one symbol, and every other must be found when
# it is linked, so that what is missing is an error here and not on the cluster. Libraries of your own are added with
# target_link_libraries(NAME PRIVATE ...); link them statically or have them installed on every task manager.
# Optimised by default: without a build type it gets -O2.
set(WEIR_PLUGIN_MAP "${CMAKE_CURRENT_LIST_DIR}/weir_plugin.map")

function(weir_add_job NAME)
  if(NOT ARGN)
    message(FATAL_ERROR "weir_add_job(${NAME}): no source files; write weir_add_job(${NAME} ${NAME}.cc)")
  endif()
  add_library(${NAME} MODULE ${ARGN})
  set_target_properties(${NAME} PROPERTIES
    PREFIX "" SUFFIX ".so"
    CXX_STANDARD 20 CXX_STANDARD_REQUIRED ON CXX_EXTENSIONS OFF
    CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    POSITION_INDEPENDENT_CODE ON
    LINK_DEPENDS "${WEIR_PLUGIN_MAP}")
  target_compile_options(${NAME} PRIVATE "$<$<STREQUAL:$<CONFIG>,>:-O2;-g1;-DNDEBUG>")
  target_link_libraries(${NAME} PRIVATE weir::sdk)
  target_link_options(${NAME} PRIVATE "LINKER:--as-needed" "LINKER:--version-script=${WEIR_PLUGIN_MAP}")
  # clang leaves a sanitizer's own symbols to the executable.
  if(NOT (CMAKE_CXX_COMPILER_ID MATCHES "Clang" AND "${CMAKE_CXX_FLAGS} ${WEIR_SANITIZE}" MATCHES "sanitize|address|thread"))
    target_link_options(${NAME} PRIVATE "LINKER:-z,defs")
  endif()
endfunction()

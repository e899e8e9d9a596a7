# layer(NAME SRCS ... HDRS ... DEPS ...)
# Makes the library of the current folder. NAME is its path with '_' for '/'. DEPS is the only place where the graph of
# layers is written. Three checks hold it, all of the test label lint:
#  - link_NAME links the whole library against what its DEPS lead to, and nothing may be undefined;
#  - tests/lint/includes reads every #include "folder/..." against layers.txt, which is written here;
#  - every header of HDRS is compiled alone (CMAKE_VERIFY_INTERFACE_HEADER_SETS).
# The first are built by the target lint_layers only, the last by all_verify_interface_header_sets.
add_custom_target(lint_layers COMMENT "Every layer links against its DEPS alone")
set_property(GLOBAL PROPERTY WEIR_LAYERS "")

function(layer NAME)
  cmake_parse_arguments(L "" "" "SRCS;HDRS;DEPS" ${ARGN})
  if(L_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "layer(${NAME}): unexpected ${L_UNPARSED_ARGUMENTS}")
  endif()
  if(L_SRCS)
    add_library(${NAME} STATIC ${L_SRCS})
    target_include_directories(${NAME} PUBLIC "${CMAKE_SOURCE_DIR}")
    target_compile_options(${NAME} PRIVATE ${WEIR_WARNINGS})
    target_link_libraries(${NAME} PUBLIC ${L_DEPS})
    weir_precompile(${NAME})
    set(scope PUBLIC)
    # A sanitizer's runtime is linked into the program, so a library on its own has undefined symbols.
    if(NOT WEIR_SANITIZE)
      add_library(link_${NAME} SHARED EXCLUDE_FROM_ALL "${CMAKE_SOURCE_DIR}/cmake/empty.cc")
      target_link_libraries(link_${NAME} PRIVATE "$<LINK_LIBRARY:WHOLE_ARCHIVE,${NAME}>")
      target_link_options(link_${NAME} PRIVATE -Wl,--no-undefined)
      add_dependencies(lint_layers link_${NAME})
    endif()
  else()
    add_library(${NAME} INTERFACE)
    target_include_directories(${NAME} INTERFACE "${CMAKE_SOURCE_DIR}")
    target_link_libraries(${NAME} INTERFACE ${L_DEPS})
    set(scope INTERFACE)
  endif()
  if(L_HDRS)
    target_sources(${NAME} ${scope} FILE_SET HEADERS BASE_DIRS "${CMAKE_SOURCE_DIR}" FILES ${L_HDRS})
    set_target_properties(${NAME} PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)
  endif()

  file(RELATIVE_PATH folder "${CMAKE_SOURCE_DIR}" "${CMAKE_CURRENT_SOURCE_DIR}")
  set(files ${L_SRCS} ${L_HDRS})
  list(TRANSFORM files PREPEND "${folder}/")
  list(JOIN files "\\;" files)
  list(JOIN L_DEPS "\\;" deps)
  set_property(GLOBAL APPEND PROPERTY WEIR_LAYERS "${NAME}|${files}|${deps}")
endfunction()

# Once all layers are known.
function(weir_finish_layers)
  get_property(layers GLOBAL PROPERTY WEIR_LAYERS)
  set(text "")
  foreach(line IN LISTS layers)
    string(APPEND text "${line}\n")
  endforeach()
  file(CONFIGURE OUTPUT "${CMAKE_BINARY_DIR}/layers.txt" CONTENT "${text}" @ONLY)
endfunction()
cmake_language(DEFER DIRECTORY "${CMAKE_SOURCE_DIR}" CALL weir_finish_layers)

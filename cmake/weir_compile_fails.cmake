# weir_compiles(NAME file.cc): a test that file.cc compiles against the SDK, without a definition.
#
# weir_compile_fails(NAME file.cc EXPECT "text" [DEFINE WORD])
# A test that file.cc does not compile when WORD (default: WRONG) is defined, that the compiler's first and only error holds
# `text`, and that the user is pointed to the line of file.cc that is marked "// wrong" (or "// wrong: WORD", where several
# cases share a file). What differs goes between #ifdef WORD and #endif; a weir_compiles of the same file shows that the rest
# is in order. So that the tests stay fast, put related cases into one file.
#
# weir_compile_errors(NAME file.cc DEFINE WORD)
# A test that file.cc with WORD defined has one error for each line that is marked "// WORD: text": it holds `text` and points
# to the line.
set(WEIR_CHECK_COMPILE "${CMAKE_CURRENT_LIST_DIR}/check_compile.cmake")

function(weir_check_compile NAME file)
  add_test(NAME ${NAME} COMMAND "${CMAKE_COMMAND}"
    "-DCOMPILER=${CMAKE_CXX_COMPILER}"
    "-DFILE=${CMAKE_CURRENT_SOURCE_DIR}/${file}"
    "-DINCLUDES=$<JOIN:$<TARGET_PROPERTY:weir_sdk,INTERFACE_INCLUDE_DIRECTORIES>,|>"
    ${ARGN} -P "${WEIR_CHECK_COMPILE}")
  set_tests_properties(${NAME} PROPERTIES LABELS unit TIMEOUT 300)
endfunction()

function(weir_compiles NAME file)
  weir_check_compile(${NAME} ${file})
endfunction()

function(weir_compile_fails NAME file)
  cmake_parse_arguments(C "" "EXPECT;DEFINE" "" ${ARGN})
  if(NOT C_EXPECT OR C_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "weir_compile_fails(${NAME}): write weir_compile_fails(NAME file.cc EXPECT \"text\" [DEFINE WORD])")
  endif()
  if(NOT C_DEFINE)
    set(C_DEFINE WRONG)
  endif()
  weir_check_compile(${NAME} ${file} "-DEXPECT=${C_EXPECT}" "-DDEFINE=${C_DEFINE}")
endfunction()

function(weir_compile_errors NAME file)
  cmake_parse_arguments(C "" "DEFINE" "" ${ARGN})
  if(NOT C_DEFINE OR C_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "weir_compile_errors(${NAME}): write weir_compile_errors(NAME file.cc DEFINE WORD)")
  endif()
  weir_check_compile(${NAME} ${file} "-DDEFINE=${C_DEFINE}")
endfunction()

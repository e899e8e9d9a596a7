# weir_proto_library(NAME a.proto ...): messages only; "proto/a.pb.h" is how they are included.
function(weir_proto_library NAME)
  set(generated)
  set(out "${CMAKE_BINARY_DIR}/generated")
  file(MAKE_DIRECTORY "${out}")
  foreach(file IN LISTS ARGN)
    get_filename_component(stem "${file}" NAME_WE)
    file(RELATIVE_PATH folder "${CMAKE_SOURCE_DIR}" "${CMAKE_CURRENT_SOURCE_DIR}")
    add_custom_command(
      OUTPUT "${out}/${folder}/${stem}.pb.cc" "${out}/${folder}/${stem}.pb.h"
      COMMAND protobuf::protoc "--cpp_out=${out}" "-I${CMAKE_SOURCE_DIR}" "${folder}/${file}"
      WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}"
      DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${file}"
      VERBATIM)
    list(APPEND generated "${out}/${folder}/${stem}.pb.cc")
  endforeach()
  add_library(${NAME} STATIC ${generated})
  set_target_properties(${NAME} PROPERTIES CXX_CLANG_TIDY "")
  target_include_directories(${NAME} SYSTEM PUBLIC "${out}")
  target_link_libraries(${NAME} PUBLIC protobuf::libprotobuf)
endfunction()

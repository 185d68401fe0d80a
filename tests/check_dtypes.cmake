# SPDX-License-Identifier: Apache-2.0
# Adds a dtype and looks whether the library's switches over dtypes still compile:
#   cmake -D ROOT=<source root> -D COMPILER=<C++ compiler> -D WORK=<directory> -P check_dtypes.cmake
cmake_minimum_required(VERSION 3.25)

set(command ${CMAKE_COMMAND} -E env LC_ALL=C ${COMPILER} -std=c++20 -Wall -Werror=switch -fsyntax-only)
file(REMOVE_RECURSE "${WORK}")
file(COPY "${ROOT}/core" DESTINATION "${WORK}")
file(READ "${ROOT}/core/dtype.h" header)

# The header's switches are templates, so this uses them.
file(WRITE "${WORK}/use.cpp" "#include \"core/dtype.h\"
void use(tern::DType d) {
  tern::visit(d, [](auto) {});
  tern::visit_floating(d, [](auto) {});
}
")

foreach(added "" ", f8")
  string(REPLACE "boolean };" "boolean${added} };" changed "${header}")
  if(added AND changed STREQUAL header)
    message(FATAL_ERROR "core/dtype.h does not end its list of dtypes with boolean")
  endif()
  file(WRITE "${WORK}/core/dtype.h" "${changed}")
  foreach(source use.cpp core/dtype.cpp)
    execute_process(COMMAND ${command} "${WORK}/${source}" RESULT_VARIABLE failed ERROR_VARIABLE errors)
    string(REGEX MATCHALL "error: enumeration value .f8. not handled" unhandled "${errors}")
    list(LENGTH unhandled count)
    if(NOT added AND failed)
      message(FATAL_ERROR "${source} does not compile:\n${errors}")
    elseif(added AND count LESS 2)
      message(FATAL_ERROR "${source}: ${count} of 2 switches miss the new dtype:\n${errors}")
    endif()
  endforeach()
endforeach()
message("a dtype cannot be added without naming it everywhere")

# SPDX-License-Identifier: Apache-2.0
# Every public class has an example among the tests, and every source says its licence:
#   cmake -D ROOT=<source root> -P check_documentation.cmake
# That the public members have comments is doxygen's to check (docs/Doxyfile).
cmake_minimum_required(VERSION 3.25)

set(mistakes 0)
macro(complain)
  message(${ARGN})
  math(EXPR mistakes "${mistakes} + 1")
endmacro()

# Classes of the public headers, by the names that docs/examples.dox uses: a `struct Options` and the
# like count as well.
set(class_count 0)
file(READ "${ROOT}/docs/examples.dox" examples)
foreach(room core ops nn optim data io)
  file(GLOB headers "${ROOT}/${room}/*.h")
  foreach(header IN LISTS headers)
    file(READ "${header}" text)
    if(text MATCHES "Private: not installed")
      continue()
    endif()
    # Semicolons and brackets have a meaning in CMake's lists.
    string(REGEX REPLACE "[][;\\]" " " text "${text}")
    string(REGEX MATCHALL "\n(class|struct) [A-Za-z0-9:]+( final)?( : [^\n]*)? {" heads "\n${text}")
    foreach(head IN LISTS heads)
      string(REGEX REPLACE "\n(class|struct) ([A-Za-z0-9:]+).*" "\\2" name "${head}")
      math(EXPR class_count "${class_count} + 1")
      if(NOT examples MATCHES
         "@class tern::([a-z]+::)*${name}\n +@snippet ([a-z_]+[.]cpp) ([A-Za-z0-9]+) ")
        complain("${header}: docs/examples.dox has no example of ${name}")
        continue()
      endif()
      set(file "tests/${CMAKE_MATCH_2}")
      set(snippet "${CMAKE_MATCH_3}")
      file(READ "${ROOT}/${file}" source)
      if(NOT source MATCHES "//! \\[${snippet}\\].*EXPECT_.*//! \\[${snippet}\\]"
         AND NOT source MATCHES "//! \\[${snippet}\\]\n.*(class|struct) .*//! \\[${snippet}\\]")
        complain("${file} has no example [${snippet}] (of ${name})")
      endif()
    endforeach()
  endforeach()
endforeach()
if(class_count EQUAL 0)
  message(FATAL_ERROR "no public classes under '${ROOT}'")
endif()

set(sources "${ROOT}/tern.h" "${ROOT}/run" "${ROOT}/CMakeLists.txt" "${ROOT}/docs/Doxyfile"
            "${ROOT}/.clang-format" "${ROOT}/.clang-tidy" "${ROOT}/.gitignore")
file(GLOB found "${ROOT}/.ci/*")
list(APPEND sources ${found})
foreach(room core ops nn optim data io examples tests bench cmake docs)
  foreach(name *.h *.cpp *.cmake *.in *.map *.supp *.sh *.py *.dox CMakeLists.txt)
    file(GLOB_RECURSE found "${ROOT}/${room}/${name}")
    list(APPEND sources ${found})
  endforeach()
endforeach()
foreach(source IN LISTS sources)
  file(READ "${source}" beginning LIMIT 120)
  if(NOT beginning MATCHES "^(#![^\n]*\n)?(//|#|/[*]) SPDX-License-Identifier: Apache-2[.]0( [*]/)?\n")
    complain("${source}: it should begin with `SPDX-License-Identifier: Apache-2.0`")
  endif()
endforeach()

if(mistakes)
  message(FATAL_ERROR "${mistakes} mistakes in the documentation")
endif()
list(LENGTH sources source_count)
message("${class_count} public classes with an example, ${source_count} sources with their licence")
